/**
 * The newest acknowledged write of this process per key, until it is safe everywhere else.
 *
 * States of what is held:
 *   unsynced  L2 (or the caller's retry) holds it, L3 lacks it. Flushing makes it synced.
 *   synced    L3 has it; L2 was not told, or did not confirm. Settling or repairing releases it.
 *   parked    L3 refused it (a dead letter). It stays until something newer takes its place, or
 *             until it is sent again: at the interval, and when L2 says that somebody settled it.
 *   released  gone from here.
 *
 * Transitions: hold → unsynced | synced · inL3: unsynced → synced · confirmed: synced → released ·
 * refused: unsynced → parked · unpark: parked → unsynced · a newer write of the key replaces a value in any state · a log's
 * items move one by one.
 *
 * Invariants:
 *  - it is a floor for reads, not a tier: no read of this process answers below it (G2);
 *  - nothing leaves it before L3 has it and this process's own settle, drop or repair of the
 *    key succeeded;
 *  - at its bounds nothing is dropped: `full` says so, and writers go through to L3.
 */
import type { ItemStamp, LogItem, LogWrite, ValueWrite } from '../model/entry.ts';
import type { Address, AddressId, Scope } from '../model/key.ts';
import type { Floor, Known } from '../model/known.ts';
import { compareStamps, type Stamp } from '../model/version.ts';
import {
  believed,
  ENTRY_OVERHEAD_BYTES,
  emptyLog,
  type Held,
  type HeldLog,
  type HeldState,
  hasState,
  heldAs,
  holdItem,
  isParkedAt,
  type KnownItem,
  knownOf,
  markSynced,
  partOf,
  unparkAll,
  weightOf,
} from './held.ts';
import type { Outcomes } from './outcomes.ts';

/** Which bound is reached. */
export type OutboxBound = 'outbox' | 'outbox-bytes';

export class Outbox implements Floor {
  readonly #held = new Map<AddressId, Held>();
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  readonly #answered = new Set<AddressId>();
  readonly #aside = new Set<AddressId>();
  readonly #outcomes: Outcomes | undefined;
  #bytes = 0;

  constructor(
    bounds: { readonly maxPending: number; readonly maxBytes: number },
    outcomes?: Outcomes,
  ) {
    this.#maxEntries = bounds.maxPending;
    this.#maxBytes = bounds.maxBytes;
    this.#outcomes = outcomes;
  }

  floor(id: AddressId): Known | undefined {
    const held = this.#held.get(id);
    if (held === undefined) return undefined;
    return held.kind === 'value' ? held.write : knownOf(held);
  }

  /** The version of the newest deletion of this log that is held; 0 where none is. */
  erasedTo(id: AddressId): number {
    const held = this.#held.get(id);
    return held?.kind === 'log' ? held.erasedTo : 0;
  }

  floorVersion(id: AddressId): number {
    const held = this.#held.get(id);
    if (held === undefined) return 0;
    return held.kind === 'value' ? held.write.version : Math.max(held.top, held.erasedTo);
  }

  overtake(id: AddressId, stamp: Stamp): void {
    const held = this.#held.get(id);
    if (held?.kind === 'value' && compareStamps(stamp, held.write) > 0) held.overtaken = true;
  }

  isOvertaken(id: AddressId): boolean {
    const held = this.#held.get(id);
    return held?.kind === 'value' && held.overtaken;
  }

  has(id: AddressId): boolean {
    return this.#held.has(id);
  }

  get size(): number {
    return this.#held.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get full(): boolean {
    return this.bound !== undefined;
  }

