/**
 * Time, chance and the scheduler. A task is a generator that yields for how many milliseconds
 * it sleeps; between two yields it runs undisturbed, as JavaScript between two awaits. All
 * chance comes from one seeded source, so that a seed is a schedule.
 */
import type { Clock } from '../../src/clock.ts';
import { VERSION_EPOCH_MS } from '../../src/model/version.ts';
import type { FaultName } from './fault-names.ts';
import type { RuleName } from './rules.ts';

/** Yields milliseconds to sleep, returns R. */
export type Task<R = void> = Generator<number, R, undefined>;

export interface WorldOptions {
  readonly seed: number;
  readonly faults: ReadonlySet<FaultName>;
  /** The rules that are left out. */
  readonly without: ReadonlySet<RuleName>;
  /** Collect a line for everything that happens. */
  readonly trace?: boolean;
}

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

/** Small and readable: mulberry32. */
function seeded(seed: number): () => number {
  let state = (Math.imul(seed, 7919) + 13) | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

const START_MS = VERSION_EPOCH_MS + 20_000;

export class World {
  readonly random: () => number;
  readonly lines: string[] = [];
  /** Milliseconds since 1970, without anybody's skew. */
  now: number = START_MS;
  events = 0;
  readonly #faults: ReadonlySet<FaultName>;
  readonly #without: ReadonlySet<RuleName>;
  readonly #trace: boolean;
  readonly #heap: Event[] = [];
  #faultsEnded = false;

  constructor(options: WorldOptions) {
    this.random = seeded(options.seed);
    this.#faults = options.faults;
    this.#without = options.without;
    this.#trace = options.trace ?? false;
  }

  // ------------------------------------------------------------ chance

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  pick<T>(from: readonly T[]): T {
    const picked = from[this.below(from.length)];
    if (picked === undefined) throw new RangeError('nothing to pick from');
    return picked;
  }

  /** Exponentially distributed, bounded at five times the mean. */
  around(mean: number): number {
    return Math.min(5 * mean, -Math.log(1 - this.random()) * mean);
  }

  /** A wall clock that is off by `skew` milliseconds. */
  clock(skew: number): Clock {
    return {
      now: () => this.now + skew,
      monotonic: () => this.now,
      after: () => () => {},
      random53: () => 1 + this.below(Number.MAX_SAFE_INTEGER - 1),
    };
  }

  // ------------------------------------------------------------ rules and faults

  /** Whether this rule is kept. */
  rule(name: RuleName): boolean {
    return !this.#without.has(name);
  }

  /** Whether this fault belongs to the schedule, over or not. */
  expects(name: FaultName): boolean {
    return this.#faults.has(name);
  }

  /** Whether this fault may strike now. */
  fault(name: FaultName): boolean {
    return !this.#faultsEnded && this.#faults.has(name);
  }

  get faultsEnded(): boolean {
    return this.#faultsEnded;
  }

  endFaults(): void {
    this.#faultsEnded = true;
    this.say(() => '--- the faults end');
  }

  // ------------------------------------------------------------ scheduling

  at(delay: number, run: () => void): void {
    const event = { at: this.now + delay, order: this.events++, run };
    const heap = this.#heap;
    let index = heap.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || isBefore(above, event)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
  }

  /** Runs a task to its end, or until its owner is dead: then it never goes on. */
  spawn(task: Task<unknown>, isAlive: () => boolean = () => true): void {
    const step = (): void => {
      if (!isAlive()) return;
      const next = task.next();
      if (next.done !== true) this.at(next.value, step);
    };
    this.at(this.random(), step);
  }

  /** Runs the next event. False where nothing is left to do. */
  step(): boolean {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined) return false;
    if (heap.length > 0) this.#sink(last);
    this.now = first.at;
    first.run();
    return true;
  }

  #sink(event: Event): void {
    const heap = this.#heap;
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      const right = left + 1;
      const a = heap[left];
      const b = heap[right];
      if (a === undefined) break;
      const isRight = b !== undefined && isBefore(b, a);
      const child = isRight ? b : a;
      if (isBefore(event, child)) break;
      heap[index] = child;
      index = isRight ? right : left;
    }
    heap[index] = event;
  }

  /** For `--seed`: what happened. The text is made only where somebody reads it. */
  say(text: () => string): void {
    if (this.#trace) this.lines.push(`${(this.now - START_MS).toFixed(1).padStart(8)} ${text()}`);
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
