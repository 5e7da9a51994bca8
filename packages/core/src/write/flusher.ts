/**
 * Brings acknowledged writes to L3, in batches, and tells L2 what L3 has.
 *
 * One key on its way:
 *   collect   the outbox's write; L2's pending entry too, where a log is flushed (whoever flushes
 *             a log sends every frame that L3 lacks, a dead process's included) or where the
 *             key is adopted.
 *   send      one call per batch and kind; L3 answers per row. No answer: all of it stays.
 *   release   applied → settle · superseded → drop · erased, expired → purge · refused → parked
 *             here and pending in L2, because L3 keeps it as a dead letter.
 *   confirm   L2 did it: the outbox lets go. It did not: the same write again with a bypass mark,
 *             and the outbox keeps it as synced until L2 is repaired.
 *
 * Invariants: one flush of a key at a time; what was not confirmed is marked before it counts
 * as synced; outside healthy operation every write carries a mark from the start.
 */
import PQueue from 'p-queue';
import type { Clock } from '../clock.ts';
import type { EventHub } from '../events.ts';
import type { LogItem, LogWrite, ValueWrite } from '../model/entry.ts';
import { type AddressId, addressOfId } from '../model/key.ts';
import { isLive, unite } from '../model/known.ts';
import type {
  ApplyReply,
  DurableTier,
  InsertReply,
  SharedEntry,
  SharedSettle,
  SharedTier,
} from '../tiers/tier.ts';
import type { Outbox } from './outbox.ts';
import { idOf, type Release, tell } from './release.ts';

export interface FlushReport {
  /** Rows that L3 has now, or something newer than them. */
  readonly flushed: number;
  /** Rows that L3 refuses: dead letters. */
  readonly refused: number;
  /** Rows that L3 did not answer for; they stay pending. */
  readonly failed: number;
}

export const NOTHING_FLUSHED: FlushReport = { flushed: 0, refused: 0, failed: 0 };

export function addReports(a: FlushReport, b: FlushReport): FlushReport {
  return {
    flushed: a.flushed + b.flushed,
    refused: a.refused + b.refused,
    failed: a.failed + b.failed,
  };
}

export type RowOutcome = 'applied' | 'superseded' | 'refused' | 'erased' | 'expired' | 'failed';

export interface FlusherParts {
  readonly clock: Clock;
  readonly outbox: Outbox;
  readonly durable: DurableTier;
  readonly events: EventHub;
  readonly batchSize: number;
  readonly concurrency: number;
  readonly onRows: (outcome: RowOutcome, rows: number) => void;
  readonly observe: (version: number) => void;
}

/** How a flush talks to L2: `undefined` where it is bypassed. `mark`: outside healthy operation. */
export interface FlushVia {
  readonly shared: SharedTier | undefined;
  readonly mark: boolean;
}

interface Row<W> {
  readonly id: AddressId;
  readonly write: W;
  /** L2 holds it as a `create` that nobody could prove. */
  readonly unproven: boolean;
}

export class Flusher {
  readonly #parts: FlusherParts;
  readonly #queue: PQueue;
  readonly #busy = new Map<AddressId, Promise<unknown>>();

  constructor(parts: FlusherParts) {
    this.#parts = parts;
    this.#queue = new PQueue({ concurrency: parts.concurrency });
  }

  get inFlight(): number {
    return this.#busy.size;
  }

