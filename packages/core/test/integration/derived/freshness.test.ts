/** How long a value is the answer, and what its loader may decide about it. On a real Redis. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { CodecError, LoadError, SchemaError } from '../../../src/errors.ts';
import {
  type Cache,
  createCache,
  type Kept,
  type LoadContext,
  memory,
} from '../../../src/index.ts';
import { errorOf, until } from '../support.ts';
import { Caches, Counter, counted, Holder } from './caches.ts';
import { HeldClock, settled } from './held-clock.ts';

let caches: Caches;
beforeAll(async () => {
  caches = await Caches.start();
});
afterEach(async () => {
  await caches.closeAll();
  await caches.server.empty();
});
afterAll(async () => {
  await caches[Symbol.asyncDispose]();
});

/** What L2 has of a key is past its time to live, and within its grace. */
async function staleInRedis(cache: Cache, namespace: string, key: string): Promise<void> {
  await until(async () => {
    const { l2 } = await cache.inspect(namespace, key);
    return typeof l2 === 'object' && l2.freshMs === 0;
  }, `${key} is stale in L2`);
}

describe('early refresh', () => {
  it('a read near the end answers at once and starts one load in the background; far from it, none', async () => {
    const clock = new HeldClock();
    await using cache = createCache({ l1: memory({ ttl: '1h' }), clock, deadline: '1m' });
    const holder = new Holder<string>();
    const values = cache.derived<string, string>('values', {
      load: (key, context) => {
        clock.spend(100);
        return holder.load(key, context);
      },
      ttl: '10m',
      jitter: 0,
    });
    const first = values.get('k');
    (await holder.begun(1)).answer('one');
    await first;
    // A load took 100 ms: by the rule the least chance reaches over 3 s back from the end.
    clock.chance = 'least';
    await clock.pass(590_000);
    expect(await values.get('k')).toBe('one');
    await settled();
    expect(holder.loads).toHaveLength(1);
    await clock.pass(9_000);
    for (let read = 0; read < 10; read += 1) expect(await values.get('k')).toBe('one');
    expect((await holder.begun(2)).signal.aborted).toBe(false);
    await settled();
    expect(holder.loads).toHaveLength(2);
    holder.loads[1]?.answer('two');
    await settled();
    expect(await values.get('k')).toBe('two');
    // And with the greatest chance nobody is early.
    clock.chance = 'greatest';
    await clock.pass(599_000);
    expect(await values.get('k')).toBe('two');
    await settled();
    expect(holder.loads).toHaveLength(2);
  });

  it('G11: instances that read the same value from L2 near its end load it once in all, and answer at once', async () => {
    const clock = new HeldClock();
    const all = await caches.many(3, { clock });
    const holder = new Holder<string>();
    const open = (cache: Cache) =>
      cache.derived<string, string>('values', {
        load: (key, context) => {
          clock.spend(1000);
          return holder.load(key, context);
        },
        ttl: '10m',
        jitter: 0,
        earlyRefresh: 100,
      });
    const [a, b, c] = all.map(open);
    clock.chance = 'greatest';
    const first = a?.get('k');
    (await holder.begun(1)).answer('one');
    await first;
    clock.chance = 'least';
    expect(await b?.get('k')).toBe('one');
    expect(await c?.get('k')).toBe('one');
    await holder.begun(2);
    // Both have asked for the lease before the load ends; who did not get it lets it be.
    clock.chance = 'greatest';
    expect(await Promise.all([b?.get('k'), c?.get('k')])).toEqual(['one', 'one']);
    holder.loads[1]?.answer('two');
    await until(async () => (await b?.get('k')) === 'two', 'the new value');
    await until(async () => (await c?.get('k')) === 'two', 'the new value, elsewhere');
    expect(holder.loads).toHaveLength(2);
  });

  it('0 switches it off', async () => {
    const clock = new HeldClock();
    await using cache = createCache({ l1: memory({ ttl: '1h' }), clock });
    const counter = new Counter();
    const load = (key: string) => {
      clock.spend(500);
      return counter.load(key);
    };
    const values = cache.derived('values', { load, ttl: '10m', jitter: 0, earlyRefresh: 0 });
    await values.get('k');
    clock.chance = 'least';
    await clock.pass(599_999);
    await values.get('k');
    await settled();
    expect(counter.loads).toBe(1);
    await clock.pass(1);
    await values.get('k');
    expect(counter.loads).toBe(2);
  });
});

