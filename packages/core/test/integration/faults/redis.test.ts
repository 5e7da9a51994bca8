/**
 * Redis dies, freezes, comes back empty or from an older dump, or is lost to one instance only,
 * while two instances work. Afterwards L3 is read with supabase-js alone.
 */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { HEARTBEAT_MS } from '../../../src/coherence/bus.ts';
import { DEAD_AFTER_MS } from '../../../src/tiers/fleet.ts';
import { eventually, type Instance, Stage, turn, turns, until } from '../support.ts';
import { Load } from './load.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterEach(async () => {
  await stage.revive();
  await stage.closeInstances();
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
});

const TIMEOUT_MS = 200;

function two(): Promise<[Instance, Instance]> {
  const options = { l2: { timeout: TIMEOUT_MS, breaker: { failures: 3, reset: 100, trial: 2 } } };
  return Promise.all([stage.ready(options), stage.ready(options)]);
}

function loads(instances: readonly Instance[]): readonly Load[] {
  const log = stage.key('call');
  return instances.map((instance, i) => new Load(instance, { name: `w${i}`, log }).start());
}

async function settled(all: readonly Load[]): Promise<void> {
  await Promise.all(all.map((load) => load.stop()));
  for (const { instance } of all) await instance.healthy();
  await eventually(async () => {
    for (const { instance } of all) {
      expect(await instance.cache.sync()).toMatchObject({ failed: 0, remaining: 0 });
    }
  });
  for (const load of all) {
    expect(load.errors).toEqual([]);
    expect(load.lies).toEqual([]);
    await load.isWhole(stage, all);
    await stage.converges(
      load.record,
      all.map(({ instance }) => instance),
    );
  }
  await stage.converges(
    all[0]?.log ?? '',
    all.map(({ instance }) => instance),
    'turns',
  );
}

it('G1, G2, G5: Redis is killed under a steady load and comes back empty: no call fails, nothing is lost', async () => {
  const instances = await two();
  const all = loads(instances);
  await Promise.all(all.map((load) => load.goesOn(10)));
  await stage.stack.redis.kill();
  await Promise.all(
    instances.map((instance) => instance.said('breaker', ({ to }) => to === 'OPEN')),
  );
  await Promise.all(all.map((load) => load.goesOn(10)));
  await stage.stack.redis.restart();
  await Promise.all(
    instances.map((instance) => instance.said('breaker', ({ to }) => to === 'CLOSED')),
  );
  await Promise.all(all.map((load) => load.goesOn(10)));
  await settled(all);
});

it('G1, G2, G5: Redis freezes under a steady load and goes on: no call fails, each waits its timeouts at most', async () => {
  const instances = await two();
  const all = loads(instances);
  await Promise.all(all.map((load) => load.goesOn(10)));
  stage.stack.redis.freeze();
  await Promise.all(all.map((load) => load.goesOn(15)));
  for (const { breaker } of instances) expect(breaker).toContain('OPEN');
  for (const load of all) {
    const { timeouts } = load.instance.cache.stats().tiers.l2;
    expect(load.slowest, 'a call waits for the deadline of Redis, never for Redis').toBeLessThan(
      10 * TIMEOUT_MS,
    );
    expect(timeouts).toBeLessThan(10);
  }
  stage.stack.redis.thaw();
  await Promise.all(
    instances.map((instance) => instance.said('breaker', ({ to }) => to === 'CLOSED')),
  );
  await Promise.all(all.map((load) => load.goesOn(10)));
  await settled(all);
});

