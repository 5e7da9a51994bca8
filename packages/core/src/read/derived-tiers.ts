/**
 * The tiers as a flight of a derived value sees them on its way down: what L2 and L3 have. It waits
 * for nobody and decides nothing (obtain.ts does).
 *
 * An attempt lasts from before L2 is asked until what came of it is stored. Whatever moves the key
 * meanwhile, here or over the bus, keeps its result out of L1; the lease keeps it out of L2.
 */
import type { Clock } from '../clock.ts';
import type { Copies, Ticket } from '../coherence/copies.ts';
import type { HeardTags } from '../coherence/tags.ts';
import type { Watch, Watches } from '../coherence/watches.ts';
import { CodecError, KeyError, SchemaError, TierError } from '../errors.ts';
import type { DiscardReason, LeaseOutcome, LoadOutcome, StaleReason } from '../metrics/counts.ts';
import type { Address, AddressId } from '../model/key.ts';
import type {
  DerivedHeld,
  DurableDerived,
  SharedDerived,
  Take,
  TakeMode,
  TakeReply,
} from '../tiers/derived.ts';
import type { Answer } from './flight.ts';
import { LEASE_MS, Lease, type LeaseLines, leaseLines } from './lease.ts';
import { answerOf, type DerivedSpace } from './stocked.ts';
import { Turn } from './turn.ts';

/** What happens to derived values, for metrics and events. */
export interface DerivedTales {
  tier(space: DerivedSpace, tier: 'l2' | 'l3', result: 'hit' | 'miss' | 'error' | 'timeout'): void;
  loaded(space: DerivedSpace, outcome: LoadOutcome, ms: number): void;
  /** `waited`: another process has it. `lost`: it ended, or was taken away, before the load did. */
  lease(space: DerivedSpace, what: LeaseOutcome): void;
  stale(space: DerivedSpace, reason: StaleReason): void;
  /** A result that L2 or L3 refused, as old or too large, or that could not be given to them. */
  discarded(space: DerivedSpace, why: DiscardReason): void;
  unreadable(space: DerivedSpace, tier: 'l2' | 'l3', why: 'format' | 'schema'): void;
  full(limit: number): void;
}

export interface DerivedTiersParts {
  readonly clock: Clock;
  /** Every version that comes by advances the clock. */
  readonly observe: (version: number) => void;
  readonly copies: Copies;
  readonly tags: HeardTags;
  readonly watches: Watches;
  /** L2, for calls that somebody waits for. */
  readonly shared: SharedDerived | undefined;
  /** L2, for what nobody waits for. */
  readonly patient: SharedDerived | undefined;
  readonly durable: DurableDerived | undefined;
  readonly tales: DerivedTales;
}

export interface Attempt {
  readonly address: Address;
  readonly isFirst: boolean;
  readonly ticket: Ticket;
  readonly watch: Watch;
  /** The number of the heard tags before anybody was asked. */
  readonly seen: number;
}

/** What a tier has that can be given out, and how long it still lives there. */
export interface Found {
  readonly held: DerivedHeld;
  readonly answer: Answer;
}

/** What L2 said. Without a lease, where it is away or there is none, `sequence` is nothing. */
export type SharedSaid =
  | { readonly kind: 'fresh'; readonly found: Found }
  /** Another has the lease. */
  | { readonly kind: 'taken'; readonly leaseMs: number; readonly stale: Found | undefined }
  | {
      readonly kind: 'load';
      readonly lease: Lease | undefined;
      readonly sequence: number;
      readonly stale: Found | undefined;
    };

/** What L3 said: `sequence` is to be quoted when something is put there. */
export interface DurableSaid {
  readonly sequence: number;
  readonly found: Found | undefined;
}

/** How a codec, a schema, and the rules for tags say that they can't read something. */
const REFUSALS = [CodecError, SchemaError, KeyError];
const MAX_BATCH = 500;
const ALONE = { kind: 'load', lease: undefined, sequence: 0, stale: undefined } as const;

export class DerivedTiers {
  readonly #parts: DerivedTiersParts;
  readonly #takes: Turn<Take, TakeReply> | undefined;
  readonly #leases: LeaseLines | undefined;
  readonly #reads: Turn<Address, { sequence: number; held: DerivedHeld | undefined }> | undefined;

  constructor(parts: DerivedTiersParts) {
    this.#parts = parts;
    const { shared, patient, durable } = parts;
    const { partOf } = shared ?? {};
    this.#takes =
      shared &&
      new Turn({
        ask: (takes) => shared.take(takes),
        maxBatch: MAX_BATCH,
        partOf: partOf && (({ address }) => partOf(address)),
      });
    this.#leases = patient && leaseLines(patient);
    this.#reads =
      durable &&
      new Turn({
        ask: async (addresses) => {
          const { sequence, held } = await durable.read(addresses);
          return addresses.map((_, index) => ({ sequence, held: held[index] }));
        },
        maxBatch: MAX_BATCH,
      });
  }

  /** `isFirst`: nobody has asked for this lookup before. */
  begin(address: Address, isFirst = true): Attempt {
    const { copies, tags, watches } = this.#parts;
    return {
      address,
      isFirst,
      watch: watches.watch(address.id),
      ticket: copies.enter(address.id),
      seen: tags.sequence,
    };
  }

