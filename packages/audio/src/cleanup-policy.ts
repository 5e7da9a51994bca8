/**
 * Which clips go first when room is made. Pure: the same entries and the same time give the same
 * order, on every instance, after every restart, whatever order the entries come in.
 *
 *   ranks     the weights of the hotel agent's audio cache (2025-10-07): age 70 %, use 30 %, a
 *             protecting factor by content type, size where those are equal. Over percentile
 *             ranks, with age since the last access. The default.
 *   gdsf      GreedyDual-Size-Frequency: what a byte of it is worth, and how long ago it was worth
 *             that. The better choice where sizes are mixed.
 *   lru fifo  by last access, by creation
 *   literal   the formula as that document has it: age since creation and use, each divided by the
 *             largest. Here to be compared with: one old clip, or one that is used a lot, sets the
 *             scale for all the others.
 *
 * What is over its time is not the concern of a policy: it goes before all of this.
 */
import type { ClipEntry } from './store.ts';

export type CleanupPolicyName = 'ranks' | 'gdsf' | 'lru' | 'fifo' | 'literal';

export interface CleanupPolicy {
  readonly name: CleanupPolicyName;
  /** The same entries, those that are to go first in front. `now`: epoch milliseconds. */
  order(entries: readonly ClipEntry[], now: number): readonly ClipEntry[];
}

export interface WeightedOptions {
  /** Default 0.7. What is left of 1 is the weight of use. */
  readonly ageWeight?: number | undefined;
  /**
   * By content type, 0 (goes last of all) to 1 (not protected). Those that are not named have 1.
   * Default {@link PROTECTION}.
   */
  readonly protection?: Readonly<Record<string, number>> | undefined;
}

export interface GdsfOptions {
  /**
   * What it costs to have the clip made again. Default: its characters, which is what providers
   * charge for. `() => 1` favours the number of hits over the money.
   */
  readonly cost?: ((entry: ClipEntry) => number) | undefined;
}

/** How much less what is said again and again is in danger. */
export const PROTECTION: Readonly<Record<string, number>> = Object.freeze({
  welcome_message: 0.5,
  common_responses: 0.6,
  error_messages: 0.7,
  hotel_location: 0.8,
  reservation_instructions: 0.8,
});

const AGE_WEIGHT = 0.7;

/** Throws `RangeError` for a weight or a factor that is not from 0 to 1. */
export function ranks(options: WeightedOptions = {}): CleanupPolicy {
  const { ageWeight, factorOf } = weights(options);
  return {
    name: 'ranks',
    order(entries, now) {
      const age = percentiles(entries, ({ lastAccessedAt }) => now - lastAccessedAt);
      const use = percentiles(entries, ({ accessCount }) => accessCount);
      return byScore(entries, (entry, at) => {
        const danger = ageWeight * (age[at] ?? 0) + (1 - ageWeight) * (1 - (use[at] ?? 0));
        // In whole hundredths: a finer difference says less than the size of the clip does.
        return Math.round(100 * danger * factorOf(entry));
      });
    },
  };
}

/**
 * GreedyDual-Size-Frequency: L. Cherkasova, "Improving WWW Proxies Performance with
 * Greedy-Dual-Size-Frequency Caching Policy", HP Laboratories, HPL-98-69 (R.1), 1998. There a
 * clip's priority is L + frequency × cost / size, where L is the priority of what was evicted last
 * at the time of the clip's last access: a clock, which runs as fast as things are evicted. A
 * policy without a memory has no such clock. It is taken to run evenly, and so fast that a clip of
 * median worth lasts for the median age.
 */
export function gdsf({
  cost = ({ metadata }) => metadata.characters,
}: GdsfOptions = {}): CleanupPolicy {
  const worthOf = (entry: ClipEntry) =>
    // It was worth something once when it was made.
    ((entry.accessCount + 1) * cost(entry)) / Math.max(1, entry.storedBytes);
  return {
    name: 'gdsf',
    order(entries, now) {
      const worth = scaled(entries.map(worthOf));
      const age = scaled(entries.map(({ lastAccessedAt }) => now - lastAccessedAt));
      return byScore(entries, (_, at) => (age[at] ?? 0) - (worth[at] ?? 0));
    },
  };
}

/** What was heard least recently goes first. */
export function lru(): CleanupPolicy {
  return {
    name: 'lru',
    order: (entries) => byScore(entries, ({ lastAccessedAt }) => -lastAccessedAt),
  };
}

/** What was made first goes first. */
export function fifo(): CleanupPolicy {
  return {
    name: 'fifo',
    order: (entries) => byScore(entries, ({ metadata }) => -metadata.createdAt),
  };
}

/** Source: the hotel agent's audio cache (2025-10-07), to the letter. */
export function literal(options: WeightedOptions = {}): CleanupPolicy {
  const { ageWeight, factorOf } = weights(options);
  return {
    name: 'literal',
    order(entries, now) {
      const ageOf = ({ metadata }: ClipEntry) => Math.max(0, now - metadata.createdAt);
      const oldest = entries.reduce((most, entry) => Math.max(most, ageOf(entry)), 1);
      const mostUsed = entries.reduce((most, { accessCount }) => Math.max(most, accessCount), 1);
      return byScore(entries, (entry) => {
        const use = 1 - entry.accessCount / mostUsed;
        return (ageWeight * (ageOf(entry) / oldest) + (1 - ageWeight) * use) * factorOf(entry);
      });
    },
  };
}

function weights({ ageWeight = AGE_WEIGHT, protection = PROTECTION }: WeightedOptions): {
  readonly ageWeight: number;
  readonly factorOf: (entry: ClipEntry) => number;
} {
  if (!(ageWeight >= 0 && ageWeight <= 1)) {
    throw new RangeError('option "ageWeight" takes a part of one');
  }
  const factors = new Map(Object.entries(protection));
  for (const [type, factor] of factors) {
    if (!(factor >= 0 && factor <= 1)) {
      throw new RangeError(`option "protection.${type}" takes a part of one`);
    }
  }
  return { ageWeight, factorOf: ({ metadata }) => factors.get(metadata.contentType) ?? 1 };
}

/** The highest score goes first; of equal ones the largest clip; then one order for everybody. */
function byScore(
  entries: readonly ClipEntry[],
  scoreOf: (entry: ClipEntry, at: number) => number,
): readonly ClipEntry[] {
  return entries
    .map((entry, at) => ({ entry, score: scoreOf(entry, at) }))
    .sort(
      (a, b) =>
        b.score - a.score ||
        b.entry.storedBytes - a.entry.storedBytes ||
        (a.entry.key < b.entry.key ? -1 : 1),
    )
    .map(({ entry }) => entry);
}

/** The part of the entries that have less of it, 0 to 1; of those with as much, half. */
function percentiles(
  entries: readonly ClipEntry[],
  of: (entry: ClipEntry) => number,
): readonly number[] {
  const values = entries.map(of);
  const sorted = values.toSorted((a, b) => a - b);
  const rank = new Map<number, number>();
  for (let from = 0; from < sorted.length; ) {
    const value = sorted[from] ?? 0;
    let to = from;
    while (to < sorted.length && sorted[to] === value) to += 1;
    rank.set(value, (from + to) / 2 / sorted.length);
    from = to;
  }
  return values.map((value) => rank.get(value) ?? 0);
}

/** In medians. */
function scaled(values: readonly number[]): readonly number[] {
  const sorted = values.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  return median > 0 ? values.map((value) => value / median) : values;
}
