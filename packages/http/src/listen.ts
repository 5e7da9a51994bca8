/**
 * The socket of a service, opened and closed as one:
 *
 *   listening  requests are answered.
 *   draining   no new connections; requests under way get REQUESTS_MS.
 *   closed     no connection is left.
 */
import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import { type Cache, ConfigError, type Logger } from '@cache/core';

/** What {@link listen} gives. */
export interface Listening {
  readonly url: string;
  /** Resolves when no request is under way any more. Idempotent. */
  close(): Promise<void>;
}

const REQUESTS_MS = 5000;
/** Slower clients than these hold a connection for nothing. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const KEEP_ALIVE_MS = 5000;
/**
 * A socket on which nothing moves: its client stopped reading. Twice the longest bound of an
 * answer (speech that waits for its turn: a minute), because until it begins nothing moves either.
 * What has no bound, such as clearing every clip, goes on without its client.
 */
const IDLE_MS = 120_000;
const IDLE_EVERY_MS = 50;

/** Throws `ConfigError` where the address can't be listened on. `idleMs` is for tests. */
export async function listen(
  listener: RequestListener,
  {
    host,
    port,
    idleMs = IDLE_MS,
  }: { readonly host: string; readonly port: number; readonly idleMs?: number },
): Promise<Listening> {
  const limits = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
  };
  const server = createServer(limits, listener).setTimeout(idleMs);
  try {
    const ready = once(server, 'listening');
    server.listen(port, host);
    await ready;
  } catch (error) {
    throw new ConfigError(`HOST and PORT take an address that is free, ${reasonOf(error)}`, {
      cause: error,
    });
  }
  let closing: Promise<void> | undefined;
  return {
    url: urlOf(server),
    close() {
      closing ??= drained(server);
      return closing;
    },
  };
}

/** Waits until the tiers have answered, or can be said to be away. Throws `ConfigError`. */
export async function settled(cache: Pick<Cache, 'ready'>, logger: Logger): Promise<void> {
  try {
    await cache.ready();
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const reason = error instanceof Error ? error.message : '';
    logger.warn({ reason }, 'starting without Supabase');
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
