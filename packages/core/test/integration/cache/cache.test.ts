/** The verbs of the cache itself: scopes, tags, sync, what it says of itself, and its end. */
import { Registry } from 'prom-client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as z from 'zod';
import { ClosedError, ConfigError, createCache, memory, systemClock } from '../../../src/index.ts';
import { eventually, type Instance, Stage, turn, turns } from '../support.ts';

let stage: Stage;
let a: Instance;
let b: Instance;
beforeAll(async () => {
  stage = await Stage.start();
  [a, b] = await Promise.all([stage.ready(), stage.ready()]);
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
});

it('G1: a sync whose answers were lost with the subscription asks again, and is sure', async () => {
  const asking = await stage.ready();
  const key = stage.key();
  await a.records.set(key, { n: 1 });
  // The one that subscribed last is its own.
  const listeners = String(await stage.redis.call('CLIENT', 'LIST', 'TYPE', 'pubsub'));
  const ids = [...listeners.matchAll(/^id=(\d+)/gm)].map(([, id]) => Number(id));
  await stage.redis.client('KILL', 'ID', Math.max(...ids));
  const report = await asking.cache.sync();
  expect(report).toMatchObject({ remaining: 0, unknown: false });
  expect(await stage.row(key)).toMatchObject({ value: { n: 1 } });
  await stage.close(asking);
});

it('a scope lists what belongs to it, wherever it waits', async () => {
  const call = stage.key('call');
  const entries = [
    { namespace: 'counts', key: call, kind: 'value' },
    { namespace: 'turns', key: call, kind: 'log' },
  ];
  const byNamespace = (one: { namespace: string }, other: { namespace: string }) =>
    one.namespace < other.namespace ? -1 : 1;
  await a.records.set(call, { n: 1 });
  await b.logs.append(call, turn('1'));
  expect([...(await a.cache.scope('call', call).entries())].sort(byNamespace)).toEqual(entries);
  await a.cache.sync();
  expect([...(await b.cache.scope('call', call).entries())].sort(byNamespace)).toEqual(entries);
  expect(await b.cache.scope('call', stage.key('other')).entries()).toEqual([]);
});

it('a scope names the kind of what waits, also of a namespace that is not open here', async () => {
  const id = stage.key('call');
  const scope = () => ['call', id] as const;
  await a.cache.logs<string>('elsewhere-logs', { scope }).append(id, 'one');
  await a.cache.records<string>('elsewhere-records', { scope }).set(id, 'one');
  const entries = await b.cache.scope('call', id).entries();
  expect(entries.map(({ namespace, kind }) => [namespace, kind]).sort()).toEqual([
    ['elsewhere-logs', 'log'],
    ['elsewhere-records', 'value'],
  ]);
});

it('G1: a flush of a scope brings its writes to L3, of every instance, and no others', async () => {
  const call = stage.key('call');
  const other = stage.key('other');
  await a.records.set(call, { n: 1 });
  await b.logs.append(call, turns(2));
  await a.records.set(other, { n: 1 });
  const report = await a.cache.scope('call', call).flush();
  expect(report).toMatchObject({ failed: 0, remaining: 0, unknown: false });
  expect(report.flushed).toBeGreaterThanOrEqual(2);
  expect(await stage.row(call)).toMatchObject({ value: { n: 1 } });
  expect(await stage.items(call)).toHaveLength(2);
  expect(await stage.row(other)).toBeUndefined();
  await b.cache.sync();
  await stage.converges(call, [a, b]);
  await stage.converges(call, [a, b], 'turns');
});

it('a preload of a scope brings all of it into L1, and into L2 for the others', async () => {
  const call = stage.key('call');
  await a.records.set(call, { n: 1 });
  await a.logs.append(call, turns(2));
  await a.cache.sync();
  await stage.redis.flushall();
  const fresh = await stage.ready();
  const report = await fresh.cache.scope('call', call).preload();
  expect(report).toEqual({ loaded: 2, missing: 0, tiers: { l2: 0, l3: 2, outbox: 0 } });
  expect(await fresh.records.lookup(call)).toMatchObject({ tier: 'l1' });
  expect(await fresh.logs.snapshot(call)).toMatchObject({ tier: 'l1', items: { length: 2 } });
  const second = await stage.ready();
  expect(await second.records.lookup(call)).toMatchObject({ tier: 'l2' });
  expect(await second.logs.snapshot(call)).toMatchObject({ tier: 'l2', items: { length: 2 } });
  await Promise.all([stage.close(fresh), stage.close(second)]);
});

