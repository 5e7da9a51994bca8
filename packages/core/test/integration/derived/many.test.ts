/** Many keys at once, and what a key may be. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { KeyError, LoadError } from '../../../src/errors.ts';
import type { Cache, DerivedKey, DerivedOptions } from '../../../src/index.ts';
import { errorOf, until } from '../support.ts';
import { Caches, counted } from './caches.ts';

const LONG = { ttl: '10m', jitter: 0, earlyRefresh: 0 } as const;

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

/** How often L2 was asked, each a round trip. */
function trips(cache: Cache): Promise<number> {
  return counted(cache, 'cache_operation_duration_seconds', {
    tier: 'l2',
    operation: 'derived_take',
    le: '+Inf',
  });
}

describe('getMany with loadMany', () => {
  const keys = Array.from({ length: 100 }, (_, n) => `k${n}`);

  function opened(cache: Cache, loadMany: DerivedOptions<string, string>['loadMany']) {
    return cache.derived<string, string>('values', { ...LONG, loadMany });
  }

  it('one round trip to L2 and one call of the loader for all that is missing; elsewhere one round trip and none', async () => {
    const [a, b] = [await caches.ready(), await caches.ready()];
    const calls: (readonly string[])[] = [];
    const loadMany = async (missing: readonly string[]) => {
      calls.push(missing);
      return missing.map((key) => `value of ${key}`);
    };
    const here = opened(a, loadMany);
    const found = await here.getMany(keys);
    expect([...found]).toEqual(keys.map((key) => [key, `value of ${key}`]));
    expect(calls).toEqual([keys]);
    expect(await trips(a)).toBe(1);
    await until(async () => (await a.inspect('values', 'k99')).l1 !== undefined, 'it is stored');

    const there = opened(b, loadMany);
    expect((await there.getMany(keys)).size).toBe(100);
    expect(await trips(b)).toBe(1);
    expect(calls).toHaveLength(1);
    // From memory, no trip at all; once it has heard that they were stored, which may be later.
    await until(async () => {
      const before = await trips(b);
      await there.getMany(keys);
      return (await trips(b)) === before;
    }, 'all of them come from memory');
    expect(calls).toHaveLength(1);
    // Of some that are there and some that are not, these alone are loaded.
    const before = await trips(b);
    await there.getMany(['k1', 'new 1', 'k2', 'new 2']);
    expect(calls[1]).toEqual(['new 1', 'new 2']);
    expect(await trips(b)).toBe(before + 1);
    // A key twice is loaded once; gets of the same turn travel with it.
    await Promise.all([there.getMany(['x', 'x', 'y']), there.get('z'), there.get('x')]);
    expect(calls[2]).toEqual(['x', 'y', 'z']);
    expect(calls).toHaveLength(3);
  });

  it('an Error in a place fails that key alone; a rejection or a wrong length all of them, as a LoadError', async () => {
    const cache = await caches.ready();
    const cause = new Error('not this one');
    let answer: (missing: readonly string[]) => readonly (string | Error)[] = (missing) =>
      missing.map((key) => (key === 'bad' ? cause : key));
    const values = opened(cache, async (missing) => answer(missing));
    const [good, bad] = await Promise.allSettled([values.get('good'), values.get('bad')]);
    expect(good).toEqual({ status: 'fulfilled', value: 'good' });
    expect(bad).toMatchObject({ status: 'rejected', reason: { code: 'LOAD', cause } });
    expect(await errorOf(values.getMany(['good', 'bad']))).toMatchObject({ code: 'LOAD', cause });

    answer = () => {
      throw cause;
    };
    for (const outcome of await Promise.all(['p', 'q'].map((key) => errorOf(values.get(key))))) {
      expect(outcome).toMatchObject({ code: 'LOAD', cause });
    }
    for (const wrong of [[], ['one'], ['one', 'two', 'three']]) {
      answer = () => wrong;
      const error = await errorOf(values.getMany(['r', 's']));
      expect(error).toBeInstanceOf(LoadError);
      expect(error).toMatchObject({ message: expect.stringContaining('loadMany of values') });
      expect(await values.peek('r')).toBeUndefined();
    }
    answer = (missing) => missing;
    expect((await values.getMany(['r', 's'])).size).toBe(2);
  });

  it('its signal is aborted when nobody waits for any of the keys any more', async () => {
    const cache = await caches.ready();
    const signals: AbortSignal[] = [];
    const values = opened(cache, (_missing, { signal }) => {
      signals.push(signal);
      return new Promise(() => {});
    });
    const [one, two] = [new AbortController(), new AbortController()];
    const waiting = [
      errorOf(values.get('a', { signal: one.signal })),
      errorOf(values.get('b', { signal: two.signal })),
    ];
    await until(() => signals.length === 1, 'the load has begun');
    one.abort();
    await waiting[0];
    expect(signals[0]?.aborted).toBe(false);
    two.abort();
    await waiting[1];
    await until(() => signals[0]?.aborted === true, 'it is aborted');
  });

  it('nothing asked for is nothing loaded; what has no value is not in the map', async () => {
    const cache = await caches.ready();
    let calls = 0;
    const values = cache.derived<string, string | undefined>('values', {
      loadMany: async (missing) => {
        calls += 1;
        return missing.map((key) => (key === 'none' ? undefined : key));
      },
    });
    expect((await values.getMany([])).size).toBe(0);
    expect(calls).toBe(0);
    expect([...(await values.getMany(['none', 'some']))]).toEqual([['some', 'some']]);
  });
});

