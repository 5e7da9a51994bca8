/**
 * How long things take, twice over: buckets that only grow, which Prometheus turns into
 * percentiles over any time, and native histograms of the recent past for the JSON snapshot.
 */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { Clock } from '../clock.ts';

/** Upper bounds in seconds: from an L1 hit to the longest deadline that makes sense. */
export const DURATION_BUCKETS: readonly number[] = [
  0.000_001, 0.000_01, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
  0.25, 0.5, 1, 2.5, 5, 10,
];

/** A histogram as Prometheus wants it, without its client on the way. */
export class BucketCounts {
  /** Not cumulative; the last one counts what is above every bound. */
  readonly counts: number[] = new Array<number>(DURATION_BUCKETS.length + 1).fill(0);
  /** In seconds. */
  sum = 0;
  count = 0;

  observe(ms: number): void {
    const seconds = Math.max(0, ms) / 1000;
    let slot = 0;
    while (seconds > (DURATION_BUCKETS[slot] ?? Number.POSITIVE_INFINITY)) slot++;
    this.counts[slot] = (this.counts[slot] ?? 0) + 1;
    this.sum += seconds;
    this.count++;
  }
}

export interface Percentiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

/** The percentiles cover the last one to two windows. */
export const RECENT_WINDOW_MS = 300_000;

const NS_PER_MS = 1_000_000;
/** 1,000 seconds, in nanoseconds: longer than any deadline. */
const LONGEST_NS = 1e12;

/**
 * Percentiles of the recent past: one histogram that fills, one that is full. At the end of a
 * window they change places, so that neither memory nor the past grows.
 */
export class RecentDurations {
  readonly #clock: Clock;
  #filling: RecordableHistogram = emptyHistogram();
  #full: RecordableHistogram = emptyHistogram();
  #since: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#since = clock.monotonic();
  }

  observe(ms: number): void {
    this.#turn();
    this.#filling.record(Math.min(LONGEST_NS, Math.max(1, Math.round(ms * NS_PER_MS))));
  }

  /** In milliseconds; zeros where nothing was observed. */
  percentiles(): Percentiles {
    this.#turn();
    const both = emptyHistogram();
    both.add(this.#filling);
    both.add(this.#full);
    const at = (percentile: number): number =>
      both.count === 0 ? 0 : both.percentile(percentile) / NS_PER_MS;
    return { p50: at(50), p95: at(95), p99: at(99) };
  }

  #turn(): void {
    const age = this.#clock.monotonic() - this.#since;
    if (age < RECENT_WINDOW_MS) return;
    const full = this.#filling;
    this.#filling = this.#full;
    this.#filling.reset();
    if (age >= 2 * RECENT_WINDOW_MS) full.reset();
    this.#full = full;
    this.#since = this.#clock.monotonic();
  }
}

function emptyHistogram(): RecordableHistogram {
  return createHistogram({ lowest: 1, highest: LONGEST_NS, figures: 2 });
}

const SLOT_MS = 60_000;
const SLOTS = 60;

/** How often something happened within the last hour, to the minute. */
export class HourlyCount {
  readonly #clock: Clock;
  readonly #slots: number[] = new Array<number>(SLOTS).fill(0);
  #minute: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#minute = Math.floor(clock.monotonic() / SLOT_MS);
  }

  add(): void {
    this.#turn();
    const slot = this.#minute % SLOTS;
    this.#slots[slot] = (this.#slots[slot] ?? 0) + 1;
  }

  get count(): number {
    this.#turn();
    return this.#slots.reduce((sum, slot) => sum + slot, 0);
  }

  #turn(): void {
    const minute = Math.floor(this.#clock.monotonic() / SLOT_MS);
    const passed = Math.min(SLOTS, minute - this.#minute);
    for (let step = 1; step <= passed; step++) this.#slots[(this.#minute + step) % SLOTS] = 0;
    this.#minute = minute;
  }
}
