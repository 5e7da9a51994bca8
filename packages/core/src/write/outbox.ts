/**
 * The newest acknowledged write of this process per key, until it is safe everywhere else.
 *
 * States of what is held:
 *   unsynced  L2 (or the caller's retry) holds it, L3 lacks it. Flushing makes it synced.
 *   synced    L3 has it; L2 was not told, or did not confirm. Settling or repairing releases it.
 *   parked    L3 refused it (a dead letter). It stays until something newer takes its place.
 *   released  gone from here.
 *
 * Transitions: hold → unsynced | synced · inL3: unsynced → synced · confirmed: synced → released ·
 * refused: unsynced → parked · a newer write of the key replaces a value in any state · a log's
 * items move one by one.
 *
 * Invariants:
 *  - it is a floor for reads, not a tier: no read of this process answers below it (G2);
 *  - nothing leaves it before L3 has it and this process's own settle, drop or repair of the
 *    key succeeded;
 *  - at its bounds nothing is dropped: `full` says so, and writers go through to L3.
 */
import type { LogItem, LogWrite, ValueWrite } from '../model/entry.ts';
import type { Address, AddressId, Scope } from '../model/key.ts';
import { type Floor, type Known, unite } from '../model/known.ts';
import { compareStamps, type Stamp } from '../model/version.ts';

export type HeldState = 'unsynced' | 'synced' | 'parked';

interface HeldValue {
  readonly kind: 'value';
  readonly write: ValueWrite;
  state: HeldState;
  readonly since: number;
  readonly bytes: number;
  /** A `create` that nobody could prove: L3 may hold an older record. */
  readonly unproven: boolean;
  /** Somebody wrote something newer, which this process has seen. */
  overtaken: boolean;
}

interface HeldItem {
  item: LogItem;
  state: HeldState;
}

interface HeldLog {
  readonly kind: 'log';
  readonly address: Address;
  scope: Scope | undefined;
  readonly items: Map<string, HeldItem>;
  /** The highest version that an item of it has had. */
  top: number;
  erasedTo: number;
  erasure: HeldState;
  readonly since: number;
  bytes: number;
}

type Held = HeldValue | HeldLog;

/** What weighs an entry down beside its payload: names, stamps, the map's own cost. */
const ENTRY_OVERHEAD_BYTES = 200;

export class Outbox implements Floor {
  readonly #held = new Map<AddressId, Held>();
  readonly #maxEntries: number;
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(bounds: { readonly maxPending: number; readonly maxBytes: number }) {
    this.#maxEntries = bounds.maxPending;
    this.#maxBytes = bounds.maxBytes;
  }

