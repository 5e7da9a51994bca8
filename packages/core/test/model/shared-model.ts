/**
 * The semantics of L2's scripts, command by command: a plain, synchronous Redis in memory.
 * The simulator runs on it, and the real scripts are held against it with random commands.
 *
 * Every command takes the epoch that it was sent under first and has no effect under another.
 * What it did is published as part of it.
 *
 * The protected methods are the rules, one by one, so that a simulator can leave one out.
 */
import type { LogItem, LogWrite, ValueWrite } from '../../src/model/entry.ts';
import { type Address, addressOfId } from '../../src/model/key.ts';
import { compareStamps, type Stamp } from '../../src/model/version.ts';
import type * as tier from '../../src/tiers/tier.ts';
import * as logs from './shared-logs.ts';
import { type BusMessage, type Live, SharedServer } from './shared-server.ts';
import { type Stored, type StoredLog, type StoredValue, viewOf } from './stored.ts';

export class SharedModel extends SharedServer {
  // ------------------------------------------------------------ reading

  read(epoch: number, address: Address, now: number): tier.SharedRead | 'epoch' {
    const meta = this.metaOf(epoch, address);
    if (meta === undefined) return 'epoch';
    const stored = this.stored(address, now);
    const entry = stored && viewOf(stored, meta.epoch, this.isLive(stored, meta));
    return { entry, meta: { epoch: meta.epoch, cut: meta.cut } };
  }

  /** From all shards, oldest first. `total` counts all that is pending, however young. */
  pending(before: number, limit: number): Awaited<ReturnType<tier.SharedTier['pending']>> {
    const all = [...this.index].sort(([a, x], [b, y]) => x - y || (a < b ? -1 : 1));
    const due = all.filter(([, since]) => since <= before).slice(0, limit);
    return {
      addresses: due.map(([id]) => addressOfId(id)),
      total: all.length,
      oldest: all[0]?.[1],
    };
  }

  // ------------------------------------------------------------ writing

  /** A value, or the deletion of a log (`write.kind` is `log`, no items, `erasedTo` its version). */
  put(epoch: number, put: tier.SharedPut, now: number): tier.PutReply {
    const { write } = put;
    if (write.kind === 'log') return this.#deleteLog(epoch, write, now);
    const meta = this.metaOf(epoch, write.address);
    if (meta === undefined) return { status: 'epoch' };
    const stored = this.stored(write.address, now);
    const entry = this.live(stored, meta);
    if (entry?.kind === 'value' && compareStamps(entry, write) === 0) return { status: 'held' };
    if (isForeign(stored) || entry?.kind === 'log') return { status: 'foreign' };
    const floor = this.floor(entry, meta);
    if (write.version <= floor) return { status: 'too-low', floor };
    const { create } = put;
    if (create !== undefined) {
      if (entry !== undefined && !isGone(entry, now)) return { status: 'exists' };
      if (isOfAnother(create, meta) || this.hasMoved(create.cut, meta)) return { status: 'moved' };
    }
    const unproven = create !== undefined && !create.proven;
    this.setValue(write, meta, { pending: true, unproven }, now);
    this.publish({
      version: write.version,
      intent: write.intent,
      kind: 'value',
      address: write.address,
    });
    return { status: 'held' };
  }

