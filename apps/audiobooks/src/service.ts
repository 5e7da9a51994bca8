/** The service: the cache, its speech, the routes and the socket, opened and closed as one. */
import { openSpeech, Popularity, type Provider } from '@cache/audio';
import {
  type Cache,
  type Clock,
  ConfigError,
  createCache,
  type Logger,
  optionsFromEnv,
  systemClock,
} from '@cache/core';
import { espeak } from '@cache/espeak';
import {
  api,
  cacheRouters,
  createRouter,
  errorLog,
  listen,
  requestLog,
  serviceFromEnv,
  settled,
  Tokens,
} from '@cache/http';
import { getRequestListener } from '@hono/node-server';
import { createClient } from '@supabase/supabase-js';
import { requestId } from 'hono/request-id';
import { Library } from './library.ts';
import { routes } from './routes.ts';
import { Shelf } from './shelf.ts';

export interface OpenOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
  /** Default: the embedded voice. Closed with the service. */
  readonly provider?: Provider | undefined;
  readonly clock?: Clock | undefined;
  /** Hearings of the last hour that make a book popular. Default 10. */
  readonly popularAt?: number | undefined;
}

export interface Service {
  readonly url: string;
  readonly cache: Cache;
  readonly shelf: Shelf;
  readonly popularity: Popularity;
  readonly adminToken: string;
  /** It was made up for this start: print it, or nobody knows it. */
  readonly adminTokenIsNew: boolean;
  /** Resolves when everything is drained and closed. Idempotent. */
  close(): Promise<void>;
}

const CLOSE_MS = 5000;
const POPULAR_AT = 10;
/** A clip is kept as long as what says where it is; some minutes of samples. */
const POLICY = { ttls: { audiobook: '7d' }, maxClipBytes: 16 * 1024 * 1024 } as const;

/** @throws ConfigError, in one line, for what can't be used */
export async function openService(options: OpenOptions): Promise<Service> {
  const { env, logger, clock = systemClock } = options;
  const { host, port, auth, adminTokenIsNew } = serviceFromEnv(env);
  const { adminToken } = auth;
  const tiers = optionsFromEnv(env);
  const { url, key } = tiers.l3 ?? {};
  if (url === undefined || key === undefined) {
    throw new ConfigError(
      'SUPABASE_URL is not set: it takes the URL of the Supabase project that the books are in',
    );
  }
  const { provider = espeak({ clock }) } = options;
  const cache = createCache({ ...tiers, logger, clock });
  const speech = openSpeech({
    env,
    l2: tiers.l2,
    provider,
    format: 'wav',
    policy: POLICY,
    clock,
  });
  const client = createClient(url, key, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  const shelf = new Shelf({ cache, library: new Library(client), speech, provider, clock });
  const popularity = new Popularity({
    clock,
    threshold: options.popularAt ?? POPULAR_AT,
    make: ({ book, voice, segment }) => shelf.audio(book, voice, segment),
  });
  const end = async (deadline: number) => {
    await popularity.close();
    shelf.close();
    await speech.close();
    await provider.close?.();
    await cache.close({ deadline });
  };
  try {
    await settled(cache, logger);
    const closed = createRouter();
    const tokens = new Tokens(auth);
    for (const path of ['/tts/*', '/progress/*', '/books/*']) closed.use(path, tokens.api);
    const app = api({
      title: 'Audiobooks',
      version: '1',
      description: 'Books, spoken once for everybody, and where each listener is.',
      before: [requestId({ limitLength: 64 }), requestLog(logger, clock)],
      routers: [closed, routes({ shelf, popularity, clock }), ...cacheRouters({ cache, auth })],
      onError: errorLog(logger),
    });
    const server = await listen(getRequestListener(app.fetch), { host, port });
    let closing: Promise<void> | undefined;
    const close = () => {
      closing ??= server.close().then(() => end(CLOSE_MS));
      return closing;
    };
    return { url: server.url, cache, shelf, popularity, adminToken, adminTokenIsNew, close };
  } catch (error) {
    await end(0);
    throw error;
  }
}