describe('nothing', () => {
  it('that there is nothing is remembered for its own time, everywhere, and is no value', async () => {
    const [a, b] = await caches.many(2);
    const counter = new Counter();
    const load = (key: string) => {
      counter.load(key);
      return undefined;
    };
    const open = (cache: Cache | undefined) =>
      cache?.derived<string, string | undefined>('values', { load, negativeTtl: '10m' });
    const [first, second] = [open(a), open(b)];
    for (const values of [first, second, first, second]) {
      expect(await values?.get('k')).toBeUndefined();
      expect(await values?.has('k')).toBe(false);
      expect(await values?.peek('k')).toBeUndefined();
    }
    expect(counter.loads).toBe(1);
    expect((await first?.getMany(['k', 'l']))?.size).toBe(0);
    expect(counter.loads).toBe(2);
  });

  it('without negativeTtl it is asked for each time; null, 0, false and "" are values (G10)', async () => {
    const [a, b] = await caches.many(2);
    const counter = new Counter();
    const answers: Readonly<Record<string, unknown>> = { a: null, b: 0, c: false, d: '' };
    const load = (key: string) => {
      counter.load(key);
      return answers[key];
    };
    const values = a?.derived<string, unknown>('values', { load });
    const elsewhere = b?.derived<string, unknown>('values', { load });
    for (const [key, value] of Object.entries(answers)) {
      for (const own of [values, values, elsewhere, elsewhere]) {
        expect(await own?.get(key)).toBe(value);
        await until(async () => (await own?.has(key)) === true, `there is a ${value}`);
      }
    }
    expect(counter.loads).toBe(4);
    // Who comes while an answer is being put away takes it too; nobody after that.
    await until(async () => {
      expect(await values?.get('z')).toBeUndefined();
      return counter.loads === 7;
    }, 'loaded again and again');
  });
});

describe("the loader's own decisions", () => {
  type Load = (key: string, context: LoadContext<string | undefined>) => string | undefined | Kept;

  async function values(load: Load) {
    const [a, b] = await caches.many(2);
    const open = (cache: Cache | undefined) => {
      if (cache === undefined) throw new Error('no cache');
      return cache.derived<string, string | undefined>('values', {
        load,
        ttl: '10m',
        grace: '1h',
        jitter: 0,
        earlyRefresh: 0,
      });
    };
    if (a === undefined || b === undefined) throw new Error('no cache');
    return { a, b, values: open(a), elsewhere: open(b) };
  }

  it('skip: who waits has the answer, and no tier', async () => {
    const counter = new Counter();
    const at = await values((key, { skip }) => {
      skip();
      return counter.load(key);
    });
    expect(await at.values.get('k')).toBe('k:1');
    expect(await at.elsewhere.get('k')).toBe('k:2');
    // Who comes while the lease is being given back takes the answer too; nobody after that.
    await until(async () => (await at.values.get('k')) === 'k:3', 'loaded again');
    expect(await at.a.inspect('values', 'k')).toMatchObject({ l1: undefined, l2: undefined });
  });

  it('ttl and keep: what was stored for so long is given to the next load, which may say that it still holds', async () => {
    const stale: (string | undefined)[] = [];
    const at = await values((_key, context) => {
      stale.push(context.stale);
      if (context.stale !== undefined) return context.keep();
      context.ttl(1);
      return 'one';
    });
    expect(await at.values.get('k')).toBe('one');
    await staleInRedis(at.a, 'values', 'k');
    expect(await at.elsewhere.lookup('k')).toEqual({
      value: 'one',
      tier: 'load',
      freshness: 'fresh',
    });
    expect(stale).toEqual([undefined, 'one']);
    // It is fresh again for the namespace's own time.
    await until(async () => {
      const { l2 } = await at.b.inspect('values', 'k');
      return typeof l2 === 'object' && Number(l2.freshMs) > 60_000;
    }, 'it is stored anew');
    expect(await counted(at.b, 'cache_load_duration_seconds', { outcome: 'kept' })).not.toBe(0);
  });

  it('keep where there is nothing is an error, and so is a decision after the load has ended', async () => {
    let left: LoadContext<string | undefined> | undefined;
    const at = await values((key, context) => {
      if (key === 'nothing') return context.keep();
      left = context;
      return 'one';
    });
    expect(await errorOf(at.values.get('nothing'))).toBeInstanceOf(LoadError);
    await at.values.get('k');
    expect(() => left?.skip()).toThrow(LoadError);
    expect(() => left?.ttl('1s')).toThrow(LoadError);
    expect(() => left?.tag('t')).toThrow(LoadError);
  });

  it('tag: a tag from the loaded value invalidates it everywhere', async () => {
    const counter = new Counter();
    const at = await values((key, { tag }) => {
      tag('team red', `of ${key}`);
      return counter.load(key);
    });
    await at.values.get('k');
    expect(await at.elsewhere.get('k')).toBe('k:1');
    await at.b.invalidateTags(['team blue']);
    expect(await at.values.get('k')).toBe('k:1');
    await at.b.invalidateTags(['team red']);
    expect(await at.elsewhere.get('k')).toBe('k:2');
    await until(async () => (await at.values.get('k')) === 'k:2', 'the new value');
    expect(counter.loads).toBe(2);
  });
});

