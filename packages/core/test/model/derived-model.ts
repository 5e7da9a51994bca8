/**
 * The semantics of L2's scripts on derived values, command by command: plain and synchronous, on
 * the same server as the model of the records, whose epochs, cuts and bus it shares.
 *
 * Every command takes the epoch that it was sent under first and has no effect under another;
 * time is the server's. Entries are immutable, so that a snapshot is copied maps. What has a life
 * (entries, leases, the members of scopes) may be evicted at any time; notes have none, and only
 * go with the whole server, or where somebody deletes them.
 *
 * The protected methods are the rules, one by one, so that a test can leave one out.
 */
import {
  type Address,
  type AddressId,
  addressOfId,
  type Scope,
  shardOf,
} from '../../src/model/key.ts';
import { scopeTagId, type TagId, tagIdsOf } from '../../src/model/tags.ts';
import type * as tier from '../../src/tiers/derived.ts';
import { MAX_NOTES } from '../../src/tiers/redis/derived.ts';
import type { ShardMeta } from '../../src/tiers/tier.ts';
import type { ServerPart, SharedServer } from './shared-server.ts';

export interface StoredEntry {
  readonly entry: tier.DerivedEntry;
  readonly epoch: number;
  readonly sequence: number;
  readonly freshUntil: number;
  readonly expiresAt: number;
}

/** Something that this build can't read: garbage, or another build's. */
type Stored = StoredEntry | 'unreadable';

export interface StoredLease {
  readonly epoch: number;
  readonly token: number;
  readonly endsAt: number;
}

/** What was invalidated in one shard, and the floor. */
export interface Notes {
  readonly floor: number;
  readonly byTag: ReadonlyMap<TagId, number>;
}

interface Members {
  /** With the end of its life. */
  readonly ids: ReadonlyMap<AddressId, number>;
  readonly endsAt: number;
}

export interface DerivedModelOptions {
  readonly publishTag?: (tag: TagId) => void;
  /** A lease is free, and nothing changed. */
  readonly publishFree?: (address: Address) => void;
  readonly maxNotes?: number;
  /** The floor of notes that begin in this shard. Left out: the time in microseconds. */
  readonly firstSequence?: (shard: number, now: number) => number;
}

export class DerivedModel implements ServerPart {
  protected entries: Map<AddressId, Stored> = new Map<AddressId, Stored>();
  protected leases: Map<AddressId, StoredLease> = new Map<AddressId, StoredLease>();
  protected notes: Map<number, Notes> = new Map<number, Notes>();
  /** By shard and scope. */
  protected scopes: Map<string, Members> = new Map<string, Members>();
  readonly #server: SharedServer;
  readonly #maxNotes: number;
  readonly #publishTag: (tag: TagId) => void;
  readonly #publishFree: (address: Address) => void;
  readonly #firstSequence: (shard: number, now: number) => number;

  constructor(server: SharedServer, options: DerivedModelOptions = {}) {
    this.#server = server;
    this.#maxNotes = options.maxNotes ?? MAX_NOTES;
    this.#publishTag = options.publishTag ?? (() => {});
    this.#publishFree = options.publishFree ?? (() => {});
    this.#firstSequence = options.firstSequence ?? ((_shard, now) => now * 1000);
    server.attach(this);
  }

  // ------------------------------------------------------------ the server

  empty(): void {
    this.entries = new Map();
    this.leases = new Map();
    this.notes = new Map();
    this.scopes = new Map();
  }

  snapshot(): () => void {
    const [entries, leases] = [new Map(this.entries), new Map(this.leases)];
    const [notes, scopes] = [new Map(this.notes), new Map(this.scopes)];
    return () => {
      this.entries = new Map(entries);
      this.leases = new Map(leases);
      this.notes = new Map(notes);
      this.scopes = new Map(scopes);
    };
  }

  /** Memory is short. Each of these has a life, and any of them may go before its end. */
  evict(what: 'entry' | 'lease', address: Address): void {
    if (what === 'entry') this.entries.delete(address.id);
    else this.leases.delete(address.id);
  }

  evictMembers(shard: number, scope: Scope): void {
    this.scopes.delete(scopeKey(shard, scope));
  }

  /** Somebody deleted them. */
  loseNotes(shard: number): void {
    this.notes.delete(shard);
  }

  /** Garbage under our key. */
  plant(address: Address): void {
    this.entries.set(address.id, 'unreadable');
  }

  // ------------------------------------------------------------ commands

  take(epoch: number, take: tier.Take, now: number): tier.TakeReply {
    const { address, mode, token, leaseMs } = take;
    const shard = this.#shardOf(address);
    const meta = this.#server.metaUnder(epoch, shard);
    if (meta === undefined) return { status: 'epoch' };
    const sequence = this.#sequence(shard, now);
    const found = this.#valid(address, meta, now);
    const held = found === 'unreadable' ? undefined : found && heldAt(found, now);
    const lease = this.#lease(address, meta, now);
    const left = lease === undefined || lease.token === token ? 0 : lease.endsAt - now;
    const isFresh = held !== undefined && held.freshMs > 0;
    const rest = { held, unreadable: found === 'unreadable', sequence, cut: meta.cut };
    if (mode === 'look' || (mode === 'miss' && isFresh) || (mode !== 'force' && left > 0)) {
      const without = mode === 'look' ? 'none' : 'taken';
      return { status: isFresh ? 'fresh' : without, ...rest, leaseMs: left };
    }
    this.leases.set(address.id, { epoch, token, endsAt: now + leaseMs });
    return { status: 'leased', ...rest, leaseMs: 0 };
  }