  /** The bound that is reached, if one is; that of bytes, where both are. */
  get bound(): OutboxBound | undefined {
    if (this.#bytes >= this.#maxBytes) return 'outbox-bytes';
    return this.#held.size >= this.#maxEntries ? 'outbox' : undefined;
  }

  /** Half of a bound is reached: time to drain before it becomes one. */
  get filling(): boolean {
    return this.#held.size * 2 >= this.#maxEntries || this.#bytes * 2 >= this.#maxBytes;
  }

  /** Keys of which L3 lacks something. */
  unsynced(): AddressId[] {
    return this.#keysIn('unsynced');
  }

  /** Keys of which L2 has not confirmed what L3 has. */
  unconfirmed(): AddressId[] {
    return this.#keysIn('synced');
  }

  /** Keys of which L3 refused something. */
  parked(): AddressId[] {
    return this.#keysIn('parked');
  }

  /** What L3 refused is sent again with the next drain. */
  unpark(ids: Iterable<AddressId> = this.parked()): void {
    for (const id of ids) {
      const held = this.#held.get(id);
      if (held !== undefined) unparkAll(held);
    }
  }

  /**
   * The bus speaks of this key. Where it is about what is parked here (somebody had it stored, or
   * dropped it, or erased its scope), L3 has another answer by now: see {@link takeAnswered}.
   */
  heard(id: AddressId, stamp: Stamp): void {
    if (this.isRefused(id, stamp)) this.#answered.add(id);
  }

  /** Whether this is parked, or was and is being sent again. */
  isRefused(id: AddressId, stamp: Stamp): boolean {
    const held = this.#held.get(id);
    return held !== undefined && isParkedAt(held, stamp);
  }

  /** Keys to be sent again, because L3 has another answer by now; each is told once. */
  takeAnswered(): AddressId[] {
    const ids = [...this.#answered];
    this.#answered.clear();
    return ids;
  }

  /** When the oldest unsynced write was acknowledged, in ms since 1970. */
  oldestUnsynced(): number | undefined {
    let oldest: number | undefined;
    for (const held of this.#held.values()) {
      if (hasState(held, 'unsynced')) oldest = Math.min(oldest ?? held.since, held.since);
    }
    return oldest;
  }

  #keysIn(state: HeldState): AddressId[] {
    const ids: AddressId[] = [];
    for (const [id, held] of this.#held) if (hasState(held, state)) ids.push(id);
    return ids;
  }

  /** An acknowledged write of a value. An older one than what is held changes nothing. */
  holdValue(write: ValueWrite, state: 'unsynced' | 'synced', now: number, unproven = false): void {
    const there = this.#held.get(write.address.id);
    const isNewer = there?.kind === 'value' && compareStamps(there.write, write) >= 0;
    if (state === 'synced' || (isNewer && there.state !== 'unsynced')) {
      this.#outcomes?.valueDone(write.address.id, write);
    }
    if (there?.kind === 'value') {
      const order = compareStamps(write, there.write);
      if (order < 0) return;
      if (order === 0) {
        if (state === 'synced') there.state = 'synced';
        return;
      }
    }
    const bytes = ENTRY_OVERHEAD_BYTES + (write.payload?.bytes.byteLength ?? 0);
    const since = there?.kind === 'value' && there.state === 'unsynced' ? there.since : now;
    const rest = { state, since, bytes, unproven, overtaken: false };
    this.#replace(write.address.id, { kind: 'value', write, ...rest });
  }

  /** Acknowledged items of a log. */
  holdItems(
    address: Address,
    scope: Scope | undefined,
    items: readonly LogItem[],
    state: 'unsynced' | 'synced',
    now: number,
  ): void {
    const held = this.#log(address, scope, now);
    const isDone = ({ id, version }: LogItem) => {
      const there = held.items.get(id);
      return there?.state === 'synced' && there.item.version >= version;
    };
    this.#outcomes?.itemsDone(address.id, state === 'synced' ? items : items.filter(isDone));
    for (const item of items) this.#bytes += holdItem(held, { item, state });
  }

  /** An acknowledged deletion of a log: what is at or below `version` is dead. */
  holdErasure(
    address: Address,
    scope: Scope | undefined,
    version: number,
    state: 'unsynced' | 'synced',
    now: number,
  ): void {
    const held = this.#log(address, scope, now);
    const isOlder = version < held.erasedTo && held.erasure !== 'unsynced';
    if (state === 'synced' || isOlder) this.#outcomes?.erasureDone(address.id, version);
    if (version < held.erasedTo) return;
    held.erasedTo = version;
    held.erasure = state;
    this.#letGoUpTo(held, version);
  }

  #log(address: Address, scope: Scope | undefined, now: number): HeldLog {
    const there = this.#held.get(address.id);
    if (there?.kind === 'log') {
      there.scope ??= scope;
      return there;
    }
    const held = emptyLog(address, scope, now);
    this.#replace(address.id, held);
    return held;
  }

  /** L3 has this write of a value. True where it is still the one held. */
  valueInL3(id: AddressId, stamp: Stamp): boolean {
    this.#outcomes?.valueDone(id, stamp);
    const held = this.#held.get(id);
    if (held?.kind !== 'value' || compareStamps(held.write, stamp) !== 0) return false;
    held.state = 'synced';
    return true;
  }

  /** L3 has these items, and the deletion up to `erasedTo`; see {@link believed}. */
  itemsInL3(id: AddressId, items: readonly KnownItem[], erasedTo: number): void {
    const known = believed(items, this.erasedTo(id));
    this.#outcomes?.itemsDone(id, known);
    this.#outcomes?.erasureDone(id, erasedTo);
    const held = this.#held.get(id);
    if (held?.kind !== 'log') return;
    for (const item of known) markSynced(held, item);
    if (erasedTo >= held.erasedTo) held.erasure = 'synced';
  }

  /**
   * L3 refused it, or these items of it; it stays a floor until it is sent again. `isKept`: L3 has
   * its bytes, as a dead letter.
   */
  park(id: AddressId, refused: Stamp | readonly ItemStamp[], isKept: boolean): void {
    const held = this.#held.get(id);
    if ('version' in refused) {
      if (isKept) this.#outcomes?.valueDone(id, refused);
      if (held?.kind !== 'value') return;
      if (compareStamps(held.write, refused) === 0) held.state = 'parked';
      return;
    }
    if (isKept) this.#outcomes?.itemsDone(id, refused);
    if (held?.kind !== 'log') return;
    for (const item of refused) {
      const there = heldAs(held, item);
      if (there?.state === 'unsynced') there.state = 'parked';
    }
  }

  /** L3 wants no such write, or keeps it as a dead letter; L2 has to be told first. */
  judged(id: AddressId, done: Stamp | readonly ItemStamp[]): void {
    if ('version' in done) this.#outcomes?.valueDone(id, done);
    else this.#outcomes?.itemsDone(id, done);
  }

  /** L2 confirmed a settle, drop or repair at `stamp`: what is synced and not newer is released. */
  confirmed(id: AddressId, stamp: Stamp): void {
    const held = this.#held.get(id);
    if (held?.kind !== 'value') return;
    if (held.state === 'synced' && compareStamps(held.write, stamp) <= 0) this.#remove(id);
  }

  /** L2 confirmed these items of a log, and its deletion up to `erasedTo`. */
  itemsConfirmed(id: AddressId, items: Iterable<ItemStamp>, erasedTo: number): void {
    const held = this.#held.get(id);
    if (held?.kind !== 'log') return;
    for (const item of items) {
      const there = heldAs(held, item);
      if (there?.state === 'synced') this.#letGo(held, there.item);
    }
    if (held.erasure === 'synced' && held.erasedTo <= erasedTo) held.erasedTo = 0;
    if (held.items.size === 0 && held.erasedTo === 0) this.#remove(id);
  }

  /** Purged: superseded in L3 by something newer, expired or erased. */
  discard(id: AddressId, upTo: Stamp): void {
    this.#outcomes?.valueDone(id, upTo);
    this.#outcomes?.erasureDone(id, upTo.version);
    const held = this.#held.get(id);
    if (held?.kind === 'value') {
      if (compareStamps(held.write, upTo) <= 0) this.#remove(id);
    } else if (held?.kind === 'log') {
      this.#letGoUpTo(held, upTo.version);
      if (held.erasedTo <= upTo.version) held.erasedTo = 0;
      if (held.items.size === 0 && held.erasedTo === 0) this.#remove(id);
    }
  }

  /** An operator dropped these items. */
  discardItems(id: AddressId, items: readonly ItemStamp[]): void {
    this.#outcomes?.itemsDone(id, items);
    const held = this.#held.get(id);
    if (held?.kind !== 'log') return;
    for (const item of items) {
      const there = heldAs(held, item);
      if (there !== undefined) this.#letGo(held, there.item);
    }
    if (held.items.size === 0 && held.erasedTo === 0) this.#remove(id);
  }

  /** The journal alone holds it: L2 may have something older. */
  setAside(id: AddressId): void {
    if (this.#held.has(id)) this.#aside.add(id);
  }

  /** Whether L2 has to be told by a mark, should this process not live to settle it. */
  isAside(id: AddressId): boolean {
    return this.#aside.has(id);
  }

  /** What a flush sends of this key. */
  toFlush(id: AddressId): ValueWrite | LogWrite | undefined {
    const held = this.#held.get(id);
    return held && hasState(held, 'unsynced') ? partOf(held, 'unsynced') : undefined;
  }

  /** Whether what a flush sends of this key is a `create` that nobody could prove. */
  isUnproven(id: AddressId): boolean {
    const held = this.#held.get(id);
    return held?.kind === 'value' && held.unproven;
  }

  /** What is synced of this key and waits for L2's word. */
  toConfirm(id: AddressId): Known | undefined {
    const held = this.#held.get(id);
    return held && partOf(held, 'synced');
  }

  #replace(id: AddressId, held: Held): void {
    this.#remove(id);
    this.#held.set(id, held);
    this.#bytes += held.bytes;
  }

  #remove(id: AddressId): void {
    const held = this.#held.get(id);
    if (held === undefined) return;
    this.#held.delete(id);
    this.#answered.delete(id);
    this.#aside.delete(id);
    this.#bytes -= held.bytes;
  }

  #letGoUpTo(held: HeldLog, version: number): void {
    for (const { item } of held.items.values()) {
      if (item.version <= version) this.#letGo(held, item);
    }
  }

  #letGo(held: HeldLog, item: LogItem): void {
    held.items.delete(item.id);
    held.bytes -= weightOf(item);
    this.#bytes -= weightOf(item);
  }
}
