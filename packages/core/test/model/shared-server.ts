/**
 * The model's Redis below its scripts: what it stores, its incarnations, its memory pressure.
 * Entries are immutable, so that a snapshot is a copied map.
 *
 * An entry is *live* where it is pending or of the shard's present epoch. A live entry counts;
 * a settled one of an older epoch is as good as absent to whatever reads or writes, and
 * whether a release removes it is nobody's business (it is not in a dump).
 */
import type { ValueWrite } from '../../src/model/entry.ts';
import { type Address, type AddressId, addressOfId, shardOf } from '../../src/model/key.ts';
import type { ShardMeta } from '../../src/tiers/tier.ts';
import {
  type DumpedEntry,
  dumpEntry,
  highestVersion,
  type Stored,
  type StoredLog,
  type StoredValue,
} from './stored.ts';

/** What the scripts publish, after they did what it says. */
export interface BusMessage {
  readonly version: number;
  /** Of a value; 0 of a log. */
  readonly intent: number;
  readonly kind: 'value' | 'log';
  readonly address: Address;
}

export interface ShardState extends ShardMeta {
  readonly runId: string;
}

export interface SharedServerOptions {
  readonly shards?: number;
  /** The TTL of settled entries, in milliseconds. */
  readonly ttl?: number;
  readonly publish?: (message: BusMessage) => void;
}

/** What else lives on the server: it goes with it, and comes back from a dump with it. */
export interface ServerPart {
  empty(): void;
  /** What puts back what it holds now. */
  snapshot(): () => void;
}

/** A copy of the whole server, as a dump file holds it. */
export interface SharedSnapshot {
  readonly parts: readonly (() => void)[];
  readonly entries: ReadonlyMap<AddressId, Stored>;
  readonly pending: ReadonlyMap<AddressId, number>;
  readonly metas: readonly (ShardState | undefined)[];
}

export interface SharedDump {
  /** Epoch and cut of each shard. */
  readonly metas: readonly (ShardMeta | undefined)[];
  /** By address id, in its order. Settled entries of an older epoch are left out. */
  readonly entries: Readonly<Record<string, DumpedEntry>>;
  /** The members of the pending indexes, in their order. */
  readonly pending: readonly string[];
}

export type Live = StoredValue | StoredLog | undefined;

export class SharedServer {
  runId: string = 'run-1';
  readonly shards: number;
  protected readonly ttl: number;
  protected readonly publish: (message: BusMessage) => void;
  protected entries: Map<AddressId, Stored> = new Map<AddressId, Stored>();
  /** The pending indexes: since when, by address. */
  protected index: Map<AddressId, number> = new Map<AddressId, number>();
  protected metas: (ShardState | undefined)[] = [];
  #runs = 1;
  readonly #parts: ServerPart[] = [];

  constructor(options: SharedServerOptions = {}) {
    this.shards = options.shards ?? 1;
    this.ttl = options.ttl ?? 3_600_000;
    this.publish = options.publish ?? (() => {});
  }

  // ------------------------------------------------------------ the server

