/**
 * What an `update` makes of a write that L3 refused, where something else happens to that write at
 * the same moment.
 */
import { expect, it } from 'vitest';
import { Metrics } from '../../../src/metrics/metrics.ts';
import type { LogWrite, ValueWrite } from '../../../src/model/entry.ts';
import { address } from '../../../src/model/key.ts';
import { Records } from '../../../src/records.ts';
import { Namespace } from '../../../src/space.ts';
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
  const { apply, compareAndSet } = l3.tier;
  const before = { apply: () => Promise.resolve(), swap: () => {} };
  Object.assign(l3.tier, {
    apply: (...args: Parameters<typeof apply>) => before.apply().then(() => apply(...args)),
    compareAndSet: (...args: Parameters<typeof compareAndSet>) => {
      before.swap();
      return compareAndSet(...args);
    },
  });
  const a = new SimulatedInstance('a', time, redis, l3, 0);
  await time.pass(500);
  const counters = new Metrics(a.engine.clock).namespace(KEY.namespace);
  const scope = (key: string) => ['call', key] as const;
  const records = new Records<number>(
    a.engine,
    new Namespace(KEY.namespace, 'value', { scope }, counters),
  );
  const written = records.set(KEY.key, 666);
  await time.pass(50);
  const { version } = await written;
  await settledBy(time, a.drainer.drainAll());
  expect(a.outbox.parked()).toEqual([KEY.id]);
  const given: (number | undefined)[] = [];
  const update = () =>
    records.update(KEY.key, (current) => {
      given.push(current);
      return (current ?? 0) + 1;
    });
  return { time, redis, l3, before, a, version, given, update };
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

it('G8: what was made of a refused write does not come back when its scope is erased just before the swap', async () => {
  const { time, l3, before, version, given, update } = await refused();
  before.swap = () => {
    before.swap = () => {};
    l3.model.erase({ kind: 'call', id: KEY.key }, version + 1);
  };
  const updated = await settledBy(time, update());
  expect(given).toEqual([666, undefined]);
  expect(updated.value).toBe(1);
});
