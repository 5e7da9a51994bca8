/**
 * `append`, `create` and `delete` of a log. Items are united by id, so that a retry, a fallback
 * to L3 and a command executed late add nothing.
 */
import type { LogItem, LogWrite } from '../../src/model/entry.ts';
import type { Address } from '../../src/model/key.ts';
import type { AppendReply } from '../../src/tiers/tier.ts';
import type { Instance } from './instance.ts';
import { assertNew, climb, isOutdated, rungOf } from './ladder.ts';
import { LOST } from './network.ts';
import type { Task } from './world.ts';
import { PAYLOAD } from './writing.ts';

const CALLER_WAITS_MS = 20;

/** One append by a caller who, after a rejection, tries once more with the same ids. */
export function* append(p: Instance, address: Address, isCreate: boolean): Task {
  const { history, world } = p;
  const tokens = world.chance(0.15) ? [history.nextId(), history.nextId()] : [history.nextId()];
  // Of every third one, without a draw: the seeds of the rules stay what they are.
  const deleted = (tokens[0] ?? 0) % 3 === 0 ? deletedIdOf(p, address) : undefined;
  const ids = deleted === undefined ? tokens.map((token) => `i${token}`) : [deleted];
  if (deleted !== undefined) history.saidAnew.add(deleted);
  else for (const token of tokens) history.tokens.set(`i${token}`, token);
  const outcome = yield* appendOnce(p, address, ids, isCreate);
  if (outcome !== 'unknown' || world.chance(0.5)) return;
  yield CALLER_WAITS_MS;
  wander(p, ids);
  yield* appendOnce(p, address, ids, false);
}

/** An item that this process has said, in a log that it has deleted since: its id is free again. */
function deletedIdOf(p: Instance, address: Address): string | undefined {
  if (p.world.expects('regress')) return undefined;
  const promised = p.acknowledged.get(address.id);
  for (const [id, version] of promised?.items ?? []) {
    if (version < (promised?.version ?? 0) && !p.history.wandering.has(id)) return id;
  }
  return undefined;
}

/** A log that is asserted to be new and has no item yet. */
export function* createEmpty(p: Instance, address: Address): Task {
  const { redis } = p.network;
  const newness = yield* assertNew(p, address);
  if (newness?.create === undefined) return;
  const { create, erasedTo } = newness;
  // It is a copy of what L3 said: that it has never heard of this log.
  const isSaid = create.proven && erasedTo === 0;
  if (!isSaid && p.world.rule('nothing-yet-only-if-proven')) return;
  const write: LogWrite = { kind: 'log', address, items: [], erasedTo: 0, scope: undefined };
  yield* p.askShared((epoch): AppendReply => {
    if (isOutdated(p, create, epoch)) return { status: 'moved' };
    return redis.model.append(epoch, { write, create }, p.world.now);
  });
}

function* appendOnce(
  p: Instance,
  address: Address,
  ids: readonly string[],
  isCreate: boolean,
): Task<'l2' | 'l3' | 'rejected' | 'unknown'> {
  const { copies, versions, world } = p;
  const { redis, supabase } = p.network;
  const startedAt = world.now;
  const ticket = copies.enter(address.id);
  copies.move(address.id);
  const items = ids.map((id): LogItem => ({ id, version: versions.propose(), payload: PAYLOAD }));
  let write: LogWrite = { kind: 'log', address, items, erasedTo: 0, scope: undefined };
  let under: readonly number[] = [];
  try {
    const held = yield* climb(p, {
      address,
      isCreate,
      begin({ erasedTo }) {
        if (world.rule('erased-stays-erased')) write = { ...write, erasedTo };
      },
      propose(above) {
        versions.observe(above);
        const higher = write.items.map((item) => ({ ...item, version: versions.propose(above) }));
        write = { ...write, items: higher };
      },
      *atShared(create) {
        const call = { write, create };
        const erasedTo = p.outbox.erasedTo(address.id);
        const reply = yield* p.askShared((epoch): AppendReply => {
          if (isOutdated(p, create, epoch)) return { status: 'moved' };
          return redis.model.append(epoch, call, world.now);
        });
        if (reply === LOST) {
          wander(p, ids);
          return LOST;
        }
        if (reply.status !== 'held') return rungOf(reply);
        // L2 had not been told of a deletion that went around it: what it has under this id is dead.
        if (reply.versions.some((version) => version <= erasedTo)) {
          wander(p, ids);
          return { status: 'next' };
        }
        under = reply.versions;
        return { status: 'held' };
      },
      *atDurable() {
        if (!world.rule('same-stamp-on-retry')) write = renamed(p, write);
        const row = { write, mark: world.rule('bypass-mark'), absent: isCreate };
        const reply = yield* p.askDurable(() => supabase.model.insert(row));
        if (reply === LOST) return LOST;
        if (reply.status === 'applied') {
          under = reply.versions;
          return { status: 'held' };
        }
        if (reply.status !== 'erased') return { status: 'no' };
        wander(p, ids);
        return { status: 'too-low', floor: reply.erasedTo };
      },
    });
    if (held === 'l2' || held === 'l3') acknowledge(p, versionedBy(write, under), held, startedAt);
    return held;
  } finally {
    copies.leave(ticket);
  }
}

