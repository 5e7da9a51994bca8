/**
 * The service: the cache, the app and the socket, opened and closed as one.
 *
 *   opening    the environment is read; the cache connects. A configuration that can't be used
 *              ends here. A Supabase or Redis that is merely away does not.
 *   serving    requests are answered.
 *   draining   no new connections; requests under way get REQUESTS_MS, then the cache gets
 *              CACHE_MS to bring to Supabase what is pending. What it can't stays in Redis.
 *   closed     nothing of it is left.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type Cache, ConfigError, createCache, type Logger, optionsFromEnv } from '@cache/core';
import { type ServiceOptions, serviceFromEnv } from '@cache/http';
import { getRequestListener } from '@hono/node-server';
import { createApp } from './app.ts';
import { SimulatedCrm } from './crm.ts';
import { crmFromEnv } from './crm-env.ts';

export interface OpenOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly logger: Logger;
}

export interface Service {
  readonly url: string;
  readonly cache: Cache;
  readonly adminToken: string;
  /** It was made up for this start: print it, or nobody knows it. */
  readonly adminTokenIsNew: boolean;
  readonly apiToken: string | undefined;
  /** Resolves when everything is drained and closed. Idempotent. */
  close(): Promise<void>;
}

const REQUESTS_MS = 5000;
const CACHE_MS = 5000;
/** Slower clients than these hold a connection for nothing. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_MS = 5000;
const IDLE_EVERY_MS = 50;

/** @throws ConfigError, in one line, for what can't be used */
export async function openService({ env, logger }: OpenOptions): Promise<Service> {
  const options = serviceFromEnv(env);
  const crm = new SimulatedCrm(crmFromEnv(env));
  const cache = openCache(env, logger);
  try {
    await settled(cache, logger);
    const { adminToken, apiToken } = options.auth;
    const app = createApp({ cache, auth: options.auth, logger, crm });
    const server = await listening(app.fetch, options);
    const url = urlOf(server);
    let closing: Promise<void> | undefined;
    const close = () => {
      closing ??= drained(server).then(() => cache.close({ deadline: CACHE_MS }));
      return closing;
    };
    return {
      url,
      cache,
      adminToken,
      adminTokenIsNew: options.adminTokenIsNew,
      apiToken,
      close,
    };
  } catch (error) {
    await cache.close({ deadline: 0 });
    throw error;
  }
}

function openCache(env: OpenOptions['env'], logger: Logger): Cache {
  const options = optionsFromEnv(env);
  if (options.l3 !== undefined) return createCache({ ...options, logger });
  throw new ConfigError(
    'SUPABASE_URL is not set: it takes the URL of the Supabase project that conversations are kept in, and SUPABASE_SECRET_KEY its secret key',
  );
}

/** Waits until the tiers have answered, or can be said to be away. */
async function settled(cache: Cache, logger: Logger): Promise<void> {
  try {
    await cache.ready();
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    logger.warn(
      { reason: error instanceof Error ? error.message : '' },
      'starting without Supabase',
    );
  }
}

async function listening(
  fetch: (request: Request) => Response | Promise<Response>,
  { host, port }: ServiceOptions,
): Promise<Server> {
  const limits = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
  };
  const server = createServer(limits, getRequestListener(fetch));
  try {
    const ready = once(server, 'listening');
    server.listen(port, host);
    await ready;
    return server;
  } catch (error) {
    throw new ConfigError(`HOST and PORT take an address that is free, ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? `got: ${error.message}` : 'got one that is not';
}

function urlOf(server: Server): string {
  const address = server.address();
  if (address === null || typeof address === 'string') return 'http://localhost';
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `http://${host}:${address.port}`;
}

/** No new requests; those under way are waited for, within bounds. */
async function drained(server: Server): Promise<void> {
  const gone = new Promise<void>((resolve) => server.close(() => resolve()));
  // A connection that is kept alive becomes idle after its answer, and goes then.
  const idle = setInterval(() => server.closeIdleConnections(), IDLE_EVERY_MS);
  const late = setTimeout(() => server.closeAllConnections(), REQUESTS_MS);
  await gone;
  clearInterval(idle);
  clearTimeout(late);
}
