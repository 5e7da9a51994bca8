/** Which faults strike a stack, in which order, for how long: the same for the same seed. */
import { createHash } from 'node:crypto';

/** What can strike a stack, each alone and for a while. */
export const STACK_FAULTS = [
  'redis-kill',
  'redis-freeze',
  'redis-empty',
  'redis-cut',
  'redis-stall',
  'redis-slow',
  'supabase-kill',
  'supabase-freeze',
] as const;

/**
 * `redis-kill`: SIGKILL, and back without its data. `redis-freeze`: SIGSTOP. `redis-empty`: FLUSHALL.
 * `redis-cut`: every connection broken, and every new one. `redis-stall`: connections that pass
 * nothing. `redis-slow`: connections with a delay of 50 ms each way. `supabase-kill`: SIGKILL, and
 * back with its data. `supabase-freeze`: SIGSTOP.
 */
export type StackFault = (typeof STACK_FAULTS)[number];

export interface FaultOptions {
  /** The same seed gives the same schedule. Default: 1. */
  readonly seed?: number | undefined;
  /** Default: all that strike Redis. */
  readonly kinds?: readonly StackFault[] | undefined;
  /** How often each kind strikes. Default: once. */
  readonly rounds?: number | undefined;
  /** The longest that one lasts, and the longest pause before it; milliseconds. Default: 400. */
  readonly longestMs?: number | undefined;
}

export interface PlannedFault {
  readonly kind: StackFault;
  /** Everything is well for so long before it. */
  readonly pauseMs: number;
  readonly lastsMs: number;
}

const DEFAULT_LONGEST_MS = 400;

export function planFaults(options: FaultOptions): readonly PlannedFault[] {
  const { seed = 1, rounds = 1, longestMs = DEFAULT_LONGEST_MS } = options;
  const kinds = options.kinds ?? STACK_FAULTS.filter((kind) => kind.startsWith('redis-'));
  const draw = drawer(seed);
  const between = () => Math.round(longestMs * (0.25 + 0.75 * draw()));
  return Array.from({ length: rounds }, () =>
    kinds
      .map((kind) => ({ kind, place: draw() }))
      .sort((a, b) => a.place - b.place)
      .map(({ kind }) => ({ kind, pauseMs: between(), lastsMs: between() })),
  ).flat();
}

/** Numbers from 0 to below 1 (mulberry32). */
function drawer(seed: number): () => number {
  let state = createHash('sha256').update(`faults/${seed}`).digest().readUInt32LE(0);
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