it('G5: the breaker goes from CLOSED over OPEN and HALF_OPEN to CLOSED, in events and counters alike', async () => {
  const [a] = await two();
  stage.stack.redis.freeze();
  await until(async () => {
    await a.records.get(stage.key());
    return a.breaker.includes('OPEN');
  }, 'OPEN');
  expect(a.cache.stats().tiers.l2.breaker.state).not.toBe('CLOSED');
  expect((await a.cache.health()).status).toBe('degraded');
  await a.said('breaker', ({ to }) => to === 'HALF_OPEN');
  stage.stack.redis.thaw();
  await a.said('breaker', ({ to }) => to === 'CLOSED');
  const states = a.breaker;
  expect(states[0]).toBe('OPEN');
  expect(states.slice(-2)).toEqual(['HALF_OPEN', 'CLOSED']);
  for (const [i, state] of states.entries()) {
    const next = state === 'OPEN' ? ['HALF_OPEN', undefined] : ['OPEN', 'CLOSED'];
    if (state !== 'CLOSED') expect(next).toContain(states[i + 1]);
  }
  const text = await a.cache.registry.metrics();
  for (const to of ['OPEN', 'HALF_OPEN', 'CLOSED']) {
    const count = states.filter((state) => state === to).length;
    expect(text).toMatch(
      new RegExp(`^cache_breaker_transitions_total\\{.*to="${to}".*\\} ${count}$`, 'm'),
    );
  }
  expect(await a.cache.health()).toMatchObject({ status: 'ok', breaker: { state: 'CLOSED' } });
});

it('G1: when the breaker opens, what only Redis held is brought to L3 at once, not at the interval', async () => {
  const one = await stage.ready({ sync: { interval: '10m' } });
  const key = stage.key();
  const { version, held } = await one.records.set(key, { n: 1 });
  expect(held).toEqual(['l2']);
  await stage.stack.redis.kill();
  await one.said('breaker', ({ to }) => to === 'OPEN');
  await eventually(async () => {
    const row = await stage.row(key);
    expect(row?.version, 'what Redis held is in L3 once the breaker is open').toBe(version);
  });
  expect(one.breaker, 'Redis is still away').not.toContain('CLOSED');
});

it('G1, G3: Redis comes back empty with writes pending: their writer drains at once, and nobody stays behind', async () => {
  const [a, b] = await two();
  const keys = Array.from({ length: 30 }, () => stage.key());
  const log = stage.key('call');
  await Promise.all(keys.map((key) => a.records.set(key, { n: 1 })));
  await a.cache.sync();
  await Promise.all(keys.map((key, n) => a.records.set(key, { n: n + 100 })));
  await a.logs.append(log, turns(20));
  await stage.stack.redis.restart();
  for (const [n, key] of keys.entries()) {
    expect(await a.records.get(key)).toEqual({ n: n + 100 });
  }
  expect(await a.logs.read(log)).toHaveLength(20);
  await eventually(async () => {
    for (const [n, key] of keys.entries()) {
      expect(await stage.row(key)).toMatchObject({ value: { n: n + 100 } });
      expect(await b.records.get(key)).toEqual({ n: n + 100 });
    }
    expect(await stage.items(log)).toHaveLength(20);
    expect(await b.logs.read(log)).toHaveLength(20);
  });
  await Promise.all([a.healthy(), b.healthy()]);
  expect(await b.cache.sync()).toMatchObject({ failed: 0, remaining: 0 });
  for (const key of keys) await stage.converges(key, [a, b]);
});

it('G3: Redis is emptied in place while the writer is idle: he notices, and nobody stays behind', async () => {
  const [a, b] = await two();
  const key = stage.key();
  await a.records.set(key, { n: 1 });
  await a.cache.sync();
  await b.records.get(key);
  await a.records.set(key, { n: 2 });
  await stage.stack.redis.empty();
  await eventually(async () => expect(await b.records.get(key)).toEqual({ n: 2 }), 6000);
  await eventually(async () => expect(await stage.row(key)).toMatchObject({ value: { n: 2 } }));
  await stage.converges(key, [a, b]);
});

