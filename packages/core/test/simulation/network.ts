/**
 * The servers and the way to them. A command that is lost either never happens, or happened
 * and its answer is lost, or (fault `late`) happens later, when its sender has given up: a
 * stopped server executes what is in its socket when it goes on.
 *
 * A restarted server has forgotten what was in its sockets; an emptied one has not.
 */
import type { DurableModel } from '../model/durable-model.ts';
import type { WeakShared } from './weakened.ts';
import type { Task, World } from './world.ts';

/** Nobody knows what became of it. */
export const LOST: unique symbol = Symbol('lost');
export type Maybe<R> = R | typeof LOST;

/** The connection is to another incarnation than the one that the instance introduced itself to. */
export const OTHER_RUN: unique symbol = Symbol('other run');

/** Who asks. */
export interface Caller {
  readonly isCut: boolean;
  /** The incarnation that it introduced itself to. */
  readonly run: string;
}

const L2_LEG_MS = 4;
const L2_TIMEOUT_MS = 25;
const L3_LEG_MS = 8;
const L3_TIMEOUT_MS = 60;
const LATE_MS = 250;
/** How much of the traffic is hit where a fault says "now and then". */
const HICCUP = 0.1;
const LATE_ALONE = 0.05;

/** Redis: its model, whether it answers, and the lease on repairing. */
export class Redis {
  readonly model: WeakShared;
  up = true;
  /** Who repairs, and until when. Lost with everything else. */
  lease: { readonly owner: number; readonly until: number } | undefined;
  lateCommands = 0;

  constructor(model: WeakShared) {
    this.model = model;
  }
}

/** L3: its model, and whether it answers. */
export class Supabase {
  readonly model: DurableModel;
  up = true;
  lateCommands = 0;

  constructor(model: DurableModel) {
    this.model = model;
  }
}

export class Network {
  readonly world: World;
  readonly redis: Redis;
  readonly supabase: Supabase;

  constructor(world: World, redis: Redis, supabase: Supabase) {
    this.world = world;
    this.redis = redis;
    this.supabase = supabase;
  }

  /** One command to Redis. `anyRun`: it is part of the introduction. */
  *toRedis<R>(from: Caller, run: () => R, anyRun = false): Task<Maybe<R> | typeof OTHER_RUN> {
    const { world, redis } = this;
    yield world.random() * L2_LEG_MS;
    if (!redis.up || from.isCut) {
      if (world.fault('late') && world.chance(0.4)) this.#lateAtRedis(run);
      yield L2_TIMEOUT_MS;
      return LOST;
    }
    if (world.fault('hiccup') && world.chance(HICCUP)) {
      const fate = world.random();
      if (fate < 0.35) run();
      else if (fate < 0.8 && world.fault('late')) this.#lateAtRedis(run);
      yield L2_TIMEOUT_MS;
      return LOST;
    }
    if (world.fault('late') && world.chance(LATE_ALONE)) {
      this.#lateAtRedis(run);
      yield L2_TIMEOUT_MS;
      return LOST;
    }
    const server = redis.model.runId;
    if (!anyRun && from.run !== server && world.rule('run-id-before-first-command'))
      return OTHER_RUN;
    const reply = run();
    yield world.random() * L2_LEG_MS;
    // The connection broke while the answer was on its way.
    if (!redis.up || from.isCut || redis.model.runId !== server) return LOST;
    return reply;
  }

  #lateAtRedis(run: () => unknown): void {
    const { world, redis } = this;
    const server = redis.model.runId;
    redis.lateCommands += 1;
    const execute = (): void => {
      if (redis.model.runId === server && !redis.up) {
        world.at(world.around(LATE_MS), execute);
        return;
      }
      redis.lateCommands -= 1;
      if (redis.model.runId !== server) return;
      world.say(() => '  Redis executes a late command');
      run();
    };
    world.at(world.around(LATE_MS), execute);
  }

  /** One call to L3. */
  *toSupabase<R>(run: () => R): Task<Maybe<R>> {
    const { world, supabase } = this;
    yield world.random() * L3_LEG_MS;
    if (!supabase.up) {
      yield L3_TIMEOUT_MS;
      return LOST;
    }
    const isHiccup = world.fault('l3hiccup') && world.chance(HICCUP);
    if (isHiccup || (world.fault('late') && world.chance(LATE_ALONE / 2))) {
      const fate = world.random();
      if (fate < 0.4) run();
      else if (fate < 0.8 && world.fault('late')) this.#lateAtSupabase(run);
      yield L3_TIMEOUT_MS;
      return LOST;
    }
    const reply = run();
    yield world.random() * L3_LEG_MS;
    return supabase.up ? reply : LOST;
  }

  #lateAtSupabase(run: () => unknown): void {
    const { world, supabase } = this;
    supabase.lateCommands += 1;
    const execute = (): void => {
      if (!supabase.up) {
        world.at(world.around(LATE_MS), execute);
        return;
      }
      supabase.lateCommands -= 1;
      world.say(() => '  Supabase executes a late call');
      run();
    };
    world.at(world.around(LATE_MS), execute);
  }
}
