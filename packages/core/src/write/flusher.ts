/**
 * Brings acknowledged writes to L3, in batches, and tells L2 what L3 has.
 *
 * One key on its way:
 *   collect   the outbox's write; L2's pending entry too, where a log is flushed (whoever flushes
 *             a log sends every frame that L3 lacks, a dead process's included) or where the
 *             key is adopted.
 *   send      one call per batch and kind; L3 answers per row. No answer: all of it stays. What
 *             can't be sent at all is found and kept as a dead letter (sender.ts).
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
import type { LogItem, LogWrite, ValueWrite } from '../model/entry.ts';
import { type Address, type AddressId, addressOfId } from '../model/key.ts';
import { isLive, uniteNewest } from '../model/known.ts';
import type { DurableLetters } from '../tiers/letters.ts';
import type { DurableTier, SharedEntry, SharedTier } from '../tiers/tier.ts';
import { type AnswerParts, type Row, releasesOfLog, releasesOfValue } from './answers.ts';
import { idOf, type Release, tell } from './release.ts';
import { type Answered, Sender } from './sender.ts';

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

const OUTCOMES = ['applied', 'superseded', 'refused', 'erased', 'expired', 'failed'] as const;
export type RowOutcome = (typeof OUTCOMES)[number];

export interface FlusherParts extends AnswerParts {
  readonly clock: Clock;
  readonly durable: DurableTier;
  readonly letters: Pick<DurableLetters, 'keepUnsent'>;
  readonly batchSize: number;
  readonly concurrency: number;
  readonly onRows: (outcome: RowOutcome, rows: number) => void;
}

/**
 * How a flush talks to L2: `undefined` where it is bypassed. `mark`: outside healthy operation.
 * Neither: there is no L2.
 */
export interface FlushVia {
  readonly shared: SharedTier | undefined;
  readonly mark: boolean;
}

/** How long an adopter leaves a row alone that L3 refused. */
const REFUSED_MS = 60_000;
const MAX_REFUSED = 10_000;

export class Flusher {
  readonly #refused = new Map<AddressId, number>();
  /** Letters that were told of: a write that is refused again and again is news once. */
  readonly #told = new Set<string>();
  readonly #sender: Sender;
  readonly #parts: FlusherParts;
  readonly #queue: PQueue;
  readonly #busy = new Map<AddressId, Promise<unknown>>();

  constructor(parts: FlusherParts) {
    this.#parts = parts;
    this.#sender = new Sender(parts);
    this.#queue = new PQueue({ concurrency: parts.concurrency });
  }

  get inFlight(): number {
    return this.#busy.size;
  }

