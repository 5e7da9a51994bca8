/** When a drain runs, and what Supabase refused goes along with it. */
import { expect, it } from 'vitest';
import { address } from '../../../src/model/key.ts';
import { Drainer } from '../../../src/write/drainer.ts';
import { type FlushReport, NOTHING_FLUSHED } from '../../../src/write/flusher.ts';
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

it('G1: a drain that is queued when its process closes does not begin after that, and says so', async () => {
  const outbox = new Outbox({ maxPending: 10, maxBytes: 1000 });
  outbox.holdValue(WRITE, 'unsynced', 0);
  const flushes: PromiseWithResolvers<FlushReport>[] = [];
  const drainer = new Drainer({
    clock: new VirtualTime(1).clock(0, () => true),
    outbox,
    flusher: {
      flush: () => {
        const flush = Promise.withResolvers<FlushReport>();
        flushes.push(flush);
        return flush.promise;
      },
    },
    intervalMs: 1000,
    via: () => ({ shared: undefined, mark: false }),
    onRun: () => {},
  });
  const running = drainer.drain();
  const queued = drainer.drainAll();
  const closed = drainer.close();
  flushes[0]?.resolve(NOTHING_FLUSHED);
  await Promise.all([running, closed]);
  expect(flushes, 'no drain begins once it is closed').toHaveLength(1);
  // Whoever asked must not take it for an outbox that L3 has all of.
  expect(await queued).toEqual({ ...NOTHING_FLUSHED, failed: 1 });
  expect(await drainer.drain()).toEqual({ ...NOTHING_FLUSHED, failed: 1 });
});