it('G8: an erased scope is in no tier any more, on no instance, and does not come back', async () => {
  const call = stage.key('call');
  const kept = stage.key('kept');
  await a.records.set(call, { n: 1 });
  await a.records.set(kept, { n: 1 });
  await a.logs.append(call, turns(2));
  await a.cache.sync();
  await b.records.get(call);
  await b.logs.read(call);
  await b.records.set(call, { n: 2 });
  await b.logs.append(call, turn('late'));
  const report = await a.cache.scope('call', call).erase();
  expect(report).toMatchObject({ records: 1, items: 2, unknown: false });
  for (const { records, logs, cache } of [a, b]) {
    await eventually(async () => expect(await records.get(call)).toBeUndefined());
    await eventually(async () => expect(await logs.read(call)).toEqual([]));
    expect(await cache.inspect('counts', call)).toMatchObject({ l1: undefined, l2: undefined });
  }
  expect(await stage.row(call)).toBeUndefined();
  expect(await stage.items(call)).toEqual([]);
  expect(await a.cache.sync()).toMatchObject({ remaining: 0 });
  expect(await stage.row(call)).toBeUndefined();
  expect(await stage.items(call)).toEqual([]);
  expect(await b.records.get(kept)).toEqual({ n: 1 });
  await b.records.set(call, { n: 3 });
  await b.logs.append(call, turn('again'));
  await a.cache.sync();
  expect(await stage.row(call)).toMatchObject({ value: { n: 3 } });
  expect((await stage.items(call)).map(({ id }) => id)).toEqual(['again']);
});

it('G8: an erasure reaches what an instance wrote whose clock is ahead', async () => {
  const clock = { ...systemClock, now: () => Date.now() + 450 };
  const ahead = await stage.ready({ clock });
  const call = stage.key('call');
  await ahead.records.set(call, { n: 1 });
  await ahead.cache.scope('call', call).flush();
  await ahead.records.set(call, { n: 2 });
  await ahead.logs.append(call, turn('1'));
  // It has not heard of those versions.
  const late = await stage.ready();
  await late.cache.scope('call', call).erase();
  await ahead.cache.sync();
  for (const { records, logs } of [late, ahead]) {
    await eventually(async () => expect(await records.get(call)).toBeUndefined());
    await eventually(async () => expect(await logs.read(call)).toEqual([]));
  }
  expect(await stage.row(call)).toBeUndefined();
  expect(await stage.items(call)).toEqual([]);
  await Promise.all([stage.close(ahead), stage.close(late)]);
});

it('tags: cached copies of what bears one are forgotten on every instance, pending ones stay', async () => {
  const key = stage.key();
  const waiting = stage.key('waiting');
  await a.records.set(key, { n: 1 }, { tags: ['menu', 'city'] });
  await a.cache.sync();
  await eventually(async () => {
    await b.records.get(key);
    expect((await b.cache.inspect('counts', key)).l1).toBeDefined();
  });
  await a.records.set(waiting, { n: 2 }, { tags: ['menu'] });
  expect(await a.cache.invalidateTags(['menu'])).toEqual({ forgotten: 1 });
  await eventually(async () => {
    expect(await b.cache.inspect('counts', key)).toMatchObject({ l1: undefined, l2: undefined });
  });
  expect(await b.records.lookup(key)).toMatchObject({ tier: 'l3', value: { n: 1 } });
  expect(await b.records.get(waiting)).toEqual({ n: 2 });
  expect(await a.cache.invalidateTags(['none'])).toEqual({ forgotten: 0 });
});

