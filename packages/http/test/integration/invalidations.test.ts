/** What Redis could not be told of is told again until it is. */
import { type Cache, createCache, memory, redis, systemClock, UnavailableError } from '@cache/core';
import {
  eventually,
  type Proxy as Pipe,
  type RedisServer,
  startProxy,
  startRedis,
  until,
} from '@cache/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Invalidations } from '../../src/index.ts';

let server: RedisServer;
let proxy: Pipe;
let cut: Cache;
let other: Cache;

beforeAll(async () => {
  server = await startRedis();
  proxy = await startProxy(server.port);
  const patient = { timeout: '2s', breaker: { failures: 1, reset: '100ms' } } as const;
  cut = createCache({ l1: memory(), l2: redis({ url: proxy.through(server.url), ...patient }) });
  other = createCache({ l1: memory(), l2: redis({ url: server.url, ...patient }) });
  await Promise.all([cut.ready(), other.ready()]);
});
afterAll(async () => {
  await Promise.all([cut?.close(), other?.close()]);
  await proxy?.close();
  await server?.close();
});

test('G3: cut off from Redis, this instance knows at once, and the others when it is back', async () => {
  let loads = 0;
  const load = () => {
    loads += 1;
    return loads;
  };
  const values = other.derived('values', { load, ttl: '1h', tags: () => ['t'] });
  expect(await values.get('a')).toBe(1);
  const invalidations = new Invalidations(cut);
  proxy.cut();
  expect(await invalidations.invalidate(['t'])).toBe(false);
  expect(await values.get('a')).toBe(1);
  proxy.heal();
  await until(() => cut.stats().tiers.l2.breaker.state === 'CLOSED', 'Redis answers again', 30_000);
  await eventually(async () => expect(await values.get('a')).toBe(2));
  expect(await invalidations.invalidate(['t'])).toBe(true);
  await invalidations.close();
});

/** A cache that hears tags when the test lets it, and a clock that is turned by hand. */
function deaf() {
  const told: { readonly tags: readonly string[]; readonly answer: (heard: boolean) => void }[] =
    [];
  const timers = new Set<() => void>();
  const cache = {
    invalidateTags: (tags: readonly string[]) =>
      new Promise<{ readonly forgotten: number }>((resolve, reject) => {
        const answer = (heard: boolean) =>
          heard ? resolve({ forgotten: 0 }) : reject(new UnavailableError('Redis is away'));
        told.push({ tags, answer });
      }),
  };
  const clock = {
    ...systemClock,
    after: (_ms: number, run: () => void) => {
      timers.add(run);
      return () => void timers.delete(run);
    },
  };
  const turn = () => {
    for (const run of [...timers]) {
      timers.delete(run);
      run();
    }
  };
  return { told, timers, turn, invalidations: new Invalidations(cache, clock) };
}

test('G3: what fails while an older one is told again is owed still', async () => {
  const { told, turn, invalidations } = deaf();
  const first = invalidations.invalidate(['t']);
  told[0]?.answer(false);
  expect(await first).toBe(false);
  turn();
  const second = invalidations.invalidate(['t']);
  told[2]?.answer(false);
  expect(await second).toBe(false);
  told[1]?.answer(true);
  await Promise.resolve();
  turn();
  expect(told.map(({ tags }) => tags)).toEqual([['t'], ['t'], ['t'], ['t']]);
});

test('its end tells once more what is owed, and nothing after that', async () => {
  const { told, timers, turn, invalidations } = deaf();
  const failing = invalidations.invalidate(['t']);
  told[0]?.answer(false);
  await failing;
  const closed = invalidations.close();
  told[1]?.answer(false);
  await closed;
  turn();
  expect([told.length, timers.size]).toEqual([2, 0]);
});

test('a fault that is no silence is thrown', async () => {
  await expect(new Invalidations(cut).invalidate([''])).rejects.toThrow();
});
