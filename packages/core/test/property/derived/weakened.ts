/**
 * Builds with one rule left out, each with the family of faults that shows it. The oracle has to
 * notice every one of them: otherwise it could not fail.
 */
import { Copies, type NearTier, type Ticket } from '../../../src/coherence/copies.ts';
import { HeardTags } from '../../../src/coherence/tags.ts';
import type { Watch } from '../../../src/coherence/watches.ts';
import { type TagId, tagIdsOf } from '../../../src/model/tags.ts';
import { DerivedStore } from '../../../src/read/derived-store.ts';
import { type Attempt, DerivedTiers } from '../../../src/read/derived-tiers.ts';
import type * as derived from '../../../src/tiers/derived.ts';
import type { ShardMeta } from '../../../src/tiers/tier.ts';
import { DerivedModel, type Notes, type StoredLease } from '../../model/derived-model.ts';
import type { Weakness } from './instance.ts';
import { POLICY } from './values.ts';
import type { Family } from './world.ts';

interface Weakened {
  readonly family: Family;
  /** The seed to begin with, where it takes many. */
  readonly from?: number;
  readonly weakness: Weakness;
}

// ------------------------------------------------------------ Redis

/** A delete, and a set, are undone by what was loaded before. */
class FillsWithoutLease extends DerivedModel {
  protected override holds(_lease: StoredLease | undefined, _token: number): boolean {
    return true;
  }
}

class CountsOldLeases extends DerivedModel {
  protected override isOfEpoch(of: { readonly epoch: number }, meta: ShardMeta): boolean {
    return 'token' in of || super.isOfEpoch(of, meta);
  }
}

class ServesOldEntries extends DerivedModel {
  protected override isOfEpoch(of: { readonly epoch: number }, meta: ShardMeta): boolean {
    return 'entry' in of || super.isOfEpoch(of, meta);
  }
}

class HasNoFloor extends DerivedModel {
  protected override isCurrent(
    entry: derived.DerivedEntry,
    sequence: number,
    { byTag }: Notes,
  ): boolean {
    return tagIdsOf(entry).every((tag) => (byTag.get(tag) ?? 0) <= sequence);
  }
}

class ForgetsTags extends DerivedModel {
  protected override isCurrent(): boolean {
    return true;
  }
}

/** Its versions don't matter: the cut is passed, whatever was removed meanwhile. */
class PlacesBelowTheCut extends DerivedModel {
  override place(epoch: number, place: derived.Place, now: number): derived.PlaceReply {
    const reply = super.place(epoch, place, now);
    if (reply.status !== 'too-low') return reply;
    const entry = { ...place.entry, version: reply.floor + 1 };
    return super.place(epoch, { ...place, entry }, now);
  }
}

/** Whoever asks may load. */
class LeasesToEverybody extends DerivedModel {
  override take(epoch: number, take: derived.Take, now: number): derived.TakeReply {
    const reply = super.take(epoch, take, now);
    if (reply.status !== 'taken') return reply;
    return super.take(epoch, { ...take, mode: 'force' }, now);
  }
}

function redis(
  Model: new (...args: ConstructorParameters<typeof DerivedModel>) => DerivedModel,
): Weakness {
  return { redis: { derived: (server, options) => new Model(server, options) } };
}

// ------------------------------------------------------------ L1

function nearWith(near: NearTier, otherwise: Partial<NearTier>): NearTier {
  return {
    get: (id) => near.get(id),
    set: (id, copy) => near.set(id, copy),
    delete: (id) => near.delete(id),
    clear: () => near.clear(),
    ...otherwise,
  };
}

/** What is left in L2 does not bound the copy: it begins to live anew. */
const stretched: Weakness = {
  near: (near) =>
    nearWith(near, {
      set: (id, copy) => {
        const { derived } = copy;
        if (derived === undefined) return;
        const wholeMs = POLICY.nearMs + POLICY.graceMs;
        // The near tier counts from now: what is fresh at all is fresh for all of its time.
        const freshUntil = derived.endsAt + POLICY.ttlMs;
        near.set(id, { ...copy, derived: { ...derived, lifeMs: wholeMs, freshUntil } });
      },
    }),
};

const falsyMissesNear: Weakness = {
  near: (near) =>
    nearWith(near, {
      get: (id) => {
        const copy = near.get(id);
        return copy?.value ? copy : undefined;
      },
      set: (id, copy) => {
        if (copy.value) near.set(id, copy);
      },
    }),
};

/** `if (!value)` where it has to be `if (value === undefined)`. */
const falsyMissesShared: Weakness = {
  shared: (shared) => ({
    ...shared,
    take: async (takes, o) => {
      const replies = await shared.take(takes, o);
      return await Promise.all(
        replies.map(async (reply, index) => {
          const take = takes[index];
          if (take === undefined || reply.status !== 'fresh' || !isFalsy(reply.held)) return reply;
          const [again] = await shared.take([{ ...take, mode: 'early' }], o);
          return again === undefined || again.status === 'epoch'
            ? reply
            : {
                ...again,
                status: again.status === 'fresh' ? 'none' : again.status,
                held: undefined,
              };
        }),
      );
    },
  }),
};

function isFalsy(held: derived.DerivedHeld | undefined): boolean {
  const bytes = held?.entry.payload?.bytes;
  return (
    bytes === undefined || ['0', '""', 'false', 'null'].includes(Buffer.from(bytes).toString())
  );
}

