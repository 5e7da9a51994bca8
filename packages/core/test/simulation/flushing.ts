/**
 * Brings acknowledged writes to L3 and tells L2 what L3 has: the outbox's own, and (`adopt`)
 * whatever is pending in L2. Whoever flushes a log sends every frame that L3 lacks.
 *
 * What L2 did not confirm is written again with a bypass mark; outside healthy operation every
 * write carries one from the start.
 */
import type { LogWrite, ValueWrite } from '../../src/model/entry.ts';
import type { Address } from '../../src/model/key.ts';
import { addressOfId } from '../../src/model/key.ts';
import { uniteNewest } from '../../src/model/known.ts';
import type { InsertReply, SharedEntry, SharedLog } from '../../src/tiers/tier.ts';
import type { KnownItem } from '../../src/write/held.ts';
import { short } from './history.ts';
import type { Instance } from './instance.ts';
import { LOST } from './network.ts';
import type { Task } from './world.ts';

/** How a flush talks to L2. */
export interface Via {
  /** False: L2 is bypassed. */
  readonly shared: boolean;
  readonly mark: boolean;
  /** On behalf of the breaker's trial, which passes an open breaker. */
  readonly trial: boolean;
}

export const HEALTHY: Via = { shared: true, mark: false, trial: false };

/** Everything that is unsynced when it begins. True where L3 has all of it. */
export function* drain(p: Instance, via: Via): Task<boolean> {
  let isComplete = true;
  for (const id of p.outbox.unsynced()) {
    const isFlushed = yield* flush(p, addressOfId(id), via, false);
    isComplete &&= isFlushed;
  }
  return isComplete;
}

/** One flush of a key at a time. True where L3 answered. */
export function* flush(p: Instance, address: Address, via: Via, adopt: boolean): Task<boolean> {
  const { id } = address;
  while (p.flushing.has(id)) yield 3;
  p.flushing.add(id);
  try {
    return yield* flushAlone(p, address, via, adopt);
  } finally {
    p.flushing.delete(id);
  }
}

function* flushAlone(p: Instance, address: Address, via: Via, adopt: boolean): Task<boolean> {
  const { redis } = p.network;
  const own = p.outbox.toFlush(address.id);
  let entry: SharedEntry | undefined;
  if (via.shared && (adopt || own?.kind === 'log')) {
    const shared = yield* p.askShared(
      (epoch) => redis.model.read(epoch, address, p.world.now),
      via.trial,
    );
    if (shared !== LOST && shared !== 'epoch') {
      entry = shared.entry?.pending ? shared.entry : undefined;
    }
  }
  let isComplete = true;
  if (own?.kind === 'value') isComplete = yield* flushValue(p, own, via);
  if (entry?.kind === 'value' && (own?.kind !== 'value' || own.intent !== entry.write.intent)) {
    const isFlushed = yield* flushValue(p, entry.write, via);
    isComplete &&= isFlushed;
  }
  const theirs = entry?.kind === 'log' ? lackedByL3(entry) : undefined;
  const log = own?.kind === 'log' ? uniteNewest(theirs, own) : theirs;
  if (log !== undefined) {
    const isFlushed = yield* flushLog(p, log, via);
    isComplete &&= isFlushed;
  }
  return isComplete;
}

/** The frames and the deletion of a pending log that L3 has not been told of. */
function lackedByL3(entry: SharedLog): LogWrite {
  const { address, scope } = entry;
  const items = entry.items.filter((item) => !item.synced);
  return { kind: 'log', address, items, erasedTo: entry.erasureSynced ? 0 : entry.erasedTo, scope };
}

