/** When what Supabase refused goes along with a drain. */
import { expect, it } from 'vitest';
import { address } from '../../../src/model/key.ts';
import { Drainer } from '../../../src/write/drainer.ts';
import { NOTHING_FLUSHED } from '../../../src/write/flusher.ts';
import { Outbox } from '../../../src/write/outbox.ts';
import { VirtualTime } from '../../property/core/virtual-time.ts';

const KEY = address('numbers', 'k');
const WRITE = {
  kind: 'value',
  address: KEY,
  version: 1,
  intent: 1,
  payload: undefined,
  expiresAt: 0,
  scope: undefined,
  tags: [],
} as const;

it('G7: a sync sends once more what a drain under way is just being refused', async () => {
  const outbox = new Outbox({ maxPending: 10, maxBytes: 1000 });
  outbox.holdValue(WRITE, 'unsynced', 0);
  const sent: (readonly string[])[] = [];
  const first = Promise.withResolvers<void>();
  const drainer = new Drainer({
    clock: new VirtualTime(1).clock(0, () => true),
    outbox,
    flusher: {
      flush: async (ids) => {
        sent.push(ids);
        if (sent.length === 1) await first.promise;
        return NOTHING_FLUSHED;
      },
    },
    intervalMs: 1000,
    via: () => ({ shared: undefined, mark: false }),
    onRun: () => {},
  });
  const drained = drainer.drain();
  // Its cause is mended now, and whoever mended it asks for a sync; the answer still comes.
  const all = drainer.drainAll();
  outbox.park(KEY.id, WRITE, true);
  first.resolve();
  await Promise.all([drained, all]);
  expect(sent).toEqual([[KEY.id], [KEY.id]]);
  await drainer.close();
});