  fill(epoch: number, fill: tier.Fill, now: number): tier.FillReply {
    const { entry, token, sequence } = fill;
    const { address, version, intent } = entry;
    const shard = this.#shardOf(address);
    const meta = this.#server.metaUnder(epoch, shard);
    if (meta === undefined) return 'epoch';
    if (!this.holds(this.#lease(address, meta, now), token)) return 'voided';
    this.#sequence(shard, now);
    if (!this.isCurrent(entry, sequence, this.#notesOf(shard))) {
      this.#endLoad(address);
      return 'voided';
    }
    if (!this.#store(fill, meta, sequence, now)) this.#announce(address, 0, 0);
    else this.#announce(address, version, intent);
    return 'held';
  }

  place(epoch: number, place: tier.Place, now: number): tier.PlaceReply {
    const { address, version } = place.entry;
    const shard = this.#shardOf(address);
    const meta = this.#server.metaUnder(epoch, shard);
    if (meta === undefined) return { status: 'epoch' };
    const floor = Math.max(meta.cut, this.#versionAt(address, meta, now));
    if (version <= floor) return { status: 'too-low', floor };
    const sequence = this.#sequence(shard, now);
    if (!this.#store(place, meta, sequence, now)) this.#server.raiseCut(shard, version);
    this.#announce(address, 0, 0);
    return { status: 'held' };
  }

  remove(
    epoch: number,
    { address, version }: { readonly address: Address; readonly version: number },
  ): 'done' | 'epoch' {
    const shard = this.#shardOf(address);
    if (this.#server.metaUnder(epoch, shard) === undefined) return 'epoch';
    this.#server.raiseCut(shard, version);
    this.entries.delete(address.id);
    this.leases.delete(address.id);
    this.#announce(address, 0, 0);
    return 'done';
  }

  extend(epoch: number, lease: Omit<tier.Take, 'mode'>, now: number): 'held' | 'lost' | 'epoch' {
    const { address, token, leaseMs } = lease;
    const meta = this.#server.metaUnder(epoch, this.#shardOf(address));
    if (meta === undefined) return 'epoch';
    if (!this.holds(this.#lease(address, meta, now), token)) return 'lost';
    this.leases.set(address.id, { epoch, token, endsAt: now + leaseMs });
    return 'held';
  }

  letGo(
    epoch: number,
    { address, token }: { readonly address: Address; readonly token: number },
    now: number,
  ): 'done' | 'epoch' {
    const meta = this.#server.metaUnder(epoch, this.#shardOf(address));
    if (meta === undefined) return 'epoch';
    if (this.holds(this.#lease(address, meta, now), token)) this.#endLoad(address);
    return 'done';
  }

  /** `epochs`: of every shard, in their order. A shard of another epoch does not do it. */
  invalidate(epochs: readonly number[], tags: readonly TagId[], now: number): 'done' | 'epoch' {
    const done = epochs.map((epoch, shard) => this.#note(epoch, shard, tags, now));
    return done.includes(false) ? 'epoch' : 'done';
  }

  erase(
    epochs: readonly number[],
    scope: Scope,
    now: number,
  ): { readonly removed: number } | 'epoch' {
    let removed = 0;
    const done = epochs.map((epoch, shard) => {
      if (!this.#note(epoch, shard, [scopeTagId(scope)], now)) return false;
      for (const id of this.#membersOf(shard, scope, now).keys()) {
        if (this.#stored(id, now) !== undefined) removed += 1;
        this.entries.delete(id);
        this.leases.delete(id);
      }
      this.scopes.delete(scopeKey(shard, scope));
      return true;
    });
    return done.includes(false) ? 'epoch' : { removed };
  }

  members(scope: Scope, now: number): readonly Address[] {
    const shards = Array.from({ length: this.#server.shards }, (_, shard) => shard);
    return shards.flatMap((shard) =>
      [...this.#membersOf(shard, scope, now).keys()].map(addressOfId),
    );
  }

  // ------------------------------------------------------------ rules

  protected holds(lease: StoredLease | undefined, token: number): boolean {
    return lease?.token === token;
  }

  /** Nothing that it bears was invalidated behind its sequence, as far as anybody knows. */
  protected isCurrent(entry: tier.DerivedEntry, sequence: number, notes: Notes): boolean {
    if (sequence > topOf(notes)) return false;
    return tagIdsOf(entry).every((tag) => (notes.byTag.get(tag) ?? notes.floor) <= sequence);
  }

  /** A lease that was taken under an earlier epoch is none. */
  protected isOfEpoch(of: { readonly epoch: number }, meta: ShardMeta): boolean {
    return of.epoch === meta.epoch;
  }

  // ------------------------------------------------------------ storing

  #shardOf(address: Address): number {
    return this.#server.shards === 1 ? 0 : shardOf(address, this.#server.shards);
  }

  #notesOf(shard: number): Notes {
    return this.notes.get(shard) ?? { floor: 0, byTag: new Map() };
  }

  /** The number as it stands. Notes that are lost begin again, above all that was given out. */
  #sequence(shard: number, now: number): number {
    const notes = this.notes.get(shard);
    if (notes !== undefined) return topOf(notes);
    const floor = this.#firstSequence(shard, now);
    this.notes.set(shard, { floor, byTag: new Map() });
    return floor;
  }

  #note(epoch: number, shard: number, tags: readonly TagId[], now: number): boolean {
    if (this.#server.metaUnder(epoch, shard) === undefined) return false;
    if (tags.length === 0) return true;
    for (const tag of tags) {
      const next = this.#sequence(shard, now) + 1;
      const { floor, byTag } = this.#notesOf(shard);
      this.notes.set(shard, { floor, byTag: new Map(byTag).set(tag, next) });
      this.#publishTag(tag);
    }
    this.notes.set(shard, trimmed(this.#notesOf(shard), this.#maxNotes));
    return true;
  }

  /** What is there, its life not over. */
  #stored(id: AddressId, now: number): Stored | undefined {
    const stored = this.entries.get(id);
    return stored === 'unreadable' || (stored && stored.expiresAt > now) ? stored : undefined;
  }

  /** The version there under this epoch, whether or not it is valid. */
  #versionAt({ id }: Address, meta: ShardMeta, now: number): number {
    const stored = this.#stored(id, now);
    if (stored === undefined || stored === 'unreadable') return 0;
    return this.isOfEpoch(stored, meta) ? stored.entry.version : 0;
  }

  /** What is no answer any more goes. */
  #valid(address: Address, meta: ShardMeta, now: number): Stored | undefined {
    const stored = this.#stored(address.id, now);
    if (stored === 'unreadable') return stored;
    const notes = this.#notesOf(this.#shardOf(address));
    const isValid =
      stored !== undefined &&
      this.isOfEpoch(stored, meta) &&
      this.isCurrent(stored.entry, stored.sequence, notes);
    if (isValid) return stored;
    this.entries.delete(address.id);
    return undefined;
  }

  #lease({ id }: Address, meta: ShardMeta, now: number): StoredLease | undefined {
    const lease = this.leases.get(id);
    return lease && this.isOfEpoch(lease, meta) && lease.endsAt > now ? lease : undefined;
  }

  #endLoad(address: Address): void {
    this.leases.delete(address.id);
    this.#publishFree(address);
  }

  #announce(address: Address, version: number, intent: number): void {
    this.#server.announce({ version, intent, kind: 'value', address });
  }

  /** Ends the load. What has no life only sends away what was there: `false`. */
  #store(of: tier.Place, meta: ShardMeta, sequence: number, now: number): boolean {
    const { entry, freshMs, lifeMs } = of;
    const { id } = entry.address;
    this.leases.delete(id);
    this.entries.delete(id);
    if (freshMs <= 0 || lifeMs <= 0) return false;
    const [freshUntil, expiresAt] = [now + freshMs, now + lifeMs];
    this.entries.set(id, { entry, epoch: meta.epoch, sequence, freshUntil, expiresAt });
    if (entry.scope !== undefined) this.#join(entry.address, entry.scope, expiresAt, now);
    return true;
  }

  #join(address: Address, scope: Scope, endsAt: number, now: number): void {
    const shard = this.#shardOf(address);
    const key = scopeKey(shard, scope);
    const before = this.scopes.get(key);
    const members = [...this.#membersOf(shard, scope, now)];
    const alive = members.filter(([, end]) => end > now);
    this.scopes.set(key, {
      ids: new Map(alive).set(address.id, endsAt),
      endsAt: Math.max(before?.endsAt ?? 0, endsAt),
    });
  }

  #membersOf(shard: number, scope: Scope, now: number): ReadonlyMap<AddressId, number> {
    const members = this.scopes.get(scopeKey(shard, scope));
    return members && members.endsAt > now ? members.ids : new Map<AddressId, number>();
  }
}

function scopeKey(shard: number, scope: Scope): string {
  return `${shard}/${scope.kind}/${scope.id}`;
}

function heldAt(stored: StoredEntry, now: number): tier.DerivedHeld {
  const { entry, freshUntil, expiresAt } = stored;
  return { entry, freshMs: Math.max(0, freshUntil - now), lifeMs: expiresAt - now };
}

function topOf({ floor, byTag }: Notes): number {
  return Math.max(floor, ...byTag.values());
}

/** The oldest notes go, and the floor rises to the newest of them. */
function trimmed(notes: Notes, most: number): Notes {
  const sorted = [...notes.byTag].sort(([, a], [, b]) => a - b);
  const forgotten = sorted.slice(0, Math.max(0, sorted.length - most));
  const floor = Math.max(notes.floor, ...forgotten.map(([, number]) => number));
  return { floor, byTag: new Map(sorted.slice(forgotten.length)) };
}
