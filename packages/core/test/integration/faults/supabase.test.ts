/** Supabase dies or freezes, alone or together with Redis, while two instances work. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { UnavailableError } from '../../../src/index.ts';
import { errorOf, eventually, type Instance, Stage, turn, turns } from '../support.ts';
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

const SLOW = { l3: { timeout: 1500 } };

type Way = Awaited<ReturnType<Stage['proxyToSupabase']>>;

/** Two instances, and the way to Supabase that both take: what is cut there is away for both. */
async function two(): Promise<[Instance, Instance, Way]> {
  const way = await stage.proxyToSupabase();
  const options = { l3: { ...SLOW.l3, url: way.url } };
  const [a, b] = await Promise.all([stage.ready(options), stage.ready(options)]);
  return [a, b, way];
}

async function drained(instances: readonly Instance[]): Promise<void> {
  await eventually(async () => {
    for (const { cache } of instances) {
      expect(await cache.sync()).toMatchObject({ failed: 0, remaining: 0, unknown: false });
    }
  });
}

it('G1, G2: Supabase is killed under a steady load: what Redis holds is written and read, and is in L3 when it is back', async () => {
  // A Redis that is late by a busy machine would be a second fault: a log may become partial then.
  const options = { ...SLOW, l2: { timeout: 10_000 } };
  const instances = await Promise.all([stage.ready(options), stage.ready(options)]);
  const log = stage.key('call');
  const all = instances.map((instance, i) => new Load(instance, { name: `w${i}`, log }));
  // A log that was begun before is whole in Redis.
  await instances[0]?.logs.create(log, turn('first'));
  for (const load of all) await instances[0]?.records.set(load.record, { n: 0 });
  for (const load of all) load.start();
  await Promise.all(all.map((load) => load.goesOn(10)));
  await instances[0]?.cache.sync();
  await stage.stack.supabase.kill();
  await Promise.all(all.map((load) => load.goesOn(20)));
  for (const { cache } of instances) {
    expect(await cache.sync()).toMatchObject({ remaining: expect.any(Number) });
    expect((await cache.health()).supabase?.connected).toBe(false);
  }
  await Promise.all(all.map((load) => load.goesOn(10)));
  await stage.stack.supabase.restart();
  await Promise.all(all.map((load) => load.stop()));
  await drained(instances);
  for (const load of all) {
    expect(load.errors).toEqual([]);
    expect(load.lies).toEqual([]);
    await load.isWhole(stage, all);
  }
  for (const { cache } of instances) expect((await cache.health()).status).toBe('ok');
  await stage.converges(log, instances, 'turns');
});

it('G1, G2: a call that begins, speaks and hangs up while Supabase is away reads its own history and is whole in L3 afterwards', async () => {
  const [a, b, way] = await two();
  way.cut();
  const call = stage.key('call');
  const other = stage.key('call');
  await a.records.create(call, { n: 0 });
  await a.logs.create(call);
  await b.logs.create(other, turn('0'));
  for (let i = 1; i <= 10; i += 1) {
    const here = i % 2 === 0 ? a : b;
    await here.logs.append(call, turn(String(i)));
    await here.records.set(call, { n: i });
    for (const { logs, records } of [a, b]) {
      expect((await logs.read(call)).map(({ id }) => id)).toEqual(
        Array.from({ length: i }, (_, n) => String(n + 1)),
      );
      expect(await records.get(call)).toEqual({ n: i });
    }
  }
  const flush = await a.cache.scope('call', call).flush();
  expect(flush.remaining).toBeGreaterThan(0);
  way.heal();
  await drained([a, b]);
  expect((await stage.items(call)).map(({ id }) => id)).toEqual(
    Array.from({ length: 10 }, (_, n) => String(n + 1)),
  );
  expect(await stage.row(call)).toMatchObject({ value: { n: 10 } });
  expect((await stage.items(other)).map(({ id }) => id)).toEqual(['0']);
  await stage.converges(call, [a, b], 'turns');
  await stage.converges(call, [a, b]);
});

