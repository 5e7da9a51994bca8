/** What the outbox hears about writes that Supabase refused. */
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