  /** Flushes these keys: what the outbox holds of them and, where `adopt`, what L2 holds pending. */
  async flush(ids: readonly AddressId[], via: FlushVia, adopt = false): Promise<FlushReport> {
    let report = NOTHING_FLUSHED;
    const batches: Promise<void>[] = [];
    for (let start = 0; start < ids.length; start += this.#parts.batchSize) {
      const batch = ids.slice(start, start + this.#parts.batchSize);
      const run = async () => {
        // Awaited before `report` is looked at: the other batches add to it meanwhile.
        const done = await this.#alone(batch, () => this.#batch(batch, via, adopt));
        report = addReports(report, done);
      };
      batches.push(this.#queue.add(run));
    }
    await Promise.all(batches);
    return report;
  }

  /** Waits for flushes of the same keys, then holds them. */
  async #alone(ids: readonly AddressId[], run: () => Promise<FlushReport>): Promise<FlushReport> {
    let others = ids.flatMap((id) => this.#busy.get(id) ?? []);
    while (others.length > 0) {
      await Promise.allSettled(others);
      others = ids.flatMap((id) => this.#busy.get(id) ?? []);
    }
    const work = run();
    for (const id of ids) this.#busy.set(id, work);
    try {
      return await work;
    } finally {
      for (const id of ids) this.#busy.delete(id);
    }
  }

  async #batch(ids: readonly AddressId[], via: FlushVia, adopt: boolean): Promise<FlushReport> {
    const start = this.#parts.clock.monotonic();
    const { values, logs } = await this.#collect(ids, via, adopt);
    await this.#prove(values);
    const [applied, inserted] = await Promise.all([
      this.#answers(values, () =>
        this.#parts.durable.apply(values.map(({ write }) => ({ write, mark: via.mark }))),
      ),
      this.#answers(logs, () =>
        this.#parts.durable.insert(logs.map(({ write }) => ({ write, mark: via.mark }))),
      ),
    ]);
    const releases = [
      ...values.flatMap((row, index) => this.#ofValue(row, applied[index])),
      ...logs.flatMap((row, index) => this.#ofLog(row, inserted[index])),
    ];
    await this.#release(releases, via);
    return this.#tally([...applied, ...inserted], this.#parts.clock.monotonic() - start);
  }

  async #collect(ids: readonly AddressId[], via: FlushVia, adopt: boolean) {
    const values: Row<ValueWrite>[] = [];
    const logs: Row<LogWrite>[] = [];
    const entries = await this.#pendingEntries(ids, via.shared, adopt);
    for (const id of ids) {
      const own = this.#parts.outbox.toFlush(id);
      const entry = entries.get(id);
      if (own?.kind === 'value') {
        values.push({ id, write: own, unproven: this.#parts.outbox.isUnproven(id) });
      }
      if (entry?.kind === 'value' && (own?.kind !== 'value' || own.intent !== entry.write.intent)) {
        values.push({ id, write: entry.write, unproven: entry.unproven });
      }
      const theirs = entry?.kind === 'log' ? lackedByL3(entry) : undefined;
      const log = unite(theirs, own?.kind === 'log' ? own : undefined);
      if (log?.kind === 'log') logs.push({ id, write: log, unproven: false });
    }
    return { values, logs };
  }

  /** L2's pending entries, for logs and adopted keys. Where L2 does not say, the outbox's word is flushed. */
  async #pendingEntries(
    ids: readonly AddressId[],
    shared: SharedTier | undefined,
    adopt: boolean,
  ): Promise<Map<AddressId, SharedEntry>> {
    const entries = new Map<AddressId, SharedEntry>();
    const asked = adopt ? ids : ids.filter((id) => this.#parts.outbox.toFlush(id)?.kind === 'log');
    if (shared === undefined || asked.length === 0) return entries;
    try {
      const reads = await shared.read(asked.map(addressOfId));
      for (const [index, { entry }] of reads.entries()) {
        const id = asked[index];
        if (id !== undefined && entry?.pending === true) entries.set(id, entry);
      }
    } catch {
      // The breaker counts it; own writes are flushed all the same.
    }
    return entries;
  }

  /** A `create` made while L3 was away may overwrite a record that was there: somebody should know. */
  async #prove(values: readonly Row<ValueWrite>[]): Promise<void> {
    const unproven = values.filter((row) => row.unproven);
    if (unproven.length === 0) return;
    const rows = await this.#answers(unproven, () =>
      this.#parts.durable.read(unproven.map(({ write }) => write.address)),
    );
    for (const [index, { write }] of unproven.entries()) {
      const there = rows[index];
      if (there === undefined || there.intent === write.intent) continue;
      if (!isLive(there, this.#parts.clock.now())) continue;
      this.#parts.events.emit({ type: 'create-overwrote', namespace: write.address.namespace });
    }
  }

  /** `undefined` for every row that L3 did not answer for. */
  async #answers<W, R>(
    rows: readonly Row<W>[],
    ask: () => Promise<readonly R[]>,
  ): Promise<readonly (R | undefined)[]> {
    if (rows.length === 0) return [];
    try {
      return await ask();
    } catch {
      return rows.map(() => undefined);
    }
  }

  #ofValue(row: Row<ValueWrite>, reply: ApplyReply | undefined): Release[] {
    const { outbox, events } = this.#parts;
    const { id, write } = row;
    const { namespace } = write.address;
    switch (reply?.status) {
      case 'applied': {
        const settle: SharedSettle = {
          kind: 'value',
          address: write.address,
          version: write.version,
          intent: write.intent,
        };
        outbox.valueInL3(id, write);
        return [{ tell: 'settle', settle, done: () => outbox.confirmed(id, write) }];
      }
      case 'superseded': {
        this.#parts.observe(reply.newer.version);
        outbox.valueInL3(id, write);
        return [{ tell: 'drop', id, newer: reply.newer, done: () => outbox.discard(id, write) }];
      }
      case 'expired':
        events.emit({ type: 'dead-letter', namespace, why: 'expired' });
        return [
          { tell: 'purge', id, version: write.version, done: () => outbox.discard(id, write) },
        ];
      case 'erased':
        return [
          { tell: 'purge', id, version: write.version, done: () => outbox.discard(id, write) },
        ];
      case 'refused':
        events.emit({ type: 'dead-letter', namespace, why: 'refused' });
        outbox.park(id, write);
        return [];
      default:
        return [];
    }
  }

  #ofLog(row: Row<LogWrite>, reply: InsertReply | undefined): Release[] {
    const { outbox, events } = this.#parts;
    const { id, write } = row;
    switch (reply?.status) {
      case 'applied':
      case 'erased': {
        const dead = new Set(reply.status === 'erased' ? reply.dead : []);
        const versions = reply.versions;
        const items = write.items
          .map((item, index) => ({ id: item.id, version: versions[index] ?? item.version }))
          .filter((item) => !dead.has(item.id));
        outbox.itemsInL3(id, items, write.erasedTo);
        const settle: SharedSettle = {
          kind: 'log',
          address: write.address,
          items,
          erasedTo: write.erasedTo,
          others: reply.others,
        };
        const done = () =>
          outbox.itemsConfirmed(
            id,
            items.map((item) => item.id),
            write.erasedTo,
          );
        const releases: Release[] = [{ tell: 'settle', settle, done }];
        if (dead.size > 0) {
          const version = Math.max(
            ...write.items.filter((item) => dead.has(item.id)).map((item) => item.version),
          );
          releases.push({
            tell: 'purge',
            id,
            version,
            done: () => outbox.discard(id, { version, intent: 0 }),
          });
        }
        return releases;
      }
      case 'refused':
        events.emit({ type: 'dead-letter', namespace: write.address.namespace, why: 'refused' });
        outbox.park(id, undefined);
        return [];
      default:
        return [];
    }
  }