  floor(id: AddressId): Known | undefined {
    const held = this.#held.get(id);
    if (held === undefined) return undefined;
    return held.kind === 'value' ? held.write : knownOf(held);
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
    return this.#held.size >= this.#maxEntries || this.#bytes >= this.#maxBytes;
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

  /** When the oldest unsynced write was acknowledged, in ms since 1970. */
  oldestUnsynced(): number | undefined {
    let oldest: number | undefined;
    for (const held of this.#held.values()) {
      if (hasState(held, 'unsynced') && (oldest === undefined || held.since < oldest)) {
        oldest = held.since;
      }
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
    const value = {
      kind: 'value',
      write,
      state,
      since,
      bytes,
      unproven,
      overtaken: false,
    } as const;
    this.#replace(write.address.id, { ...value });
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
    for (const item of items) {
      const there = held.items.get(item.id);
      if (there !== undefined && there.state === 'synced') continue;
      if (there === undefined)
        this.#weigh(held, ENTRY_OVERHEAD_BYTES + item.payload.bytes.byteLength);
      held.items.set(item.id, { item, state });
      if (item.version > held.top) held.top = item.version;
    }
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
    if (version < held.erasedTo) return;
    held.erasedTo = version;
    held.erasure = state;
    for (const [id, { item }] of held.items) {
      if (item.version > version) continue;
      held.items.delete(id);
      this.#weigh(held, -ENTRY_OVERHEAD_BYTES - item.payload.bytes.byteLength);
    }
  }

  #log(address: Address, scope: Scope | undefined, now: number): HeldLog {
    const there = this.#held.get(address.id);
    if (there?.kind === 'log') {
      there.scope ??= scope;
      return there;
    }
    const held: HeldLog = {
      kind: 'log',
      address,
      scope,
      items: new Map(),
      top: 0,
      erasedTo: 0,
      erasure: 'synced',
      since: now,
      bytes: ENTRY_OVERHEAD_BYTES,
    };
    this.#replace(address.id, held);
    return held;
  }

  /** L3 has this write of a value. True where it is still the one held. */
  valueInL3(id: AddressId, stamp: Stamp): boolean {
    const held = this.#held.get(id);
    if (held?.kind !== 'value' || compareStamps(held.write, stamp) !== 0) return false;
    held.state = 'synced';
    return true;
  }

  /** L3 has these items, under these versions, and the deletion up to `erasedTo`. */
  itemsInL3(
    id: AddressId,
    items: readonly { readonly id: string; readonly version: number }[],
    erasedTo: number,
  ): void {
    const held = this.#held.get(id);
    if (held?.kind !== 'log') return;
    for (const named of items) {
      const there = held.items.get(named.id);
      if (there === undefined) continue;
      there.item = { ...there.item, version: named.version };
      there.state = 'synced';
    }
    if (erasedTo >= held.erasedTo) held.erasure = 'synced';
  }

  /** L3 refused it, or these items of it; it stays a floor, and no drain sends it again. */
  park(id: AddressId, refused: Stamp | Iterable<string>): void {
    const held = this.#held.get(id);
    if ('version' in refused) {
      if (held?.kind !== 'value') return;
      if (compareStamps(held.write, refused) === 0) held.state = 'parked';
    } else if (held?.kind === 'log') {
      for (const itemId of refused) {
        const there = held.items.get(itemId);
        if (there?.state === 'unsynced') there.state = 'parked';
      }
    }
  }

  /** L2 confirmed a settle, drop or repair at `stamp`: what is synced and not newer is released. */
  confirmed(id: AddressId, stamp: Stamp): void {
    const held = this.#held.get(id);
    if (held?.kind === 'value') {
      if (held.state === 'synced' && compareStamps(held.write, stamp) <= 0) this.#remove(id);
    }
  }

  /** L2 confirmed these items of a log, and its deletion up to `erasedTo`. */
  itemsConfirmed(id: AddressId, itemIds: Iterable<string>, erasedTo: number): void {
    const held = this.#held.get(id);
    if (held?.kind !== 'log') return;
    for (const itemId of itemIds) {
      const there = held.items.get(itemId);
      if (there?.state !== 'synced') continue;
      held.items.delete(itemId);
      this.#weigh(held, -ENTRY_OVERHEAD_BYTES - there.item.payload.bytes.byteLength);
    }
    if (held.erasure === 'synced' && held.erasedTo <= erasedTo) held.erasedTo = 0;
    if (held.items.size === 0 && held.erasedTo === 0) this.#remove(id);
  }

  /** Purged: superseded in L3 by something newer, expired or erased. */
  discard(id: AddressId, upTo: Stamp): void {
    const held = this.#held.get(id);
    if (held?.kind === 'value') {
      if (compareStamps(held.write, upTo) <= 0) this.#remove(id);
    } else if (held?.kind === 'log') {
      for (const [itemId, there] of held.items) {
        if (there.item.version > upTo.version) continue;
        held.items.delete(itemId);
        this.#weigh(held, -ENTRY_OVERHEAD_BYTES - there.item.payload.bytes.byteLength);
      }
      if (held.erasedTo <= upTo.version) held.erasedTo = 0;
      if (held.items.size === 0 && held.erasedTo === 0) this.#remove(id);
    }
  }

  /** What a flush sends of this key. */
  toFlush(id: AddressId): ValueWrite | LogWrite | undefined {
    const held = this.#held.get(id);
    if (held?.kind === 'value') return held.state === 'unsynced' ? held.write : undefined;
    if (held === undefined || !hasState(held, 'unsynced')) return undefined;
    return {
      ...knownOf(held, 'unsynced'),
      erasedTo: held.erasure === 'unsynced' ? held.erasedTo : 0,
    };
  }

  /** Whether what a flush sends of this key is a `create` that nobody could prove. */
  isUnproven(id: AddressId): boolean {
    const held = this.#held.get(id);
    return held?.kind === 'value' && held.unproven;
  }

  /** What is synced of this key and waits for L2's word. */
  toConfirm(id: AddressId): Known | undefined {
    const held = this.#held.get(id);
    if (held?.kind === 'value') return held.state === 'synced' ? held.write : undefined;
    if (held === undefined) return undefined;
    return {
      ...knownOf(held, 'synced'),
      erasedTo: held.erasure === 'synced' ? held.erasedTo : 0,
    };
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
    this.#bytes -= held.bytes;
  }

  #weigh(held: HeldLog, bytes: number): void {
    held.bytes += bytes;
    this.#bytes += bytes;
  }
}

function hasState(held: Held, state: HeldState): boolean {
  if (held.kind === 'value') return held.state === state;
  if (held.erasedTo > 0 && held.erasure === state) return true;
  for (const item of held.items.values()) if (item.state === state) return true;
  return false;
}

function knownOf(held: HeldLog, only?: HeldState): LogWrite {
  const items: LogItem[] = [];
  for (const there of held.items.values()) {
    if (only === undefined || there.state === only) items.push(there.item);
  }
  const bare: LogWrite = {
    kind: 'log',
    address: held.address,
    items: [],
    erasedTo: 0,
    scope: held.scope,
  };
  // Uniting with nothing sorts the items and drops the dead ones.
  const sorted = unite(bare, { ...bare, items, erasedTo: held.erasedTo });
  return sorted?.kind === 'log' ? sorted : bare;
}