describe('keys', () => {
  it('G8: strings, numbers and objects are different keys, although their texts are alike', async () => {
    const [a, b] = [await caches.ready(), await caches.ready()];
    const keys: readonly DerivedKey[] = [
      '1',
      1,
      '#1',
      '\\#1',
      '\\\\#1',
      1.5,
      '1.5',
      -1,
      1e21,
      '1e+21',
      { a: 1 },
      '{"a":1}',
      '\\{"a":1}',
      { a: '1' },
      { a: [1] },
      { a: ['1'] },
      { a: { b: 1 } },
      { 'a":1,"b': 1 },
      { a: 1, b: 1 },
      { a: null },
      {},
      'a/b',
      'ä',
      'a\u0308',
    ];
    let loads = 0;
    const open = (cache: Cache) =>
      cache.derived<DerivedKey, number>('values', {
        ...LONG,
        load: () => {
          loads += 1;
          return loads;
        },
      });
    const [here, there] = [open(a), open(b)];
    const values: number[] = [];
    for (const key of keys) values.push(await here.get(key));
    expect(new Set(values).size).toBe(keys.length);
    for (const [nth, key] of keys.entries()) {
      await until(async () => (await there.peek(key)) !== undefined, 'it is stored');
      expect(await there.get(key), JSON.stringify(key)).toBe(values[nth]);
      expect(await here.get(key), JSON.stringify(key)).toBe(values[nth]);
    }
    expect(loads).toBe(keys.length);
    // One goes, the others stay.
    await here.delete('1');
    expect(await here.get(1)).toBe(values[1]);
    expect(loads).toBe(keys.length);
  });

  it('the order of the members is nothing, and what is undefined is not there', async () => {
    const cache = await caches.ready();
    let loads = 0;
    const values = cache.derived<DerivedKey, number>('values', {
      ...LONG,
      load: () => {
        loads += 1;
        return loads;
      },
    });
    for (const key of [
      { a: 1, b: { c: 'x', d: [1, 2] } },
      { b: { d: [1, 2], c: 'x' }, a: 1 },
      { b: { d: [1, 2], c: 'x', e: undefined }, a: 1, z: undefined },
    ]) {
      expect(await values.get(key)).toBe(1);
    }
    expect(await values.get({ a: 1, b: { c: 'x', d: [2, 1] } })).toBe(2);
    expect([await values.get(0), await values.get(-0)]).toEqual([3, 3]);
  });

  it('what can be no key is refused before anything is loaded', async () => {
    const cache = await caches.ready();
    let loads = 0;
    const values = cache.derived<string, number>('values', {
      load: () => {
        loads += 1;
        return 1;
      },
    });
    const bad = ['""', '{"__bad":1}', 'null', 'true', '[1]'].map((text): unknown =>
      JSON.parse(text),
    );
    const odd = [Number.NaN, Number.POSITIVE_INFINITY, new Date(), new Map(), Symbol('s'), 1n];
    const texts = ['', 'a\0b', '\ud800', 'x'.repeat(1025)];
    const isGood = (key: unknown) => JSON.stringify(key) === '{"__bad":1}';
    for (const key of [...bad.filter((one) => !isGood(one)), ...odd, ...texts]) {
      const get: (key: never) => Promise<unknown> = (one) => values.get(one);
      const error = await errorOf(Reflect.apply(get, undefined, [key]));
      expect(error, String(key)).toBeInstanceOf(KeyError);
    }
    expect(loads).toBe(0);
  });
});
