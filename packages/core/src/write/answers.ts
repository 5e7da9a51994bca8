/**
 * What L3's answers mean: for the outbox, and for L2.
 *
 *   applied      L3 has it. L2 settles it.
 *   superseded   L3 has something newer. L2 drops what is older, and L1 too, because no message
 *                may say so where L2 had nothing left to drop.
 *   erased       the scope, or the log up to some version, is gone, or an operator dropped the
 *                write. L2 purges, the outbox forgets.
 *   expired      too old to be judged: a dead letter, and gone here and in L2.
 *   refused      a dead letter: parked here, pending in L2, until somebody decides.
 *   none         nothing is known: everything stays as it is.
 */
import type { EventHub } from '../events.ts';
import type { LogWrite, ValueWrite } from '../model/entry.ts';
import type { AddressId } from '../model/key.ts';
import type { ApplyReply, InsertReply } from '../tiers/tier.ts';
import type { Outbox } from './outbox.ts';
import type { Release } from './release.ts';

export interface AnswerParts {
  readonly outbox: Outbox;
  readonly events: EventHub;
  readonly observe: (version: number) => void;
  readonly removeCopy: (id: AddressId) => void;
}

/** One row that was sent to L3. */
export interface Row<W> {
  readonly id: AddressId;
  readonly write: W;
  /** A `create` that nobody could prove. */
  readonly unproven: boolean;
}

export function releasesOfValue(
  { outbox, events, observe, removeCopy }: AnswerParts,
  { id, write }: Row<ValueWrite>,
  reply: ApplyReply | undefined,
): Release[] {
  const { namespace } = write.address;
  const { version, intent } = write;
  const forget = () => {
    outbox.discard(id, write);
    // A read in between has united L1's copy with what the outbox still held.
    removeCopy(id);
  };
  switch (reply?.status) {
    case 'applied': {
      outbox.valueInL3(id, write);
      const settle = { kind: 'value', address: write.address, version, intent } as const;
      return [{ tell: 'settle', settle, done: () => outbox.confirmed(id, write) }];
    }
    case 'superseded':
      observe(reply.newer.version);
      outbox.valueInL3(id, write);
      removeCopy(id);
      return [{ tell: 'drop', id, newer: reply.newer, done: forget }];
    case 'expired':
      events.emit({ type: 'dead-letter', namespace, why: 'expired' });
      outbox.judged(id, write);
      return [{ tell: 'purge', id, version, done: forget }];
    case 'erased':
      removeCopy(id);
      // No floor any more, also where L2 can't be told: a read finds that L3 lacks it.
      outbox.valueInL3(id, write);
      return [{ tell: 'purge', id, version, done: forget }];
    case 'refused':
      outbox.park(id, write, reply.unsent !== true);
      return [];
    default:
      return [];
  }
}

export function releasesOfLog(
  { outbox, removeCopy }: AnswerParts,
  { id, write }: Row<LogWrite>,
  reply: InsertReply | undefined,
): Release[] {
  if (reply?.status === 'refused') {
    outbox.park(id, write.items, reply.unsent !== true);
  }
  if (reply?.status !== 'applied' && reply?.status !== 'erased') return [];
  const dead = new Set(reply.status === 'erased' ? reply.dead : []);
  const droppedIds = new Set(reply.dropped);
  const dropped = write.items.filter((item) => droppedIds.has(item.id));
  const named = write.items.map((item, index) => ({
    id: item.id,
    version: reply.versions[index] ?? item.version,
    sent: item.version,
  }));
  const items = named.filter((item) => !dead.has(item.id) && !droppedIds.has(item.id));
  // Those that L3 erased, or dropped, too: they are no floor any more, though L2 be told later.
  outbox.itemsInL3(id, named, write.erasedTo);
  // What L3 has erased, whoever did it: a whole entry, or the outbox, would go on showing it.
  const { erasedTo, others } = reply;
  const gone = dropped.map((item) => ({ id: item.id, version: 0 }));
  const told = [...items, ...gone];
  const settle = { kind: 'log', address: write.address, items: told, erasedTo, others } as const;
  const done = () => {
    outbox.itemsConfirmed(id, items, write.erasedTo);
    outbox.discard(id, { version: erasedTo, intent: 0 });
    outbox.discardItems(id, dropped);
    if (dropped.length > 0) removeCopy(id);
  };
  const releases: Release[] = [{ tell: 'settle', settle, done }];
  const version = write.items.reduce(
    (highest, item) => (dead.has(item.id) ? Math.max(highest, item.version) : highest),
    0,
  );
  if (version > 0) {
    const forget = () => outbox.discard(id, { version, intent: 0 });
    releases.push({ tell: 'purge', id, version, done: forget });
  }
  // Under another version than was sent, L3 has had this id before, perhaps with other words: what
  // L2 holds of it must not be answered alone.
  const isOther = items.some(({ version, sent }) => version !== sent);
  // Copies of a log that show what was dropped have to go too, wherever they are.
  if (isOther || dropped.length > 0) {
    if (dropped.length > 0) removeCopy(id);
    const top = named.reduce((highest, item) => Math.max(highest, item.version), 0);
    releases.push({ tell: 'repair', id, version: top, done: () => {} });
  }
  return releases;
}
