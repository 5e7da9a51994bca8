/**
 * What L2 and L3 do for derived values: entries that can be computed again, so that they have a
 * life and are never pending. Batch-first, as everything in `tier.ts`, and with its conventions:
 * replies are data, a rejection is a `TierError` and says nothing about any key.
 *
 * Two rules keep an old value from coming back:
 *
 *  - **The lease.** A load is begun by taking its key's lease, which is a random token with a
 *    time to live. A fill is accepted only while its token still holds the lease. Whatever makes
 *    a load's result old (`place`, `remove`, a forced `take`) takes the lease away.
 *  - **The sequence.** Every store has a number that only grows. An invalidation of a tag takes the
 *    next one and notes it down for the tag. Who begins a load is told the number as it stands;
 *    its result is stored with it, and is valid as long as none of its tags was invalidated
 *    behind that number. So tags may depend on the loaded value, and no clock is asked.
 *
 *    Only so many tags are noted down. The oldest notes are forgotten, and the highest number
 *    forgotten is the *floor*: what was begun before it and bears a tag without a note counts as
 *    invalidated. A store that has lost its notes begins with a number above all it ever gave
 *    out, as floor, so what it does not know counts as invalidated too.
 *
 * Times to live are durations, counted by the store's own clock: instances whose clocks disagree
 * agree on what is fresh.
 */
import type { Payload } from '../model/entry.ts';
import type { Address, Scope } from '../model/key.ts';
import type { TagId } from '../model/tags.ts';
import type { Stamp } from '../model/version.ts';
import type { CallOptions } from './tier.ts';

/** A derived value as it is stored. The stamp only orders messages about one key. */
export interface DerivedEntry extends Stamp {
  readonly address: Address;
  /** `undefined`: the loader found that there is nothing. */
  readonly payload: Payload | undefined;
  /** What its load took, in milliseconds: the δ of the early refresh. */
  readonly loadMs: number;
  readonly tags: readonly string[];
  readonly scope: Scope | undefined;
}

/** How long a derived value lives. */
export interface Lifetime {
  /** Milliseconds in which it is the answer. */
  readonly freshMs: number;
  /** Milliseconds until it goes, the grace included; at least `freshMs`. */
  readonly lifeMs: number;
}

/** A valid entry, and what is left of its life: `freshMs` of 0 is stale, `lifeMs` is above 0. */
export interface DerivedHeld extends Lifetime {
  readonly entry: DerivedEntry;
}

/**
 * What a reader does where it finds nothing fresh. `look`: nothing. `miss`: take the lease.
 * `early`: take the lease, even though there is something fresh. `force`: the same, and take it
 * away from whoever has it.
 */
export type TakeMode = 'look' | 'miss' | 'early' | 'force';

export interface Take {
  readonly address: Address;
  readonly mode: TakeMode;
  /** Of the lease to be. */
  readonly token: number;
  readonly leaseMs: number;
}

export type TakeReply =
  | { readonly status: 'epoch' }
  | {
      /**
       * `fresh`: `held` is the answer. `leased`: load it. `taken`: another loads it, and its lease
       * ends in `leaseMs`. `none`: nothing fresh, and no lease was asked for.
       */
      readonly status: 'fresh' | 'leased' | 'taken' | 'none';
      /** Fresh or stale; never what is invalid. */
      readonly held: DerivedHeld | undefined;
      /** There is an entry that this build can't decode: as good as none. */
      readonly unreadable: boolean;
      /** To be quoted by the fill. */
      readonly sequence: number;
      /** The highest version that was removed in this shard. */
      readonly cut: number;
      /** What is left of the other's lease, in milliseconds; 0 where there is none. */
      readonly leaseMs: number;
    };

export interface Fill extends Lifetime {
  readonly entry: DerivedEntry;
  readonly token: number;
  /** The one that came with the lease. */
  readonly sequence: number;
}

/**
 * `voided`: the token lost its lease, or a tag of the entry was invalidated since. `full`: it is
 * larger than the tier takes; what was there is gone.
 */
export type FillReply = 'held' | 'voided' | 'full' | 'epoch';

/** A value that somebody sets: it ends every load under way. */
export interface Place extends Lifetime {
  readonly entry: DerivedEntry;
}

export type PlaceReply =
  | { readonly status: 'held' }
  | { readonly status: 'too-low'; readonly floor: number }
  | { readonly status: 'epoch' };

export interface SharedDerived {
  /** As in {@link SharedTier}. */
  readonly partOf?: ((address: Address) => number) | undefined;
  take(takes: readonly Take[], o?: CallOptions): Promise<readonly TakeReply[]>;
  /** Stores a load's result, gives its lease back and tells everybody, with the entry's stamp. */
  fill(fills: readonly Fill[], o?: CallOptions): Promise<readonly FillReply[]>;
  /** Tells everybody with version 0: what they hold of the key goes. So does `remove`. */
  place(places: readonly Place[], o?: CallOptions): Promise<readonly PlaceReply[]>;
  /** Nothing at or below `version` is placed any more. */
  remove(
    removals: readonly { readonly address: Address; readonly version: number }[],
    o?: CallOptions,
  ): Promise<readonly ('done' | 'epoch')[]>;
  /** Extends a lease that the token still holds; never takes one. */
  extend(
    leases: readonly Omit<Take, 'mode'>[],
    o?: CallOptions,
  ): Promise<readonly ('held' | 'lost' | 'epoch')[]>;
  /** Gives back a lease that the token still holds: whoever waits is told, nothing else happens. */
  letGo(
    leases: readonly { readonly address: Address; readonly token: number }[],
    o?: CallOptions,
  ): Promise<void>;
  /** In every shard; tells everybody. `epoch`: at least one shard did not do it. */
  invalidate(tags: readonly TagId[], o?: CallOptions): Promise<'done' | 'epoch'>;
  /** Invalidates the scope's tag and removes what is known to belong to it. */
  erase(scope: Scope, o?: CallOptions): Promise<{ readonly removed: number } | 'epoch'>;
  /** What is known to belong to the scope. */
  members(scope: Scope, o?: CallOptions): Promise<readonly Address[]>;
}

/** Derived values that are to outlive L2. */
export interface DurableDerived {
  /** `undefined`: none, or none that is valid. `sequence` is to be quoted by a put. */
  read(
    addresses: readonly Address[],
    o?: CallOptions,
  ): Promise<{
    readonly sequence: number;
    readonly held: readonly (DerivedHeld | undefined)[];
  }>;
  /**
   * Stores results of loads. `voided`: the key was removed, or a tag or the scope invalidated,
   * behind the sequence quoted; or what is there is newer by stamp. Without a sequence it is a
   * value that somebody sets: it takes the next number itself, and ends every load under way.
   */
  put(
    puts: readonly (Lifetime & {
      readonly entry: DerivedEntry;
      readonly sequence: number | undefined;
    })[],
    o?: CallOptions,
  ): Promise<readonly ('held' | 'voided')[]>;
  /** Also ends every load of these keys under way. */
  remove(addresses: readonly Address[], o?: CallOptions): Promise<void>;
  invalidate(tags: readonly TagId[], o?: CallOptions): Promise<void>;
}
