/**
 * What an `update` makes of a write that L3 refused, where something else happens to that write at
 * the same moment.
 */
import { expect, it } from 'vitest';
import type { LogWrite, ValueWrite } from '../../../src/model/entry.ts';
import { address } from '../../../src/model/key.ts';
import { DurableModel } from '../../model/durable-model.ts';
import { SimulatedInstance } from '../../property/core/instance.ts';
import { DurableHost, RedisHost } from '../../property/core/servers.ts';
import { VirtualTime } from '../../property/core/virtual-time.ts';

const KEY = address('numbers', 'k');

function refuses(write: ValueWrite | LogWrite): string | undefined {
  if (write.kind !== 'value' || write.payload === undefined) return undefined;
  return Buffer.from(write.payload.bytes).toString() === '666' ? 'not on my watch' : undefined;
}

/** L3 has refused 666, which its writer has parked. */
async function refused() {
  const time = new VirtualTime(1);
  const redis = new RedisHost();
  const l3 = new DurableHost(time, new DurableModel({ refuses }));
  const { apply } = l3.tier;
  const before = { apply: () => Promise.resolve() };
  Object.assign(l3.tier, {
    apply: (...args: Parameters<typeof apply>) => before.apply().then(() => apply(...args)),
  });
  const a = new SimulatedInstance('a', time, redis, l3, 0);
  await time.pass(500);
  const written = a.records.set(KEY.key, 666);
  await time.pass(50);
  await written;
  await settledBy(time, a.drainer.drainAll());
  expect(a.outbox.parked()).toEqual([KEY.id]);
  const given: (number | undefined)[] = [];
  const update = () =>
    a.records.update(KEY.key, (current) => {
      given.push(current);
      return (current ?? 0) + 1;
    });
  return { time, redis, l3, before, a, given, update };
}

async function settledBy<T>(time: VirtualTime, work: Promise<T>): Promise<T> {
  await time.pass(500);
  return work;
}

it('G12: a write that L3 refuses to a drain under way is given to an update that waits for it', async () => {
  const { time, redis, before, a, given, update } = await refused();
  redis.restart(false);
  await time.pass(1000);
  expect(a.outbox.parked()).toEqual([KEY.id]);
  const gate = Promise.withResolvers<void>();
  before.apply = () => gate.promise;
  const drained = a.drainer.drainAll();
  const updated = update();
  await time.pass(100);
  expect(given).toEqual([]);
  gate.resolve();
  const [, { value }] = await settledBy(time, Promise.all([drained, updated]));
  expect(given).toEqual([666]);
  expect(value).toBe(667);
});
