/**
 * One call of a function in L3: bounded in time, ended by the caller's signal, and never left
 * behind by `close()`. The timeout and the signal reach the request itself, so a connection that
 * nobody waits for any more is given up.
 */
import type { Clock } from '../../clock.ts';
import { ClosedError } from '../../errors.ts';
import type { RpcAnswer, RpcClient } from './client.ts';
import { abortedError, type Failure, failureOf, timeoutError, toTierError } from './failures.ts';

export type Kind = 'read' | 'write';

/** What the function answered, or why there is no answer. */
export type Reply =
  | { readonly ok: true; readonly data: unknown }
  | { readonly ok: false; readonly failure: Failure };

export class Rpc {
  readonly #client: RpcClient;
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  readonly #underWay = new Map<AbortController, Promise<unknown>>();
  #closed = false;

  constructor(client: RpcClient, timeoutMs: number, clock: Clock) {
    this.#client = client;
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
  }

  /** Rejects with a `TierError` for everything but an answer. */
  async call(
    kind: Kind,
    name: string,
    args: object,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const reply = await this.attempt(kind, name, args, signal);
    if (!reply.ok) throw toTierError(reply.failure, kind === 'write');
    return reply.data;
  }

  /** Rejects where the call was given up; what the server said is for the caller to judge. */
  async attempt(
    kind: Kind,
    name: string,
    args: object,
    signal: AbortSignal | undefined,
  ): Promise<Reply> {
    if (this.#closed) throw new ClosedError('the connection to Supabase was closed');
    const writes = kind === 'write';
    if (signal?.aborted) throw abortedError(signal, writes);
    const controller = new AbortController();
    const { promise: givenUp, reject: giveUp } = Promise.withResolvers<never>();
    const stop = (error: Error): void => {
      giveUp(error);
      controller.abort(error);
    };
    const cancelTimer = this.#clock.after(this.#timeoutMs, () =>
      // One more turn of the loop: an answer that has arrived while this process was busy counts.
      setImmediate(() => stop(timeoutError(this.#timeoutMs, writes))),
    );
    const onAbort = (): void => {
      if (signal !== undefined) stop(abortedError(signal, writes));
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    const request = send(this.#client, name, args, controller.signal);
    this.#underWay.set(
      controller,
      request.catch(() => {}),
    );
    try {
      const answer = await Promise.race([request, givenUp]);
      const failure = failureOf(answer);
      return failure === undefined ? { ok: true, data: answer.data } : { ok: false, failure };
    } finally {
      givenUp.catch(() => {});
      request.catch(() => {});
      cancelTimer();
      signal?.removeEventListener('abort', onAbort);
      this.#underWay.delete(controller);
    }
  }

  /** Gives up what is under way. Can be called twice. */
  async close(): Promise<void> {
    this.#closed = true;
    const requests = [...this.#underWay.values()];
    const reason = new ClosedError('the connection to Supabase was closed');
    for (const controller of this.#underWay.keys()) controller.abort(reason);
    await Promise.all(requests);
  }
}

/** A client that throws after all is a client without a connection. */
async function send(
  client: RpcClient,
  name: string,
  args: object,
  signal: AbortSignal,
): Promise<RpcAnswer> {
  try {
    return await client.rpc(name, args).abortSignal(signal);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { data: null, error: { message }, status: 0 };
  }
}
