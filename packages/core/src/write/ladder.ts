/**
 * How a write comes to be acknowledged. The writer proposes a version, once; a store accepts it
 * or answers with what it has, and the writer proposes higher.
 *
 *   rung L2   held: acknowledged, L3 follows (behind).
 *             too low: propose again. Other epoch: ask again. Away, full, foreign: next rung.
 *   rung L3   the same write (same version, same intent), with a bypass mark in the same
 *             transaction, so that whoever watches L2 brings it up to date. applied: acknowledged.
 *             superseded: propose again from the top.
 *   journal   neither could hold it: this process's own disk does, until L3 is back. In mode
 *             `always` it does so before L2 is asked.
 *   none      rejected; the error says whether it may take effect all the same.
 *
 * Invariants: nothing is acknowledged from memory alone; a retry is the same write; L1 gets an
 * own write only where L2's script answered "held"; an outbox at its bound sends what would take
 * more of it straight to the L3 rung.
 */
import type { Clock } from '../clock.ts';
import type { Copies, Ticket } from '../coherence/copies.ts';
import {
  type CacheError,
  ConflictError,
  OverloadedError,
  TierError,
  UnavailableError,
  type WriteOutcome,
} from '../errors.ts';
import type { LogWrite, ValueWrite } from '../model/entry.ts';
import type { AddressId } from '../model/key.ts';
import type { VersionClock } from '../model/version.ts';
import type { CreateAssertion, SharedTier } from '../tiers/tier.ts';
import type { FlushReport } from './flusher.ts';
import { type GatheredTier, overloadOf } from './gathered.ts';
import type { JournalRung, Pledge } from './journal/rung.ts';
import type { Outbox, OutboxBound } from './outbox.ts';
import { Underway } from './underway.ts';

/** Which stores hold an acknowledged write. */
export type Holder = 'l2' | 'l3' | 'journal';

/** The acknowledgement of a write. */
export interface Receipt {
  readonly version: number;
  readonly held: readonly Holder[];
}

export interface LadderParts {
  readonly clock: Clock;
  readonly versions: VersionClock;
  readonly copies: Copies;
  readonly outbox: Outbox;
  /** Absent where the cache has no L2: every write goes through to L3. */
  readonly shared: SharedTier | undefined;
  readonly durable: GatheredTier;
  /** Absent where the cache has none. */
  readonly journal?: JournalRung | undefined;
  /** L2 is not read for this key, and will not be before every mark in L3 has been repaired. */
  readonly isBypassed: (id: AddressId) => boolean;
  /** Brings to L3 what it lacks of a key, for somebody who waits. */
  readonly flush: (id: AddressId) => Promise<FlushReport>;
  /** The outbox has what was acknowledged. */
  readonly onHeld: (receipt: Receipt) => void;
  /** The outbox is at its bound, or L2's memory is. */
  readonly onFull: (what: OutboxBound | 'l2') => void;
}

/** What a rung said, once the details of values and logs are out of the way. */
export type RungReply<T> =
  | { readonly status: 'held'; readonly value: T }
  | { readonly status: 'again'; readonly above: number }
  | { readonly status: 'same-again' }
  | { readonly status: 'exists' }
  /** The assertion of a `create` is out of date: look again. */
  | { readonly status: 'moved' }
  | { readonly status: 'next' }
  | { readonly status: 'refused'; readonly reason: string };

/** One write on its way up the rungs. */
export interface Climb<T extends ValueWrite | LogWrite> {
  readonly namespace: string;
  /** As it is proposed now. */
  readonly write: T;
  /** Straight to L3. */
  readonly through: boolean;
  /** Called before every attempt after a too low one. */
  propose(above: number): void;
  atShared(shared: SharedTier, create: CreateAssertion | undefined): Promise<RungReply<T>>;
  atDurable(durable: GatheredTier, mark: boolean): Promise<RungReply<T>>;
  /** Present on a `create`: rejects with ConflictError where the key is known to exist. */
  assertNew?(): Promise<CreateAssertion | undefined>;
}

