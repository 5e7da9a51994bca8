/** Redis that went away and came back: empty, emptied under way, or knowing what was. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Cache, Derived } from '../../../src/index.ts';
import { until } from '../support.ts';
import { Caches, counted, Holder, healthy } from './caches.ts';

const LONG = { ttl: '10m', jitter: 0, earlyRefresh: 0 } as const;

let caches: Caches;
beforeEach(async () => {
  caches = await Caches.start();
});
afterEach(async () => {
  await caches[Symbol.asyncDispose]();
});

interface At {
  readonly cache: Cache;
  readonly values: Derived<string, number>;
  readonly epochs: () => number;
}

/** Instances that load from one source. */
async function some(count: number) {
  const source = { value: 1, loads: 0 };
  const all = (await caches.many(count)).map((cache): At => {
    let epochs = 0;
    cache.subscribe(({ type }) => {
      if (type === 'epoch') epochs += 1;
    });
    const values = cache.derived<string, number>('values', {
      ...LONG,
      load: () => {
        source.loads += 1;
        return source.value;
      },
      tags: () => ['t'],
    });
    return { cache, values, epochs: () => epochs };
  });
  return { source, all };
}

it('Redis killed and back empty: what was in L1 is not served, it is loaded once in all, and stored again', async () => {
  const { source, all } = await some(3);
  for (const { values } of all) expect(await values.get('k')).toBe(1);
  expect(source.loads).toBe(1);
  source.value = 2;
  await caches.server.restart();
  await until(() => all.every(({ epochs }) => epochs() > 0), 'everybody knows');
  await healthy(...all.map(({ cache }) => cache));
  for (const { values } of all) expect(await values.get('k')).toBe(2);
  expect(source.loads).toBe(2);
  // Tags and the bus work under the new epoch.
  source.value = 3;
  await all[0]?.cache.invalidateTags(['t']);
  for (const { values } of all) {
    await until(async () => (await values.get('k')) === 3, 'the invalidation is seen');
  }
  expect(source.loads).toBe(3);
});

it('FLUSHALL: noticed without a read, and everybody loads anew once', async () => {
  const { source, all } = await some(3);
  for (const { values } of all) await values.get('k');
  await caches.server.empty();
  source.value = 2;
  await until(() => all.every(({ epochs }) => epochs() > 0), 'everybody knows');
  await healthy(...all.map(({ cache }) => cache));
  for (const { values } of all) expect(await values.get('k')).toBe(2);
  expect(source.loads).toBe(2);
});

it('G3: a Redis that comes back from before an invalidation, a delete or a set does not bring back what was', async () => {
  const { source, all } = await some(2);
  for (const key of ['tagged', 'deleted', 'set']) await all[0]?.values.get(key);
  const before = await caches.server.snapshot();
  source.value = 2;
  await all[0]?.cache.invalidateTags(['t']);
  await all[0]?.values.delete('deleted');
  await all[0]?.values.set('set', 2);
  await caches.server.restart({ from: before });
  await until(() => all.every(({ epochs }) => epochs() > 0), 'everybody knows');
  await healthy(...all.map(({ cache }) => cache));
  for (const { values } of all) {
    for (const key of ['tagged', 'deleted', 'set']) expect(await values.get(key)).toBe(2);
  }
});

for (const fault of ['emptied', 'back from a dump with the lease in it'] as const) {
  it(`G11: Redis ${fault} during a load: the lease of before holds nobody up, and its result is stored nowhere`, async () => {
    const [a, b] = await caches.many(2);
    const [old, fresh] = [new Holder<string>(), new Holder<string>()];
    const open = (cache: Cache | undefined, holder: Holder<string>) => {
      if (cache === undefined) throw new Error('no cache');
      return cache.derived<string, string>('values', { ...LONG, load: holder.load });
    };
    if (a === undefined || b === undefined) throw new Error('no cache');
    const [here, there] = [open(a, old), open(b, fresh)];
    const asked = here.get('k');
    const late = await old.begun(1);
    if (fault === 'emptied') await caches.server.empty();
    else await caches.server.restart({ from: await caches.server.snapshot() });
    await healthy(a, b);
    const next = there.get('k');
    (await fresh.begun(1)).answer('new');
    expect(await next).toBe('new');
    late.answer('old');
    expect(await asked).toBe('old');
    await until(async () => (await here.get('k')) === 'new', 'the other has what is stored');
    expect(await b.inspect('values', 'k', { value: true })).toMatchObject({ l2: { value: 'new' } });
    expect(await there.get('k')).toBe('new');
    expect(fresh.loads).toHaveLength(1);
    expect(await counted(b, 'cache_leases_total', { outcome: 'waited' })).toBe(0);
  });
}

it('G11: a lease is extended for as long as its load goes on', async () => {
  const [a, b] = await caches.many(2);
  const holder = new Holder<string>();
  const open = (cache: Cache | undefined) => {
    if (cache === undefined) throw new Error('no cache');
    return cache.derived<string, string>('values', { ...LONG, load: holder.load });
  };
  const asked = [open(a).get('k'), open(b).get('k')];
  const load = await holder.begun(1);
  if (a === undefined || b === undefined) throw new Error('no cache');
  // One of the two waits, and asks again whenever the lease that it was told of would have ended.
  const takes = { tier: 'l2', operation: 'derived_take', le: '+Inf' };
  const asks = async () =>
    (await counted(a, 'cache_operation_duration_seconds', takes)) +
    (await counted(b, 'cache_operation_duration_seconds', takes));
  await until(async () => (await asks()) >= 4, 'it has asked three times');
  expect(holder.loads).toHaveLength(1);
  load.answer('one');
  expect(await Promise.all(asked)).toEqual(['one', 'one']);
  expect(holder.loads).toHaveLength(1);
});
