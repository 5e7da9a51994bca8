/**
 * L1: the values of this process, ready to hand out. Synchronous, bounded by entries and by
 * bytes, and evicting what was used longest ago.
 *
 * Invariants: it holds only what a read of L2 or an own write that L2 held put there (its
 * callers' duty); an entry never outlives its time to live nor the record's own life; nothing is
 * held that alone would fill the byte bound. The size of an entry is an estimate: the bytes of
 * its payload, of its key, and a constant for the bookkeeping.
 *
 * Not for: knowing whether L1 may be served at all. That is the bus's proof of life.
 */
import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import type { Copy } from '../model/copy.ts';
import type { AddressId } from '../model/key.ts';
import type { TagId } from '../model/tags.ts';

export interface MemoryTierOptions {
  /** Entries. */
  readonly max: number;
  /** Estimated bytes of all entries. */
  readonly maxBytes: number;
  /** Milliseconds that an entry is served for. */
  readonly ttlMs: number;
}

/**
 * Why an entry went: `evict`, to make room; `expire`, its time was over; `delete`, it was told
 * to; `clear`, all were; `set`, another took its place; `oversized`, it never came in, because it
 * alone would take more than the byte bound.
 */
export type EvictReason = 'evict' | 'expire' | 'delete' | 'clear' | 'set' | 'oversized';

/** Estimated bytes of an entry beside its payload and key: the objects that hold it. */
export const ENTRY_OVERHEAD_BYTES = 200;

export class MemoryTier {
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #maxBytes: number;
  readonly #onEvict: (reason: EvictReason) => void;
  readonly #entries: LRUCache<AddressId, Copy>;
  /** Why the entries go that are being removed; the reason of the LRU cache where there is none. */
  #removing: EvictReason | undefined;

  constructor(
    options: MemoryTierOptions,
    clock: Clock,
    onEvict: (reason: EvictReason) => void = () => {},
  ) {
    this.#clock = clock;
    this.#ttlMs = options.ttlMs;
    this.#maxBytes = options.maxBytes;
    this.#onEvict = onEvict;
    this.#entries = new LRUCache<AddressId, Copy>({
      max: options.max,
      maxSize: options.maxBytes,
      ttl: Math.max(1, Math.ceil(options.ttlMs)),
      // Asked at every get. The default looks at the time once a millisecond, with a timer of its
      // own, which would not be the clock's.
      ttlResolution: 0,
      // An entry that began at zero would never end.
      perf: { now: () => clock.monotonic() + 1 },
      dispose: (_entry, _id, reason) => {
        if (reason !== 'fetch') onEvict(this.#removing ?? reason);
      },
    });
  }

  /** The entry, if its time is not over; it is the most recently used one from now on. */
  get(id: AddressId): Copy | undefined {
    const entry = this.#entries.get(id);
    // The wall clock may have jumped past the record's end since the time to live was set.
    if (entry === undefined || !isOver(entry, this.#clock)) return entry;
    this.#removing = 'expire';
    this.#entries.delete(id);
    this.#removing = undefined;
    return undefined;
  }

  /**
   * Holds an entry; says whether it does. One that is over, or that alone would take more than
   * the byte bound, is not held, and what was there before is gone.
   */
  set(id: AddressId, entry: Copy): boolean {
    const ttl = this.#timeFor(entry);
    const size = entry.bytes + Buffer.byteLength(id) + ENTRY_OVERHEAD_BYTES;
    if (ttl <= 0 || size > this.#maxBytes) {
      this.#entries.delete(id);
      if (ttl > 0) this.#onEvict('oversized');
      return false;
    }
    this.#entries.set(id, entry, { ttl, size });
    return true;
  }

  delete(id: AddressId): boolean {
    return this.#entries.delete(id);
  }

  /** Looks at every entry: for what is rare, as the erasure of a scope is. */
  deleteBearing(tag: TagId): void {
    // What is over is not shown by the loop.
    this.#entries.purgeStale();
    for (const [id, entry] of this.#entries.entries()) {
      if (entry.derived?.tagIds.includes(tag)) this.#entries.delete(id);
    }
  }

  clear(): void {
    this.#removing = 'clear';
    this.#entries.clear();
    this.#removing = undefined;
  }

  /** Entries held, those included whose time is over and that nobody asked for since. */
  get size(): number {
    return this.#entries.size;
  }

  /** Estimated bytes held. */
  get bytes(): number {
    return this.#entries.calculatedSize;
  }

  #timeFor(entry: Copy): number {
    const lifeMs = entry.derived?.lifeMs ?? this.#ttlMs;
    if (entry.expiresAt === 0) return lifeMs;
    return Math.min(lifeMs, entry.expiresAt - this.#clock.now());
  }
}

function isOver(entry: Copy, clock: Clock): boolean {
  return entry.expiresAt !== 0 && entry.expiresAt <= clock.now();
}
