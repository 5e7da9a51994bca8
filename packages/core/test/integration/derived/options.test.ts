/** Bad input to `cache.derived`, and which tiers it can do without. */
import { type RedisServer, startRedis } from '@cache/testing';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { ConfigError } from '../../../src/errors.ts';
import {
  type Cache,
  type CacheOptions,
  createCache,
  memory,
  redis,
  supabase,
} from '../../../src/index.ts';
import { errorOf, until } from '../support.ts';
import { Counter, healthy } from './caches.ts';

let server: RedisServer;
let cache: Cache | undefined;
beforeAll(async () => {
  server = await startRedis();
});
afterEach(async () => {
  await cache?.close();
  cache = undefined;
});
afterAll(async () => {
  await server.close();
});

function opened(options: CacheOptions = { l1: memory() }): Cache {
  cache = createCache(options);
  return cache;
}

/** Whatever a program without types would pass. */
function openWith(own: Cache, options: unknown): unknown {
  try {
    return Reflect.apply(own.derived, own, ['values', options]);
  } catch (error) {
    return error;
  }
}

const load = () => 1;

it.each([
  ['ttl', { ttl: '5 minutes' }],
  ['ttl', { ttl: 0 }],
  ['ttl', { ttl: -1 }],
  ['ttl', { ttl: '31d' }],
  ['ttl', { ttl: '721h' }],
  ['ttl.l1', { ttl: { l1: 'soon' } }],
  ['ttl.l1', { ttl: { l1: 0 } }],
  ['ttl.l2', { ttl: { l2: '800h' } }],
  ['ttl.l2', { ttl: { l2: Number.NaN } }],
  ['grace', { grace: '1 hour' }],
  ['grace', { grace: -5 }],
  ['grace', { grace: '721h' }],
  ['soft', { soft: 'fast' }],
  ['soft', { soft: -1 }],
  ['soft', { soft: '2h' }],
  ['hard', { hard: 0 }],
  ['hard', { hard: '90m' }],
  ['hard', { hard: Number.POSITIVE_INFINITY }],
  ['negativeTtl', { negativeTtl: 'never' }],
  ['negativeTtl', { negativeTtl: '721h' }],
  ['jitter', { jitter: -0.1 }],
  ['jitter', { jitter: 1.1 }],
  ['jitter', { jitter: '0.5' }],
  ['jitter', { jitter: Number.NaN }],
  ['earlyRefresh', { earlyRefresh: -1 }],
  ['earlyRefresh', { earlyRefresh: 101 }],
  ['earlyRefresh', { earlyRefresh: true }],
  ['persist', { persist: true }],
  ['tll', { tll: '5m' }],
])('a bad "%s" is a ConfigError that names namespace and option: %o', (option, bad) => {
  const error = openWith(opened(), { load, ...bad });
  expect(error).toBeInstanceOf(ConfigError);
  expect(error).toMatchObject({ message: expect.stringContaining('"values"') });
  expect(error).toMatchObject({ message: expect.stringContaining(`"${option}"`) });
});

it('load and loadMany together, a bad name, or other options the second time are refused', () => {
  const own = opened();
  expect(openWith(own, { load, loadMany: load })).toMatchObject({
    code: 'CONFIG',
    message: expect.stringMatching(/"values".*load.*loadMany/),
  });
  expect(() => own.derived('Not a name', { load })).toThrow(/namespace/);
  const values = own.derived('values', { load, ttl: '1m' });
  expect(own.derived('values', { load, ttl: '1m' })).toBe(values);
  expect(openWith(own, { load, ttl: '2m' })).toMatchObject({
    code: 'CONFIG',
    message: expect.stringContaining('"values"'),
  });
});

it('getOrSet needs no load; everything that would load without one says so', async () => {
  const values = opened().derived<string, number>('values');
  for (const work of [values.get('k'), values.lookup('k'), values.refresh('k')]) {
    expect(await errorOf(work)).toMatchObject({
      code: 'CONFIG',
      message: expect.stringMatching(/"values".*getOrSet/),
    });
  }
  expect(await errorOf(values.getMany(['k']))).toBeInstanceOf(ConfigError);
  expect(await values.peek('k')).toBeUndefined();
  expect(await values.getOrSet('k', () => 3)).toBe(3);
  expect(await values.getOrSet('k', () => 4)).toBe(3);
  expect(await values.peek('k')).toBe(3);
});

it('L1 alone: loaded once, set, deleted, invalidated and refreshed in this process', async () => {
  const own = opened();
  await own.ready();
  const counter = new Counter();
  const values = own.derived<string, string>('values', { load: counter.load, tags: () => ['t'] });
  const all = await Promise.all(Array.from({ length: 100 }, () => values.get('k')));
  expect(new Set(all)).toEqual(new Set(['k:1']));
  await values.set('k', 'set');
  expect(await values.get('k')).toBe('set');
  await values.delete('k');
  expect(await values.has('k')).toBe(false);
  expect(await values.get('k')).toBe('k:2');
  await own.invalidateTags(['t']);
  expect(await values.get('k')).toBe('k:3');
  await values.set('new', 'set');
  expect(await values.get('new')).toBe('set');
  expect(await values.refresh('k')).toBe('k:4');
  expect(await values.lookup('k')).toEqual({ value: 'k:4', tier: 'l1', freshness: 'fresh' });
  await own.forget('values', 'k');
  expect(await values.peek('k')).toBeUndefined();
});

it.each([
  ['L1 and L2 without L3', true],
  ['L2 alone', false],
])(
  '%s: a namespace works, and a second cache finds what the first has stored',
  async (_, hasL1) => {
    const options = {
      ...(hasL1 && { l1: memory() }),
      l2: redis({ url: server.url, timeout: '2s' }),
    };
    const own = opened(options);
    await using other = createCache(options);
    await Promise.all([own.ready(), other.ready()]);
    await healthy(own, other);
    const counter = new Counter();
    const name = hasL1 ? 'both' : 'far';
    const open = (one: Cache) => one.derived<string, string>(name, { load: counter.load });
    expect(await open(own).get('k')).toBe('k:1');
    await until(async () => (await own.inspect(name, 'k')).l2 !== undefined, 'it is stored');
    expect(await open(other).lookup('k')).toMatchObject({ value: 'k:1', tier: 'l2' });
    expect(counter.loads).toBe(1);
    expect(() => own.records('records')).toThrow(ConfigError);
    expect(() => own.logs('logs')).toThrow(ConfigError);
    expect(() => own.scope('call', '1')).toThrow(ConfigError);
  },
);

it('persist is accepted where there is an L3', () => {
  const own = opened({ l1: memory(), l3: supabase({ url: 'http://127.0.0.1:1', key: 'k' }) });
  expect(openWith(own, { load, persist: true })).not.toBeInstanceOf(Error);
});
