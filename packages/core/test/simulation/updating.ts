/**
 * `update`: an exact read-modify-write against L3. What is pending is flushed first; L3
 * compares and sets, with a mark; then L2 is told. Where L3's answer was lost, the same call
 * again: the same stamp there is success, anything else is unknown, and never run again.
 */
import type { ValueWrite } from '../../src/model/entry.ts';
import type { Address } from '../../src/model/key.ts';
import { compareStamps, type Stamp, versionAt } from '../../src/model/version.ts';
import type { CompareAndSetReply } from '../../src/tiers/tier.ts';
import type { Instance } from './instance.ts';
import { LOST, type Maybe } from './network.ts';
import type { Task } from './world.ts';
import { tellShared, valueWrite } from './writing.ts';

const SAME_CALL_AGAIN = 4;
const RUNS = 12;
const LONGEST_AGO_MS = 5_000;

export function* update(p: Instance, address: Address): Task {
  const { copies, outbox, versions, world, history } = p;
  const startedAt = world.now;
  const token = history.nextId();
  // Of every fourth one, without a draw: the seeds of the rules stay what they are.
  const ago = token % 4 !== 0 ? undefined : (token * 7919) % LONGEST_AGO_MS;
  const ticket = copies.enter(address.id);
  copies.move(address.id);
  try {
    const found = yield* baseOf(p, address);
    if (found === LOST) return;
    let { base } = found;
    for (let attempt = 0; attempt < RUNS; attempt += 1) {
      if (base !== undefined) versions.observe(base.version);
      const write = valueWrite(address, stampOf(p, base, ago), false);
      const { version, intent } = write;
      const from = base?.intent ?? 0;
      history.propose({ verb: 'update', version, intent, base: from, token });
      const { reply, isUnknown } = yield* compareAndSet(p, write, base);
      if (reply === LOST) return;
      if (reply.status === 'applied') {
        outbox.holdValue(write, 'synced', world.now);
        p.promiseVersion(address, version);
        const rest = { itemId: undefined, held: 'l3', startedAt, ackedAt: world.now } as const;
        const who = { instance: p.id, address, version, intent };
        history.acknowledge({ verb: 'update', ...who, ...rest });
        yield* tellShared(p, ticket, write);
        return;
      }
      if (reply.status !== 'mismatch') return;
      if (isUnknown && world.rule('unknown-update-never-rerun')) {
        p.say(() => `update of ${address.key} is unknown`);
        return;
      }
      base = reply.current;
    }
  } finally {
    copies.leave(ticket);
  }
}

/** What happened a while ago is above what it was made from, and below what happened since. */
function stampOf(
  { versions, world }: Instance,
  base: ValueWrite | undefined,
  ago: number | undefined,
): Stamp {
  const stamp = versions.proposeStamp(base?.version);
  if (ago === undefined) return stamp;
  const then = Math.max((base?.version ?? 0) + 1, versionAt(world.now - ago));
  return { ...stamp, version: Math.min(stamp.version, then) };
}

function* compareAndSet(
  p: Instance,
  write: ValueWrite,
  base: ValueWrite | undefined,
): Task<{ reply: Maybe<CompareAndSetReply>; isUnknown: boolean }> {
  const { supabase } = p.network;
  const call = (): CompareAndSetReply => {
    const reply = supabase.model.compareAndSet(write, base, p.world.now);
    if (reply.status === 'applied' && !p.world.rule('update-leaves-mark')) {
      supabase.model.unmark([supabase.model.lastMark]);
    }
    return reply;
  };
  let reply = yield* p.askDurable(call);
  let isUnknown = false;
  for (let attempt = 0; attempt < SAME_CALL_AGAIN && reply === LOST; attempt += 1) {
    isUnknown = true;
    reply = yield* p.askDurable(call);
  }
  return { reply, isUnknown };
}

/** The newest that can be seen; if L3 may lack it, L3 gets it now. */
function* baseOf(p: Instance, address: Address): Task<Maybe<{ base: ValueWrite | undefined }>> {
  const { world, outbox } = p;
  const { redis, supabase } = p.network;
  const shared = yield* p.askShared((epoch) => redis.model.read(epoch, address, world.now));
  const entry = shared === LOST || shared === 'epoch' ? undefined : shared.entry;
  let base: ValueWrite | undefined;
  let isPending = false;
  if (entry?.kind === 'value') {
    base = entry.write;
    isPending = entry.pending;
  }
  if (entry?.kind !== 'value' || entry.stale) {
    const row = yield* p.askDurable(() => supabase.model.read(address));
    if (row === LOST) return LOST;
    if (row !== undefined && (base === undefined || compareStamps(row, base) >= 0)) {
      base = row;
      isPending = false;
    }
  }
  const own = outbox.floor(address.id);
  if (own?.kind === 'value' && (base === undefined || compareStamps(own, base) >= 0)) {
    base = own;
    isPending = outbox.toFlush(address.id) !== undefined;
  }
  if (base === undefined || !isPending || !world.rule('update-flushes-pending-base'))
    return { base };
  const row = { write: base, mark: p.isOpen || shared === LOST };
  const reply = yield* p.askDurable(() => supabase.model.apply(row, world.now));
  if (reply === LOST) return LOST;
  return { base: reply.status === 'superseded' ? reply.newer : base };
}