  /** Tells L2; what it does not confirm is marked, so that somebody tells it later. */
  async #release(releases: readonly Release[], via: FlushVia): Promise<void> {
    const unconfirmed = via.shared === undefined ? releases : await tell(releases, via.shared);
    // With `mark` the rows left their marks when they were written.
    if (unconfirmed.length === 0 || via.mark) return;
    const ids = [...new Set(unconfirmed.map(idOf))];
    const again = ids.flatMap((id) => this.#parts.outbox.toConfirm(id) ?? []);
    await Promise.allSettled([
      this.#parts.durable.apply(
        again.flatMap((write) => (write.kind === 'value' ? [{ write, mark: true }] : [])),
      ),
      this.#parts.durable.insert(
        again.flatMap((write) => (write.kind === 'log' ? [{ write, mark: true }] : [])),
      ),
    ]);
  }

  #tally(replies: readonly (ApplyReply | InsertReply | undefined)[], ms: number): FlushReport {
    if (replies.length === 0) return NOTHING_FLUSHED;
    const rows = { applied: 0, superseded: 0, refused: 0, erased: 0, expired: 0, failed: 0 };
    for (const reply of replies) {
      const status = reply?.status ?? 'failed';
      if (status !== 'exists') rows[status] += 1;
    }
    for (const outcome of [
      'applied',
      'superseded',
      'refused',
      'erased',
      'expired',
      'failed',
    ] as const) {
      if (rows[outcome] > 0) this.#parts.onRows(outcome, rows[outcome]);
    }
    this.#parts.events.emit({ type: 'flush', ...rows, ms });
    const flushed = rows.applied + rows.superseded + rows.erased + rows.expired;
    return { flushed, refused: rows.refused, failed: rows.failed };
  }

  async close(): Promise<void> {
    await this.#queue.onIdle();
  }
}

/** The frames and the deletion of a pending log that L3 has not been told of. */
function lackedByL3(entry: SharedEntry & { readonly kind: 'log' }): LogWrite {
  const items: LogItem[] = entry.items.filter((item) => !item.synced);
  const { address, scope } = entry;
  return { kind: 'log', address, items, erasedTo: entry.erasureSynced ? 0 : entry.erasedTo, scope };
}
