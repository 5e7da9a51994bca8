/** How long a derived value is the answer. Pure: durations in milliseconds, chance is given. */
import type { TagId } from './tags.ts';

/** What the copy of a derived value is judged by; times by the monotonic clock. */
export interface DerivedFacts {
  /** How long the tier keeps it, in milliseconds: instead of the tier's own time to live. */
  readonly lifeMs: number;
  /** Until then it is the answer here; afterwards L2 is asked. */
  readonly freshUntil: number;
  /** Until then it is fresh wherever it is: what an early refresh is measured by. */
  readonly endsAt: number;
  /** Until then it may be served stale. */
  readonly goneAt: number;
  /** What its load took, in milliseconds. */
  readonly loadMs: number;
  readonly tagIds: readonly TagId[];
  /** The number of the heard tags when it was begun. */
  readonly seen: number;
}

/** A random integer below 2^53 as a number above 0 and at most 1. */
export function unitInterval(random53: number): number {
  return (random53 + 1) / 2 ** 53;
}

/**
 * A time to live, shortened by up to `jitter` of it, so that what was loaded together does not
 * end together.
 */
export function jittered(ttlMs: number, jitter: number, random: number): number {
  return Math.max(1, Math.floor(ttlMs * (1 - jitter * random)));
}

/**
 * Whether to load again although the value is still fresh: likelier the nearer its end and the
 * longer a load takes, so that of many readers about one does it, shortly before the end.
 *
 * The rule is XFetch: refresh where −δ·β·ln(random) ≥ what is left. Vattani, Chierichetti,
 * Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015. δ is the time that the
 * last load took; β = 1 is optimal, more refreshes earlier, 0 never.
 */
export function isDueEarly(
  leftMs: number,
  loadMs: number,
  beta: number,
  random: () => number,
): boolean {
  const reach = loadMs * beta;
  // −ln of a 53-bit random number is below 37: the hot path needs no logarithm.
  if (leftMs > reach * 37) return false;
  return reach > 0 && -reach * Math.log(random()) >= leftMs;
}
