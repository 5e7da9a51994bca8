/**
 * The order of writes: a hybrid logical clock in 53 bits, so that a version is an exact
 * number in JavaScript, in Lua and in PostgreSQL alike.
 *
 *   version = milliseconds since 2020-01-01T00:00:00Z * 4096 + counter      (good until 2089)
 *
 * Two writes may carry the same version; the intent, a random id of the write, then decides.
 * The order is (version, intent), everywhere. A retry, a fallback and a command that a server
 * executes late carry the version and intent of the first attempt: they are the same write.
 *
 * Kulkarni et al., "Logical Physical Clocks and Consistent Snapshots in Globally Distributed
 * Databases" (2014), with the logical part packed into the low bits.
 */
import type { Clock } from '../clock.ts';

/** 2020-01-01T00:00:00Z in milliseconds since 1970. */
export const VERSION_EPOCH_MS = 1_577_836_800_000;
/** Versions per millisecond. */
export const VERSIONS_PER_MS = 4096;
/** A version this far ahead of the own clock is counted and warned of. */
export const WARNED_SKEW_MS = 500;
/** A version this far ahead of the own clock is refused. */
export const REFUSED_SKEW_MS = 3_600_000;

/** Names one write: the same stamp is the same write, wherever and however often it arrives. */
export interface Stamp {
  readonly version: number;
  readonly intent: number;
}

/** Negative where `a` is older than `b`, zero where they are the same write. */
export function compareStamps(a: Stamp, b: Stamp): number {
  return a.version - b.version || a.intent - b.intent;
}

export function versionAt(wallMs: number): number {
  return Math.max(0, Math.floor(wallMs - VERSION_EPOCH_MS)) * VERSIONS_PER_MS;
}

/** The wall-clock time, in milliseconds since 1970, that a version was proposed at. */
export function timeOfVersion(version: number): number {
  return Math.floor(version / VERSIONS_PER_MS) + VERSION_EPOCH_MS;
}

/** What {@link VersionClock.observe} thought of a version. */
export type Observation = 'fine' | 'ahead' | 'refused';

/** One per cache. Proposes versions that are above everything it has seen. */
export class VersionClock {
  readonly #clock: Clock;
  #last = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A version above every earlier proposal, every observed version and `above`. */
  propose(above = 0): number {
    this.#last = Math.max(this.#last + 1, above + 1, versionAt(this.#clock.now()));
    return this.#last;
  }

  proposeStamp(above = 0): Stamp {
    return { version: this.propose(above), intent: this.#clock.random53() };
  }

  /** Learns a version that came from elsewhere. One that is over an hour ahead is not learnt. */
  observe(version: number): Observation {
    const aheadMs = (version - versionAt(this.#clock.now())) / VERSIONS_PER_MS;
    if (aheadMs > REFUSED_SKEW_MS) return 'refused';
    if (version > this.#last) this.#last = version;
    return aheadMs > WARNED_SKEW_MS ? 'ahead' : 'fine';
  }

  /** The highest version proposed or observed so far. */
  get last(): number {
    return this.#last;
  }
}