it('forget takes the copies of a record out of L1 and L2 everywhere; a pending one stays', async () => {
  const key = stage.key();
  await a.records.set(key, { n: 1 });
  await b.records.forget(key);
  expect((await a.cache.inspect('counts', key)).l2).toMatchObject({ pending: true });
  expect(await b.records.get(key)).toEqual({ n: 1 });
  await a.cache.sync();
  await a.records.get(key);
  await b.records.forget(key);
  await eventually(async () => {
    for (const { cache } of [a, b]) {
      expect(await cache.inspect('counts', key)).toMatchObject({ l1: undefined, l2: undefined });
    }
  });
  expect(await a.records.get(key)).toEqual({ n: 1 });
});

it('a sync flushes what every living instance holds, and says how much', async () => {
  const keys = Array.from({ length: 25 }, () => stage.key());
  await Promise.all(keys.map((key, i) => (i % 2 ? a : b).records.set(key, { n: i })));
  expect(await stage.pending()).toBe(25);
  const report = await a.cache.sync();
  expect(report).toMatchObject({ flushed: 25, failed: 0, remaining: 0, unknown: false });
  expect(await stage.pending()).toBe(0);
  expect(a.cache.stats().sync.pending).toBe(0);
  expect(b.cache.stats().sync.pending).toBe(0);
  for (const [i, key] of keys.entries()) {
    expect(await stage.row(key)).toMatchObject({ value: { n: i } });
  }
});

it('inspect names what every tier holds of a key, and the value only where it is asked for', async () => {
  const key = stage.key();
  const { version } = await a.records.set(key, { n: 1 }, { ttl: '1h' });
  const pending = await a.cache.inspect('counts', key);
  expect(pending).toMatchObject({
    namespace: 'counts',
    key,
    kind: 'value',
    l1: { version },
    outbox: { version, deleted: false },
    l2: { version, pending: true, codec: 'json' },
    l3: undefined,
  });
  expect(JSON.stringify(pending)).not.toContain('"value":{');
  await a.cache.sync();
  expect(await b.cache.inspect('counts', key, { value: true })).toMatchObject({
    l1: undefined,
    outbox: undefined,
    l2: { version, pending: false, value: { n: 1 } },
    l3: { version, value: { n: 1 }, expiresAt: expect.stringMatching(/^20\d\d-/) },
  });
  await expect((async () => a.cache.inspect('nowhere', key))()).rejects.toThrow(ConfigError);
});

it('inspect says of each tier that it is unavailable, whichever says so first, and leaves nothing unhandled', async () => {
  const [toRedis, toSupabase] = await Promise.all([stage.proxyToRedis(), stage.proxyToSupabase()]);
  const one = await stage.ready({ l2: { url: toRedis.url }, l3: { url: toSupabase.url } });
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => void unhandled.push(reason);
  process.on('unhandledRejection', note);
  try {
    // Redis costs its whole timeout, Supabase refuses at once.
    toRedis.stall();
    toSupabase.cut();
    const held = await one.cache.inspect('counts', stage.key());
    expect(held).toMatchObject({ outbox: undefined, l2: 'unavailable', l3: 'unavailable' });
    expect(unhandled).toEqual([]);
  } finally {
    process.off('unhandledRejection', note);
    toRedis.heal();
    toSupabase.heal();
  }
});

it('inspect says of a tier whose value does not fit the schema any more that it is unreadable', async () => {
  const one = await stage.ready();
  let fits = true;
  const schema = z.custom<{ n: number }>(() => fits);
  const records = one.cache.records('fitting', { schema });
  await records.set('k', { n: 1 });
  fits = false;
  expect(await one.cache.inspect('fitting', 'k', { value: true })).toMatchObject({
    outbox: 'unreadable',
    l2: 'unreadable',
    l3: undefined,
  });
  await one.cache.sync();
  expect(await one.cache.inspect('fitting', 'k', { value: true })).toMatchObject({
    outbox: undefined,
    l2: 'unreadable',
    l3: 'unreadable',
  });
});

