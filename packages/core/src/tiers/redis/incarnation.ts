/**
 * The commands connection, and which incarnation of the server it speaks to.
 *
 *   lost      → shaking     a session opened
 *   shaking   → known       every shard's epoch is known: commands pass
 *   shaking   → lost        it failed (L3 can't say, the server went away): the session is closed
 *   known     → renewing    a reply said that the epoch is another; `onEpoch` is told at once
 *   renewing  → known | lost
 *   known     → lost        the session closed
 *
 * Commands pass while it is known and wait while it is renewed, because who was denied comes
 * again at once. Otherwise they are rejected, and have not been sent: nothing is queued for a
 * server that may be frozen.
 */
import { TierError } from '../../errors.ts';
import { abortedError, toTierError } from './failures.ts';
import { type Epochs, type HandshakeOptions, handshake, permitted, teach } from './handshake.ts';
import { Link } from './link.ts';
import type { ScriptCall } from './scripts.ts';
import { connectionTo, type Endpoint, type Session } from './session.ts';

export interface IncarnationOptions extends HandshakeOptions {
  readonly endpoint: Endpoint;
  /** The server is another one, or was emptied: nothing that was known of it holds. */
  readonly onEpoch: () => void;
  readonly onConnection: (up: boolean) => void;
}

/** A session through its handshake, and the epochs to quote on it. */
export interface Known {
  readonly session: Session;
  readonly epochs: Epochs;
}

export class Incarnation {
  readonly #options: IncarnationOptions;
  readonly #link: Link;
  #epochs: Epochs | undefined;
  #renewal: Promise<void> | undefined;

  constructor(options: IncarnationOptions) {
    this.#options = options;
    this.#link = new Link({
      clock: options.clock,
      open: () => connectionTo(options.endpoint),
      prepare: (session) => this.#prepare(session),
      onUp: () => options.onConnection(true),
      onDown: () => options.onConnection(false),
    });
  }

  get isUp(): boolean {
    return this.#link.session !== undefined;
  }

  /** Connects now, where it is not; rejects where that fails. */
  async connect(signal?: AbortSignal): Promise<Known> {
    await waitFor(this.#link.connect(), signal);
    return this.known(signal);
  }

  async known(signal?: AbortSignal): Promise<Known> {
    if (this.#renewal !== undefined) await waitFor(this.#renewal, signal);
    const session = this.#link.session;
    if (session === undefined || this.#epochs === undefined) {
      throw new TierError('there is no connection to Redis', 'unreachable', { outcome: 'none' });
    }
    return { session, epochs: this.#epochs };
  }

  /**
   * Scripts in one round trip, made in the turn of the event loop in which the epochs that they
   * quote were known to be right. Where one is denied its epoch, the incarnation is renewed.
   */
  async run(
    toCalls: (epochs: Epochs) => readonly ScriptCall[],
    signal?: AbortSignal,
  ): Promise<readonly unknown[]> {
    const known = await this.known(signal);
    const answers = await known.session.run(toCalls(known.epochs), signal);
    if (answers.some(isDenial)) this.deny(known);
    return answers;
  }

  /** A reply denied the epoch that was quoted. Late replies about an earlier one change nothing. */
  deny({ session, epochs }: Known): void {
    if (this.#epochs !== epochs || this.#renewal !== undefined) return;
    if (session.reason !== undefined) return;
    this.#options.onEpoch();
    this.#renewal = this.#shake(session)
      .then((found) => {
        this.#epochs = found;
      })
      .catch((error: unknown) => {
        session.close(toTierError(error));
        throw error;
      })
      .finally(() => {
        this.#renewal = undefined;
      });
    this.#renewal.catch(() => {});
  }

  /** Asks for the run id again; rejects where the server does not answer. */
  async verify(signal?: AbortSignal): Promise<void> {
    const { session } = await this.connect(signal);
    await waitFor(this.#prepare(session), signal);
  }

  reconnect(): void {
    this.#link.reconnect();
  }

  close(): Promise<void> {
    return this.#link.close();
  }

  async #prepare(session: Session): Promise<void> {
    const before = this.#epochs;
    const found = await this.#shake(session);
    const isSame = before?.every((epoch, shard) => epoch === found[shard]);
    this.#epochs = isSame ? before : found;
    if (isSame === false) this.#options.onEpoch();
  }

  async #shake(session: Session): Promise<Epochs> {
    const shaking = permitted(session)
      .then(() => handshake(session, this.#options))
      .then(async (epochs) => {
        await teach(session);
        return epochs;
      });
    // What it waits for may be L3: a session that closes meanwhile ends the wait.
    shaking.catch(() => {});
    return await Promise.race([shaking, session.failure]);
  }
}

/** What a script says that was sent under another epoch. */
export function isDenial(answer: unknown): boolean {
  return !Array.isArray(answer) && String(answer) === 'epoch';
}

function waitFor<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  if (signal.aborted) return Promise.reject(abortedError(signal));
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(abortedError(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    const done = () => signal.removeEventListener('abort', onAbort);
    work.then(resolve, reject).finally(done);
  });
}