function* flushValue(p: Instance, write: ValueWrite, via: Via): Task<boolean> {
  const { outbox, world } = p;
  const { redis, supabase } = p.network;
  const { address, version, intent } = write;
  const { id } = address;
  const mark = via.mark && world.rule('unconfirmed-release-leaves-mark');
  const reply = yield* p.askDurable(() => supabase.model.apply({ write, mark }, world.now));
  if (reply === LOST) return false;
  if (reply.status !== 'applied' && reply.status !== 'superseded') return false;
  p.say(() => `flushes ${address.key} ${short(version)}: ${reply.status}`);
  outbox.valueInL3(id, write);
  if (!world.rule('outbox-kept-until-own-settle')) outbox.confirmed(id, write);
  let told: boolean;
  if (reply.status === 'applied') {
    told = yield* tell(p, via, (epoch) =>
      redis.model.settle(epoch, { kind: 'value', address, version, intent }, world.now),
    );
    if (told) outbox.confirmed(id, write);
  } else {
    const { newer } = reply;
    p.versions.observe(newer.version);
    told = yield* tell(p, via, (epoch) => redis.model.drop(epoch, { address, newer }, world.now));
    if (told) outbox.discard(id, write);
  }
  if (!told && !via.mark && world.rule('unconfirmed-release-leaves-mark')) {
    yield* p.askDurable(() => supabase.model.apply({ write, mark: true }, world.now));
  }
  return true;
}

function* flushLog(p: Instance, write: LogWrite, via: Via): Task<boolean> {
  const { outbox, world } = p;
  const { redis, supabase } = p.network;
  const { address, erasedTo } = write;
  const { id } = address;
  const mark = via.mark && world.rule('unconfirmed-release-leaves-mark');
  const reply = yield* p.askDurable(() => supabase.model.insert({ write, mark }));
  if (reply === LOST) return false;
  if (reply.status !== 'applied' && reply.status !== 'erased') return false;
  const { all, items, dead } = named(write, reply);
  const text = (): string => items.map((item) => `${item.id}@${short(item.version)}`).join(' ');
  p.say(() => `flushes ${address.key} ${text()} erased to ${short(erasedTo)}: ${reply.status}`);
  outbox.itemsInL3(id, all, erasedTo);
  if (!world.rule('outbox-kept-until-own-settle')) outbox.itemsConfirmed(id, items, erasedTo);
  // What L3 has erased, whoever did it: a whole entry would go on showing it.
  const erased = world.rule('erased-stays-erased') ? reply.erasedTo : erasedTo;
  const settle = { kind: 'log', address, items, erasedTo: erased, others: reply.others } as const;
  let told = yield* tell(p, via, (epoch) => redis.model.settle(epoch, settle, world.now));
  if (told) {
    outbox.itemsConfirmed(id, items, erasedTo);
    // Own items that somebody's deletion has killed meanwhile must not be shown again.
    if (world.rule('erased-stays-erased')) {
      outbox.discard(id, { version: reply.erasedTo, intent: 0 });
    }
  }
  if (dead > 0) {
    const purge = { address, version: dead };
    const isPurged = yield* tell(p, via, (epoch) => redis.model.purge(epoch, purge, world.now));
    if (isPurged) outbox.discard(id, { version: dead, intent: 0 });
    told &&= isPurged;
  }
  if (!told && !via.mark && world.rule('unconfirmed-release-leaves-mark')) {
    yield* p.askDurable(() => supabase.model.insert({ write, mark: true }));
  }
  return true;
}

/** What L3 says of the items; those that it holds, and the highest version of the dead ones. */
function named(
  write: LogWrite,
  reply: Extract<InsertReply, { readonly versions: readonly number[] }>,
): {
  readonly all: readonly KnownItem[];
  readonly items: readonly KnownItem[];
  readonly dead: number;
} {
  const gone = new Set(reply.status === 'erased' ? reply.dead : []);
  const all = write.items.map(({ id, version: sent }, index) => {
    return { id, version: reply.versions[index] ?? sent, sent };
  });
  const items = all.filter((item) => !gone.has(item.id));
  const dead = write.items.reduce(
    (highest, item) => (gone.has(item.id) ? Math.max(highest, item.version) : highest),
    0,
  );
  return { all, items, dead };
}

/** True where L2 confirmed. */
function* tell(p: Instance, via: Via, command: (epoch: number) => string): Task<boolean> {
  if (!via.shared) return false;
  return (yield* p.askShared(command, via.trial)) === 'done';
}

/** Flushes what has been pending for longer than its owner should have needed. */
export function* adopt(p: Instance, before: number): Task {
  const { redis } = p.network;
  const due = yield* p.askShared(() => redis.model.pending(before, 100));
  if (due === LOST) return;
  for (const address of due.addresses) yield* flush(p, address, HEALTHY, true);
}
