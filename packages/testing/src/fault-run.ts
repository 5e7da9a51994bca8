/**
 * Plays a schedule of faults on a stack, one at a time, while a program works on it. Between two
 * of them everything is well; after the last, and where anything goes wrong, everything is too.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Proxy as TcpProxy } from './proxy.ts';
import type { RedisServer } from './redis.ts';
import type { PlannedFault, StackFault } from './schedule.ts';
import type { SupabaseServer } from './supabase.ts';

export interface PlayedFault {
  readonly kind: StackFault;
  /** Milliseconds since the schedule began. */
  readonly atMs: number;
  /** Milliseconds, its own end included. */
  readonly lastedMs: number;
  /** How many steps of the program began while it lasted. At least one. */
  readonly steps: number;
}

export interface FaultReport {
  readonly seed: number;
  readonly faults: readonly PlayedFault[];
  /** How many steps of the program there were in all. */
  readonly steps: number;
}

export interface FaultRun {
  /** What will be played. */
  readonly plan: readonly PlannedFault[];
  /**
   * Plays the schedule, and runs `step` again and again until it is over: one turn of a
   * conversation, say. Each fault lasts until at least one step has begun under it.
   * @throws Error where a step rejects, or does not end within half a minute: it names the fault
   *   under which it began; what the step said is the `cause`
   */
  play(step: () => unknown): Promise<FaultReport>;
}

export interface Targets {
  readonly redis: Pick<RedisServer, 'kill' | 'restart' | 'freeze' | 'thaw' | 'empty'>;
  /** In front of Redis. */
  readonly proxy: Pick<TcpProxy, 'cut' | 'stall' | 'delay' | 'heal'>;
  readonly supabase: Pick<SupabaseServer, 'kill' | 'restart' | 'freeze' | 'thaw'>;
}

const SLOW_MS = 50;
const STEP_DEADLINE_MS = 30_000;
/** Between two steps, so that a program that is never held up does not fill the memory. */
const BREATH_MS = 5;

interface Blow {
  readonly strike: () => void | Promise<void>;
  readonly end: () => void | Promise<void>;
}

function blowOf(kind: StackFault, { redis, proxy, supabase }: Targets): Blow {
  switch (kind) {
    case 'redis-kill':
      return { strike: () => redis.kill(), end: () => redis.restart() };
    case 'redis-freeze':
      return { strike: () => redis.freeze(), end: () => redis.thaw() };
    case 'redis-empty':
      return { strike: () => redis.empty(), end: () => {} };
    case 'redis-cut':
      return { strike: () => proxy.cut(), end: () => proxy.heal() };
    case 'redis-stall':
      return { strike: () => proxy.stall(), end: () => proxy.heal() };
    case 'redis-slow':
      return { strike: () => proxy.delay(SLOW_MS), end: () => proxy.delay(0) };
    case 'supabase-kill':
      return { strike: () => supabase.kill(), end: () => supabase.restart() };
    case 'supabase-freeze':
      return { strike: () => supabase.freeze(), end: () => supabase.thaw() };
    default:
      return kind satisfies never;
  }
}

/** A run over these servers. Each `play` plays the whole schedule. */
export function faultRun(plan: readonly PlannedFault[], seed: number, targets: Targets): FaultRun {
  return { plan, play: (step) => new Playing(plan, seed, targets, step).run() };
}

class Playing {
  readonly #plan: readonly PlannedFault[];
  readonly #seed: number;
  readonly #targets: Targets;
  readonly #step: () => unknown;
  readonly #played: PlayedFault[] = [];
  #current: StackFault | undefined;
  #steps = 0;
  #isOver = false;
  #begun: () => void = () => {};

  constructor(plan: readonly PlannedFault[], seed: number, targets: Targets, step: () => unknown) {
    this.#plan = plan;
    this.#seed = seed;
    this.#targets = targets;
    this.#step = step;
  }

  async run(): Promise<FaultReport> {
    const stopped = new AbortController();
    const working = this.#work().catch((error: unknown) => {
      stopped.abort();
      throw error;
    });
    const results = await Promise.allSettled([working, this.#strikeAll(stopped.signal)]);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    return { seed: this.#seed, faults: this.#played, steps: this.#steps };
  }

  async #work(): Promise<void> {
    while (!this.#isOver) {
      const under = this.#current;
      this.#steps += 1;
      this.#begun();
      try {
        await inTime(Promise.resolve().then(this.#step));
      } catch (cause) {
        const when = under === undefined ? 'between two faults' : `under the fault ${under}`;
        throw new Error(`step ${this.#steps} failed, begun ${when} (seed ${this.#seed})`, {
          cause,
        });
      }
      await delay(BREATH_MS);
    }
  }

  async #strikeAll(signal: AbortSignal): Promise<void> {
    const start = performance.now();
    try {
      for (const planned of this.#plan) {
        await pause(planned.pauseMs, signal);
        if (signal.aborted) return;
        await this.#strike(planned, start, signal);
      }
    } finally {
      this.#isOver = true;
    }
  }

  async #strike({ kind, lastsMs }: PlannedFault, start: number, signal: AbortSignal) {
    const { strike, end } = blowOf(kind, this.#targets);
    const at = performance.now();
    const before = this.#steps;
    try {
      await strike();
      this.#current = kind;
      const begun = new Promise<void>((resolve) => {
        this.#begun = resolve;
        if (signal.aborted) resolve();
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      await Promise.all([pause(lastsMs, signal), begun]);
    } finally {
      this.#current = undefined;
      await end();
    }
    const lastedMs = Math.round(performance.now() - at);
    const steps = this.#steps - before;
    this.#played.push({ kind, atMs: Math.round(at - start), lastedMs, steps });
  }
}

/** Ends early, and quietly, with the signal. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => {});
}

async function inTime(step: Promise<unknown>): Promise<void> {
  const waiting = new AbortController();
  const late = delay(STEP_DEADLINE_MS, undefined, { signal: waiting.signal }).then(
    () => {
      throw new Error(`it did not end within ${STEP_DEADLINE_MS} ms`);
    },
    () => {},
  );
  try {
    await Promise.race([step, late]);
  } finally {
    waiting.abort();
  }
}
