/**
 * What is known of one key, and how two pieces of knowledge become one. Pure.
 *
 * Of two values the newer stamp stands. Two logs are united by item id; where both have an
 * item, the version of the one named first stands, so callers name L3's knowledge first, then
 * L2's, then the outbox's. Items at or below the highest deletion are gone.
 */
import { compareItems, type ItemStamp, type LogWrite, type ValueWrite } from './entry.ts';
import type { AddressId } from './key.ts';
import { compareStamps, type Stamp } from './version.ts';

export type Known = ValueWrite | LogWrite;

/** This process's own acknowledged writes that L3 or L2 may lack: what no read may fall below. */
export interface Floor {
  floor(id: AddressId): Known | undefined;
  /** The version of {@link floor}, without putting it together; 0 where there is none. */
  floorVersion(id: AddressId): number;
  /** Something of this stamp was seen: an older value that is held is no longer the newest. */
  overtake(id: AddressId, stamp: Stamp): void;
  isOvertaken(id: AddressId): boolean;
  /** What L3 has of it, and L2 has not confirmed. */
  toConfirm(id: AddressId): Known | undefined;
  /** What was to be confirmed of a value, up to this stamp, is no floor any more. */
  confirmed(id: AddressId, stamp: Stamp): void;
  /** The same of these items of a log, and its deletion up to `erasedTo`. */
  itemsConfirmed(id: AddressId, items: Iterable<ItemStamp>, erasedTo: number): void;
}

export function unite(first: Known | undefined, second: Known | undefined): Known | undefined {
  if (first === undefined) return second;
  if (second === undefined) return first;
  if (first.kind === 'value') {
    return second.kind === 'value' && compareStamps(second, first) > 0 ? second : first;
  }
  return second.kind === 'log' ? uniteLogs(first, second) : first;
}

function uniteLogs(first: LogWrite, second: LogWrite): LogWrite {
  const erasedTo = Math.max(first.erasedTo, second.erasedTo);
  // Dead ones go first: an id may have been said again since.
  const alive = [...second.items, ...first.items].filter((item) => item.version > erasedTo);
  const byId = new Map(alive.map((item) => [item.id, item]));
  const items = [...byId.values()].sort(compareItems);
  return { ...first, items, erasedTo, scope: first.scope ?? second.scope };
}

/** As {@link unite}; but of an item that both have, the one that was said last. */
export function uniteNewest(first: LogWrite | undefined, second: LogWrite): LogWrite {
  if (first === undefined) return second;
  const versions = new Map(second.items.map(({ id, version }) => [id, version]));
  const items = first.items.filter(({ id, version }) => version >= (versions.get(id) ?? 0));
  return uniteLogs({ ...first, items }, second);
}

/** The highest version in it; 0 where nothing is known. */
export function versionOf(known: Known | undefined): number {
  if (known === undefined) return 0;
  if (known.kind === 'value') return known.version;
  return Math.max(known.erasedTo, known.items.at(-1)?.version ?? 0);
}

/** L3 has it, and this process lacks the key: it can be judged by its stamp, and not be read. */
export function isEncrypted(known: Known | undefined): boolean {
  if (known === undefined) return false;
  if (known.kind === 'value') return known.payload?.codec === 'encrypted';
  return known.items.some(({ payload }) => payload.codec === 'encrypted');
}

/** The stamp of a value; of a log its version, with no intent. */
export function stampOf(known: Known): Stamp {
  return known.kind === 'value' ? known : { version: versionOf(known), intent: 0 };
}

/** Whether there is something to answer: no tombstone, not expired, not an empty log. */
export function isLive(known: Known | undefined, now: number): boolean {
  if (known === undefined) return false;
  if (known.kind === 'log') return known.items.length > 0;
  return known.payload !== undefined && (known.expiresAt === 0 || known.expiresAt > now);
}
