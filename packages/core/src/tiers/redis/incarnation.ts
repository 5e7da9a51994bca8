/**
 * The commands connection to one server, and which incarnation of it that is. One server may have
 * all shards, or, in a Cluster, some.
 *
 *   lost      → shaking     a session opened
 *   shaking   → known       the epoch of each of its shards is known: commands pass
 *   shaking   → lost        it failed (L3 can't say, the server went away): the session is closed
 *   known     → renewing    a reply said that the epoch is another (`onEpoch` is told at once), or
 *                           shards were added
 *   renewing  → known | lost
 *   known     → lost        the session closed
 *
 * Commands pass while it is known and wait while it is renewed, because who was denied comes
 * again at once. Otherwise they are rejected, and have not been sent: nothing is queued for a
 * server that may be frozen.
 *
 * The ledger has the epoch under which each shard was last seen, wherever it was: one that is
 * found under another epoch, on the same server or another, has become the past.
 */
import { TierError } from '../../errors.ts';
import { abortedError, toTierError } from './failures.ts';
import { type Epochs, type HandshakeOptions, handshake, permitted, teach } from './handshake.ts';
import { Link } from './link.ts';
import type { ScriptCall } from './scripts.ts';
import type { Session } from './session.ts';
import type { Known, ShardCommand, Upstream } from './upstream.ts';

export type { Known } from './upstream.ts';

export interface IncarnationOptions extends HandshakeOptions {
  readonly open: () => Session;
  /** Those that are on this server. Left out: all. */
  readonly serves?: readonly number[] | undefined;
  /** Shared by the nodes of a Cluster. Left out: its own. */
  readonly ledger?: (number | undefined)[] | undefined;
  /** The server is another one, or was emptied: nothing that was known of it holds. */
  readonly onEpoch: () => void;
  readonly onConnection: (up: boolean) => void;
}

export class Incarnation implements Upstream {
  readonly isSplit = false;
  readonly heads: readonly number[] = [0];
  readonly #options: IncarnationOptions;
  readonly #link: Link;
  readonly #ledger: (number | undefined)[];
  #serves: readonly number[];
  #epochs: Epochs | undefined;
  #renewal: Promise<void> | undefined;

  constructor(options: IncarnationOptions) {
    this.#options = options;
    this.#ledger = options.ledger ?? [];
    this.#serves = options.serves ?? Array.from({ length: options.shards }, (_, shard) => shard);
    this.#link = new Link({
      clock: options.clock,
      open: options.open,
      prepare: (session) => this.#prepare(session),
      onUp: () => options.onConnection(true),
      onDown: () => options.onConnection(false),
    });
  }

  get isUp(): boolean {
    return this.#link.session !== undefined;
  }

  get serves(): readonly number[] {
    return this.#serves;
  }

  /** Which shards are on this server from now on. Those that were not are asked for their epochs. */
  serve(shards: readonly number[]): void {
    const added = shards.some((shard) => !this.#serves.includes(shard));
    this.#serves = shards;
    const { session } = this.#link;
    if (session !== undefined && added) this.#renew(session);
  }

  async connect(signal?: AbortSignal): Promise<void> {
    await waitFor(this.#link.connect(), signal);
    await this.known(signal);
  }

  async known(signal?: AbortSignal): Promise<Known> {
    if (this.#renewal !== undefined) await waitFor(this.#renewal, signal);
    const session = this.#link.session;
    if (session === undefined || this.#epochs === undefined) {
      throw new TierError('there is no connection to Redis', 'unreachable', { outcome: 'none' });
    }
    return { session, epochs: this.#epochs };
  }

  async send(commands: readonly ShardCommand[], signal?: AbortSignal): Promise<readonly unknown[]> {
    const { session } = await this.known(signal);
    return await session.send(
      commands.map(([, command]) => command),
      signal,
    );
  }

  async run(
    toCalls: (epochs: Epochs) => readonly ScriptCall[],
    signal?: AbortSignal,
  ): Promise<readonly unknown[]> {
    const known = await this.known(signal);
    const answers = await known.session.run(toCalls(known.epochs), signal);
    if (answers.some(isDenial)) this.deny(known);
    return answers;
  }

  deny({ session, epochs }: Known): void {
    if (this.#epochs !== epochs || this.#renewal !== undefined) return;
    if (session.reason !== undefined) return;
    this.#options.onEpoch();
    for (const shard of this.#serves) this.#ledger[shard] = undefined;
    this.#renew(session);
  }

  async probe(signal?: AbortSignal): Promise<void> {
    await this.connect(signal);
    const { session } = await this.known(signal);
    const [pong] = await session.send([['PING', []]], signal);
    if (pong instanceof Error) throw toTierError(pong);
    await waitFor(this.#prepare(session, false), signal);
  }

  reconnect(): void {
    this.#link.reconnect();
  }

  close(): Promise<void> {
    return this.#link.close();
  }

  #renew(session: Session): void {
    const renewal = this.#prepare(session)
      .catch((error: unknown) => {
        session.close(toTierError(error));
        throw error;
      })
      .finally(() => {
        if (this.#renewal === renewal) this.#renewal = undefined;
      });
    this.#renewal = renewal;
    renewal.catch(() => {});
  }

  /** `isNew`: it has not been asked yet what it may do, nor been given the scripts. */
  async #prepare(session: Session, isNew = true): Promise<void> {
    const serves = this.#serves;
    const before = this.#epochs;
    const found = await this.#shake(session, serves, isNew);
    const isChanged = serves.some(
      (shard) => this.#ledger[shard] !== undefined && this.#ledger[shard] !== found[shard],
    );
    for (const shard of serves) this.#ledger[shard] = found[shard];
    const isSame = before?.every((epoch, shard) => epoch === found[shard]);
    this.#epochs = isSame ? before : found;
    if (isChanged) this.#options.onEpoch();
  }

  async #shake(session: Session, serves: readonly number[], isNew: boolean): Promise<Epochs> {
    const shake = async () => {
      if (isNew) await permitted(session);
      const epochs = await handshake(session, this.#options, serves);
      if (isNew) await teach(session);
      return epochs;
    };
    const shaking = shake();
    // What it waits for may be L3: a session that closes meanwhile ends the wait.
    shaking.catch(() => {});
    return await Promise.race([shaking, session.failure]);
  }
}

/** What a script says that was sent under another epoch. */
export function isDenial(answer: unknown): boolean {
  return !Array.isArray(answer) && String(answer) === 'epoch';
}

export function waitFor<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  if (signal.aborted) return Promise.reject(abortedError(signal));
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(abortedError(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    const done = () => signal.removeEventListener('abort', onAbort);
    work.then(resolve, reject).finally(done);
  });
}