it('G1, G4: Redis restarts from a dump older than the last writes: nothing regresses, nothing is lost', async () => {
  const [a, b] = await two();
  const [settledKey, pendingKey, deletedKey, log] = [
    stage.key('settled'),
    stage.key('pending'),
    stage.key('deleted'),
    stage.key('call'),
  ];
  await a.records.set(settledKey, { n: 1 });
  await a.records.set(deletedKey, { n: 1 });
  await a.logs.append(log, turns(3, 'old'));
  await a.cache.sync();
  await a.records.set(pendingKey, { n: 1 });
  const dump = await stage.stack.redis.snapshot();
  await a.records.set(settledKey, { n: 2 });
  await a.records.delete(deletedKey);
  await a.cache.sync();
  await a.records.set(pendingKey, { n: 2 });
  await a.logs.append(log, turns(3, 'new'));
  await b.logs.append(log, turns(3, 'other'));
  await stage.stack.redis.restart({ from: dump });
  expect(await a.records.get(settledKey)).toEqual({ n: 2 });
  expect(await b.records.get(settledKey)).toEqual({ n: 2 });
  expect(await a.records.get(deletedKey)).toBeUndefined();
  expect(await b.records.get(deletedKey)).toBeUndefined();
  expect(await a.records.get(pendingKey)).toEqual({ n: 2 });
  expect((await a.logs.read(log)).map(({ id }) => id)).toEqual(expect.arrayContaining(['new2']));
  await eventually(async () => {
    expect(await b.records.get(pendingKey)).toEqual({ n: 2 });
    expect(await a.logs.read(log)).toHaveLength(9);
    expect(await b.logs.read(log)).toHaveLength(9);
  });
  await Promise.all([a.healthy(), b.healthy()]);
  await eventually(async () => {
    expect(await a.cache.sync()).toMatchObject({ failed: 0, remaining: 0, unknown: false });
  });
  expect(await stage.row(settledKey)).toMatchObject({ value: { n: 2 } });
  expect(await stage.row(pendingKey)).toMatchObject({ value: { n: 2 } });
  expect(await stage.row(deletedKey)).toMatchObject({ deleted: true });
  const ids = (await stage.items(log)).map(({ id }) => id);
  expect(ids).toHaveLength(9);
  expect((await a.logs.read(log)).map(({ id }) => id)).toEqual(ids);
  expect((await b.logs.read(log)).map(({ id }) => id)).toEqual(ids);
  for (const key of [settledKey, pendingKey, deletedKey]) await stage.converges(key, [a, b]);
  await stage.converges(log, [a, b], 'turns');
});

it('G1, G2, G3: one instance is cut off from Redis while another is not: both go on, each sees the other through L3', async () => {
  const proxy = await stage.proxyToRedis();
  const a = await stage.ready();
  const b = await stage.ready({ l2: { url: proxy.url, timeout: TIMEOUT_MS } });
  const all = loads([a, b]);
  await Promise.all(all.map((load) => load.goesOn(10)));
  proxy.cut();
  const cutAt = performance.now();
  await b.said('breaker', ({ to }) => to === 'OPEN');
  await Promise.all(all.map((load) => load.goesOn(10)));
  const key = stage.key();
  await b.records.set(key, { n: 1 });
  // What went around Redis is made known to it by whoever is healthy.
  await eventually(async () => expect(await a.records.get(key)).toEqual({ n: 1 }));
  await a.records.get(key);
  await b.records.set(key, { n: 2 });
  await eventually(async () => expect(await a.records.get(key)).toEqual({ n: 2 }));
  await a.records.set(key, { n: 3 });
  const report = await a.cache.sync({ deadline: '2s' });
  // While the other one counts as living it does not answer: half of the deadline is his. On a
  // machine so slow that it has been silent for too long by now, it is adopted instead.
  const isLiving = performance.now() - cutAt < DEAD_AFTER_MS - HEARTBEAT_MS;
  expect(report.failed).toBe(0);
  if (isLiving) expect(report.unknown).toBe(true);
  expect(await b.records.get(key)).toEqual({ n: 3 });
  expect(a.breaker).toEqual([]);
  proxy.heal();
  await b.said('breaker', ({ to }) => to === 'CLOSED');
  await Promise.all(all.map((load) => load.goesOn(10)));
  await settled(all);
  await stage.converges(key, [a, b]);
  await until(async () => (await stage.count('cache_bypass_marks')) === 0, 'all marks repaired');
});

