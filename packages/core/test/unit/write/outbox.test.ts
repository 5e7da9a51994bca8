/** What the outbox makes of what Supabase says. */
import { expect, it } from 'vitest';
import { address } from '../../../src/model/key.ts';
import { Outbox } from '../../../src/write/outbox.ts';

const LOG = address('turns', 'call');
const item = (id: string, version: number) => ({
  id,
  version,
  payload: { codec: 'json', bytes: new Uint8Array(1) } as const,
});

function outboxWith(refused: string) {
  const outbox = new Outbox({ maxPending: 10, maxBytes: 10_000 });
  outbox.holdItems(LOG, undefined, [item('1', 1), item('2', 2)], 'unsynced', 0);
  outbox.park(LOG.id, [item(refused, Number(refused))], true);
  return outbox;
}

it('G7: what is decided about a refused item is heard also while the item is being sent again', () => {
  const outbox = outboxWith('2');
  // Sent before the decision, answered after it.
  outbox.unpark();
  outbox.heard(LOG.id, { version: 2, intent: 0 });
  outbox.park(LOG.id, [item('2', 2)], true);
  expect(outbox.takeAnswered()).toEqual([LOG.id]);
});

it('what was never refused is not sent because the bus speaks of it', () => {
  const outbox = outboxWith('2');
  outbox.heard(LOG.id, { version: 1, intent: 0 });
  expect(outbox.takeAnswered()).toEqual([]);
});

it('G1: what Supabase has of an item from before a deletion that it has not heard of is not that item', () => {
  const outbox = new Outbox({ maxPending: 10, maxBytes: 10_000 });
  outbox.holdItems(LOG, undefined, [item('1', 1)], 'unsynced', 0);
  outbox.holdErasure(LOG, undefined, 3, 'unsynced', 0);
  outbox.holdItems(LOG, undefined, [item('1', 5)], 'unsynced', 0);
  outbox.itemsInL3(LOG.id, [{ id: '1', version: 1, sent: 5 }], 0);
  expect(outbox.toFlush(LOG.id)).toMatchObject({ erasedTo: 3, items: [{ id: '1', version: 5 }] });
});

it('an item that Supabase has under the version that L2 raised it to is flushed', () => {
  const outbox = new Outbox({ maxPending: 10, maxBytes: 10_000 });
  outbox.holdItems(LOG, undefined, [item('1', 1)], 'unsynced', 0);
  outbox.itemsInL3(LOG.id, [{ id: '1', version: 2, sent: 2 }], 0);
  expect(outbox.unsynced()).toEqual([]);
});
