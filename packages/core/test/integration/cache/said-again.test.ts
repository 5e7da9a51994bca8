/** An id of a log that is said again: after its log was deleted it is another item. */
import { createClient } from '@supabase/supabase-js';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { memory, redis, supabase } from '../../../src/index.ts';
import { Instance, Stage, turn, until } from '../support.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterEach(() => stage.closeInstances());
afterAll(() => stage[Symbol.asyncDispose]());

const words = async (key: string) => (await stage.items(key)).map(({ item }) => item);

/** An instance whose first answer about items from Supabase waits for `open`. */
async function withHeldAnswer() {
  const { redis: server, supabase: durable } = stage.stack;
  const arrived = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const client = createClient(durable.url, durable.secretKey, {
    auth: { persistSession: false, autoRefreshToken: false },
    global: {
      fetch: async (input, init) => {
        const answer = await fetch(input, init);
        if (!String(input).endsWith('/cache_insert')) return answer;
        arrived.resolve();
        await gate.promise;
        return answer;
      },
    },
  });
  const one = new Instance({
    l1: memory(),
    l2: redis({ url: server.url, timeout: 500 }),
    l3: supabase({ client, timeout: 10_000 }),
    sync: { interval: '1h' },
  });
  await one.cache.ready();
  return { one, arrived: arrived.promise, open: gate.resolve };
}

it('G1, G2, G12: what is said again after a deletion is kept, while the item before is on its way to Supabase', async () => {
  const key = stage.key();
  const { one, arrived, open } = await withHeldAnswer();
  await using _ = one;
  await one.logs.append(key, turn('1', 'before'));
  const syncing = one.cache.sync();
  await arrived;
  const deleted = await one.logs.delete(key);
  const again = await one.logs.append(key, turn('1', 'after'));
  expect(again.version).toBeGreaterThan(deleted.version);
  open();
  await syncing;
  expect(await one.logs.read(key)).toEqual([turn('1', 'after')]);
  expect(await one.cache.sync()).toMatchObject({ failed: 0, remaining: 0 });
  expect(await words(key)).toEqual([turn('1', 'after')]);
  expect(await one.logs.read(key)).toEqual([turn('1', 'after')]);
  expect(one.cache.stats().sync.pending).toBe(0);
});

it('G1, G12: Redis, once it was told of a deletion, has nothing under its ids', async () => {
  const key = stage.key();
  const way = await stage.proxyToRedis();
  const [one, two] = await Promise.all([
    stage.ready({ l2: { url: way.url, breaker: { failures: 100 } }, sync: { interval: '1h' } }),
    stage.ready({ sync: { interval: '1h' } }),
  ]);
  await one.logs.append(key, turn('1', 'before'));
  await one.cache.sync();
  // From here on the log is pending in Redis: a repair can only make it partial.
  await two.logs.append(key, turn('2'));
  await one.logs.read(key);
  way.cut();
  const deleted = await one.logs.delete(key);
  expect(deleted).toMatchObject({ held: ['l3'] });
  way.heal();
  await until(
    async () => (await one.cache.inspect('turns', key)).outbox === undefined,
    'Redis told of the deletion',
  );
  const again = await one.logs.append(key, turn('1', 'after'));
  expect(again).toMatchObject({ held: ['l2'] });
  expect(again.version).toBeGreaterThan(deleted.version);
  for (const { cache } of [one, two]) await cache.sync();
  expect(await words(key)).toEqual([turn('1', 'after')]);
});

it('G1, G12: an id keeps its first words also where Redis loses them', async () => {
  const key = stage.key();
  const one = await stage.ready({ sync: { interval: '1h' } });
  await one.logs.append(key, turn('1', 'first'));
  await one.logs.append(key, turn('1', 'again'));
  await stage.stack.redis.empty();
  expect(await one.cache.sync()).toMatchObject({ failed: 0, remaining: 0 });
  expect(await words(key)).toEqual([turn('1', 'first')]);
});
