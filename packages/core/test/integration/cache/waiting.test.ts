/**
 * Bounded waiting: a server that does not answer costs a caller what was configured, and one
 * caller's deadline or abort ends that caller's wait alone. Bounds are asserted as "no later
 * than", with room for a busy machine; what may not happen is waiting for the server.
 */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { TimeoutError, UnavailableError } from '../../../src/index.ts';
import { leaseKey } from '../../../src/tiers/redis/keys.ts';
import { errorOf, eventually, Stage, turn, turns, until } from '../support.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterEach(async () => {
  await stage.revive();
  await stage.redis.config('SET', 'maxmemory', '0');
  await stage.closeInstances();
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
});

/** Far above every timeout of these tests, far below what a frozen server would cost. */
const LONG_MS = 6000;

async function msOf(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

it('G5: with Redis frozen, every verb costs its timeouts at most, and is answered by L3', async () => {
  const one = await stage.ready({ l2: { timeout: 100, breaker: { failures: 1000 } } });
  const key = stage.key();
  await one.records.set(key, { n: 1 }, { durability: 'through' });
  await one.logs.append(key, turn('1'), { durability: 'through' });
  stage.stack.redis.freeze();
  const calls: (() => Promise<unknown>)[] = [
    async () => expect(await one.records.get(key)).toEqual({ n: 1 }),
    async () => expect((await one.records.set(key, { n: 2 })).held).toEqual(['l3']),
    async () => expect(await one.records.get(key)).toEqual({ n: 2 }),
    async () => expect((await one.logs.append(key, turn('2'))).held).toEqual(['l3']),
    async () => expect(await one.logs.read(key)).toHaveLength(2),
    async () => expect((await one.records.create(stage.key(), { n: 1 })).held).toEqual(['l3']),
    async () => one.records.update(key, (current) => ({ n: (current?.n ?? 0) + 1 })),
    async () => one.records.delete(key),
    async () => expect(await one.records.get(key)).toBeUndefined(),
    async () => one.cache.inspect('counts', key),
    async () => one.cache.health(),
    async () => one.cache.scope('call', key).entries(),
    async () => one.cache.sync(),
  ];
  for (const call of calls) expect(await msOf(call), String(call)).toBeLessThan(LONG_MS);
});

it('G5: what can not be done without Redis says so in time, as unavailable', async () => {
  const one = await stage.ready({ l2: { timeout: 100, breaker: { failures: 1000 } } });
  const key = stage.key();
  await one.records.set(key, { n: 1 }, { durability: 'through', tags: ['menu'] });
  stage.stack.redis.freeze();
  let error: unknown;
  expect(await msOf(async () => (error = await errorOf(one.records.forget(key))))).toBeLessThan(
    LONG_MS,
  );
  expect(error).toBeInstanceOf(UnavailableError);
  expect(
    await msOf(async () => (error = await errorOf(one.cache.invalidateTags(['menu'])))),
  ).toBeLessThan(LONG_MS);
  expect(error).toBeInstanceOf(UnavailableError);
});

it('a close during a round of upkeep lets it end, and speaks of no fault', async () => {
  const proxy = await stage.proxyToSupabase();
  const one = await stage.ready({ l3: { url: proxy.url } });
  proxy.stall();
  // A round takes the lease, and asks Supabase next.
  await stage.redis.del(leaseKey('upkeep'));
  await until(async () => (await stage.redis.exists(leaseKey('upkeep'))) === 1, 'a round');
  const closed = one.cache.close({ deadline: '10s' });
  proxy.heal();
  await closed;
  const faults = one.events.filter(({ type }) => type === 'l3' || type === 'background-error');
  expect(faults).toEqual([]);
});

it('G5: close on frozen servers ends by its deadline, and says what it leaves', async () => {
  const one = await stage.ready({ l2: { timeout: 100 } });
  await one.records.set(stage.key(), { n: 1 });
  stage.stack.redis.freeze();
  stage.stack.supabase.freeze();
  expect(await msOf(() => one.cache.close({ deadline: '500ms' }))).toBeLessThan(LONG_MS);
  expect(one.eventsOf('closed')).toEqual([{ type: 'closed', pending: 1 }]);
});

it('G5: with Supabase frozen, reads and writes end by the deadline of the call; what Redis holds is served', async () => {
  const one = await stage.ready();
  const key = stage.key();
  await one.records.set(key, { n: 1 });
  stage.stack.supabase.freeze();
  expect(await one.records.get(key)).toEqual({ n: 1 });
  expect((await one.records.set(key, { n: 2 })).held).toEqual(['l2']);
  const cold = await errorOf(one.records.get(stage.key('cold'), { deadline: '100ms' }));
  expect(cold).toBeInstanceOf(TimeoutError);
  const through = await errorOf(
    one.records.set(key, { n: 3 }, { durability: 'through', deadline: '100ms' }),
  );
  expect(through).toBeInstanceOf(TimeoutError);
  expect(through).toMatchObject({ outcome: 'unknown' });
  const update = await errorOf(one.records.update(key, () => ({ n: 4 }), { deadline: '100ms' }));
  expect(update).toMatchObject({ outcome: 'unknown' });
  expect(await one.records.get(key)).toEqual({ n: 2 });
  await expect(one.cache.sync({ deadline: '100ms' })).rejects.toThrow(TimeoutError);
  await stage.stack.supabase.kill();
  const all = one.records.scan();
  expect(await errorOf(all.next())).toBeInstanceOf(UnavailableError);
  expect(await errorOf(one.cache.invalidateTags(['menu']))).toBeInstanceOf(UnavailableError);
  expect(await errorOf(one.records.get(stage.key('cold')))).toBeInstanceOf(UnavailableError);
  await stage.stack.supabase.restart();
});

it('G5: an abort ends the wait of the caller who aborted, not of those who wait for the same', async () => {
  const one = await stage.ready();
  const key = stage.key();
  await one.records.set(key, { n: 1 }, { durability: 'through' });
  await one.records.forget(key);
  stage.stack.supabase.freeze();
  const abort = new AbortController();
  const reason = new Error('hung up');
  const aborted = errorOf(one.records.get(key, { signal: abort.signal }));
  const late = errorOf(one.records.get(key, { deadline: '50ms' }));
  const patient = one.records.get(key);
  abort.abort(reason);
  expect(await aborted).toBe(reason);
  expect(await late).toBeInstanceOf(TimeoutError);
  stage.stack.supabase.thaw();
  expect(await patient).toEqual({ n: 1 });
});

it('a call whose signal is aborted before it begins does nothing', async () => {
  const one = await stage.ready();
  const key = stage.key();
  const signal = AbortSignal.abort(new Error('hung up'));
  await expect(one.records.set(key, { n: 1 }, { signal })).rejects.toThrow('hung up');
  await expect(one.logs.append(key, turn('1'), { signal })).rejects.toThrow('hung up');
  await expect(one.records.get(key, { signal })).rejects.toThrow('hung up');
  await one.cache.sync();
  expect(await one.records.get(key)).toBeUndefined();
  expect(await one.logs.read(key)).toEqual([]);
});

it('an abort of a write ends the wait; the write takes effect all the same, once', async () => {
  const proxy = await stage.proxyToRedis();
  const one = await stage.ready({ l2: { url: proxy.url, timeout: 5000 } });
  const key = stage.key();
  const abort = new AbortController();
  proxy.stall();
  const append = errorOf(one.logs.append(key, turn('1'), { signal: abort.signal }));
  abort.abort(new Error('hung up'));
  expect(String(await append)).toContain('hung up');
  proxy.heal();
  await one.logs.append(key, turn('1'));
  await one.logs.append(key, turn('2'));
  await one.cache.sync();
  expect((await stage.items(key)).map(({ id }) => id)).toEqual(['1', '2']);
});

it('G2: a delete, a set or a forget while a read is under way is not undone by what the read brings', async () => {
  const proxy = await stage.proxyToSupabase();
  const one = await stage.ready({ l3: { url: proxy.url } });
  const key = stage.key();
  for (const write of [
    () => one.records.delete(key),
    () => one.records.set(key, { n: 2 }),
    () => one.records.update(key, () => ({ n: 3 })),
  ]) {
    await one.records.set(key, { n: 1 }, { durability: 'through' });
    await one.records.forget(key);
    proxy.delay(150);
    const reading = one.records.get(key);
    await until(() => one.cache.stats().tiers.l2.misses > 0, 'the read asks L3');
    await write();
    const after = await one.records.get(key);
    await reading;
    proxy.delay(0);
    expect(await one.records.get(key)).toEqual(after);
    expect((await one.cache.inspect('counts', key, { value: true })).l2).not.toMatchObject({
      value: { n: 1 },
    });
    await one.cache.sync();
    expect(await one.records.get(key)).toEqual(after);
    await stage.converges(key, [one]);
  }
});

it('G6: beyond the bound of pending keys writes go through to L3, and nothing is dropped', async () => {
  const one = await stage.ready({ sync: { maxPending: 5 } });
  stage.stack.supabase.freeze();
  const keys = Array.from({ length: 5 }, () => stage.key());
  for (const [n, key] of keys.entries()) {
    expect((await one.records.set(key, { n })).held).toEqual(['l2']);
  }
  const over = errorOf(one.records.set(stage.key(), { n: 9 }, { deadline: '8s' }));
  expect(await over).toMatchObject({ code: 'OVERLOADED', outcome: 'unknown' });
  await one.said('overloaded', ({ bound }) => bound === 'outbox');
  stage.stack.supabase.thaw();
  await eventually(async () => {
    expect((await one.records.set(stage.key(), { n: 1 })).held).toContain('l2');
  });
  await one.cache.sync();
  for (const [n, key] of keys.entries()) {
    expect(await stage.row(key)).toMatchObject({ value: { n } });
  }
});

it('G6: reads of L3 beyond the bulkhead are refused as overloaded, the others are answered', async () => {
  const one = await stage.ready({ l2: false, bulkhead: { concurrency: 1, queue: 3 } });
  stage.stack.supabase.freeze();
  const reads = Array.from({ length: 8 }, () => errorOf(one.records.get(stage.key())));
  expect(await Promise.race(reads.slice(4))).toMatchObject({ code: 'OVERLOADED' });
  stage.stack.supabase.thaw();
  const codes = (await Promise.all(reads)).map((error) =>
    error === undefined ? 'answered' : Reflect.get(Object(error), 'code'),
  );
  expect(codes.filter((code) => code === 'answered').length).toBeGreaterThanOrEqual(3);
  expect(new Set(codes)).toEqual(new Set(['answered', 'OVERLOADED']));
});

it('G1, G4: with memory full, what was pending is settled, new writes go to L3, and no older copy is served', async () => {
  const [a, b] = await Promise.all([stage.ready(), stage.ready()]);
  const key = stage.key();
  const late = stage.key();
  await a.records.set(key, { n: 1 });
  await a.logs.append(key, turns(3));
  await b.records.get(key);
  // Less than an empty Redis takes: everything that could grow is refused.
  await stage.redis.config('SET', 'maxmemory', '100kb');
  expect((await a.records.set(late, { n: 1 })).held).toEqual(['l3']);
  await a.said('l2-full');
  expect((await a.logs.append(key, turn('late'))).held).toEqual(['l3']);
  expect((await a.logs.read(key)).map(({ id }) => id)).toEqual(['t0', 't1', 't2', 'late']);
  expect(await a.cache.sync()).toMatchObject({ failed: 0, remaining: 0, unknown: false });
  expect(await stage.pending()).toBe(0);
  expect((await a.records.set(key, { n: 2 })).held).toEqual(['l3']);
  await eventually(async () => expect(await b.records.get(key)).toEqual({ n: 2 }));
  await eventually(async () => expect(await b.logs.read(key)).toHaveLength(4));
  expect(await b.records.get(late)).toEqual({ n: 1 });
  expect(await b.records.update(key, (c) => ({ n: (c?.n ?? 0) + 1 }))).toMatchObject({
    value: { n: 3 },
  });
  await b.records.delete(late);
  await eventually(async () => expect(await a.records.get(late)).toBeUndefined());
  expect(a.breaker).toEqual([]);
  await stage.redis.config('SET', 'maxmemory', '0');
  await eventually(async () => {
    expect((await a.records.set(key, { n: 4 })).held).toEqual(['l2']);
  });
  await a.cache.sync();
  await stage.converges(key, [a, b]);
  await stage.converges(key, [a, b], 'turns');
  expect((await stage.items(key)).map(({ id }) => id)).toEqual(['t0', 't1', 't2', 'late']);
});
