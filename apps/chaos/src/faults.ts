/**
 * The faults, by name. Two lanes strike at the same time, each one fault after the other: servers
 * and instances in the one, links and Supabase in the other. So most pairs of faults happen too.
 *
 * One pair is a documented loss of G1, where no journal is kept: a process is gone *and* Redis is
 * without its data before what that process acknowledged is in Supabase. `loses` says which half a
 * fault is; the schedule keeps the halves apart, and the report says how often that took waiting.
 * With `--journal always` there is no such loss: the halves are not kept apart, and `kill-both`,
 * which is both at once, is one more fault.
 */

export const FAULT_NAMES = [
  'kill',
  'kill-both',
  'freeze',
  'redis-freeze',
  'redis-restart',
  'redis-empty',
  'redis-flush',
  'redis-older',
  'redis-cut',
  'redis-stall',
  'redis-slow',
  'supabase-kill',
  'postgres-kill',
  'supabase-slow',
  'supabase-cut',
  'skew',
] as const;
export type FaultName = (typeof FAULT_NAMES)[number];

export interface FaultKind {
  readonly what: string;
  readonly lane: 'servers' | 'links';
  /** What is gone that only one other place had. */
  readonly loses: 'process' | 'redis' | 'nothing';
  /** Whom it strikes: one instance, or everybody. */
  readonly target: 'instance' | 'all';
  /** How long it lasts, in milliseconds: from, to. */
  readonly ms: readonly [least: number, most: number];
}

export const FAULTS: Readonly<Record<FaultName, FaultKind>> = {
  kill: {
    what: 'an instance is killed (SIGKILL), and a new one started',
    lane: 'servers',
    loses: 'process',
    target: 'instance',
    ms: [200, 1500],
  },
  'kill-both': {
    what: 'an instance and Redis are killed at the same moment, and Redis comes back empty',
    lane: 'servers',
    loses: 'nothing',
    target: 'instance',
    ms: [200, 1000],
  },
  freeze: {
    what: 'an instance is stopped (SIGSTOP), and goes on later',
    lane: 'servers',
    loses: 'nothing',
    target: 'instance',
    ms: [500, 6500],
  },
  'redis-freeze': {
    what: 'Redis is stopped (SIGSTOP), and later executes what came meanwhile',
    lane: 'servers',
    loses: 'nothing',
    target: 'all',
    ms: [300, 3000],
  },
  'redis-restart': {
    what: 'Redis is killed, and comes back with its data (append-only file)',
    lane: 'servers',
    loses: 'nothing',
    target: 'all',
    ms: [100, 1500],
  },
  'redis-empty': {
    what: 'Redis is killed, and comes back empty',
    lane: 'servers',
    loses: 'redis',
    target: 'all',
    ms: [100, 1500],
  },
  'redis-flush': {
    what: 'FLUSHALL: Redis is emptied, its connections left alone',
    lane: 'servers',
    loses: 'redis',
    target: 'all',
    ms: [0, 0],
  },
  'redis-older': {
    what: 'Redis is killed, and comes back knowing what it knew some seconds ago',
    lane: 'servers',
    loses: 'redis',
    target: 'all',
    ms: [800, 3500],
  },
  'redis-cut': {
    what: 'one instance loses its connections to Redis, and gets no new ones',
    lane: 'links',
    loses: 'nothing',
    target: 'instance',
    ms: [500, 5000],
  },
  'redis-stall': {
    what: 'nothing passes between one instance and Redis; later, all of it does',
    lane: 'links',
    loses: 'nothing',
    target: 'instance',
    ms: [300, 3000],
  },
  'redis-slow': {
    what: 'Redis is 10 to 40 ms away in each direction',
    lane: 'links',
    loses: 'nothing',
    target: 'all',
    ms: [1000, 4000],
  },
  'supabase-kill': {
    what: 'the API of Supabase is killed, and started again',
    lane: 'links',
    loses: 'nothing',
    target: 'all',
    ms: [300, 2500],
  },
  'postgres-kill': {
    what: 'PostgreSQL is killed with all its sessions and recovers; its API is started again',
    lane: 'links',
    loses: 'nothing',
    target: 'all',
    ms: [200, 1500],
  },
  'supabase-slow': {
    what: 'Supabase is 100 to 500 ms away in each direction',
    lane: 'links',
    loses: 'nothing',
    target: 'all',
    ms: [1000, 4000],
  },
  'supabase-cut': {
    what: 'one instance loses its connections to Supabase, and gets no new ones',
    lane: 'links',
    loses: 'nothing',
    target: 'instance',
    ms: [500, 4000],
  },
  skew: {
    what: 'the clocks of all instances jump, to up to 240 ms before or behind',
    lane: 'links',
    loses: 'nothing',
    target: 'all',
    ms: [0, 0],
  },
};