it('G4: what a frozen Redis executes late, after its sender had gone around it, undoes nothing', async () => {
  const [a, b] = await two();
  const key = stage.key();
  const log = stage.key('call');
  await a.records.set(key, { n: 1 });
  await a.logs.append(log, turn('0'));
  await a.cache.sync();
  await b.records.get(key);
  stage.stack.redis.freeze();
  const late = [a.records.set(key, { n: 2 }), a.logs.append(log, turn('1'))];
  await Promise.all(late);
  await b.records.delete(key);
  await b.logs.append(log, turn('2'));
  stage.stack.redis.thaw();
  await Promise.all([a.healthy(), b.healthy()]);
  await eventually(async () => {
    for (const { records, logs } of [a, b]) {
      expect(await records.get(key)).toBeUndefined();
      expect((await logs.read(log)).map(({ id }) => id)).toEqual(['0', '1', '2']);
    }
  });
  await a.cache.sync();
  expect(await stage.row(key)).toMatchObject({ deleted: true });
  expect((await stage.items(log)).map(({ id }) => id)).toEqual(['0', '1', '2']);
  await stage.converges(key, [a, b]);
  await stage.converges(log, [a, b], 'turns');
});

it('G3: cut off from Redis, "there is none" is said to be unsure; a value and a deletion are not', async () => {
  const proxy = await stage.proxyToRedis();
  const a = await stage.ready();
  const b = await stage.ready({ l2: { url: proxy.url, timeout: TIMEOUT_MS } });
  const [begun, stored, deleted] = [stage.key('begun'), stage.key('stored'), stage.key('deleted')];
  await a.records.set(stored, { n: 1 });
  await a.records.set(deleted, { n: 1 });
  await a.records.delete(deleted);
  await a.cache.sync();
  proxy.cut();
  await b.said('breaker', ({ to }) => to === 'OPEN');
  await a.records.set(begun, { n: 1 });
  const isSure = false;
  expect(await b.records.lookup(begun)).toEqual({ status: 'miss', tier: 'l3', isSure });
  expect(await b.records.lookup(deleted)).toMatchObject({ status: 'miss', isSure: true });
  expect(await b.records.lookup(stored)).toMatchObject({ status: 'hit', value: { n: 1 } });
  proxy.heal();
  await b.said('breaker', ({ to }) => to === 'CLOSED');
  await eventually(async () => {
    expect(await b.records.lookup(begun)).toMatchObject({ status: 'hit', value: { n: 1 } });
    const none = await b.records.lookup(stage.key('never'));
    expect(none).toMatchObject({ status: 'miss', isSure: true });
  });
});

it('without an L2 "there is none" is sure: nobody else holds anything pending', async () => {
  const alone = await stage.ready({ l2: false });
  const none = await alone.records.lookup(stage.key('never'));
  expect(none).toEqual({ status: 'miss', tier: 'l3', isSure: true });
});

it('G3: after a gap in the bus L1 is not served, and emptied before it is served again', async () => {
  const proxy = await stage.proxyToRedis();
  const a = await stage.ready();
  const b = await stage.ready({ l2: { url: proxy.url, timeout: 2000 }, bus: { gapTtl: 300 } });
  const key = stage.key();
  await a.records.set(key, { n: 1 });
  await eventually(async () => {
    expect(await b.records.lookup(key)).toMatchObject({ tier: 'l1', value: { n: 1 } });
  });
  proxy.stall();
  await a.records.set(key, { n: 2 });
  await a.cache.scope('call', key).flush();
  // Nothing reaches it any more, so what it holds can't be trusted.
  await until(() => !b.cache.stats().bus.connected, 'the bus is silent');
  expect((await b.cache.inspect('counts', key)).l1).toBeUndefined();
  expect(await b.records.get(key)).toEqual({ n: 2 });
  proxy.heal();
  await b.said('bus-gap');
  await b.healthy();
  expect(await b.records.get(key)).toEqual({ n: 2 });
});