describe('a schema', () => {
  const old = z.object({ name: z.string() });
  const now = z.object({ name: z.string(), age: z.number() });

  it('a value of another shape in L2 is a miss, and is counted; the metric names the namespace alone', async () => {
    const [a, b] = await caches.many(2);
    const before = a?.derived<string, typeof old>('people', {
      schema: old,
      load: () => ({ name: 'Ada' }),
    });
    expect(await before?.get('k')).toEqual({ name: 'Ada' });
    const told: string[] = [];
    b?.subscribe(({ type }) => told.push(type));
    const after = b?.derived<string, typeof now>('people', {
      schema: now,
      load: () => ({ name: 'Ada', age: 36 }),
    });
    expect(await after?.peek('k')).toBeUndefined();
    expect(await after?.lookup('k')).toMatchObject({ value: { age: 36 }, tier: 'load' });
    await until(async () => (await after?.lookup('k'))?.tier === 'l1', 'a copy in L1');
    if (b === undefined) throw new Error('no cache');
    expect(
      await counted(b, 'cache_schema_mismatches_total', { namespace: 'people' }),
    ).toBeGreaterThan(0);
    expect(told).toContain('schema-mismatch');
    expect(await b.inspect('people', 'k', { value: true })).toMatchObject({
      l2: { value: { name: 'Ada', age: 36 } },
    });
  });

  it("the loader's own wrong value rejects with SchemaError, and is not stored; a value that can't be encoded with CodecError", async () => {
    const cache = await caches.ready();
    const wrong: Readonly<Record<string, unknown>> = { age: 36 };
    const people = cache.derived<string, typeof old>('people', {
      schema: old,
      load: () => JSON.parse(JSON.stringify(wrong)),
    });
    const error = await errorOf(people.get('k'));
    expect(error).toBeInstanceOf(SchemaError);
    expect(error).toMatchObject({ issues: [{ path: '$.name' }] });
    expect(await people.peek('k')).toBeUndefined();
    expect(await errorOf(people.set('k', JSON.parse('{"name":3}')))).toBeInstanceOf(SchemaError);
    const things = cache.derived<string, unknown>('things', { load: () => new Map() });
    expect(await errorOf(things.get('k'))).toBeInstanceOf(CodecError);
    expect(await errorOf(things.set('k', 1n))).toBeInstanceOf(CodecError);
    // The lease was given back: the next one need not wait for its end.
    const others = await caches.ready();
    const better = others.derived<string, typeof old>('people', {
      schema: old,
      load: () => ({ name: 'Ada' }),
    });
    expect(await better.get('k')).toEqual({ name: 'Ada' });
    expect(await counted(others, 'cache_leases_total', { outcome: 'waited' })).toBe(0);
  });
});
