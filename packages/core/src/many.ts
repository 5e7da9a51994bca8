/** Batches of the public verbs. The round trips are shared further down, by the turn. */
import type { PreloadReport } from './calls.ts';
import { inChunks } from './chunks.ts';
import type { Address } from './model/key.ts';
import type { Found } from './read/lookup.ts';

/** The outcome of one key of a batch. */
export type Settled<T> =
  | { readonly status: 'fulfilled'; readonly value: T }
  | { readonly status: 'rejected'; readonly reason: unknown };

/** Runs all, waits for all, and says per key how it ended. */
export async function settleAll<E, T>(
  entries: Iterable<E>,
  keyOf: (entry: E) => string,
  run: (entry: E) => Promise<T>,
): Promise<ReadonlyMap<string, Settled<T>>> {
  const outcomes = new Map<string, Settled<T>>();
  const settle = async (entry: E) => {
    try {
      outcomes.set(keyOf(entry), { status: 'fulfilled', value: await run(entry) });
    } catch (reason) {
      outcomes.set(keyOf(entry), { status: 'rejected', reason });
    }
  };
  await Promise.all(Array.from(entries, settle));
  return outcomes;
}

/** Finds all of them and counts where they came from. Rejects where one can't be known. */
export async function preloadAll(
  addresses: readonly Address[],
  find: (address: Address) => Promise<Found<unknown>>,
): Promise<PreloadReport> {
  const tiers = { l2: 0, l3: 0, outbox: 0 };
  let missing = 0;
  // Pieces, so that a long list does not fill the queue that everybody's reads wait in.
  const all = await inChunks(addresses, (some) => Promise.all(some.map(find)));
  for (const found of all) {
    if (found.value === undefined) missing += 1;
    else if (found.tier !== 'l1') tiers[found.tier] += 1;
  }
  return { loaded: addresses.length - missing, missing, tiers };
}
