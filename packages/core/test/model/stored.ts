/**
 * What the model of Redis stores under one key, and how it is shown. The entries are
 * immutable: a command replaces an entry, so that a snapshot of the server is a copied map.
 */
import type { LogItem, Payload, ValueWrite } from '../../src/model/entry.ts';
import { compareItems } from '../../src/model/entry.ts';
import type { Address, Scope } from '../../src/model/key.ts';
import type { SharedEntry } from '../../src/tiers/tier.ts';

interface StoredHeader {
  readonly pending: boolean;
  readonly version: number;
  readonly intent: number;
  readonly epoch: number;
  /** Set exactly where the entry is settled: when its TTL ends, ms since 1970. */
  readonly evictAt: number | undefined;
}

export interface StoredValue extends StoredHeader {
  readonly kind: 'value';
  readonly write: ValueWrite;
  readonly unproven: boolean;
}

export interface Frame extends LogItem {
  readonly synced: boolean;
}

/** `version` is always the highest of the frames' and `erasedTo`; `intent` is 0. */
export interface StoredLog extends StoredHeader {
  readonly kind: 'log';
  readonly address: Address;
  /** In the order in which they were appended. */
  readonly frames: readonly Frame[];
  readonly erasedTo: number;
  readonly erasureSynced: boolean;
  readonly partial: boolean;
  readonly unproven: boolean;
  readonly tombstone: boolean;
  readonly scope: Scope | undefined;
}

/** The frozen prefix can be read, the rest cannot: the magic fits, the format is another. */
export interface StoredForeign extends StoredHeader {
  readonly kind: 'foreign';
}

/** No magic. Writes replace it, reads miss it. */
export interface StoredGarbage {
  readonly kind: 'garbage';
}

export type Stored = StoredValue | StoredLog | StoredForeign | StoredGarbage;

export function highestVersion(frames: readonly Frame[], erasedTo: number): number {
  let highest = erasedTo;
  for (const frame of frames) if (frame.version > highest) highest = frame.version;
  return highest;
}

/** Nothing of this log is missing in L3. */
export function isLogSynced(log: Pick<StoredLog, 'frames' | 'erasureSynced'>): boolean {
  return log.erasureSynced && log.frames.every((frame) => frame.synced);
}

/** What a reader is shown of an entry; `undefined` where it is a settled one of an older epoch. */
export function viewOf(stored: Stored, epoch: number, live: boolean): SharedEntry | undefined {
  if (stored.kind === 'garbage') {
    return { kind: 'unreadable', pending: false, isForeign: false, reason: 'no magic' };
  }
  if (stored.kind === 'foreign') {
    const { pending } = stored;
    return { kind: 'unreadable', pending, isForeign: true, reason: 'unknown format' };
  }
  if (!live) return undefined;
  const stale = stored.epoch !== epoch;
  if (stored.kind === 'value') {
    const { pending, write, unproven } = stored;
    return { kind: 'value', pending, stale, write, unproven };
  }
  const { pending, address, version, erasedTo, erasureSynced } = stored;
  const { partial, unproven, tombstone, scope } = stored;
  const items = [...stored.frames].sort(compareItems);
  const flags = { pending, stale, partial, unproven, tombstone, erasureSynced };
  return { kind: 'log', ...flags, address, version, items, erasedTo, scope };
}

/** Canonical plain data of one entry, for comparison with a real server's. */
export interface DumpedEntry {
  readonly kind: 'value' | 'log' | 'foreign' | 'garbage';
  readonly pending: boolean;
  /** It has a TTL. */
  readonly ttl: boolean;
  readonly version: number;
  readonly intent: number;
  readonly epoch: number;
  readonly tombstone: boolean;
  readonly partial: boolean;
  readonly unproven: boolean;
  /** Flag 32: the deletion is not in L3 yet. */
  readonly erasureUnsynced: boolean;
  readonly expiresAt: number;
  readonly erasedTo: number;
  readonly payload: string | undefined;
  /** `id@version`, then `!` where L3 lacks it, then the payload; in the order of appending. */
  readonly frames: readonly string[];
  readonly scope: string | undefined;
  readonly tags: readonly string[];
}

const NOTHING = {
  pending: false,
  ttl: false,
  version: 0,
  intent: 0,
  epoch: 0,
  tombstone: false,
  partial: false,
  unproven: false,
  erasureUnsynced: false,
  expiresAt: 0,
  erasedTo: 0,
  payload: undefined,
  frames: [],
  scope: undefined,
  tags: [],
} satisfies Omit<DumpedEntry, 'kind'>;

export function dumpPayload(payload: Payload | undefined): string | undefined {
  return payload && `${payload.codec}:${Buffer.from(payload.bytes).toString('hex')}`;
}

export function dumpScope(scope: Scope | undefined): string | undefined {
  return scope && `${scope.kind}:${scope.id}`;
}

export function dumpEntry(stored: Stored): DumpedEntry {
  if (stored.kind === 'garbage') return { kind: 'garbage', ...NOTHING };
  const { kind, pending, version, intent, epoch } = stored;
  const header = { ...NOTHING, kind, pending, ttl: !pending, version, intent, epoch };
  switch (stored.kind) {
    case 'foreign':
      return header;
    case 'value':
      return {
        ...header,
        tombstone: stored.write.payload === undefined,
        unproven: stored.unproven,
        expiresAt: stored.write.expiresAt,
        payload: dumpPayload(stored.write.payload),
        scope: dumpScope(stored.write.scope),
        tags: stored.write.tags,
      };
    case 'log':
      return {
        ...header,
        tombstone: stored.tombstone,
        partial: stored.partial,
        unproven: stored.unproven,
        erasureUnsynced: !stored.erasureSynced,
        erasedTo: stored.erasedTo,
        frames: stored.frames.map(
          (frame) =>
            `${frame.id}@${frame.version}${frame.synced ? '' : '!'} ${dumpPayload(frame.payload)}`,
        ),
        scope: dumpScope(stored.scope),
      };
    default:
      return stored satisfies never;
  }
}