/** A read that is late brings back what was removed meanwhile. */
class WithoutFences extends Copies {
  override offer(ticket: Ticket, copy: Parameters<Copies['offer']>[1]): void {
    const now = this.enter(ticket.id);
    super.offer(now, copy);
    this.leave(now);
  }
}

// ------------------------------------------------------------ tags

/** Compared with the number at the moment of storing, not with that before asking. */
class ComparesLate extends DerivedTiers {
  override begin(...args: Parameters<DerivedTiers['begin']>): Attempt {
    return { ...super.begin(...args), seen: Number.MAX_SAFE_INTEGER };
  }
}

class NeverAsksAgain extends HeardTags {
  override isValidFor(): boolean {
    return true;
  }
}

/** What a flight has that is stale counts as valid; the rest is asked of the real one. */
class TrustsStale extends HeardTags {
  readonly #tags: HeardTags;

  constructor(tags: HeardTags) {
    super();
    this.#tags = tags;
  }

  override get sequence(): number {
    return this.#tags.sequence;
  }

  override isValid(): boolean {
    return true;
  }

  override isValidFor(tags: readonly TagId[], began: number, asked: number): boolean {
    return this.#tags.isValidFor(tags, began, asked);
  }
}

// ------------------------------------------------------------ watches

function blind(watch: Watch): Watch {
  return { isMoved: false, next: () => watch.next(), end: () => watch.end() };
}

class StoresWhatMoved extends DerivedStore {
  override store(...args: Parameters<DerivedStore['store']>): Promise<void> {
    const [space, attempt, ...rest] = args;
    return super.store(space, { ...attempt, watch: blind(attempt.watch) }, ...rest);
  }
}

/** The watches of flights, behind those that see nothing. */
const SEEING = new WeakMap<Watch, Watch>();

class JoinsOldFlights extends DerivedTiers {
  override begin(...args: Parameters<DerivedTiers['begin']>): Attempt {
    const attempt = super.begin(...args);
    const watch = blind(attempt.watch);
    SEEING.set(watch, attempt.watch);
    return { ...attempt, watch };
  }
}

/** Beside it, so that it is only joining that is wrong. */
class StoresAsEver extends DerivedStore {
  override store(...args: Parameters<DerivedStore['store']>): Promise<void> {
    const [space, attempt, ...rest] = args;
    const watch = SEEING.get(attempt.watch) ?? attempt.watch;
    return super.store(space, { ...attempt, watch }, ...rest);
  }
}

class ForgetsNothing extends DerivedTiers {
  override forget(): void {}
}

// ------------------------------------------------------------ all of them

export const WEAKENED: Readonly<Record<string, Weakened>> = {
  'a fill does not need the lease (a delete is undone)': {
    family: 'calm',
    weakness: redis(FillsWithoutLease),
  },
  'L1 lives for longer than what is left in L2': { family: 'calm', weakness: stretched },
  'a falsy value in L1 is a miss': { family: 'calm', weakness: falsyMissesNear },
  'a falsy value in L2 is a miss': { family: 'calm', weakness: falsyMissesShared },
  'L1 takes what a fence keeps out': {
    family: 'calm',
    weakness: { copies: (near, proof) => new WithoutFences(near, proof) },
  },
  'L1 serves without hearing the bus': { family: 'lines', weakness: { isAlwaysInformed: true } },
  'a gap of the bus empties nothing': { family: 'lines', weakness: { isGapIgnored: true } },
  'L3 stores what was loaded before it was told otherwise': {
    family: 'persist',
    weakness: {
      durable: (durable) => ({
        ...durable,
        put: (puts) => durable.put(puts.map((put) => ({ ...put, sequence: undefined }))),
      }),
    },
  },
  'tags are compared with a number that was taken late': {
    family: 'calm',
    weakness: { tiers: (parts) => new ComparesLate(parts) },
  },
  'tags are not compared where a flight ends': {
    family: 'calm',
    weakness: { flightTags: () => new NeverAsksAgain() },
  },
  'what is stale is served unlooked at': {
    family: 'calm',
    weakness: { flightTags: (tags) => new TrustsStale(tags) },
  },
  'what was moved while it was stored is kept': {
    family: 'calm',
    weakness: { store: (parts) => new StoresWhatMoved(parts) },
  },
  'a flight is joined although it is old': {
    family: 'calm',
    weakness: {
      tiers: (parts) => new JoinsOldFlights(parts),
      store: (parts) => new StoresAsEver(parts),
    },
  },
  'a set or delete does not forget what is here': {
    family: 'calm',
    weakness: { tiers: (parts) => new ForgetsNothing(parts) },
  },
  'Redis does not compare tags': { family: 'calm', weakness: redis(ForgetsTags) },
  'Redis has no floor under forgotten tags': { family: 'calm', weakness: redis(HasNoFloor) },
  'Redis serves entries of an older epoch': { family: 'redis', weakness: redis(ServesOldEntries) },
  'Redis counts leases of an older epoch': { family: 'redis', weakness: redis(CountsOldLeases) },
  'Redis places below the cut': { family: 'lines', weakness: redis(PlacesBelowTheCut) },
  'Redis leases a key to everybody': { family: 'calm', weakness: redis(LeasesToEverybody) },
};