/** What a receipt names. */
export function holders(held: Holder, isJournalled: boolean): readonly Holder[] {
  return isJournalled && held !== 'journal' ? [held, 'journal'] : [held];
}

/** Where a write came to rest. */
export interface Climbed<T> {
  readonly value: T;
  readonly held: Holder;
  /** The journal has it, wherever else it is held. */
  readonly isJournalled: boolean;
  /** A `create` that nobody could prove. */
  readonly unproven: boolean;
}

const MAX_PROPOSALS = 32;
const MAX_MOVED = 3;

export class Ladder {
  readonly parts: LadderParts;
  readonly underway: Underway = new Underway();

  constructor(parts: LadderParts) {
    this.parts = parts;
  }

  /**
   * One write of a key, until the outbox has what was acknowledged of it. Its fence is up all the
   * while.
   */
  async write(id: AddressId, work: (ticket: Ticket) => Promise<Receipt>): Promise<Receipt> {
    const { copies, onHeld } = this.parts;
    const ticket = copies.enter(id);
    copies.move(id);
    try {
      const receipt = await this.underway.follow(work(ticket));
      onHeld(receipt);
      return receipt;
    } finally {
      copies.leave(ticket);
    }
  }

  async climb<T extends ValueWrite | LogWrite>(climb: Climb<T>): Promise<Climbed<T>> {
    const isCreate = climb.assertNew !== undefined;
    const pledge = climb.through ? undefined : this.parts.journal?.begin(isCreate);
    try {
      const climbed = await this.#climb(climb, pledge);
      if (climbed.held === 'l3') pledge?.inL3();
      else pledge?.acknowledged();
      return { ...climbed, isJournalled: pledge?.isKept === true };
    } catch (error) {
      throw pledge === undefined ? error : await pledge.abandon(error);
    }
  }

