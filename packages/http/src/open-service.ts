/**
 * A service: its cache, what the application makes of it, and the socket, opened and closed as one.
 *
 *   opening    the environment is read; the cache connects. A configuration that can't be used
 *              ends here. A Supabase or Redis that is merely away does not.
 *   serving    requests are answered.
 *   draining   no new connections; requests under way get five seconds, then the application is
 *              closed, and the cache gets CACHE_MS to bring to Supabase what is pending. What it
 *              can't stays in Redis.
 *   closed     nothing of it is left.
 */
import {
  type Cache,
  type CacheOptions,
  type Clock,
  ConfigError,
  createCache,
  type Logger,
  optionsFromEnv,
  systemClock,
} from '@cache/core';
import { listen, settled } from './listen.ts';
import { type ServiceOptions, serviceFromEnv } from './service.ts';
import { type Fetch, listenerOf } from './whole-or-broken.ts';

/** Variables as a process has them. */
export type ServiceEnvironment = Readonly<Record<string, string | undefined>>;

/** What an application is made of. */
export interface ServiceParts {
  readonly cache: Cache;
  readonly auth: ServiceOptions['auth'];
  readonly logger: Logger;
  readonly clock: Clock;
  /** Where the cache's Redis is. */
  readonly l2: CacheOptions['l2'];
  /** Of the project that the cache writes to: its URL and its secret key. */
  readonly supabase: { readonly url: string; readonly key: string };
}

/** What an application has to be served with. */
export interface Application {
  readonly fetch: Fetch;
  /** What it opened, closed in this order, before the cache is. */
  readonly closes?: readonly { close?(): unknown }[] | undefined;
}

/** What {@link openService} takes. */
export interface OpenServiceOptions<App extends Application> {
  readonly env: ServiceEnvironment;
  readonly logger: Logger;
  readonly clock?: Clock | undefined;
  /** What Supabase has here, for the message where none is configured: `'the books'`. */
  readonly keeps: string;
  /** Makes the application, before the tiers were asked whether they are there. */
  readonly open: (parts: ServiceParts) => App | Promise<App>;
}

/** A service that answers requests. */
export interface Service<App extends Application = Application> {
  readonly url: string;
  readonly cache: Cache;
  /** What `open` made. */
  readonly app: App;
  readonly adminToken: string;
  /** It was made up for this start: print it, or nobody knows it. */
  readonly adminTokenIsNew: boolean;
  readonly apiToken: string | undefined;
  /** Resolves when everything is drained and closed. Idempotent. */
  close(): Promise<void>;
}

const CACHE_MS = 5000;

/** Rejects with `ConfigError`, in one line, for what can't be used; then nothing of it is left. */
export async function openService<App extends Application>(
  options: OpenServiceOptions<App>,
): Promise<Service<App>> {
  const { env, logger, clock = systemClock, keeps, open } = options;
  const { auth, adminTokenIsNew, ...address } = serviceFromEnv(env);
  const tiers = optionsFromEnv(env);
  const { url, key } = tiers.l3 ?? {};
  if (url === undefined || key === undefined) {
    throw new ConfigError(
      `SUPABASE_URL is not set: it takes the URL of the Supabase project that ${keeps} are kept in, and SUPABASE_SECRET_KEY its secret key`,
    );
  }
  const cache = createCache({ ...tiers, logger, clock });
  let app: App | undefined;
  const end = async (deadline: number) => {
    const faults: unknown[] = [];
    for (const part of app?.closes ?? []) {
      // One that fails holds up neither the others nor the cache, which has writes to save.
      await Promise.resolve(part.close?.()).catch((fault: unknown) => faults.push(fault));
    }
    await cache.close({ deadline });
    if (faults.length > 0) throw faults[0];
  };
  try {
    app = await open({ cache, auth, logger, clock, l2: tiers.l2, supabase: { url, key } });
    await settled(cache, logger);
    const server = await listen(listenerOf(app.fetch), address);
    let closing: Promise<void> | undefined;
    const close = () => {
      closing ??= server.close().then(() => end(CACHE_MS));
      return closing;
    };
    const { adminToken, apiToken } = auth;
    return { url: server.url, cache, app, adminToken, adminTokenIsNew, apiToken, close };
  } catch (error) {
    // Why it did not start is what its user has to know.
    await end(0).catch(() => undefined);
    throw error;
  }
}
