/** `set`, `delete` and `create` of a value. */
import type { Ticket } from '../../src/coherence/copies.ts';
import type { Payload, ValueWrite } from '../../src/model/entry.ts';
import type { Address } from '../../src/model/key.ts';
import type { Stamp } from '../../src/model/version.ts';
import type { PutReply } from '../../src/tiers/tier.ts';
import type { Verb } from './history.ts';
import type { Instance } from './instance.ts';
import { climb, isOutdated, rungOf } from './ladder.ts';
import { LOST } from './network.ts';
import type { Task } from './world.ts';

export const PAYLOAD: Payload = { codec: 'json', bytes: new Uint8Array(1) };

/** Everything about a value but its content, which the history knows by its intent. */
export function valueWrite(address: Address, stamp: Stamp, isDelete: boolean): ValueWrite {
  const payload = isDelete ? undefined : PAYLOAD;
  return { kind: 'value', address, payload, expiresAt: 0, scope: undefined, tags: [], ...stamp };
}

export function* writeValue(p: Instance, address: Address, verb: Verb): Task {
  const { copies, outbox, versions, world, history } = p;
  const { redis, supabase } = p.network;
  const startedAt = world.now;
  const ticket = copies.enter(address.id);
  copies.move(address.id);
  const isCreate = verb === 'create';
  let write = valueWrite(address, versions.proposeStamp(), verb === 'delete');
  const note = (): void => {
    const { version, intent } = write;
    history.propose({ verb, version, intent, base: undefined, token: intent });
  };
  try {
    const held = yield* climb(p, {
      address,
      isCreate,
      begin: note,
      propose(above) {
        versions.observe(above);
        write = { ...write, version: versions.propose(above) };
      },
      *atShared(create) {
        const put = { write, create };
        const reply = yield* p.askShared((epoch): PutReply => {
          if (isOutdated(p, create, epoch)) return { status: 'moved' };
          return redis.model.put(epoch, put, world.now);
        });
        if (reply === LOST) return LOST;
        if (reply.status === 'held') {
          outbox.holdValue(write, 'unsynced', world.now);
          p.keepOwn(ticket, write);
        }
        return rungOf(reply);
      },
      *atDurable() {
        if (!world.rule('same-stamp-on-retry')) {
          write = valueWrite(address, versions.proposeStamp(), verb === 'delete');
          note();
        }
        const row = { write, mark: world.rule('bypass-mark'), absent: isCreate };
        const reply = yield* p.askDurable(() => supabase.model.apply(row, world.now));
        if (reply === LOST) return LOST;
        if (reply.status === 'superseded') return { status: 'too-low', floor: reply.newer.version };
        if (reply.status !== 'applied') return { status: 'no' };
        outbox.holdValue(write, 'synced', world.now);
        return { status: 'held' };
      },
    });
    if (held === 'unknown') p.say(() => `rejects ${verb} ${address.key}`);
    if (held !== 'l2' && held !== 'l3') return;
    p.promiseVersion(address, write.version);
    const { version, intent } = write;
    const rest = { itemId: undefined, held, startedAt, ackedAt: world.now };
    history.acknowledge({ verb, instance: p.id, address, version, intent, ...rest });
    if (held === 'l3') yield* tellShared(p, ticket, write);
  } finally {
    copies.leave(ticket);
  }
}

/** L3 has it. The outbox is the floor until L2 was told, here or by whoever repairs. */
export function* tellShared(p: Instance, ticket: Ticket, write: ValueWrite): Task {
  const { redis } = p.network;
  if (!p.world.rule('outbox-kept-until-own-settle')) p.outbox.confirmed(write.address.id, write);
  p.keepNothing(ticket, write);
  const reply = yield* p.askShared((epoch) => redis.model.putSettled(epoch, write, p.world.now));
  // Done is not held: L2 may have something newer, of which no message will come any more.
  if (!p.world.rule('l1-only-where-held')) p.keepOwn(ticket, write);
  if (reply === 'done') p.outbox.confirmed(write.address.id, write);
}
