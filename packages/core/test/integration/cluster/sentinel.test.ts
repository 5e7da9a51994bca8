/**
 * A primary and its replica under a Sentinel: the primary is killed, or replaced while it lives, and
 * two instances go on with the new one. Afterwards L3 is read with supabase-js alone.
 */
import { type RedisSentinel, startRedisSentinel } from '@cache/testing';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import type { RedisOptions } from '../../../src/index.ts';
import { Load } from '../faults/load.ts';
import { eventually, type Instance, Stage } from '../support.ts';

let stage: Stage;
let sentinel: RedisSentinel;
beforeAll(async () => {
  [stage, sentinel] = await Promise.all([Stage.start(), startRedisSentinel()]);
});
vi.setConfig({ testTimeout: 120_000 });
afterEach(async () => {
  await stage.closeInstances();
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
  await sentinel.close();
});

function two(): Promise<[Instance, Instance]> {
  const { host, port, name } = sentinel;
  const breaker = { failures: 3, reset: 100, trial: 2 };
  const l2: Partial<RedisOptions> = {
    url: undefined,
    sentinels: [{ host, port }],
    name,
    timeout: 200,
    breaker,
  };
  return Promise.all([stage.ready({ l2 }), stage.ready({ l2 })]);
}

it('G1, G4: the primary is replaced while it lives and its clients are sent away: writes go on, and what it alone had is drained', async () => {
  const [a, b] = await two();
  const keys = Array.from({ length: 20 }, () => stage.key());
  await Promise.all(keys.map((key, n) => a.records.set(key, { n })));
  await sentinel.failover();
  await Promise.all(keys.slice(10).map((key, n) => b.records.set(key, { n: n + 100 })));
  await eventually(async () => {
    for (const [n, key] of keys.entries()) {
      const value = { n: n < 10 ? n : n + 90 };
      for (const { records } of [a, b]) expect(await records.get(key)).toEqual(value);
      expect(await stage.row(key)).toMatchObject({ value });
    }
  });
  await Promise.all([a.healthy(), b.healthy()]);
  expect(a.eventsOf('epoch').length).toBeGreaterThan(0);
  expect(await b.cache.sync()).toMatchObject({ failed: 0, remaining: 0, unknown: false });
  for (const key of keys) await stage.converges(key, [a, b]);
  await sentinel.complete();
});

it('G1, G2, G4, G5, G12: the primary is killed under load, and the Sentinel names another: no call fails, nothing is lost', async () => {
  const instances = await two();
  const log = stage.key('call');
  const all = instances.map((one, i) => new Load(one, { name: `w${i}`, log }).start());
  await Promise.all(all.map((load) => load.goesOn(5)));
  await (await sentinel.primary()).kill();
  await Promise.all(all.map((load) => load.goesOn(5)));
  await sentinel.failover();
  for (const instance of instances) await instance.healthy();
  await Promise.all(all.map((load) => load.goesOn(5)));
  await Promise.all(all.map((load) => load.stop()));
  await eventually(async () => {
    for (const { cache } of instances) {
      expect(await cache.sync()).toMatchObject({ failed: 0, remaining: 0, unknown: false });
    }
  });
  for (const load of all) {
    expect(load.errors).toEqual([]);
    expect(load.lies).toEqual([]);
    await load.isWhole(stage, all);
    await stage.converges(load.record, instances);
  }
  await stage.converges(log, instances, 'turns');
});
