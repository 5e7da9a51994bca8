/** The routes of a cache, put together. */
import { adminRouter } from './admin-routes.ts';
import { type ApiOptions, api } from './api.ts';
import { healthRouter } from './health-routes.ts';
import { letterRouter } from './letter-routes.ts';
import { metricsRouter } from './metrics-routes.ts';
import { type Preload, preloadRouter } from './preload-routes.ts';
import type { Router } from './router.ts';
import type { ServedCache } from './served-cache.ts';
import { type AuthOptions, Tokens } from './tokens.ts';

export interface CacheRoutesOptions {
  readonly cache: ServedCache;
  /** Without an admin token, the admin routes are closed to everybody. */
  readonly auth?: AuthOptions | undefined;
  /** What `POST /cache/preload/:id` does. Without it there is no such route. */
  readonly preload?: Preload | undefined;
}

/** The routes of a cache as groups, for an application that has more of its own: see {@link api}. */
export function cacheRouters(options: CacheRoutesOptions): readonly Router[] {
  const { cache, preload } = options;
  const tokens = new Tokens(options.auth ?? {});
  return [
    healthRouter(cache, tokens),
    metricsRouter(cache, tokens),
    ...(preload === undefined ? [] : [preloadRouter(preload, tokens)]),
    adminRouter(cache, tokens),
    letterRouter(cache, tokens),
  ];
}

/** The routes of a cache as one handler: `cacheRoutes({…}).fetch(request)`. */
export function cacheRoutes(options: CacheRoutesOptions & Pick<ApiOptions, 'onError'>): Router {
  return api({
    title: 'Cache',
    version: '1',
    routers: cacheRouters(options),
    onError: options.onError,
  });
}