it('health, stats and the registry say that all parts answer', async () => {
  const registry = new Registry();
  const one = await stage.ready({ registry });
  const key = stage.key();
  await one.records.set(key, { n: 1 });
  await one.records.get(key);
  expect(await one.cache.health()).toMatchObject({
    status: 'ok',
    redis_cache: { connected: true },
    supabase: { connected: true },
    breaker: { state: 'CLOSED', consecutiveFailures: 0, opened: 0 },
    bus: { connected: true },
  });
  const stats = one.cache.stats();
  expect(stats.overall.hits).toBe(1);
  expect(stats.tiers.l1.hits).toBe(1);
  expect(stats.sync.pending).toBe(1);
  expect(one.cache.registry).toBe(registry);
  expect(await registry.metrics()).toMatch(/^cache_/m);
  await stage.close(one);
  expect(registry.getMetricsAsArray()).toEqual([]);
});

it('events carry neither keys nor values; a subscription ends when its function is called', async () => {
  const one = await stage.ready();
  const heard: unknown[] = [];
  const stop = one.cache.subscribe((event) => heard.push(event));
  one.cache.subscribe(() => {
    throw new Error('a listener with a fault of its own');
  });
  const key = stage.key('secret');
  await one.records.set(key, { n: 987_654 });
  await one.cache.sync();
  expect(heard).toContainEqual(expect.objectContaining({ type: 'flush', applied: 1 }));
  expect(JSON.stringify(heard)).not.toMatch(/secret|987654/);
  stop();
  const before = heard.length;
  await one.records.set(key, { n: 2 });
  await one.cache.sync();
  expect(heard).toHaveLength(before);
  await stage.close(one);
});

it('one name opened twice is the same namespace, or a ConfigError where the options differ', () => {
  const scope = (key: string) => ['call', key] as const;
  const first = a.cache.records('twice', { scope });
  expect(a.cache.records('twice', { scope })).toBe(first);
  expect(() => a.cache.records('twice')).toThrow(ConfigError);
  expect(() => a.cache.records('twice', { scope, codec: 'bytes' })).toThrow(ConfigError);
  expect(() => a.cache.logs('twice', { scope })).toThrow(ConfigError);
  expect(() => a.cache.records('Upper')).toThrow(/namespace/);
});

it('without L3 there are no records and logs, and the error says which option is missing', async () => {
  const cache = createCache({ l1: memory() });
  await cache.ready();
  for (const open of [
    () => cache.records('x'),
    () => cache.logs('x'),
    () => cache.scope('call', 'x'),
  ]) {
    expect(open).toThrow(/l3/);
  }
  await cache.close();
});

it('G1: close drains what waits; afterwards every call says that the cache is closed', async () => {
  const one = await stage.ready();
  const key = stage.key();
  await one.records.set(key, { n: 1 });
  await one.logs.append(key, turn('1'));
  await Promise.all([one.cache.close(), one.cache.close()]);
  expect(await stage.row(key)).toMatchObject({ value: { n: 1 } });
  expect(await stage.items(key)).toHaveLength(1);
  expect(one.eventsOf('closed')).toEqual([{ type: 'closed', pending: 0 }]);
  const { records, logs, cache } = one;
  const calls: (() => unknown)[] = [
    () => records.get(key),
    () => records.lookup(key),
    () => records.set(key, { n: 2 }),
    () => records.create(key, { n: 2 }),
    () => records.update(key, () => ({ n: 2 })),
    () => records.delete(key),
    () => records.has(key),
    () => records.forget(key),
    () => records.preload([key]),
    () => records.getMany([key]),
    () => records.scan().next(),
    () => logs.append(key, turn('2')),
    () => logs.create(key, turn('2')),
    () => logs.read(key),
    () => logs.delete(key),
    () => logs.has(key),
    () => logs.preload([key]),
    () => cache.sync(),
    () => cache.ready(),
    () => cache.inspect('counts', key),
    () => cache.invalidateTags(['x']),
    () => cache.scope('call', key).preload(),
    () => cache.scope('call', key).flush(),
    () => cache.scope('call', key).erase(),
    () => cache.scope('call', key).entries(),
  ];
  for (const call of calls) {
    const outcome = (async () => call())();
    await expect(outcome, String(call)).rejects.toThrow(ClosedError);
  }
  expect(cache.stats().uptimeSeconds).toBeGreaterThan(0);
});