  end(attempt: Attempt): void {
    attempt.watch.end();
    this.#parts.copies.leave(attempt.ticket);
  }

  // ------------------------------------------------------------ asking

  async askShared(space: DerivedSpace, mode: TakeMode, attempt: Attempt): Promise<SharedSaid> {
    if (this.#takes === undefined) return ALONE;
    const { clock, tales, observe } = this.#parts;
    const token = clock.random53();
    const take = { address: attempt.address, mode, token, leaseMs: LEASE_MS };
    const reply = await this.#take(take, space);
    if (reply === undefined) return ALONE;
    const { status, held, sequence, leaseMs, cut } = reply;
    if (held !== undefined) observe(held.entry.version);
    if (cut > 0) observe(cut);
    if (reply.unreadable) tales.unreadable(space, 'l2', 'format');
    const found = held && this.#found(space, held, 'l2', attempt, mode !== 'early');
    this.#count(space, mode, attempt, status === 'fresh' && found !== undefined);
    if (status === 'fresh' && mode !== 'early') {
      if (found !== undefined) return { kind: 'fresh', found };
      // Only with a lease over what can't be read any more does a load take its place.
      return mode === 'look' ? ALONE : this.askShared(space, 'early', attempt);
    }
    // What somebody refreshes early is still fresh, while another has the lease.
    if (status === 'taken' || status === 'fresh') return { kind: 'taken', leaseMs, stale: found };
    if (status !== 'leased') return { ...ALONE, sequence, stale: found };
    tales.lease(space, 'granted');
    const lease = this.#lease(space, attempt.address, token);
    return { kind: 'load', lease, sequence, stale: found };
  }

  /** A lookup counts once, however often it has to ask; what nobody waits for counts nothing. */
  #count(space: DerivedSpace, mode: TakeMode, { isFirst }: Attempt, isHit: boolean): void {
    if (!isFirst || mode === 'early' || mode === 'force') return;
    this.#parts.tales.tier(space, 'l2', isHit ? 'hit' : 'miss');
  }

  /** `undefined`: L2 can't be asked, or has only just become another one. */
  async #take(take: Take, space: DerivedSpace) {
    try {
      for (let attempt = 0; attempt < 2; attempt += 1) {
        const reply = await this.#takes?.ask(take);
        if (reply !== undefined && reply.status !== 'epoch') return reply;
      }
      return undefined;
    } catch (error) {
      if (!(error instanceof TierError)) throw error;
      this.#parts.tales.tier(space, 'l2', error.reason === 'timeout' ? 'timeout' : 'error');
      // Executed late, it takes a lease that nobody extends: it ends by itself.
      return undefined;
    }
  }

  #lease(space: DerivedSpace, address: Address, token: number): Lease | undefined {
    const { clock, tales, watches } = this.#parts;
    const lines = this.#leases;
    const onLost = () => {
      tales.lease(space, 'lost');
      // Taken away by a change that the bus may have failed to tell of.
      watches.heard(address.id, true);
    };
    return lines && new Lease({ clock, lines, address, token, onLost });
  }

  /** `undefined`: the namespace does not persist, or L3 can't be asked. */
  async askDurable(space: DerivedSpace, attempt: Attempt): Promise<DurableSaid | undefined> {
    if (!space.policy.persist || this.#reads === undefined) return undefined;
    const { tales, observe } = this.#parts;
    try {
      const { sequence, held } = await this.#reads.ask(attempt.address);
      if (held !== undefined) observe(held.entry.version);
      const found = held && this.#found(space, held, 'l3', attempt);
      tales.tier(space, 'l3', found?.answer.freshness === 'fresh' ? 'hit' : 'miss');
      return { sequence, found };
    } catch (error) {
      if (!(error instanceof TierError)) throw error;
      tales.tier(space, 'l3', error.reason === 'timeout' ? 'timeout' : 'error');
      return undefined;
    }
  }

  /** What does not decode any more, after a deploy say, is as good as nothing. */
  #found(
    space: DerivedSpace,
    held: DerivedHeld,
    tier: 'l2' | 'l3',
    { seen }: Attempt,
    isTold = true,
  ): Found | undefined {
    if (held.entry.payload?.codec === 'encrypted') {
      if (isTold) this.#parts.tales.unreadable(space, tier, 'format');
      return undefined;
    }
    try {
      return { held, answer: answerOf(space, held, tier, seen, this.#parts.clock) };
    } catch (error) {
      if (!REFUSALS.some((refusal) => error instanceof refusal)) throw error;
      const why = error instanceof SchemaError ? 'schema' : 'format';
      if (isTold) this.#parts.tales.unreadable(space, tier, why);
      return undefined;
    }
  }

  /** What is under way about the key is old; what there is stays. */
  outdate(id: AddressId): void {
    this.#parts.watches.heard(id, true);
  }

  /** L1 forgets the key, and what is under way about it is old. */
  forget(id: AddressId): void {
    this.#parts.copies.remove(id);
    this.#parts.watches.heard(id, true);
  }
}