  #deleteLog(epoch: number, write: LogWrite, now: number): tier.PutReply {
    const { address, erasedTo } = write;
    const meta = this.metaOf(epoch, address);
    if (meta === undefined) return { status: 'epoch' };
    const stored = this.stored(address, now);
    const entry = this.live(stored, meta);
    if (entry?.kind === 'log' && entry.erasedTo === erasedTo) return { status: 'held' };
    if (isForeign(stored) || entry?.kind === 'value') return { status: 'foreign' };
    const floor = this.floor(entry, meta);
    if (erasedTo <= floor) return { status: 'too-low', floor };
    this.setLog(logs.tombstone(write, meta.epoch), now);
    this.publish({ version: erasedTo, intent: 0, kind: 'log', address });
    return { status: 'held' };
  }

  /** No items and `erasedTo` above 0 is the log's deletion, as in {@link put}. */
  append(epoch: number, append: tier.SharedAppend, now: number): tier.AppendReply {
    const { write, create } = append;
    if (write.items.length === 0 && write.erasedTo > 0) {
      const reply = this.put(epoch, { write }, now);
      return reply.status === 'held' ? { status: 'held', versions: [] } : reply;
    }
    const meta = this.metaOf(epoch, write.address);
    if (meta === undefined) return { status: 'epoch' };
    const stored = this.stored(write.address, now);
    const entry = this.live(stored, meta);
    if (isForeign(stored) || entry?.kind === 'value') return { status: 'foreign' };
    if (create !== undefined) {
      if (entry !== undefined && !entry.tombstone) return { status: 'exists' };
      if (isOfAnother(create, meta) || this.hasMoved(create.cut, meta)) return { status: 'moved' };
    }
    const base = entry ?? logs.fresh(write, meta.epoch, create);
    const floor = Math.max(this.cutOf(meta, entry), base.erasedTo);
    const known = new Set(entry?.frames.map((frame) => frame.id));
    const isLow = (item: LogItem): boolean => !known.has(item.id) && item.version <= floor;
    if (write.items.some(isLow)) return { status: 'too-low', floor };
    const { frames, versions } = logs.added(base.frames, base.version, write.items);
    if (frames.length > base.frames.length) {
      const partial = base.partial || base.epoch !== meta.epoch;
      const log = { ...base, frames, partial, epoch: meta.epoch, tombstone: false, pending: true };
      this.setLog(log, now);
      this.publish({
        version: Math.max(...versions),
        intent: 0,
        kind: 'log',
        address: write.address,
      });
    } else if (create !== undefined && entry === undefined) {
      this.setLog({ ...base, pending: false, tombstone: true }, now);
    }
    return { status: 'held', versions };
  }

  // ------------------------------------------------------------ copying up

  backfill(epoch: number, fill: tier.SharedBackfill, now: number): tier.BackfillReply {
    const { write } = fill;
    const meta = this.metaOf(epoch, write.address);
    if (meta === undefined) return 'epoch';
    if (isOfAnother(fill, meta) || this.isFillLate(fill.cut, meta)) return 'refused';
    const stored = this.stored(write.address, now);
    const entry = this.live(stored, meta);
    if (stored?.kind === 'foreign' || (entry && entry.kind !== write.kind)) return 'refused';
    if (write.kind === 'value') {
      if (entry && (entry.pending || compareStamps(entry, write) >= 0)) return 'refused';
      this.setValue(write, meta, { pending: false, unproven: false }, now);
      return 'held';
    }
    if (write.items.length === 0 && write.erasedTo === 0) return 'refused';
    if (entry?.kind !== 'log' || !entry.pending) {
      if (entry?.kind === 'log' && !entry.partial) return 'refused';
      this.setLog(logs.settledCopy(write, meta.epoch), now);
      return 'held';
    }
    if (!entry.partial && entry.epoch === meta.epoch) return 'refused';
    this.setLog(logs.united(entry, write, meta.epoch), now);
    return 'held';
  }

  /** The only one that writes a settled value other than a backfill. L3 compared and set it. */
  putSettled(epoch: number, write: ValueWrite, now: number): tier.ReleaseReply {
    const { address } = write;
    const meta = this.metaOf(epoch, address);
    if (meta === undefined) return 'epoch';
    const isPast = this.isCutPast(write.version, meta);
    this.release(address, write.version);
    const stored = this.stored(address, now);
    const entry = this.live(stored, meta);
    if (isForeign(stored) || entry?.kind === 'log') return 'done';
    if (entry !== undefined && compareStamps(entry, write) >= 0) return 'done';
    if (isPast) {
      // Whether pending or not: L3 holds something newer than what is here.
      if (entry !== undefined) this.remove(address);
    } else {
      this.setValue(write, meta, { pending: false, unproven: false }, now);
    }
    this.publish({ version: write.version, intent: write.intent, kind: 'value', address });
    return 'done';
  }

  // ------------------------------------------------------------ releasing

  settle(epoch: number, settle: tier.SharedSettle, now: number): tier.ReleaseReply {
    const { address } = settle;
    if (this.metaOf(epoch, address) === undefined) return 'epoch';
    if (settle.kind === 'log') return this.#settleLog(settle, now);
    this.release(address, settle.version);
    const entry = this.stored(address, now);
    const { version, intent } = settle;
    const message: BusMessage = { version, intent, kind: 'value', address };
    if (entry?.kind === 'value' && this.isSettled(entry, settle)) {
      const evictAt = this.evictAt(entry.write.expiresAt, now);
      this.entries.set(address.id, { ...entry, pending: false, unproven: false, evictAt });
      this.index.delete(address.id);
      if (entry.write.payload === undefined) this.publish(message);
      return 'done';
    }
    if (entry?.kind === 'value' && this.isOlder(entry, settle)) this.remove(address);
    this.publish(message);
    return 'done';
  }

  #settleLog(settle: Extract<tier.SharedSettle, { kind: 'log' }>, now: number): 'done' {
    const { address, items, erasedTo } = settle;
    const version = items.reduce((highest, item) => Math.max(highest, item.version), erasedTo);
    this.release(address, version);
    const entry = this.stored(address, now);
    if (entry?.kind === 'log') {
      const log = this.settledLog(entry, settle);
      if (log === undefined) this.remove(address);
      else this.setLog(log, now);
    }
    this.publish({ version, intent: 0, kind: 'log', address });
    return 'done';
  }

  drop(
    epoch: number,
    drop: { readonly address: Address; readonly newer: Stamp },
    now: number,
  ): tier.ReleaseReply {
    const { address, newer } = drop;
    if (this.metaOf(epoch, address) === undefined) return 'epoch';
    this.releaseDropped(address, newer);
    const entry = this.stored(address, now);
    if (entry?.kind === 'value' && compareStamps(entry, newer) < 0) {
      this.remove(address);
      this.publish({ version: newer.version, intent: newer.intent, kind: 'value', address });
    }
    return 'done';
  }

  repair(
    epoch: number,
    repair: Parameters<tier.SharedTier['repair']>[0][number],
    now: number,
  ): tier.RepairReply {
    const { address, kind, stamp } = repair;
    if (this.metaOf(epoch, address) === undefined) return 'epoch';
    this.release(address, stamp.version);
    const entry = this.stored(address, now);
    let reply: tier.RepairReply = 'done';
    if (kind === 'log' && entry?.kind === 'log') {
      if (entry.pending) this.entries.set(address.id, { ...entry, partial: true });
      else this.remove(address);
    } else if (kind === 'value' && entry !== undefined && isBehind(entry, stamp)) {
      if (entry.kind !== 'garbage' && entry.pending) reply = 'pending';
      else this.remove(address);
    }
    const { version, intent } = stamp;
    this.publish({ version, intent, kind, address });
    return reply;
  }

  /** The settled copy goes, readable or not; a pending one stays. The cut stays. */
  forget(epoch: number, address: Address, now: number): tier.ReleaseReply {
    if (this.metaOf(epoch, address) === undefined) return 'epoch';
    const entry = this.stored(address, now);
    if (entry !== undefined && (entry.kind === 'garbage' || !entry.pending)) this.remove(address);
    const kind = entry?.kind === 'log' ? 'log' : 'value';
    this.publish({ version: 0, intent: 0, kind, address });
    return 'done';
  }

  purge(
    epoch: number,
    purge: { readonly address: Address; readonly version: number },
    now: number,
  ): tier.ReleaseReply {
    const { address, version } = purge;
    if (this.metaOf(epoch, address) === undefined) return 'epoch';
    this.release(address, version);
    const entry = this.stored(address, now);
    if (entry?.kind === 'log' && entry.version > version) {
      const left = logs.purged(entry, version);
      if (left === undefined) this.remove(address);
      else this.setLog(left, now);
    } else if (entry !== undefined && (entry.kind === 'garbage' || entry.version <= version)) {
      this.remove(address);
    }
    // Whatever its intent: everything up to here is gone.
    const intent = Number.MAX_SAFE_INTEGER;
    this.publish({ version, intent, kind: entry?.kind === 'log' ? 'log' : 'value', address });
    return 'done';
  }

  // ------------------------------------------------------------ the rules

  /** No version at or below it is accepted, entry present or not. */
  protected floor(entry: Live, meta: tier.ShardMeta): number {
    return Math.max(this.cutOf(meta, entry), entry?.version ?? 0);
  }

  protected cutOf(meta: tier.ShardMeta, _entry: Live): number {
    return meta.cut;
  }

  protected hasMoved(cut: number, meta: tier.ShardMeta): boolean {
    return cut !== meta.cut;
  }

  protected isFillLate(cut: number, meta: tier.ShardMeta): boolean {
    return cut !== meta.cut;
  }

  /** Something at least as new was released here, so that this one may be the older of two. */
  protected isCutPast(version: number, meta: tier.ShardMeta): boolean {
    return version <= meta.cut;
  }

  protected release(address: Address, version: number): void {
    this.raiseCut(this.shardOf(address), version);
  }

  protected releaseDropped(address: Address, newer: Stamp): void {
    this.release(address, newer.version);
  }

  protected isSettled(entry: StoredValue, settle: Stamp): boolean {
    return compareStamps(entry, settle) === 0;
  }

  protected isOlder(entry: StoredValue, settle: Stamp): boolean {
    return compareStamps(entry, settle) < 0;
  }

  protected settledLog(
    entry: StoredLog,
    settle: Extract<tier.SharedSettle, { kind: 'log' }>,
  ): StoredLog | undefined {
    return logs.settled(entry, settle);
  }
}

function isForeign(stored: Stored | undefined): boolean {
  return stored?.kind === 'foreign' && stored.pending;
}

/** Deleted, or past its own life. */
function isGone(entry: StoredValue | StoredLog, now: number): boolean {
  if (entry.kind === 'log') return entry.tombstone;
  const { payload, expiresAt } = entry.write;
  return payload === undefined || (expiresAt > 0 && expiresAt <= now);
}

function isBehind(stored: Stored, stamp: Stamp): boolean {
  if (stored.kind === 'garbage') return true;
  return stored.kind !== 'log' && compareStamps(stored, stamp) < 0;
}

/** Quoted from a read under another epoch: there, a cut says nothing. */
function isOfAnother(ticket: tier.ShardTicket, meta: tier.ShardMeta): boolean {
  return ticket.epoch !== undefined && ticket.epoch !== meta.epoch;
}
