/**
 * What the scripts do to the frames of a log. Pure: a log goes in, a log comes out. None of
 * settling, repairing and purging ever adds a frame, so that they work when memory is full.
 */
import type { LogItem, LogWrite } from '../../src/model/entry.ts';
import type { CreateAssertion, SharedSettle } from '../../src/tiers/tier.ts';
import { type Frame, isLogSynced, type StoredLog } from './stored.ts';

/**
 * A log that L2 has nothing of: partial, but for one that is asserted to be new. That one knows
 * from the start what L3 has erased (`write.erasedTo`): being whole, it is an answer alone.
 */
export function fresh(
  write: LogWrite,
  epoch: number,
  create: CreateAssertion | undefined,
): StoredLog {
  return {
    kind: 'log',
    address: write.address,
    pending: true,
    version: write.erasedTo,
    intent: 0,
    epoch,
    evictAt: undefined,
    frames: [],
    erasedTo: write.erasedTo,
    erasureSynced: true,
    partial: create === undefined,
    unproven: create !== undefined && !create.proven,
    tombstone: false,
    scope: write.scope,
  };
}

/** The deletion of a log, which L3 has not heard of yet. */
export function tombstone(write: LogWrite, epoch: number): StoredLog {
  return {
    ...fresh(write, epoch, { cut: 0, proven: true }),
    erasureSynced: false,
    tombstone: true,
  };
}

/** Appends what is new by id. A version that is not above the last one is raised to it + 1. */
export function added(
  frames: readonly Frame[],
  version: number,
  items: readonly LogItem[],
): { readonly frames: readonly Frame[]; readonly versions: readonly number[] } {
  const all = [...frames];
  let last = version;
  const versions = items.map((item) => {
    const known = all.find((frame) => frame.id === item.id);
    if (known !== undefined) return known.version;
    last = Math.max(item.version, last + 1);
    all.push({ ...item, version: last, synced: false });
    return last;
  });
  return { frames: all, versions };
}

/** L3's whole log, as a copy. */
export function settledCopy(write: LogWrite, epoch: number): StoredLog {
  const frames = write.items.map((item) => ({ ...item, synced: true }));
  return {
    ...fresh(write, epoch, { cut: 0, proven: true }),
    frames,
    pending: false,
    tombstone: frames.length === 0,
  };
}

/** A pending log that lacked items, made whole by L3's; where both know an item, L3's version stands. */
export function united(entry: StoredLog, write: LogWrite, epoch: number): StoredLog {
  const erasedTo = Math.max(entry.erasedTo, write.erasedTo);
  const living = write.items.filter((item) => item.version > erasedTo);
  const theirs = new Map(living.map((item) => [item.id, item]));
  // An id may have been said again since: a dead frame has another item's words.
  const mine = entry.frames.filter((frame) => frame.version > erasedTo);
  const known = mine.map((frame) => {
    const item = theirs.get(frame.id);
    theirs.delete(frame.id);
    return item === undefined ? frame : { ...frame, version: item.version, synced: true };
  });
  const frames = [...known, ...[...theirs.values()].map((item) => ({ ...item, synced: true }))];
  return {
    ...entry,
    epoch,
    frames,
    erasedTo,
    erasureSynced: entry.erasureSynced || write.erasedTo >= entry.erasedTo,
    partial: false,
    unproven: false,
    tombstone: frames.length === 0,
    scope: entry.scope ?? write.scope,
  };
}

/**
 * L3 has the named items, under the versions named, and knows of the deletion named.
 * `undefined`: the entry goes, because it is not whole and has nothing that L3 lacks.
 */
export function settled(
  entry: StoredLog,
  settle: Extract<SharedSettle, { kind: 'log' }>,
): StoredLog | undefined {
  const erasedTo = Math.max(entry.erasedTo, settle.erasedTo);
  const named = new Map(settle.items.map((item) => [item.id, item.version]));
  // An id may have been said again since the log was deleted: neither is a dead frame what L3
  // has, nor is a living one what it named. Version 0 says that an item was dropped.
  const living = entry.frames.filter((frame) => frame.version > erasedTo);
  const frames = living
    .map((frame) => {
      const version = named.get(frame.id);
      if (version === undefined || (version > 0 && version <= erasedTo)) return frame;
      return { ...frame, version, synced: true };
    })
    .filter((frame) => frame.version > 0);
  const held = new Set(living.map((frame) => frame.id));
  const lacks = settle.items.some((item) => item.version > erasedTo && !held.has(item.id));
  if (lacks && !entry.pending) return undefined;
  const log: StoredLog = {
    ...entry,
    frames,
    erasedTo,
    erasureSynced: entry.erasureSynced || settle.erasedTo >= entry.erasedTo,
    partial: entry.partial || lacks || (entry.unproven && settle.others),
    unproven: false,
  };
  return withoutDeadFrames(log);
}

/** Everything at or below the version is erased in L3. `undefined`: the entry goes. */
export function purged(entry: StoredLog, version: number): StoredLog | undefined {
  const log = {
    ...entry,
    frames: entry.frames.filter((frame) => frame.version > version),
    erasedTo: Math.max(entry.erasedTo, version),
    erasureSynced: entry.erasureSynced || entry.erasedTo <= version,
  };
  return withoutDeadFrames(log);
}

/** A partial log that L3 lacks nothing of is worth nothing: L3 has to be asked all the same. */
function withoutDeadFrames(log: StoredLog): StoredLog | undefined {
  const pending = log.pending && !isLogSynced(log);
  if (log.partial && !pending) return undefined;
  return { ...log, tombstone: log.frames.length === 0, pending };
}
