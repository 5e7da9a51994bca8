/**
 * A flush and a sync say that Supabase has everything, or that they can not know: also when Redis
 * was emptied, so that its index names nothing of what was acknowledged before, or full, so that it
 * never did.
 */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { systemClock } from '../../../src/index.ts';
import { Directories } from '../journal/support.ts';
import { eventually, Stage, turn, until } from '../support.ts';

const directories = new Directories();
let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterEach(async () => {
  await stage.revive();
  await stage.redis.config('SET', 'maxmemory', '0');
  await stage.closeInstances();
  directories.removeAll();
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
});

const SURE = { failed: 0, remaining: 0, unknown: false };

it('G1: Redis is emptied under a writer that can not reach Supabase: a flush elsewhere does not speak for it', async () => {
  const way = await stage.proxyToSupabase();
  const a = await stage.ready();
  const b = await stage.ready({ l3: { url: way.url, timeout: 300 } });
  const call = stage.key('call');
  const scope = a.cache.scope('call', call);
  await a.logs.create(call, turn('0'));
  expect(await scope.flush()).toMatchObject(SURE);
  way.cut();
  expect(await b.logs.append(call, turn('1'))).toMatchObject({ held: ['l2'] });
  await stage.redis.flushall();
  expect(await scope.flush(), 'its writer has not drained').toMatchObject({ unknown: true });
  expect(await a.cache.sync(), 'nor has it for a sync').toMatchObject({ unknown: true });
  expect((await stage.items(call)).map(({ id }) => id)).toEqual(['0']);
  way.heal();
  await eventually(async () => expect(await scope.flush()).toMatchObject(SURE));
  expect((await stage.items(call)).map(({ id }) => id)).toEqual(['0', '1']);
});

it('G1: Redis comes back empty, and without a writer that has not found it yet: a flush elsewhere waits for its word', async () => {
  const [toSupabase, toRedis] = await Promise.all([stage.proxyToSupabase(), stage.proxyToRedis()]);
  const a = await stage.ready();
  const b = await stage.ready({
    l2: { url: toRedis.url },
    l3: { url: toSupabase.url, timeout: 300 },
  });
  // Whoever answered is known to be there.
  expect(await a.cache.sync()).toMatchObject(SURE);
  const call = stage.key('call');
  const scope = a.cache.scope('call', call);
  toSupabase.cut();
  expect(await b.records.set(call, { n: 1 })).toMatchObject({ held: ['l2'] });
  toRedis.cut();
  await stage.stack.redis.restart();
  await a.healthy();
  // Nobody else is known to this Redis.
  expect(await scope.flush()).toMatchObject({ remaining: 0, unknown: true });
  expect(await a.cache.sync({ deadline: 1000 })).toMatchObject({ unknown: true });
  expect(await stage.row(call)).toBeUndefined();
  toSupabase.heal();
  toRedis.heal();
  await eventually(async () => expect(await scope.flush()).toMatchObject(SURE));
  expect(await stage.row(call)).toMatchObject({ value: { n: 1 } });
});

it('G1: after Redis was emptied one question to the others is enough', async () => {
  const a = await stage.ready();
  const b = await stage.ready();
  const call = stage.key('call');
  const scope = a.cache.scope('call', call);
  await b.records.set(call, { n: 1 });
  await stage.redis.flushall();
  expect(await scope.flush()).toMatchObject(SURE);
  expect(await stage.row(call)).toMatchObject({ value: { n: 1 } });
  // The index can be trusted again: nobody is asked, and who is gone is not missed.
  const { published } = a.cache.stats().bus;
  await stage.close(b);
  expect(await scope.flush()).toMatchObject(SURE);
  expect(a.cache.stats().bus.published).toBe(published);
});

it('G1: once everybody has drained into the new Redis, who falls silent later is not missed', async () => {
  const way = await stage.proxyToRedis();
  const a = await stage.ready();
  const b = await stage.ready({ l2: { url: way.url } });
  const call = stage.key('call');
  await b.records.set(call, { n: 1 });
  expect(await a.cache.sync()).toMatchObject(SURE);
  const { published } = a.cache.stats().bus;
  await stage.redis.flushall();
  // It asks by itself, before somebody wants to know.
  await until(() => a.cache.stats().bus.published > published, 'a question to the others');
  const asked = a.cache.stats().bus.published;
  await eventually(async () => {
    expect(await a.cache.scope('call', call).flush()).toMatchObject(SURE);
  });
  way.cut();
  expect(await a.cache.scope('call', call).flush()).toMatchObject(SURE);
  expect(a.cache.stats().bus.published - asked).toBeLessThanOrEqual(1);
});

it('G1: what the journal of another instance alone holds, because Redis is full, is not overlooked by a flush', async () => {
  const way = await stage.proxyToSupabase();
  const a = await stage.ready();
  const b = await stage.ready({
    l3: { url: way.url, timeout: 300 },
    journal: { dir: directories.make() },
    sync: { interval: '1h' },
  });
  const call = stage.key('call');
  const scope = a.cache.scope('call', call);
  expect(await scope.flush()).toMatchObject(SURE);
  const { published } = a.cache.stats().bus;
  await stage.redis.config('SET', 'maxmemory', '1');
  way.cut();
  expect(await b.records.set(call, { n: 1 })).toMatchObject({ held: ['journal'] });
  expect(await b.logs.append(call, turn('1'))).toMatchObject({ held: ['journal'] });
  expect(b.cache.stats().tiers.l2.breaker.state).toBe('CLOSED');
  expect(await scope.flush(), 'its writer can not flush it').toMatchObject({ unknown: true });
  way.heal();
  await eventually(async () => expect(await scope.flush()).toMatchObject(SURE));
  expect(await stage.row(call)).toMatchObject({ value: { n: 1 } });
  expect(await stage.items(call)).toHaveLength(1);
  expect(a.cache.stats().bus.published, 'the writer was asked').toBeGreaterThan(published);
});

it('G1: what only another build can read is waiting for Supabase, and nobody else says that nothing is', async () => {
  const a = await stage.ready();
  const call = stage.key('call');
  const scope = a.cache.scope('call', call);
  const way = await stage.proxyToSupabase();
  const b = await stage.ready({ l3: { url: way.url, timeout: 300 } });
  const theirs = b.cache.records<string>('new-in-b', { scope: (key) => ['call', key] });
  way.cut();
  await theirs.set(call, 'said');
  const name = await stage.redisKey('new-in-b', call);
  if (name === undefined) throw new Error('it is not in Redis');
  await stage.redis.setrange(name, 2, '\u0002');
  expect(await scope.flush()).toMatchObject({ remaining: 0, unknown: true });
  expect(await scope.erase()).toMatchObject({ unknown: true });
  await stage.redis.setrange(name, 2, '\u0001');
  way.heal();
});

it('G1: what is written after an erasure stays, though the clock of who erased is ahead', async () => {
  const aheadMs = 450;
  const clock = { ...systemClock, now: () => systemClock.now() + aheadMs };
  const ahead = await stage.ready({ clock });
  const b = await stage.ready();
  for (let times = 0; times < 5; times += 1) {
    const call = stage.key('call');
    await eventually(async () => {
      expect(await ahead.cache.scope('call', call).erase()).toMatchObject({ unknown: false });
    });
    await b.records.set(call, { n: times });
    await b.logs.append(call, turn('after'));
    await b.cache.scope('call', call).flush();
    expect(await stage.row(call), 'a record').toMatchObject({ value: { n: times } });
    expect(await stage.items(call), 'a log').toHaveLength(1);
  }
});
