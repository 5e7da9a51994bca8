/**
 * @cache/core beside a peer, in one run, on one machine, on the same Redis: compare the ratios,
 * never the absolute figures. `npm run bench`.
 *
 * Not the same promise: the peer has no tier below Redis, and its writes are acknowledged
 * without being marked for one.
 */
import { fileURLToPath } from 'node:url';
import { createCache, memory, redis, supabase } from '@cache/core';
import { startStack } from '@cache/testing';
import { BentoCache, bentostore } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis';
import { bench, do_not_optimize as keep, run, summary } from 'mitata';

const migrations = fileURLToPath(new URL('../../../supabase/migrations', import.meta.url));
await using stack = await startStack({ supabase: { migrations } });
const { hostname, port } = new URL(stack.redis.url);
const connection = { host: hostname, port: Number(port) };

const cache = createCache({
  l1: memory(),
  l2: redis({ url: stack.redis.url }),
  l3: supabase({ url: stack.supabase.url, key: stack.supabase.secretKey }),
});
await cache.ready();
const ours = cache.records<typeof VALUE>('bench');
const withoutL1 = createCache({
  l2: redis({ url: stack.redis.url }),
  l3: supabase({ url: stack.supabase.url, key: stack.supabase.secretKey }),
});
await withoutL1.ready();
const far = withoutL1.records<typeof VALUE>('bench');

const peer = new BentoCache({
  default: 'tiered',
  stores: {
    tiered: bentostore()
      .useL1Layer(memoryDriver({ maxItems: 100 }))
      .useL2Layer(redisDriver({ connection }))
      .useBus(redisBusDriver({ connection })),
    redis: bentostore().useL2Layer(redisDriver({ connection })),
  },
});

const VALUE = {
  caller: '+34 600 000 000',
  state: 'booking',
  notes: Array.from({ length: 20 }, (_, turn) => `turn ${turn}: a table for two, on Friday`),
};

await ours.set('hot', VALUE);
await ours.get('hot');
await peer.set({ key: 'hot', value: VALUE });
await peer.get({ key: 'hot' });

summary(() => {
  bench('L1 hit: @cache/core', async () => keep(await ours.get('hot')));
  bench('L1 hit: bentocache', async () => keep(await peer.get({ key: 'hot' })));
});

summary(() => {
  bench('L2 hit, 32 readers: @cache/core', async () => keep(await many(() => far.get('hot'))));
  bench('L2 hit, 32 readers: bentocache', async () =>
    keep(await many(() => peer.use('redis').get({ key: 'hot' }))),
  );
});

summary(() => {
  bench('set, 32 writers: @cache/core', () => many((nth) => ours.set(`k${nth}`, VALUE)));
  bench('set, 32 writers: bentocache', () =>
    many((nth) => peer.set({ key: `k${nth}`, value: VALUE })),
  );
});

await run();
await Promise.all([cache.close(), withoutL1.close(), peer.disconnectAll()]);
process.exit(0);

function many<T>(one: (nth: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: 32 }, (_, nth) => one(nth)));
}