it('G2: "I can not know" is not "there is none": what only L3 could say rejects while it is away', async () => {
  const [a, , way] = await two();
  const key = stage.key();
  await a.records.set(key, { n: 1 });
  await a.logs.append(key, turns(2));
  await a.cache.sync();
  await a.records.forget(key);
  await a.cache.forget('turns', key);
  way.cut();
  expect(await errorOf(a.records.get(key))).toBeInstanceOf(UnavailableError);
  expect(await errorOf(a.records.has(key))).toBeInstanceOf(UnavailableError);
  expect(await errorOf(a.records.get(stage.key()))).toBeInstanceOf(UnavailableError);
  expect(await errorOf(a.logs.read(key))).toBeInstanceOf(UnavailableError);
  const update = await errorOf(a.records.update(key, () => ({ n: 2 })));
  expect(update).toMatchObject({ code: 'UNAVAILABLE', outcome: 'none' });
  // Part of a log is not the log.
  await a.logs.append(key, turn('later'));
  expect(await errorOf(a.logs.read(key))).toBeInstanceOf(UnavailableError);
  await a.records.set(key, { n: 3 });
  expect(await a.records.get(key)).toEqual({ n: 3 });
  way.heal();
  expect(await a.logs.read(key)).toHaveLength(3);
  await drained([a]);
  expect(await stage.row(key)).toMatchObject({ value: { n: 3 } });
  expect(await stage.items(key)).toHaveLength(3);
});

it('G5: Supabase freezes: what Redis holds goes on, what needs L3 says in time that it is unavailable', async () => {
  const [a] = await two();
  const key = stage.key();
  await a.records.set(key, { n: 1 });
  stage.stack.supabase.freeze();
  expect(await a.records.get(key)).toEqual({ n: 1 });
  expect((await a.records.set(key, { n: 2 })).held).toEqual(['l2']);
  expect(await errorOf(a.records.get(stage.key()))).toBeInstanceOf(UnavailableError);
  const through = await errorOf(a.records.set(key, { n: 3 }, { durability: 'through' }));
  expect(through).toMatchObject({ code: 'UNAVAILABLE', outcome: 'unknown' });
  await a.said('l3', ({ state }) => state === 'away');
  stage.stack.supabase.thaw();
  await drained([a]);
  await a.said('l3', ({ state }) => state === 'back');
  // It was not acknowledged, and may have taken effect.
  const row = await stage.row(key);
  expect([2, 3]).toContain(Object(row?.value).n);
  await eventually(async () => expect(await a.records.get(key)).toEqual(row?.value));
  await stage.converges(key, [a]);
});

it('G1: with both away nothing is acknowledged, and the error says whether it may take effect', async () => {
  const [a, b, way] = await two();
  const key = stage.key();
  const log = stage.key('call');
  await a.records.set(key, { n: 1 });
  await a.logs.append(log, turn('1'));
  await stage.stack.redis.kill();
  way.cut();
  for (const call of [
    () => a.records.set(key, { n: 2 }),
    () => a.records.delete(key),
    () => a.records.create(stage.key(), { n: 2 }),
    () => a.records.update(key, () => ({ n: 2 })),
    () => a.logs.append(log, turn('2')),
    () => a.logs.delete(log),
  ]) {
    const error = await errorOf(call());
    expect(error, String(call)).toBeInstanceOf(UnavailableError);
    expect(error).toHaveProperty('outcome', expect.stringMatching(/none|unknown/));
  }
  // Its own acknowledged write is at least as new as anything that it may have shown.
  expect(await a.records.get(key)).toEqual({ n: 1 });
  expect(await errorOf(b.records.get(key))).toBeInstanceOf(UnavailableError);
  expect(await errorOf(a.logs.read(log))).toBeInstanceOf(UnavailableError);
  way.heal();
  await stage.stack.redis.restart();
  await Promise.all([a.healthy(), b.healthy()]);
  await drained([a, b]);
  expect(await stage.row(key)).toMatchObject({ value: { n: 1 } });
  expect((await stage.items(log)).map(({ id }) => id)).toEqual(['1']);
  await eventually(async () => expect(await b.records.get(key)).toEqual({ n: 1 }));
  await stage.converges(key, [a, b]);
  await stage.converges(log, [a, b], 'turns');
});

it('a cache that starts while its servers are away says so at ready(), and works when they are back', async () => {
  const way = await stage.proxyToSupabase();
  const options = { l3: { ...SLOW.l3, url: way.url } };
  way.cut();
  const one = stage.open(options);
  expect(await errorOf(one.cache.ready())).toBeInstanceOf(UnavailableError);
  way.heal();
  await eventually(async () => one.cache.ready());
  const key = stage.key();
  await one.records.set(key, { n: 1 });
  await stage.stack.redis.kill();
  const two = stage.open(options);
  await two.cache.ready();
  expect((await two.records.set(key, { n: 2 })).held).toEqual(['l3']);
  await stage.stack.redis.restart();
  await Promise.all([one.healthy(), two.healthy()]);
  await eventually(async () => expect(await one.records.get(key)).toEqual({ n: 2 }));
});
