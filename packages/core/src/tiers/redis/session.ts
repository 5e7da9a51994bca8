/**
 * One connection to Redis, from its first byte to its last: it is never reused, never queues
 * and never sends a command twice. Whoever waits for a reply is told when it closes, so that
 * no promise outlives it.
 *
 * A server that was frozen executes, when it goes on, also what a closed session had sent.
 */
import { Redis, type RedisOptions } from 'ioredis';
import type { TierError } from '../../errors.ts';
import {
  abortedError,
  closedError,
  isReplyError,
  isUnknownScript,
  toTierError,
} from './failures.ts';
import type { ScriptCall } from './scripts.ts';

/** What is used of a connection of ioredis. */
export interface RedisConnection {
  connect(): Promise<void>;
  disconnect(): void;
  callBuffer(command: string, args: (string | Buffer | number)[]): Promise<unknown>;
  subscribe(...channels: string[]): Promise<unknown>;
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  readonly stream?: { cork(): void; uncork(): void };
}

/**
 * A client of ioredis that the caller owns. It is only asked for copies of itself, with the
 * options that the protocol needs; what it is used for elsewhere, and its end, are the caller's.
 */
export interface RedisClient {
  duplicate(override: Partial<RedisOptions>): RedisConnection;
}

export interface Endpoint {
  readonly url?: string | undefined;
  readonly client?: RedisClient | undefined;
  readonly password?: string | undefined;
  readonly tls?: EndpointTls | undefined;
}

/** Whom to trust, and how to prove who one is, as PEM texts. */
export interface EndpointTls {
  readonly ca?: string | Uint8Array | undefined;
  readonly cert?: string | Uint8Array | undefined;
  readonly key?: string | Uint8Array | undefined;
  readonly servername?: string | undefined;
}

/** How long a connection that is ended waits for the other side to agree. */
const DISCONNECT_MS = 100;
const CONNECT_MS = 5000;

const OPTIONS = {
  lazyConnect: true,
  protocol: 2,
  enableOfflineQueue: false,
  enableReadyCheck: false,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  maxRetriesPerRequest: 0,
  retryStrategy: () => null,
  connectTimeout: CONNECT_MS,
  disconnectTimeout: DISCONNECT_MS,
  disableClientInfo: true,
  // What a caller's client may have that would change keys or replies.
  keyPrefix: '',
  stringNumbers: false,
  readOnly: false,
  enableAutoPipelining: false,
  monitor: false,
  keepAlive: 10_000,
} satisfies RedisOptions;

/** A connection that is not open yet. */
export function connectionTo(endpoint: Endpoint): RedisConnection {
  const { url, client, password, tls } = endpoint;
  const options = {
    ...OPTIONS,
    ...(password === undefined || password === '' ? {} : { password }),
    ...(tls === undefined ? {} : { tls: connectionOptions(tls) }),
  };
  if (client !== undefined) return client.duplicate(options);
  const { href } = addressOf(url ?? 'redis://localhost:6379', password);
  return new Redis(href, options satisfies RedisOptions);
}

/**
 * The URL as the client is to read it, which prefers it to any option: with the password that
 * goes before one in it, the scheme in lower case (it knows TLS by no other), and of its query
 * only what does not touch the protocol.
 */
export function addressOf(url: string, password: string | undefined): URL {
  const address = new URL(url);
  if (password !== undefined && password !== '') address.password = encodeURIComponent(password);
  for (const name of [...address.searchParams.keys()]) {
    if (name !== 'db' && name !== 'family') address.searchParams.delete(name);
  }
  return address;
}

/** What is left out keeps the runtime's default; the certificate is always verified. */
function connectionOptions(tls: EndpointTls): NonNullable<RedisOptions['tls']> {
  const { servername } = tls;
  const [ca, cert, key] = [tls.ca, tls.cert, tls.key].map(
    (pem) => pem && (typeof pem === 'string' ? pem : Buffer.from(pem)),
  );
  return {
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    ...(servername && { servername }),
  };
}

/** A command and its arguments. */
export type Command = readonly [name: string, args: readonly (string | Buffer | number)[]];