  async #climb<T extends ValueWrite | LogWrite>(
    climb: Climb<T>,
    pledge: Pledge | undefined,
  ): Promise<Omit<Climbed<T>, 'isJournalled'>> {
    const { shared, durable, outbox } = this.parts;
    const first = this.parts.journal?.mode === 'always' ? pledge : undefined;
    let outcome: WriteOutcome = 'none';
    let moved = 0;
    let create = await climb.assertNew?.();
    for (let attempt = 0; attempt < MAX_PROPOSALS; attempt += 1) {
      await first?.keep(climb.write, outcome);
      const bound = boundFor(outbox, climb.write);
      if (bound !== undefined) this.parts.onFull(bound);
      const canShare = shared !== undefined && !climb.through && bound === undefined;
      if (canShare && (climb.assertNew === undefined || create !== undefined)) {
        const reply = await this.#try(() => climb.atShared(shared, create));
        if (reply instanceof TierError) {
          if (reply.reason === 'full') this.parts.onFull('l2');
          else if (reply.outcome !== 'none') outcome = 'unknown';
        } else if (reply.status === 'held') {
          // L2 may have raised the versions of a log's items.
          await first?.keep(reply.value, 'unknown');
          return { value: reply.value, held: 'l2', unproven: create?.proven === false };
        } else if (reply.status !== 'next') {
          if (reply.status === 'moved') moved += 1;
          if (!this.#again(climb, reply, outcome)) create = await climb.assertNew?.();
          // In a busy shard the cut never stands still for long: L3 decides.
          if (moved >= MAX_MOVED && create?.proven === true) create = undefined;
          continue;
        }
      }
      const reply = await this.#try(() => climb.atDurable(durable, shared !== undefined));
      if (reply instanceof TierError) {
        if (reply.reason === 'data') this.#again(climb, refusalOf(reply), outcome);
        const rejection = this.#rejected(climb, reply, outcome);
        if (pledge === undefined || !this.#mayWait(climb, reply)) throw rejection;
        await pledge.keep(climb.write, rejection.outcome ?? 'unknown');
        const unproven = climb.assertNew !== undefined;
        return { value: climb.write, held: 'journal', unproven };
      }
      if (reply.status === 'held') return { value: reply.value, held: 'l3', unproven: false };
      this.#again(climb, reply, outcome);
    }
    throw new UnavailableError(
      `a write to ${climb.namespace} was outbid ${MAX_PROPOSALS} times in a row`,
      { outcome },
    );
  }

  /** Whether the journal may hold what L3 did not take: L3 is away, and the outbox has room. */
  #mayWait({ write }: Climb<ValueWrite | LogWrite>, { reason }: TierError): boolean {
    const { outbox } = this.parts;
    return reason !== 'data' && (!outbox.full || outbox.has(write.address.id));
  }

  /** True: ask again as it is. False: the assertion has to be made anew first. */
  #again<T extends ValueWrite | LogWrite>(
    climb: Climb<T>,
    reply: RungReply<T>,
    outcome: WriteOutcome,
  ): boolean {
    switch (reply.status) {
      case 'again':
        if (this.parts.versions.observe(reply.above) === 'refused') {
          throw new UnavailableError(
            `${climb.namespace} holds a version from a clock that is over an hour ahead of this one`,
            { outcome },
          );
        }
        climb.propose(reply.above);
        return true;
      case 'exists':
        throw new ConflictError(`${climb.namespace} has an entry under this key`, { outcome });
      case 'refused':
        throw new TierError(`Supabase refuses this row of ${climb.namespace}`, 'data', {
          cause: new Error(reply.reason),
          outcome,
        });
      case 'moved':
        return climb.assertNew === undefined;
      case 'same-again':
        return climb.assertNew === undefined;
      case 'next':
      case 'held':
        return true;
      default:
        return reply satisfies never;
    }
  }

  async #try<T>(ask: () => Promise<RungReply<T>>): Promise<RungReply<T> | TierError> {
    try {
      return await ask();
    } catch (error) {
      if (error instanceof TierError) return error;
      throw error;
    }
  }

  #rejected(
    climb: { readonly namespace: string },
    cause: TierError,
    sofar: WriteOutcome,
  ): CacheError {
    const outcome = sofar === 'unknown' || cause.outcome !== 'none' ? 'unknown' : 'none';
    const options = { cause, outcome } as const;
    const overload = overloadOf(cause, outcome);
    if (overload !== undefined) return overload;
    if (this.parts.outbox.full) {
      return new OverloadedError(
        `too many writes of this process wait for Supabase, which does not answer`,
        options,
      );
    }
    return new UnavailableError(`no tier could hold a write to ${climb.namespace}`, options);
  }
}

/**
 * The bound that keeps a write from being held. One that takes the place of what is held already,
 * and no more room, has none: sent around L2, it would leave the older there for everybody to see.
 */
function boundFor(outbox: Outbox, write: ValueWrite | LogWrite): OutboxBound | undefined {
  const { bound } = outbox;
  if (bound === undefined || !outbox.has(write.address.id)) return bound;
  // More items are more to hold; the deletion of a log is not.
  if (write.kind === 'log') return write.items.length > 0 ? bound : undefined;
  const there = outbox.floor(write.address.id);
  const isNoLarger = there?.kind === 'value' && sizeOf(write) <= sizeOf(there);
  return bound === 'outbox' || isNoLarger ? undefined : bound;
}

function sizeOf({ payload }: ValueWrite): number {
  return payload?.bytes.byteLength ?? 0;
}

/** What L3, or a gateway before it, did not even take apart. */
function refusalOf(error: TierError) {
  return { status: 'refused', reason: error.message } as const;
}

/**
 * Whether a write that L3 has must be held as a floor until L2 knows of it. While L2 is bypassed
 * its mark is enough, so that the outbox stays within its bound however long that lasts.
 */
export function needsFloor({ shared, outbox, isBypassed }: LadderParts, id: AddressId): boolean {
  if (shared === undefined) return false;
  // A key that is held already takes no more room, and must not stay behind.
  return outbox.has(id) || !outbox.full || !isBypassed(id);
}
