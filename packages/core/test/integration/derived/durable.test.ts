/** Derived values where there is an L3: those that persist, and scopes. On real servers. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { DerivedOptions } from '../../../src/derived-options.ts';
import { errorOf, type Instance, Stage, until } from '../support.ts';
import { Counter, counted, Holder } from './caches.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterEach(async () => {
  await stage.closeInstances();
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
});

const PERSISTS = { persist: true, ttl: '10m', jitter: 0, earlyRefresh: 0 } as const;

function opened({ cache }: Instance, name: string, options: DerivedOptions<string, string>) {
  return cache.derived<string, string>(name, { ...PERSISTS, ...options });
}

/** L3 has the value, which is stored after the answer was given. */
async function inL3({ cache }: Instance, name: string, key: string): Promise<void> {
  await until(
    async () => (await cache.inspect(name, key)).l3 !== undefined,
    `${name} ${key} in L3`,
  );
}

/** FLUSHALL, and all of these have noticed. */
async function emptied(...instances: readonly Instance[]): Promise<void> {
  const before = instances.map((instance) => instance.eventsOf('epoch').length);
  await stage.stack.redis.empty();
  await until(
    () => instances.every((one, nth) => one.eventsOf('epoch').length > (before[nth] ?? 0)),
    'everybody knows',
  );
  for (const instance of instances) await instance.healthy();
}

describe('persist', () => {
  it('a value survives FLUSHALL, is not loaded again, and lives in L2 for no longer than in L3', async () => {
    const [a, b] = [await stage.ready(), await stage.ready()];
    const counter = new Counter();
    const [here, there] = [a, b].map((one) => opened(one, 'kept', { load: counter.load }));
    const key = stage.key();
    await here?.get(key);
    await inL3(a, 'kept', key);
    await emptied(a, b);
    expect(await there?.lookup(key)).toEqual({ value: `${key}:1`, tier: 'l3', freshness: 'fresh' });
    expect(await here?.get(key)).toBe(`${key}:1`);
    expect(counter.loads).toBe(1);
    await until(async () => (await b.cache.inspect('kept', key)).l2 !== undefined, 'L2 has it');
    const { l2, l3 } = await b.cache.inspect('kept', key);
    if (typeof l2 !== 'object' || typeof l3 !== 'object') throw new Error('in both');
    // L2 was asked first, so that what is left there had less time to go.
    expect(l2.freshMs).toBeGreaterThan(0);
    expect(l2.freshMs).toBeLessThanOrEqual(600_000);
    expect(l3.freshMs).toBeLessThanOrEqual(600_000);
  });

  it('without persist it is loaded again', async () => {
    const a = await stage.ready();
    const counter = new Counter();
    const values = opened(a, 'brief', { load: counter.load, persist: false });
    const key = stage.key();
    await values.get(key);
    await emptied(a);
    expect(await values.get(key)).toBe(`${key}:2`);
    expect((await a.cache.inspect('brief', key)).l3).toBeUndefined();
  });

  for (const end of ['delete', 'invalidateTags', 'erase', 'set'] as const) {
    it(`after ${end} what was in L3 does not come back, neither in L2 nor after FLUSHALL`, async () => {
      const [a, b] = [await stage.ready(), await stage.ready()];
      const counter = new Counter();
      const options: DerivedOptions<string, string> = {
        load: counter.load,
        tags: (key) => [`of ${key}`],
        scope: (key) => ['caller', key],
      };
      const name = `ends-${end.toLowerCase()}`;
      const [here, there] = [a, b].map((one) => opened(one, name, options));
      const key = stage.key();
      await here?.get(key);
      await inL3(a, name, key);
      await there?.get(key);
      if (end === 'delete') await there?.delete(key);
      else if (end === 'set') await there?.set(key, `${key}:2`);
      else if (end === 'invalidateTags') await b.cache.invalidateTags([`of ${key}`]);
      else await b.cache.scope('caller', key).erase();
      await emptied(a, b);
      expect(await here?.get(key)).toBe(`${key}:2`);
      await inL3(a, name, key);
      expect(await there?.get(key)).toBe(`${key}:2`);
      expect(counter.loads).toBe(end === 'set' ? 1 : 2);
    });
  }

  it('G4: an invalidation during a load keeps its result out of L3 too', async () => {
    const [a, b] = [await stage.ready(), await stage.ready()];
    const holder = new Holder<string>();
    const values = opened(a, 'late', { load: holder.load, tags: () => ['late'] });
    const key = stage.key();
    const asked = values.get(key);
    const load = await holder.begun(1);
    await b.cache.invalidateTags(['late']);
    holder.next = 'new';
    load.answer('old');
    await asked;
    await until(async () => (await values.get(key)) === 'new', 'it is loaded anew');
    await inL3(a, 'late', key);
    await emptied(a, b);
    expect(await values.get(key)).toBe('new');
  });

  it('a value of another shape in L3 is a miss, and is counted', async () => {
    const [a, b] = [await stage.ready(), await stage.ready()];
    const [old, now] = [z.object({ v: z.literal(1) }), z.object({ v: z.literal(2) })];
    const key = stage.key();
    const before = a.cache.derived<string, typeof old>('shaped', {
      ...PERSISTS,
      schema: old,
      load: () => ({ v: 1 }),
    });
    await before.get(key);
    await inL3(a, 'shaped', key);
    await emptied(a, b);
    const after = b.cache.derived<string, typeof now>('shaped', {
      ...PERSISTS,
      schema: now,
      load: () => ({ v: 2 }),
    });
    expect(await after.lookup(key)).toMatchObject({ value: { v: 2 }, tier: 'load' });
    expect(
      await counted(b.cache, 'cache_schema_mismatches_total', { namespace: 'shaped' }),
    ).toBeGreaterThan(0);
  });

  it('one call of L3 for all that L2 lacks', async () => {
    const [a, b] = [await stage.ready(), await stage.ready()];
    const keys = Array.from({ length: 50 }, () => stage.key());
    let calls = 0;
    const loadMany = async (missing: readonly string[]) => {
      calls += 1;
      return [...missing];
    };
    const [here, there] = [a, b].map((one) =>
      one.cache.derived<string, string>('batched', { ...PERSISTS, loadMany }),
    );
    await here?.getMany(keys);
    for (const key of keys) await inL3(a, 'batched', key);
    await emptied(a, b);
    const before = await readsOfL3(b);
    expect((await there?.getMany(keys))?.size).toBe(50);
    expect((await readsOfL3(b)) - before).toBe(1);
    expect(calls).toBe(1);
  });

  it('L3 away: values are loaded and stored in L2 all the same; a set says that it could not be told', async () => {
    const way = await stage.proxyToSupabase();
    const a = await stage.ready({ l3: { url: way.url, timeout: 1000 } });
    const counter = new Counter();
    const values = opened(a, 'away', { load: counter.load });
    const key = stage.key();
    way.cut();
    expect(await values.get(key)).toBe(`${key}:1`);
    await until(async () => (await a.cache.inspect('away', key)).l2 !== undefined, 'L2 has it');
    expect(await errorOf(values.set(key, 'new'))).toMatchObject({
      code: 'UNAVAILABLE',
      outcome: 'unknown',
    });
    way.heal();
  });
});

