/** What Redis could not be told of is told again until it is. */
import { type Cache, createCache, memory, redis } from '@cache/core';
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
  invalidations.close();
});

test('after its end nothing is told any more, and a fault that is no silence is thrown', async () => {
  const invalidations = new Invalidations(cut);
  await expect(invalidations.invalidate([''])).rejects.toThrow();
  invalidations.close();
});