  /** FLUSHALL: everything goes, the server runs on. */
  empty(): void {
    for (const part of this.#parts) part.empty();
    this.entries = new Map();
    this.index = new Map();
    this.metas = [];
  }

  snapshot(): SharedSnapshot {
    return {
      parts: this.#parts.map((part) => part.snapshot()),
      entries: new Map(this.entries),
      pending: new Map(this.index),
      metas: [...this.metas],
    };
  }

  /** Another incarnation, with what a dump file holds, or with nothing. */
  restart(snapshot?: SharedSnapshot): void {
    this.#runs += 1;
    this.runId = `run-${this.#runs}`;
    this.entries = new Map(snapshot?.entries);
    this.index = new Map(snapshot?.pending);
    this.metas = [...(snapshot?.metas ?? [])];
    for (const part of this.#parts) part.empty();
    for (const putBack of snapshot?.parts ?? []) putBack();
  }

  /** Memory is short: a settled entry goes. A pending one never does. */
  evict(address: Address): boolean {
    const stored = this.entries.get(address.id);
    if (stored === undefined || this.isKept(stored)) return false;
    this.remove(address);
    return true;
  }

  /** Something of another build, or garbage, under our key. */
  plant(address: Address, stored: Stored, now: number): void {
    this.entries.set(address.id, stored);
    this.index.delete(address.id);
    if (stored.kind !== 'garbage' && stored.pending) this.index.set(address.id, now);
  }

  /**
   * A connection introduces itself before its first command. The stored run id is another:
   * a new epoch begins, with the highest of the cut found and `floor`. Otherwise nothing.
   */
  handshake(shard: number, runId: string, epoch: number, floor: number): ShardMeta {
    const found = this.metas[shard];
    if (found?.runId === runId) return found;
    const meta = { epoch, cut: this.cutOfNewEpoch(found, floor), runId };
    this.metas[shard] = meta;
    return meta;
  }

  // ------------------------------------------------------------ for its parts

  attach(part: ServerPart): void {
    this.#parts.push(part);
  }

  /** The shard's meta where it is of this epoch. */
  metaUnder(epoch: number, shard: number): ShardMeta | undefined {
    const meta = this.metas[shard];
    return meta?.epoch === epoch ? meta : undefined;
  }

  /** Nothing at or below `version` is accepted in this shard any more. */
  raiseCut(shard: number, version: number): void {
    const meta = this.metas[shard];
    if (meta) this.metas[shard] = { ...meta, cut: Math.max(meta.cut + 1, version) };
  }

  announce(message: BusMessage): void {
    this.publish(message);
  }

  // ------------------------------------------------------------ for comparison

  dump(): SharedDump {
    const ids = [...this.entries.keys()].sort();
    const entries: Record<string, DumpedEntry> = {};
    for (const id of ids) {
      const stored = this.entries.get(id);
      const meta = this.metas[this.shardOf(addressOfId(id))];
      const isDead = stored && 'epoch' in stored && !stored.pending && stored.epoch !== meta?.epoch;
      if (stored !== undefined && !isDead) entries[id] = dumpEntry(stored);
    }
    const metas = Array.from({ length: this.shards }, (_, shard) => {
      const meta = this.metas[shard];
      return meta && { epoch: meta.epoch, cut: meta.cut };
    });
    return { metas, entries, pending: [...this.index.keys()].sort() };
  }

  // ------------------------------------------------------------ rules

  protected cutOfNewEpoch(found: ShardMeta | undefined, floor: number): number {
    // Above every cut that was quoted under an earlier epoch, or a late backfill would fit.
    return Math.max((found?.cut ?? 0) + 1, floor);
  }

  protected isCurrent(entry: StoredValue | StoredLog, meta: ShardMeta): boolean {
    return entry.epoch === meta.epoch;
  }

  /** Whether memory pressure and TTLs leave it alone. */
  protected isKept(stored: Stored): boolean {
    return stored.kind !== 'garbage' && stored.pending;
  }

  // ------------------------------------------------------------ storing

  protected shardOf(address: Address): number {
    return this.shards === 1 ? 0 : shardOf(address, this.shards);
  }

  protected metaOf(epoch: number, address: Address): ShardState | undefined {
    const meta = this.metas[this.shardOf(address)];
    return meta?.epoch === epoch ? meta : undefined;
  }

  protected stored(address: Address, now: number): Stored | undefined {
    const stored = this.entries.get(address.id);
    if (stored === undefined || stored.kind === 'garbage') return stored;
    if (stored.evictAt === undefined || stored.evictAt > now) return stored;
    this.remove(address);
    return undefined;
  }

  protected isLive(stored: Stored, meta: ShardMeta): boolean {
    if (stored.kind === 'garbage') return false;
    if (stored.kind === 'foreign') return stored.pending;
    return stored.pending || this.isCurrent(stored, meta);
  }

  protected live(stored: Stored | undefined, meta: ShardMeta): Live {
    if (stored?.kind !== 'value' && stored?.kind !== 'log') return undefined;
    return this.isLive(stored, meta) ? stored : undefined;
  }

  protected remove(address: Address): void {
    this.entries.delete(address.id);
    this.index.delete(address.id);
  }

  /** A TTL never outlives the record. */
  protected evictAt(expiresAt: number, now: number): number {
    return expiresAt === 0
      ? now + this.ttl
      : Math.max(now + 1, Math.min(now + this.ttl, expiresAt));
  }

  protected setValue(
    write: ValueWrite,
    meta: ShardMeta,
    flags: Pick<StoredValue, 'pending' | 'unproven'>,
    now: number,
  ): void {
    const { version, intent, address } = write;
    const evictAt = flags.pending ? undefined : this.evictAt(write.expiresAt, now);
    this.entries.set(address.id, {
      kind: 'value',
      version,
      intent,
      epoch: meta.epoch,
      write,
      evictAt,
      ...flags,
    });
    this.#keepIndex(address, flags.pending, now);
  }

  /** Stores a log; it is pending exactly where L3 lacks something, or where the caller says so. */
  protected setLog(log: StoredLog, now: number): void {
    const evictAt = log.pending ? undefined : now + this.ttl;
    this.entries.set(log.address.id, {
      ...log,
      version: highestVersion(log.frames, log.erasedTo),
      evictAt,
    });
    this.#keepIndex(log.address, log.pending, now);
  }

  #keepIndex(address: Address, pending: boolean, now: number): void {
    if (!pending) this.index.delete(address.id);
    else if (!this.index.has(address.id)) this.index.set(address.id, now);
  }
}
