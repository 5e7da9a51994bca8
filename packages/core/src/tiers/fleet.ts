/**
 * What the instances of one fleet know of each other: who lives, and who holds a lease. It is
 * kept in Redis, by Redis' clock, and is never needed for correctness: a lease only saves double
 * work, and what a silent instance left pending may be flushed by anyone.
 */
import type { CallOptions } from './tier.ts';

/** An instance that has not been heard of for so long is dead. Its heartbeat comes every second. */
export const DEAD_AFTER_MS = 5000;

export interface LivingInstance {
  readonly id: string;
  /** Since its last heartbeat. */
  readonly ageMs: number;
}

export interface SharedFleet {
  /** Says that this instance lives, and publishes `message` in the same step. */
  heartbeat(instance: string, message: string, o?: CallOptions): Promise<void>;
  /** Every instance that was heard of within a day, the youngest heartbeat first. */
  instances(o?: CallOptions): Promise<readonly LivingInstance[]>;
  /** It left in good order, or what it left behind was adopted. */
  unregister(instance: string, o?: CallOptions): Promise<void>;
  /** It ends, and leaves something behind: it counts as dead at once, and that is adopted. */
  resign(instance: string, o?: CallOptions): Promise<void>;
  /** Takes a lease that is free, or extends one's own. `false`: another holds it. */
  lease(name: string, holder: string, ttlMs: number, o?: CallOptions): Promise<boolean>;
  /** Gives one's own lease back. */
  release(name: string, holder: string, o?: CallOptions): Promise<void>;
  /** To every instance that listens, this one included. Resolves with how many those are. */
  publish(message: string, o?: CallOptions): Promise<number>;
}