export class Session {
  /** Resolves when the socket is gone. */
  readonly ended: Promise<void>;
  /** Never resolves; rejects when the session closes. */
  readonly failure: Promise<never>;
  readonly #connection: RedisConnection;
  readonly #waiting = new Set<(reason: TierError) => void>();
  readonly #fail: (reason: TierError) => void;
  #lastError: unknown;
  #reason: TierError | undefined;
  #corked = false;

  constructor(connection: RedisConnection) {
    this.#connection = connection;
    const failure = Promise.withResolvers<never>();
    failure.promise.catch(() => {});
    this.failure = failure.promise;
    this.#fail = failure.reject;
    const end = Promise.withResolvers<void>();
    this.ended = end.promise;
    connection.on('error', (error) => {
      this.#lastError = error;
    });
    connection.on('end', () => {
      this.close(this.#lastError === undefined ? closedError() : toTierError(this.#lastError));
      end.resolve();
    });
  }

  /** Why it is closed; `undefined` while it is not. */
  get reason(): TierError | undefined {
    return this.#reason;
  }

  async open(): Promise<void> {
    try {
      await this.#connection.connect();
    } catch (error) {
      throw toTierError(this.#lastError ?? error);
    }
    if (this.#reason !== undefined) throw this.#reason;
  }

  onMessage(listener: (message: string) => void): void {
    this.#connection.on('message', (_channel, message) => listener(String(message)));
  }

  async subscribe(channel: string): Promise<void> {
    try {
      await Promise.race([this.#connection.subscribe(channel), this.failure]);
    } catch (error) {
      throw toTierError(error);
    }
  }

  /** Every wait for a reply ends here, and the socket soon after. */
  close(reason: TierError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#fail(reason);
    for (const reject of [...this.#waiting]) reject(reason);
    this.#connection.disconnect();
  }

  /**
   * The replies to these commands, sent together. A reply that is an error is returned as it
   * is; a failure of the connection, its closing and the signal reject.
   */
  send(commands: readonly Command[], signal?: AbortSignal): Promise<unknown[]> {
    if (this.#reason !== undefined) return Promise.reject(this.#reason);
    if (signal?.aborted) return Promise.reject(abortedError(signal));
    if (commands.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      const replies = new Array<unknown>(commands.length);
      let left = commands.length;
      const onAbort = () => fail(signal === undefined ? closedError() : abortedError(signal));
      const done = () => {
        this.#waiting.delete(fail);
        signal?.removeEventListener('abort', onAbort);
      };
      const fail = (reason: TierError) => {
        done();
        reject(reason);
      };
      const answered = (index: number, reply: unknown) => {
        replies[index] = reply;
        left -= 1;
        if (left > 0) return;
        done();
        resolve(replies);
      };
      this.#waiting.add(fail);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#cork();
      commands.forEach(([name, args], index) => {
        this.#connection.callBuffer(name, [...args]).then(
          (reply) => answered(index, reply),
          (error: unknown) =>
            isReplyError(error) ? answered(index, error) : fail(toTierError(error)),
        );
      });
    });
  }

  /** The replies of scripts, run in this order in one round trip. Rejects where one is an error. */
  async run(calls: readonly ScriptCall[], signal?: AbortSignal): Promise<unknown[]> {
    const replies = await this.send(calls.map(bySha), signal);
    const unknown = replies.flatMap((reply, i) => (isUnknownScript(reply) ? [i] : []));
    if (unknown.length > 0) {
      const again = unknown.flatMap((i) => calls[i] ?? []).map(byText);
      for (const [nth, reply] of (await this.send(again, signal)).entries()) {
        const index = unknown[nth];
        if (index !== undefined) replies[index] = reply;
      }
    }
    const refused = replies.find((reply) => reply instanceof Error);
    if (refused !== undefined) throw toTierError(refused);
    return replies;
  }

  /** What is written in one turn of the event loop leaves in one piece. */
  #cork(): void {
    const { stream } = this.#connection;
    if (this.#corked || stream === undefined) return;
    this.#corked = true;
    stream.cork();
    process.nextTick(() => {
      this.#corked = false;
      stream.uncork();
    });
  }
}

function bySha({ script, keys, args }: ScriptCall): Command {
  return ['EVALSHA', [script.sha, keys.length, ...keys, ...args]];
}

function byText({ script, keys, args }: ScriptCall): Command {
  return ['EVAL', [script.text, keys.length, ...keys, ...args]];
}
