/**
 * One connection to Redis, from its first byte to its last: it is never reused, never queues
 * and never sends a command twice. Whoever waits for a reply is told when it closes, so that
 * no promise outlives it.
 *
 * A server that was frozen executes, when it goes on, also what a closed session had sent.
 */
import { TierError } from '../../errors.ts';
import type { RedisConnection } from './endpoint.ts';
import {
  abortedError,
  closedError,
  isElsewhere,
  isReadOnly,
  isReplyError,
  isUnknownScript,
  toTierError,
} from './failures.ts';
import { type Dialect, type ScriptCall, spoken } from './scripts.ts';

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
  readonly #onElsewhere: () => void;
  readonly dialect: Dialect;
  #lastError: unknown;
  #reason: TierError | undefined;
  #corked = false;

  /** `onElsewhere`: this node of a Cluster does not serve what it was asked for. */
  constructor(
    connection: RedisConnection,
    dialect: Dialect = 'one',
    onElsewhere: () => void = () => {},
  ) {
    this.#connection = connection;
    this.#onElsewhere = onElsewhere;
    this.dialect = dialect;
    const failure = Promise.withResolvers<never>();
    failure.promise.catch(() => {});
    this.failure = failure.promise;
    this.#fail = failure.reject;
    const end = Promise.withResolvers<void>();
    this.ended = end.promise;
    connection.on('error', (error) => {
      this.#lastError = error;
    });
    // The server let go of who listened to a slot, because it left the node: the connection stays,
    // and is deaf for that slot, whoever has it next.
    connection.on('moved', () => {
      this.close(new TierError('a slot that was listened to left its node', 'moved'));
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
    // The client goes on without the database that it was told to take.
    if (isReplyError(this.#lastError)) throw toTierError(this.#lastError);
  }

  onMessage(listener: (message: string) => void): void {
    const name = this.dialect === 'one' ? 'message' : 'smessage';
    this.#connection.on(name, (_channel, message) => listener(String(message)));
  }

  /** In a Cluster a channel belongs to a shard, and each is subscribed to by itself. */
  async subscribe(...channels: readonly string[]): Promise<void> {
    const connection = this.#connection;
    const subscribed =
      this.dialect === 'one'
        ? connection.subscribe(...channels)
        : Promise.all(channels.map((channel) => connection.ssubscribe(channel)));
    try {
      await Promise.race([subscribed, this.failure]);
    } catch (error) {
      if (isElsewhere(error)) this.#onElsewhere();
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
        if (isElsewhere(reply)) this.#onElsewhere();
        // It was the primary once: what it can still be read for is the past.
        if (isReadOnly(reply)) queueMicrotask(() => this.close(toTierError(reply)));
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
    const { dialect } = this;
    const replies = await this.send(
      calls.map((call) => bySha(call, dialect)),
      signal,
    );
    const unknown = replies.flatMap((reply, i) => (isUnknownScript(reply) ? [i] : []));
    if (unknown.length > 0) {
      const again = unknown.flatMap((i) => calls[i] ?? []).map((call) => byText(call, dialect));
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

function bySha({ script, keys, args }: ScriptCall, dialect: Dialect): Command {
  return ['EVALSHA', [spoken(script, dialect).sha, keys.length, ...keys, ...args]];
}

function byText({ script, keys, args }: ScriptCall, dialect: Dialect): Command {
  return ['EVAL', [spoken(script, dialect).text, keys.length, ...keys, ...args]];
}
