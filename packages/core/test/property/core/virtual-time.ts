/**
 * Time and chance of one schedule. Nothing here waits: timers are events of a queue, and the
 * same seed gives the same order of everything. Between two events all promises are let run.
 */
import type { Clock } from '../../../src/clock.ts';

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

const BEGINNING_MS = 1_800_000_000_000;

export class VirtualTime {
  now = 0;
  readonly #timers = new Map<number, Timer>();
  #order = 0;
  #seed: number;

  constructor(seed: number) {
    this.#seed = seed | 0;
  }

  /** A number below 1 (mulberry32). */
  random(): number {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  below(end: number): number {
    return Math.floor(this.random() * end);
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  pick<T>(from: readonly T[]): T {
    const picked = from[this.below(from.length)];
    if (picked === undefined) throw new Error('nothing to pick from');
    return picked;
  }

  after(ms: number, run: () => void): () => void {
    this.#order += 1;
    const order = this.#order;
    this.#timers.set(order, { at: this.now + Math.max(0, ms), order, run });
    return () => this.#timers.delete(order);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** Lets so much time pass, event by event. */
  async pass(ms: number): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      await settled();
      const next = this.#next();
      if (next === undefined || next.at > end) break;
      this.#timers.delete(next.order);
      this.now = next.at;
      next.run();
    }
    this.now = end;
  }

  /** The clock of one machine, which is off by `skewMs`; its timers die with it. */
  clock(skewMs: number, isAlive: () => boolean): Clock {
    return {
      now: () => BEGINNING_MS + this.now + skewMs,
      monotonic: () => this.now,
      after: (ms, run) => this.after(ms, () => isAlive() && run()),
      random53: () => Math.floor(this.random() * 2 ** 53),
    };
  }

  /** Timers that are neither over nor cancelled. */
  get pending(): number {
    return this.#timers.size;
  }

  /** The wall clock of the servers. */
  get wall(): number {
    return BEGINNING_MS + this.now;
  }

  #next(): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers.values()) {
      if (next === undefined || timer.at < next.at) next = timer;
    }
    return next;
  }
}

/** Every promise that can go on has gone on; what waits for one more turn of the loop has had it. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