/** Calls that read persistent derived values. */
function readsOfL3({ cache }: Instance): Promise<number> {
  return counted(cache, 'cache_operation_duration_seconds', {
    tier: 'l3',
    operation: 'derived_read',
    le: '+Inf',
  });
}

describe('scopes', () => {
  it('G8: entries lists derived values beside records; erase leaves none, anywhere, and no other scope loses one', async () => {
    const [a, b] = [await stage.ready(), await stage.ready()];
    const counter = new Counter();
    const options: DerivedOptions<string, string> = {
      load: counter.load,
      persist: false,
      scope: (key) => ['call', key.split('/')[0] ?? ''],
    };
    const [here, there] = [a, b].map((one) => opened(one, 'scoped', options));
    const [mine, other] = [stage.key('call'), stage.key('call')];
    await a.records.set(mine, { n: 1 });
    for (const key of [`${mine}/1`, `${mine}/2`, `${other}/1`]) {
      await here?.get(key);
      await until(async () => (await a.cache.inspect('scoped', key)).l2 !== undefined, 'stored');
      await there?.get(key);
    }
    const entries = await b.cache.scope('call', mine).entries();
    expect([...entries].sort((x, y) => x.key.localeCompare(y.key))).toEqual([
      { namespace: 'counts', key: mine, kind: 'value' },
      { namespace: 'scoped', key: `${mine}/1`, kind: 'derived' },
      { namespace: 'scoped', key: `${mine}/2`, kind: 'derived' },
    ]);
    const report = await b.cache.scope('call', mine).erase();
    expect(report).toMatchObject({ derived: 2, unknown: false });
    expect(await a.records.get(mine)).toBeUndefined();
    expect(await b.cache.scope('call', mine).entries()).toEqual([]);
    expect(await b.cache.scope('call', other).entries()).toHaveLength(1);
    for (const nth of ['1', '2']) {
      await until(async () => {
        const { l1, l2, l3 } = await a.cache.inspect('scoped', `${mine}/${nth}`);
        return l1 === undefined && l2 === undefined && l3 === undefined;
      }, 'no copy anywhere');
    }
    expect(await here?.get(`${other}/1`)).toBe(`${other}/1:3`);
    expect(await here?.get(`${mine}/1`)).toBe(`${mine}/1:4`);
  });

  it('inspect says where a value is and for how long, by the text of its key; forget deletes it everywhere', async () => {
    const [a, b] = [await stage.ready(), await stage.ready()];
    let loads = 0;
    const open = ({ cache }: Instance) =>
      cache.derived<{ readonly id: number }, string>('looked', {
        ...PERSISTS,
        load: () => {
          loads += 1;
          return 'a value';
        },
      });
    const [here, there] = [open(a), open(b)];
    const text = '{"id":7}';
    await here.get({ id: 7 });
    await inL3(a, 'looked', text);
    await until(async () => {
      await there.get({ id: 7 });
      return (await b.cache.inspect('looked', text)).l1 !== undefined;
    }, 'L1 of the other');
    const plain = await b.cache.inspect('looked', text);
    expect(plain).toMatchObject({
      kind: 'derived',
      l1: { bytes: 9 },
      outbox: undefined,
      l2: { bytes: 9, codec: 'json' },
      l3: { bytes: 9, codec: 'json' },
    });
    expect(JSON.stringify(plain)).not.toContain('a value');
    expect(await b.cache.inspect('looked', text, { value: true })).toMatchObject({
      l2: { value: 'a value' },
      l3: { value: 'a value' },
    });
    await b.cache.forget('looked', text);
    await until(async () => (await a.cache.inspect('looked', text)).l1 === undefined, 'it goes');
    expect(await a.cache.inspect('looked', text)).toMatchObject({ l2: undefined, l3: undefined });
    expect(await here.get({ id: 7 })).toBe('a value');
    expect(loads).toBe(2);
  });
});
