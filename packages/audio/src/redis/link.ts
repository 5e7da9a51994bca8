/**
 * A connection to Redis that costs a caller at most its deadline, and nothing once it is known to
 * be down.
 *
 *   up      → down   the socket closed, or so many calls in a row got no answer in time: the
 *                    socket is dropped, and with it whatever still waits on it
 *   down    → up     a new connection was opened and answered, at the earliest after a second
 *   any     → closed
 *
 * While it is not up every call is rejected at once, with `StoreError`.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Clock } from '@cache/core';
import { Redis } from 'ioredis';
import { StoreError } from '../store.ts';

export interface RedisLinkOptions {
  readonly url: string;
  readonly clock: Clock;
  /** What a call may take where it says nothing else, in milliseconds. */
  readonly timeoutMs: number;
  /** Called where its socket is dropped because nobody answered. */
  readonly onDrop?: (() => void) | undefined;
}

export interface Script {
  readonly text: string;
  readonly sha: string;
}

export type Argument = string | number | Buffer;

const FAILURES = 3;
const COOL_OFF_MS = 1000;
const FIRST_RETRY_MS = 50;
const LAST_RETRY_MS = 1000;

/** A script of this folder; `prelude` goes behind its shebang, which has to stay the first line. */
export function script(name: string, prelude?: string): Script {
  const own = read(name);
  const end = own.indexOf('\n') + 1;
  const text = prelude === undefined ? own : own.slice(0, end) + read(prelude) + own.slice(end);
  return { text, sha: createHash('sha1').update(text).digest('hex') };
}

function read(name: string): string {
  return readFileSync(new URL(`./${name}.lua`, import.meta.url), 'utf8');
}

export class RedisLink {
  readonly #options: RedisLinkOptions;
  readonly #client: Redis;
  #failures = 0;
  #shutUntil = 0;
  #isClosed = false;

  constructor(options: RedisLinkOptions) {
    this.#options = options;
    this.#client = connect(options.url);
  }

  /** The connection can be used. */
  get isUp(): boolean {
    if (this.#isClosed || this.#client.status !== 'ready') return false;
    return this.#options.clock.monotonic() >= this.#shutUntil;
  }

  /** A connection of its own with the same options, for a subscription. */
  duplicate(): Redis {
    return connect(this.#options.url);
  }

  /** Resolves when it is up. */
  async ready(signal?: AbortSignal): Promise<void> {
    while (!this.isUp) {
      if (this.#isClosed) throw new StoreError('unavailable', 'the connection to Redis was closed');
      signal?.throwIfAborted();
      await this.pause(20);
    }
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.after(ms, resolve);
    });
  }

  /** Runs one command, or a pipeline of them. Throws `StoreError`, or what the signal says. */
  async run<T>(
    work: (client: Redis) => Promise<T>,
    {
      signal,
      ms = this.#options.timeoutMs,
    }: { signal?: AbortSignal | undefined; ms?: number } = {},
  ): Promise<T> {
    signal?.throwIfAborted();
    if (!this.isUp) throw new StoreError('unavailable', 'Redis can not be reached');
    const late = Promise.withResolvers<never>();
    const cancel = this.#options.clock.after(ms, () => {
      // An answer that is here already counts: this process may have been what was slow.
      setImmediate(() =>
        late.reject(new StoreError('unavailable', `Redis took longer than ${ms} ms`)),
      );
    });
    const stop = () => late.reject(signal?.reason);
    signal?.addEventListener('abort', stop, { once: true });
    const asked = work(this.#client);
    asked.catch(() => {});
    try {
      const answer = await Promise.race([asked, late.promise]);
      this.#failures = 0;
      return answer;
    } catch (error) {
      if (!isReply(error) && !isOnlyTheCallers(error, signal)) this.#failed();
      throw toStoreError(error, signal);
    } finally {
      cancel();
      signal?.removeEventListener('abort', stop);
    }
  }

  /** Runs a script; replies are buffers, numbers and lists of them. */
  script(
    { text, sha }: Script,
    keys: readonly string[],
    args: readonly Argument[],
    options?: { signal?: AbortSignal | undefined; ms?: number },
  ): Promise<unknown> {
    const rest = [keys.length, ...keys, ...args];
    return this.run(async (client) => {
      try {
        return await client.callBuffer('EVALSHA', [sha, ...rest]);
      } catch (error) {
        if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error;
        return client.callBuffer('EVAL', [text, ...rest]);
      }
    }, options);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await end(this.#client);
  }

  #failed(): void {
    this.#failures += 1;
    if (this.#failures < FAILURES || this.#isClosed) return;
    this.#failures = 0;
    this.#shutUntil = this.#options.clock.monotonic() + COOL_OFF_MS;
    // One that is being made anew is not dropped again.
    if (this.#client.status !== 'ready') return;
    this.#client.disconnect(true);
    this.#options.onDrop?.();
  }
}

/** Ends a connection, and resolves when its socket is gone. */
export async function end(client: Redis): Promise<void> {
  if (client.status === 'end') return;
  if (client.status === 'reconnecting' || client.status === 'close') {
    // Between two sockets there is none whose end could be told.
    client.disconnect();
    return;
  }
  const ended = new Promise<void>((resolve) => client.once('end', () => resolve()));
  client.disconnect();
  await ended;
}

function connect(url: string): Redis {
  const client = new Redis(url, {
    protocol: 2,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 1000,
    // Of the connection's own commands too: a frozen server accepts, and says nothing.
    commandTimeout: 2000,
    disconnectTimeout: 100,
    retryStrategy: (times) => Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(times, 10)),
  });
  // Every call is told on its own.
  client.on('error', () => {});
  return client;
}

/** The caller gave up for a reason of his own. A deadline, which is a `StoreError`, is Redis's. */
function isOnlyTheCallers(error: unknown, signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true && error === signal.reason && !(error instanceof StoreError);
}

/** The server answered, and said no: it is there. */
function isReply(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError';
}

function toStoreError(error: unknown, signal: AbortSignal | undefined): unknown {
  if (error instanceof StoreError) return error;
  if (signal?.aborted === true && error === signal.reason) return error;
  const text = error instanceof Error ? error.message : '';
  if (isReply(error)) {
    const reason = text.startsWith('OOM') ? 'full' : 'refused';
    return new StoreError(reason, `Redis said no: ${text.slice(0, 40)}`, { cause: error });
  }
  return new StoreError('unavailable', 'Redis can not be reached', { cause: error });
}
