/**
 * What a process does beside its callers: drains, repairs what went around Redis, adopts what
 * others left, proves that it hears the bus, and tries an open breaker.
 */
import { type Address, type AddressId, addressOfId } from '../../src/model/key.ts';
import { stampOf } from '../../src/model/known.ts';
import { compareStamps, type Stamp } from '../../src/model/version.ts';
import type { BypassMark } from '../../src/tiers/tier.ts';
import { adopt, drain, flush, HEALTHY, type Via } from './flushing.ts';
import { short } from './history.ts';
import { GAP_TTL_MS, type Instance } from './instance.ts';
import { LOST } from './network.ts';
import type { Task } from './world.ts';

const TICK_MS = 15;
export const FLUSH_INTERVAL_MS = 500;
const BREAKER_RESET_MS = 120;
const REPAIR_MS = 150;
const LEASE_MS = 400;
export const ADOPT_AFTER_MS = 600;
const HEARTBEAT_MS = 100;
/** So few that schedules come to a second page. */
const MARKS_AT_ONCE = 10;

interface Target {
  readonly address: Address;
  readonly kind: 'value' | 'log';
  readonly stamp: Stamp;
}

/** Drains at the interval and where it is due at once; tries an open breaker. */
export function* drainLoop(p: Instance): Task {
  const { world } = p;
  let nextDrain = world.now + FLUSH_INTERVAL_MS * world.random();
  for (;;) {
    yield TICK_MS;
    if (p.mustDrain || world.now >= nextDrain) {
      const via = { shared: !p.isOpen, mark: p.isOpen || p.mustDrain, trial: false };
      const isDue = p.mustDrain;
      p.mustDrain = false;
      const isComplete = yield* drain(p, via);
      if (isDue && !isComplete) p.mustDrain = true;
      nextDrain = world.now + (isComplete ? FLUSH_INTERVAL_MS : 2 * TICK_MS);
    }
    if (p.isOpen && world.now - p.openedAt > BREAKER_RESET_MS) {
      if (yield* trial(p)) p.closeBreaker();
      else p.openedAt = world.now;
    }
  }
}

/** Never user traffic: run id, epoch, own outbox, marks. */
function* trial(p: Instance): Task<boolean> {
  const via: Via = { shared: true, mark: true, trial: true };
  if (!(yield* p.introduce())) return false;
  if (!(yield* drain(p, via))) return false;
  return yield* repairMarks(p, via);
}

export function* upkeepLoop(p: Instance): Task {
  const { world } = p;
  for (;;) {
    yield REPAIR_MS * (0.5 + world.random());
    if (p.isOpen) continue;
    yield* repairOwn(p, HEALTHY);
    if (yield* isLeader(p)) yield* repairMarks(p, HEALTHY);
    yield* adopt(p, world.now - ADOPT_AFTER_MS);
  }
}

/** One instance of the fleet repairs; losing the lease costs double work, nothing else. */
function* isLeader(p: Instance): Task<boolean> {
  const { redis } = p.network;
  const mine = yield* p.askShared(() => {
    const { lease } = redis;
    if (lease && lease.owner !== p.id && lease.until > p.world.now) return false;
    redis.lease = { owner: p.id, until: p.world.now + LEASE_MS };
    return true;
  });
  return mine === true;
}

/** Everybody's marks, page by page; those that stay hold up none behind them. */
function* repairMarks(p: Instance, via: Via): Task<boolean> {
  const { model } = p.network.supabase;
  let isComplete = true;
  for (let after = 0; ; ) {
    const behind = after;
    const page = yield* p.askDurable(() => model.marks(MARKS_AT_ONCE, behind));
    if (page === LOST) return false;
    const isRepaired = yield* repairPage(p, page, via);
    isComplete &&= isRepaired;
    const last = page.at(-1);
    if (page.length < MARKS_AT_ONCE || last === undefined) return isComplete;
    after = last.id;
  }
}

/** A mark is deleted by its id, after L2 confirmed. */
function* repairPage(p: Instance, page: readonly BypassMark[], via: Via): Task<boolean> {
  const { model } = p.network.supabase;
  const newest = new Map<AddressId, Target>();
  for (const mark of page) {
    const there = newest.get(mark.address.id);
    if (there === undefined || compareStamps(there.stamp, mark.stamp) < 0) {
      newest.set(mark.address.id, mark);
    }
  }
  let isComplete = true;
  for (const target of newest.values()) {
    const isRepaired = yield* repair(p, target, via);
    isComplete &&= isRepaired;
    if (!isRepaired) continue;
    const ids = page.filter((mark) => mark.address.id === target.address.id).map(({ id }) => id);
    const unmarked = yield* p.askDurable(() => model.unmark(ids));
    if (unmarked === LOST) return false;
  }
  return isComplete;
}

/** Own writes that L3 has and L2 has not confirmed: the floor under them is lifted. */
function* repairOwn(p: Instance, via: Via): Task {
  for (const id of p.outbox.unconfirmed()) {
    const known = p.outbox.toConfirm(id);
    if (known === undefined) continue;
    const address = addressOfId(id);
    const target = { address, kind: known.kind, stamp: stampOf(known) };
    if (!(yield* repair(p, target, via))) continue;
    if (known.kind === 'value') {
      p.outbox.confirmed(id, known);
      continue;
    }
    if (known.erasedTo > 0 && !(yield* tellDeletion(p, address, known.erasedTo, via))) continue;
    p.outbox.itemsConfirmed(id, known.items, known.erasedTo);
  }
}

/** A partial log still has the deleted items, and would say of one that is appended that it is there. */
function* tellDeletion(p: Instance, address: Address, version: number, via: Via): Task<boolean> {
  const { model } = p.network.redis;
  const purge = { address, version };
  const reply = yield* p.askShared((epoch) => model.purge(epoch, purge, p.world.now), via.trial);
  return reply === 'done';
}

/** Something older that is pending is flushed first: L3 answers superseded, and the drop removes it. */
function* repair(p: Instance, target: Target, via: Via): Task<boolean> {
  const { redis } = p.network;
  const once = () =>
    p.askShared((epoch) => redis.model.repair(epoch, target, p.world.now), via.trial);
  const reply = yield* once();
  p.say(() => `repairs ${target.address.key} ${short(target.stamp.version)}: ${String(reply)}`);
  if (reply !== 'pending') return reply === 'done';
  yield* flush(p, target.address, via, true);
  return (yield* once()) === 'done';
}

/** Subscribes where the subscription broke, and hears its own heartbeat. */
export function* heartbeatLoop(p: Instance): Task {
  const { world } = p;
  const { redis } = p.network;
  for (;;) {
    yield HEARTBEAT_MS * (0.8 + 0.4 * world.random());
    if (!p.isSubscribed) {
      if (!redis.up || p.isCut) continue;
      p.isSubscribed = true;
      p.subscription += 1;
      p.emptyCopies();
    }
    const { subscription } = p;
    const sentAt = world.now;
    yield* p.askShared((epoch) => {
      // An instance that only reads its copies has to notice a new epoch, too.
      const isOther = redis.model.epochOf(redis.model.runId) !== epoch;
      if (isOther && world.rule('scripts-quote-epoch')) return 'epoch';
      p.bus.deliver(p, () => {
        if (subscription !== p.subscription) return;
        if (world.now - p.proof >= GAP_TTL_MS) p.emptyCopies();
        p.proof = sentAt;
      });
      return 'done';
    });
  }
}