/** They may be seen at two places until they are flushed. */
function wander(p: Instance, ids: readonly string[]): void {
  for (const id of ids) p.history.wandering.add(id);
}

function versionedBy(write: LogWrite, versions: readonly number[]): LogWrite {
  const items = write.items.map((item, at) => ({ ...item, version: versions[at] ?? item.version }));
  return { ...write, items };
}

function acknowledge(p: Instance, write: LogWrite, held: 'l2' | 'l3', startedAt: number): void {
  const { outbox, world, history } = p;
  const { address, items } = write;
  outbox.holdItems(address, undefined, items, held === 'l2' ? 'unsynced' : 'synced', world.now);
  if (held === 'l3' && !world.rule('outbox-kept-until-own-settle')) {
    outbox.itemsConfirmed(address.id, items, 0);
  }
  p.copies.remove(address.id);
  for (const { id, version } of items) {
    p.versions.observe(version);
    p.promise(p.acknowledged, address).items.set(id, version);
    const when = { startedAt, ackedAt: world.now };
    const what = { verb: 'append', address, version, intent: 0, itemId: id, held } as const;
    history.acknowledge({ instance: p.id, ...what, ...when });
  }
}

/** The weakened retry: the same item under another name. */
function renamed(p: Instance, write: LogWrite): LogWrite {
  const { history, versions } = p;
  const items = write.items.map((item) => {
    const id = `i${history.nextId()}`;
    history.tokens.set(id, history.tokens.get(item.id) ?? 0);
    return { ...item, id, version: versions.propose() };
  });
  return { ...write, items };
}

export function* deleteLog(p: Instance, address: Address): Task {
  const { copies, outbox, versions, world, history } = p;
  const { redis, supabase } = p.network;
  const startedAt = world.now;
  const ticket = copies.enter(address.id);
  copies.move(address.id);
  const first = versions.propose();
  let write: LogWrite = { kind: 'log', address, items: [], erasedTo: first, scope: undefined };
  try {
    const held = yield* climb(p, {
      address,
      isCreate: false,
      begin: () => history.proposeDeletion(address, write.erasedTo),
      propose(above) {
        versions.observe(above);
        write = { ...write, erasedTo: versions.propose(above) };
      },
      *atShared() {
        const reply = yield* p.askShared((epoch) => redis.model.put(epoch, { write }, world.now));
        return reply === LOST ? LOST : rungOf(reply);
      },
      *atDurable() {
        // L2's script would have known the newest item; here L3 has to be asked for it.
        const there = yield* p.askDurable(() => supabase.model.readLog(address));
        if (there === LOST) return LOST;
        const newest = there?.items.at(-1)?.version ?? 0;
        if (newest >= write.erasedTo && world.rule('log-delete-floor')) {
          return { status: 'too-low', floor: newest };
        }
        const row = { write, mark: world.rule('bypass-mark') };
        const reply = yield* p.askDurable(() => supabase.model.insert(row));
        return reply === LOST ? LOST : { status: 'held' };
      },
    });
    if (held !== 'l2' && held !== 'l3') return;
    const version = write.erasedTo;
    const state = held === 'l2' ? 'unsynced' : 'synced';
    outbox.holdErasure(address, undefined, version, state, world.now);
    copies.remove(address.id);
    p.promiseVersion(address, version);
    const what = { verb: 'delete-log', address, version, intent: 0, itemId: undefined } as const;
    const when = { held, startedAt, ackedAt: world.now };
    history.acknowledge({ instance: p.id, ...what, ...when });
  } finally {
    copies.leave(ticket);
  }
}
