/**
 * Brings L2 up to date with writes that went around it.
 *
 * Such a write left a bypass mark in L3, in its own transaction. One instance of the fleet (a
 * lease in Redis; losing it costs double work, nothing else) reads the marks every second and
 * repairs; a breaker's trial repairs before it closes. A mark is deleted by its id, after L2
 * confirmed, page by page, so that an outage of any length costs bounded memory, and marks that
 * stay cost those behind them one reading. What is left meanwhile is for the next round.
 *
 * A pending entry that is older than the mark is flushed first: L3 answers superseded, and the
 * drop takes it away. One that this build can't read stays as it is, and so does its mark, for an
 * instance that can; it holds up nobody else. So does a mark of a key whose server is away, while
 * those of others answer.
 */

import { inChunks } from '../chunks.ts';
import type { Clock } from '../clock.ts';
import { UnavailableError } from '../errors.ts';
import type { EventHub } from '../events.ts';
import type { AddressId } from '../model/key.ts';
import { type Known, stampOf } from '../model/known.ts';
import { compareStamps } from '../model/version.ts';
import type { BypassMark, DurableTier, SharedTier } from '../tiers/tier.ts';
import type { Flusher } from './flusher.ts';
import type { Outbox } from './outbox.ts';

const MARKS_AT_ONCE = 500;

export interface RepairParts {
  readonly clock: Clock;
  readonly outbox: Outbox;
  readonly flusher: Flusher;
  readonly durable: DurableTier;
  readonly events: EventHub;
}

type Target = Pick<BypassMark, 'address' | 'kind' | 'stamp'>;

interface Left {
  readonly target: Target;
  readonly reply: 'pending' | 'away';
}

export class Repair {
  readonly #parts: RepairParts;

  constructor(parts: RepairParts) {
    this.#parts = parts;
  }

  /** Everybody's marks. Rejects where L2 or L3 did not answer. */
  async marks(shared: SharedTier): Promise<number> {
    const { durable, clock, events } = this.#parts;
    const start = clock.monotonic();
    let repaired = 0;
    for (let after: number | undefined; ; ) {
      const page = await durable.marks(MARKS_AT_ONCE, after);
      const left = await this.#repair(shared, newestPerKey(page));
      const done = page.filter(({ address }) => !left.has(address.id));
      if (done.length > 0) await durable.unmark(done.map((mark) => mark.id));
      repaired += done.length;
      if (page.length < MARKS_AT_ONCE) break;
      after = page.at(-1)?.id;
    }
    if (repaired > 0) {
      events.emit({ type: 'repaired', marks: repaired, ms: clock.monotonic() - start });
    }
    return repaired;
  }

  /** Own writes that L3 has and L2 has not confirmed: the floor under them is lifted. */
  async own(shared: SharedTier): Promise<void> {
    const { outbox } = this.#parts;
    const waiting = outbox.unconfirmed().flatMap((id) => outbox.toConfirm(id) ?? []);
    if (waiting.length === 0) return;
    const targets = waiting.map((known) => ({
      address: known.address,
      kind: known.kind,
      stamp: stampOf(known),
    }));
    const left = await this.#repair(shared, targets);
    const told = waiting.filter(({ address }) => !left.has(address.id));
    const unaware = await this.#tellDeletions(shared, told);
    for (const known of told) {
      if (unaware.has(known.address.id)) continue;
      if (known.kind === 'value') outbox.confirmed(known.address.id, known);
      else outbox.itemsConfirmed(known.address.id, known.items, known.erasedTo);
    }
  }

  /**
   * A log that was made partial by its repair still has the items that are deleted in L3, and
   * would answer an append of one of them that it is there. The keys that were not told.
   */
  async #tellDeletions(
    shared: SharedTier,
    told: readonly Known[],
  ): Promise<ReadonlySet<AddressId>> {
    const deletions = told.flatMap((known) =>
      known.kind === 'log' && known.erasedTo > 0
        ? [{ address: known.address, version: known.erasedTo }]
        : [],
    );
    if (deletions.length === 0) return new Set();
    const replies = await inChunks(deletions, (some) => shared.purge(some));
    const unaware = deletions.filter((_, index) => replies[index] !== 'done');
    return new Set(unaware.map(({ address }) => address.id));
  }

  /** The keys that stay as they are: something older is pending there that nobody here can flush. */
  async #repair(shared: SharedTier, targets: readonly Target[]): Promise<ReadonlySet<AddressId>> {
    if (targets.length === 0) return new Set();
    const first = await this.#once(shared, targets);
    const pending = first.flatMap(({ target, reply }) => (reply === 'pending' ? [target] : []));
    const away = first.flatMap(({ target, reply }) => (reply === 'away' ? [target] : []));
    if (pending.length === 0) return new Set(away.map(({ address }) => address.id));
    const ids = pending.map(({ address }) => address.id);
    const report = await this.#parts.flusher.flush(ids, { shared, mark: false }, true);
    if (report.failed > 0) {
      throw new UnavailableError(`Supabase does not take ${report.failed} rows that wait in Redis`);
    }
    const stubborn = await this.#once(shared, pending);
    const left = [...away, ...stubborn.map(({ target }) => target)];
    return new Set(left.map(({ address }) => address.id));
  }

  /** What is still pending with something older than its mark, or could not be asked for. */
  async #once(shared: SharedTier, targets: readonly Target[]): Promise<readonly Left[]> {
    const replies = await inChunks(targets, (some) => shared.repair(some));
    if (replies.includes('epoch')) {
      throw new UnavailableError('Redis changed its epoch during a repair');
    }
    return targets.flatMap((target, index) => {
      const reply = replies[index];
      return reply === 'pending' || reply === 'away' ? [{ target, reply }] : [];
    });
  }
}

/**
 * The newest of each key; and beside it every one that speaks of what an operator decided, or of an
 * erasure: whoever has just that version parked waits to hear of it.
 */
function newestPerKey(marks: readonly BypassMark[]): readonly Target[] {
  const newest = new Map<string, Target>();
  for (const mark of marks) {
    const { address, stamp } = mark;
    const isDecision = stamp.intent === Number.MAX_SAFE_INTEGER;
    const name = isDecision ? `${stamp.version} ${address.id}` : address.id;
    const there = newest.get(name);
    if (there === undefined || compareStamps(there.stamp, stamp) < 0) newest.set(name, mark);
  }
  return [...newest.values()];
}
