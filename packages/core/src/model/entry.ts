/**
 * What the tiers hold and exchange. Pure data: no I/O, no timers.
 *
 * A value is replaced as a whole, a log only grows. `expiresAt`, in milliseconds since 1970,
 * is part of a record and travels with it; `0` means never. A tombstone is an entry: it says
 * that there is nothing, and since which version.
 */
import type { Address, Scope } from './key.ts';
import type { Stamp } from './version.ts';

export type CodecName = 'json' | 'bytes' | 'structured';

/**
 * A value as its codec wrote it: not compressed, not encrypted. For `json` the text in UTF-8.
 * `encrypted` is what L3 holds packed and encrypted (codec/payload.ts); above the tiers it is only
 * met where this process lacks the key, and can be looked at, but not read.
 */
export interface Payload {
  readonly codec: CodecName | 'encrypted';
  readonly bytes: Uint8Array;
}

/** The newest write of one value. `payload` is absent exactly where this is a tombstone. */
export interface ValueWrite extends Stamp {
  readonly kind: 'value';
  readonly address: Address;
  readonly payload: Payload | undefined;
  readonly expiresAt: number;
  readonly scope: Scope | undefined;
  readonly tags: readonly string[];
}

/** One item of a log. Ordered by (version, id); the id is unique in its log. */
export interface LogItem {
  readonly id: string;
  readonly version: number;
  readonly payload: Payload;
}

/** Which item: after a deletion of its log an id may be said again, under another version. */
export type ItemStamp = Pick<LogItem, 'id' | 'version'>;

/** Items of one log, and how far it was deleted before them (0: never). */
export interface LogWrite {
  readonly kind: 'log';
  readonly address: Address;
  /** In log order; none at or below `erasedTo`. */
  readonly items: readonly LogItem[];
  /** Items at or below this version are dead. */
  readonly erasedTo: number;
  readonly scope: Scope | undefined;
}

/**
 * The order of code points, which is the order of UTF-8 bytes and so of PostgreSQL's "C". The
 * order of `<` differs from it only where a surrogate meets U+E000 to U+FFFF: lifted above them.
 */
export function compareText(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  for (let at = 0; at < shorter; at++) {
    const unitA = a.charCodeAt(at);
    const unitB = b.charCodeAt(at);
    if (unitA !== unitB) return liftSurrogate(unitA) - liftSurrogate(unitB);
  }
  return a.length - b.length;
}

function liftSurrogate(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x2800 : unit;
}

export function compareItems(a: LogItem, b: LogItem): number {
  return a.version - b.version || compareText(a.id, b.id);
}
