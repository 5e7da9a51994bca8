/**
 * Single calls beside a peer: hits of L1 and of Redis, writes, and derived values.
 *
 * Not the same promise: the peer has no tier below Redis, its writes are acknowledged without
 * being marked for one, and its loads are one for each process, not one for all.
 */
import { fileURLToPath } from 'node:url';
import { createCache, memory, redis, supabase } from '@cache/core';
import { startStack } from '@cache/testing';
import { BentoCache, bentostore } from 'bentocache';
import { memoryDriver } from 'bentocache/drivers/memory';
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis';
import { bench, do_not_optimize as keep, run, summary } from 'mitata';

const AT_ONCE = 32;

const VALUE = {
  caller: '+34 600 000 000',
  state: 'booking',
  notes: Array.from({ length: 20 }, (_, turn) => `turn ${turn}: a table for two, on Friday`),
};

export async function benchTiers(): Promise<void> {
  const migrations = fileURLToPath(new URL('../../../supabase/migrations', import.meta.url));
  await using stack = await startStack({ supabase: { migrations } });
  const { hostname, port } = new URL(stack.redis.url);
  const connection = { host: hostname, port: Number(port) };
  const l2 = redis({ url: stack.redis.url });
  const l3 = supabase({ url: stack.supabase.url, key: stack.supabase.secretKey });

  await using cache = createCache({ l1: memory(), l2, l3 });
  await cache.ready();
  const ours = cache.records<typeof VALUE>('bench');
  const derived = cache.derived('derived', { load: () => VALUE, ttl: '1h' });
  await using withoutL1 = createCache({ l2, l3 });
  await withoutL1.ready();
  const far = withoutL1.records<typeof VALUE>('bench');
  const farDerived = withoutL1.derived('derived', { load: () => VALUE, ttl: '1h' });

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
  const peerDerived = (store: 'tiered' | 'redis') =>
    peer.use(store).getOrSet({ key: 'derived', factory: () => VALUE, ttl: '1h', tags: ['t'] });

  await ours.set('hot', VALUE);
  await ours.get('hot');
  await derived.get('hot');
  await peer.set({ key: 'hot', value: VALUE });
  await peer.get({ key: 'hot' });
  await peerDerived('tiered');

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

  summary(() => {
    bench('derived, L1 hit: @cache/core get', async () => keep(await derived.get('hot')));
    bench('derived, L1 hit: bentocache getOrSet', async () => keep(await peerDerived('tiered')));
  });

  summary(() => {
    bench('derived, L2 hit, one reader: @cache/core get', async () =>
      keep(await farDerived.get('hot')),
    );
    bench('derived, L2 hit, one reader: bentocache getOrSet', async () =>
      keep(await peerDerived('redis')),
    );
  });

  await run();
  await peer.disconnectAll();
}

function many<T>(one: (nth: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: AT_ONCE }, (_, nth) => one(nth)));
}
