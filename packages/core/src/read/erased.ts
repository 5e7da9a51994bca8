/**
 * A floor that L3 no longer confirms: this process wrote past L2, keeps the write until L2 knows of
 * it, and meanwhile somebody erased its scope, who could not tell this process. Pure.
 *
 * L3 had it before it was asked (*synced*), and its answer lacks it: it is gone, from the answer and
 * from the floor. What may happen while L3 is being asked:
 *
 *   a `set` or `append` here is acknowledged   it was not synced before: it stays, and is answered.
 *   something unsynced is flushed              L3 may have answered just before: it stays, for now.
 *   L2 confirms, the outbox lets go            L3 lacks it all the same: it is left out of what was
 *                                              held before the question, too.
 *   a batch of reads had left already          nobody joins one that has (coalesce.ts).
 *
 * A deletion says what L3 says, and stays: L2 may still hold what it deleted.
 */
import type { LogItem } from '../model/entry.ts';
import type { Known } from '../model/known.ts';

/** What L3 had and, by this row, has no more. */
export function goneFrom(row: Known | undefined, synced: Known | undefined): Known | undefined {
  if (synced?.kind === 'value') {
    return row === undefined && synced.payload !== undefined ? synced : undefined;
  }
  if (synced === undefined) return undefined;
  const items = itemsWithout(synced.items, row?.kind === 'log' ? row.items : []);
  return items.length === 0 ? undefined : { ...synced, items, erasedTo: 0 };
}

/** What is left of what was held, of the same key. */
export function without(held: Known | undefined, gone: Known): Known | undefined {
  if (held?.kind !== 'log' || gone.kind !== 'log') return undefined;
  return { ...held, items: itemsWithout(held.items, gone.items) };
}

function itemsWithout(items: readonly LogItem[], others: readonly LogItem[]): readonly LogItem[] {
  const ids = new Set(others.map(({ id }) => id));
  return items.filter(({ id }) => !ids.has(id));
}