  /**
   * Flushes these keys: what the outbox holds of them and, where `adopt`, what L2 holds pending.
   * Where L3 turns out to be away, what has not been sent by then is not tried any more.
   */
  async flush(ids: readonly AddressId[], via: FlushVia, adopt = false): Promise<FlushReport> {
    let report = NOTHING_FLUSHED;
    const batches: Promise<void>[] = [];
    const since = this.#parts.clock.monotonic();
    for (let start = 0; start < ids.length; start += this.#parts.batchSize) {
      const batch = ids.slice(start, start + this.#parts.batchSize);
      const run = async () => {
        if (this.#sender.isAwaySince(since)) {
          report = addReports(report, { ...NOTHING_FLUSHED, failed: batch.length });
          return;
        }
        // Awaited before `report` is looked at: the other batches add to it meanwhile.
        const done = await this.#alone(batch, () => this.#batch(batch, via, adopt));
        report = addReports(report, done);
      };
      // A barrier, or an update that waits for one key, does not queue behind a whole drain.
      batches.push(this.#queue.add(run, { priority: ids.length > this.#parts.batchSize ? 0 : 1 }));
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
    // What the journal alone held is not in L2, which may go on showing something older.
    const isAside = (id: AddressId) => this.#parts.outbox.isAside(id);
    const marked = (id: AddressId) => via.mark || (via.shared !== undefined && isAside(id));
    const [applied, inserted] = await Promise.all([
      this.#sender.apply(values, marked),
      this.#sender.insert(logs, marked),
    ]);
    const releases = [
      ...applied.flatMap(({ row, reply }) => releasesOfValue(this.#parts, row, reply)),
      ...inserted.flatMap(({ row, reply }) => releasesOfLog(this.#parts, row, reply)),
    ];
    await this.#release(releases, via);
    const ms = this.#parts.clock.monotonic() - start;
    return this.#tally([...applied, ...inserted], ms);
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
      const log = own?.kind === 'log' ? uniteNewest(theirs, own) : theirs;
      if (log !== undefined) logs.push({ id, write: log, unproven: false });
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
    const gone: Address[] = [];
    const asked = adopt ? ids : ids.filter((id) => this.#parts.outbox.toFlush(id)?.kind === 'log');
    if (shared === undefined || asked.length === 0) return entries;
    try {
      const reads = await shared.read(asked.map(addressOfId));
      for (const [index, { entry }] of reads.entries()) {
        const id = asked[index];
        if (id === undefined) continue;
        if (entry?.pending === true) entries.set(id, entry);
        if (entry === undefined) gone.push(addressOfId(id));
      }
      // Still in the pending index, but not there: evicted, or removed by hand.
      if (adopt && gone.length > 0) await shared.forget(gone);
    } catch {
      // The breaker counts it; own writes are flushed all the same.
    }
    return entries;
  }

  /** A `create` made while L3 was away may overwrite a record that was there: somebody should know. */
  async #prove(values: readonly Row<ValueWrite>[]): Promise<void> {
    const unproven = values.filter((row) => row.unproven);
    if (unproven.length === 0) return;
    const addresses = unproven.map(({ write }) => write.address);
    const read = await this.#answers(unproven, () => this.#parts.durable.read(addresses));
    for (const { row, reply: there } of read) {
      const { write } = row;
      if (there === undefined || there.intent === write.intent) continue;
      if (!isLive(there, this.#parts.clock.now())) continue;
      this.#parts.events.emit({ type: 'create-overwrote', namespace: write.address.namespace });
    }
  }

  /** No reply for any row where L3 did not answer. */
  async #answers<W, R>(
    rows: readonly Row<W>[],
    ask: () => Promise<readonly R[]>,
  ): Promise<Answered<W, R>[]> {
    if (rows.length === 0) return [];
    const replies = await ask().catch(() => []);
    return rows.map((row, index) => ({ row, reply: replies[index] }));
  }

  /** Tells L2; what it does not confirm is marked, so that somebody tells it later. */
  async #release(releases: readonly Release[], via: FlushVia): Promise<void> {
    if (via.shared === undefined && !via.mark) {
      // There is no L2 that would have to be told.
      for (const release of releases) release.done();
      return;
    }
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

  #tally(
    answered: readonly {
      readonly row: Row<ValueWrite | LogWrite>;
      readonly reply: { readonly status: string } | undefined;
    }[],
    ms: number,
  ): FlushReport {
    if (answered.length === 0) return NOTHING_FLUSHED;
    const rows = { applied: 0, superseded: 0, refused: 0, erased: 0, expired: 0, failed: 0 };
    for (const { row, reply } of answered) {
      const outcome = OUTCOMES.find((one) => one === (reply?.status ?? 'failed'));
      if (outcome !== undefined) rows[outcome] += 1;
      if (outcome === 'refused') this.#wasRefused(row);
    }
    for (const outcome of OUTCOMES) {
      if (rows[outcome] > 0) this.#parts.onRows(outcome, rows[outcome]);
    }
    this.#parts.events.emit({ type: 'flush', ...rows, ms });
    const flushed = rows.applied + rows.superseded + rows.erased;
    return { flushed, refused: rows.refused + rows.expired, failed: rows.failed };
  }

  /** L3 refused it a moment ago: an adopter that asks again gets the same answer. */
  isRefused(id: AddressId): boolean {
    const at = this.#refused.get(id);
    return at !== undefined && this.#parts.clock.monotonic() - at < REFUSED_MS;
  }

  #wasRefused({ id, write }: Row<ValueWrite | LogWrite>): void {
    this.#refused.delete(id);
    this.#refused.set(id, this.#parts.clock.monotonic());
    const oldest = this.#refused.keys().next();
    if (this.#refused.size > MAX_REFUSED && !oldest.done) this.#refused.delete(oldest.value);
    const stamp = write.kind === 'value' ? write.intent : write.items[0]?.id;
    const letter = `${stamp} ${id}`;
    if (this.#told.has(letter)) return;
    this.#told.add(letter);
    const first = this.#told.keys().next();
    if (this.#told.size > MAX_REFUSED && !first.done) this.#told.delete(first.value);
    const { namespace } = write.address;
    this.#parts.events.emit({ type: 'dead-letter', namespace, why: 'refused' });
  }
}

/** The frames and the deletion of a pending log that L3 has not been told of. */
function lackedByL3(entry: SharedEntry & { readonly kind: 'log' }): LogWrite {
  const items: LogItem[] = entry.items.filter((item) => !item.synced);
  const { address, scope } = entry;
  return { kind: 'log', address, items, erasedTo: entry.erasureSynced ? 0 : entry.erasedTo, scope };
}
