/** What the outbox holds of one key: its states are written in outbox.ts. */
import type { ItemStamp, LogItem, LogWrite, ValueWrite } from '../model/entry.ts';
import type { Address, Scope } from '../model/key.ts';
import { unite } from '../model/known.ts';
import type { Stamp } from '../model/version.ts';

export type HeldState = 'unsynced' | 'synced' | 'parked';

export interface HeldValue {
  readonly kind: 'value';
  readonly write: ValueWrite;
  state: HeldState;
  readonly since: number;
  readonly bytes: number;
  /** A `create` that nobody could prove: L3 may hold an older record. */
  readonly unproven: boolean;
  /** Somebody wrote something newer, which this process has seen. */
  overtaken: boolean;
  /** L3 refused it, and it is being sent again. */
  isRetried?: true;
}

export interface HeldItem {
  item: LogItem;
  state: HeldState;
  /** As of a value. */
  isRetried?: true;
}

export interface HeldLog {
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

export type Held = HeldValue | HeldLog;

/** What weighs an entry down beside its payload: names, stamps, the map's own cost. */
export const ENTRY_OVERHEAD_BYTES = 200;

export function emptyLog(address: Address, scope: Scope | undefined, now: number): HeldLog {
  return {
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
}

export function weightOf(item: LogItem): number {
  return ENTRY_OVERHEAD_BYTES + item.payload.bytes.byteLength;
}

/** What is held under this id, if it is this very item. */
export function heldAs(held: HeldLog, { id, version }: ItemStamp): HeldItem | undefined {
  const there = held.items.get(id);
  return there?.item.version === version ? there : undefined;
}

/**
 * Of an id that is held already the first words stay. Under a higher version it was new to L2: its
 * log was deleted, whoever did it, or L2 had lost its data; the words that are said then stand.
 * Answers how much heavier the log is.
 */
export function holdItem(held: HeldLog, next: HeldItem): number {
  const { id, version } = next.item;
  const there = held.items.get(id);
  if (there !== undefined && there.item.version > version) return 0;
  if (there?.item.version === version) {
    if (there.state !== 'synced') there.state = next.state;
    return 0;
  }
  held.items.set(id, next);
  held.top = Math.max(held.top, version);
  const more = weightOf(next.item) - (there === undefined ? 0 : weightOf(there.item));
  held.bytes += more;
  return more;
}

/** An item that L3 has: the version that it was sent under, and the one that it is known under. */
export type KnownItem = ItemStamp & { readonly sent: number };

/** The same, with all that it says: what was said under the id up to this version is in L3. */
interface BelievedItem extends ItemStamp {
  readonly inL3: number;
}

/**
 * What L3's word means where this process knows of a deletion: if L3 has not heard of that, what it
 * has under an id that was said again is the item before.
 */
export function believed(items: readonly KnownItem[], erasedTo: number): readonly BelievedItem[] {
  return items
    .filter(({ version, sent }) => version > erasedTo || sent <= erasedTo)
    .map(({ id, version, sent }) => ({ id, version: Math.max(version, sent), inL3: version }));
}

/** Not an item that was said later: of that L3's word was not. */
export function markSynced(held: HeldLog, { id, version, inL3 }: BelievedItem): void {
  const there = held.items.get(id);
  if (there === undefined || there.item.version > version) return;
  there.item = { ...there.item, version: inL3 };
  there.state = 'synced';
}

export function hasState(held: Held, state: HeldState): boolean {
  if (held.kind === 'value') return held.state === state;
  if (held.erasedTo > 0 && held.erasure === state) return true;
  for (const item of held.items.values()) if (item.state === state) return true;
  return false;
}

export function knownOf(held: HeldLog, only?: HeldState): LogWrite {
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

/** What is in this state of a key. */
export function partOf(held: Held, state: HeldState): ValueWrite | LogWrite | undefined {
  if (held.kind === 'value') return held.state === state ? held.write : undefined;
  return { ...knownOf(held, state), erasedTo: held.erasure === state ? held.erasedTo : 0 };
}

/** What L3 refused of it is unsynced again. */
export function unparkAll(held: Held): void {
  const parts = held.kind === 'value' ? [held] : held.items.values();
  for (const part of parts) {
    if (part.state !== 'parked') continue;
    part.state = 'unsynced';
    part.isRetried = true;
  }
}

/**
 * Whether L3 refused a write of this version, or one that an erasure up to it is about. Also one
 * that is being sent again: it may have left before what the bus speaks of, and be refused once more.
 */
export function isParkedAt(held: Held, stamp: Stamp): boolean {
  const isErased = stamp.intent === Number.MAX_SAFE_INTEGER;
  const isAbout = (version: number) =>
    version === stamp.version || (isErased && version <= stamp.version);
  const isRefused = ({ state, isRetried }: HeldValue | HeldItem) =>
    state === 'parked' || (state === 'unsynced' && isRetried === true);
  if (held.kind === 'value') return isRefused(held) && isAbout(held.write.version);
  for (const one of held.items.values()) {
    if (isRefused(one) && isAbout(one.item.version)) return true;
  }
  return false;
}
