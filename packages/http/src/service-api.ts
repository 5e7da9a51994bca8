/**
 * The routes of an application beside those of its cache, as one handler: requests have ids and are
 * logged, the application's own routes need the API token where one is set.
 */
import type { Cache, Clock, Logger } from '@cache/core';
import { requestId } from 'hono/request-id';
import { type ApiOptions, api } from './api.ts';
import { cacheRouters } from './cache-routes.ts';
import type { Preload } from './preload-routes.ts';
import { errorLog, requestLog } from './request-log.ts';
import { createRouter, type Router } from './router.ts';
import { type AuthOptions, Tokens } from './tokens.ts';

/** What {@link serviceApi} takes. */
export interface ServiceApiOptions
  extends Pick<ApiOptions, 'title' | 'version' | 'description' | 'routers'> {
  readonly cache: Cache;
  /** Without an admin token, the admin routes are closed to everybody. */
  readonly auth?: AuthOptions | undefined;
  readonly logger: Logger;
  /** For the times in the log. Default: the system's. */
  readonly clock?: Clock | undefined;
  /** Routers that ask for tokens of their own accord. */
  readonly guarded?: readonly Router[] | undefined;
  /** What `POST /cache/preload/:id` does. Without it there is no such route. */
  readonly preload?: Preload | undefined;
}

const MOST_ID_LENGTH = 64;

/** One handler of an application, its `routers` behind the API token. */
export function serviceApi(options: ServiceApiOptions): Router {
  const { cache, auth = {}, logger, clock, routers, guarded = [], preload, ...about } = options;
  const tokens = new Tokens(auth);
  return api({
    ...about,
    before: [requestId({ limitLength: MOST_ID_LENGTH }), requestLog(logger, clock)],
    routers: [
      behindToken(routers, tokens),
      ...routers,
      ...guarded,
      ...cacheRouters({ cache, auth, preload }),
    ],
    onError: errorLog(logger),
  });
}

/** Goes before them: whatever the method, their paths are closed to those without a token. */
function behindToken(routers: readonly Router[], tokens: Tokens): Router {
  const guard = createRouter();
  const paths = new Set(routers.flatMap(({ routes }) => routes.map(({ path }) => path)));
  for (const path of paths) guard.use(path, tokens.api);
  return guard;
}
