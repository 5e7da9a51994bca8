/** What can't be used is refused, each with its clear error; what is broken in Redis is recovered from. */
import { fileURLToPath } from 'node:url';
import { type RedisServer, type SupabaseServer, startRedis, startSupabase } from '@cache/testing';
import { createClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as z from 'zod';
import {
  type Cache,
  CodecError,
  ConfigError,
  createCache,
  KeyError,
  memory,
  redis,
  SchemaError,
  supabase,
} from '../../../src/index.ts';
import { errorOf, eventually, Instance, Stage, until } from '../support.ts';

/** Of another project: none of the cache's tables. */
const OTHER_MIGRATIONS = fileURLToPath(
  new URL('../../../../testing/test/migrations', import.meta.url),
);

let stage: Stage;
let locked: RedisServer;
let bare: SupabaseServer;
let a: Instance;
let b: Instance;
beforeAll(async () => {
  [stage, locked, bare] = await Promise.all([
    Stage.start(),
    startRedis({ password: 'right-secret' }),
    startSupabase({ migrations: OTHER_MIGRATIONS }),
  ]);
  [a, b] = await Promise.all([stage.ready(), stage.ready()]);
});
afterAll(async () => {
  await Promise.all([stage[Symbol.asyncDispose](), locked.close(), bare.close()]);
});

async function readyOf(cache: Cache): Promise<unknown> {
  const error = await errorOf(cache.ready());
  await cache.close();
  return error;
}

it('keys that are empty, too long or not well-formed are refused by name, before anything is asked', async () => {
  for (const key of ['', 'x'.repeat(1025), '😀'.repeat(257), 'a\u0000b', '\ud800']) {
    for (const call of [
      () => a.records.get(key),
      () => a.records.set(key, { n: 1 }),
      () => a.records.update(key, () => ({ n: 1 })),
      () => a.records.delete(key),
      () => a.records.preload([key]),
      () => a.logs.append(key, { id: '1', text: '' }),
      () => a.logs.read(key),
    ]) {
      await expect(call()).rejects.toThrow(KeyError);
    }
    expect(() => a.cache.scope('call', key)).toThrow(KeyError);
    await expect(a.cache.invalidateTags([key])).rejects.toThrow(KeyError);
    await expect(a.records.set('k', { n: 1 }, { tags: [key] })).rejects.toThrow(KeyError);
  }
  const longest = 'x'.repeat(1024);
  await a.records.set(longest, { n: 1 });
  expect(await b.records.get(longest)).toEqual({ n: 1 });
});

it('G8: keys that look like the parts of others reach nothing of theirs', async () => {
  const keys = [
    'a/b',
    'a',
    'b',
    'a:b',
    '{a}',
    'a b',
    '*',
    "a'b",
    'a"b',
    'ä',
    '../a',
    '%2f',
    'é',
    '\\',
  ];
  await Promise.all(keys.map((key, n) => a.records.set(key, { n })));
  await a.cache.sync();
  for (const [n, key] of keys.entries()) {
    expect(await b.records.get(key)).toEqual({ n });
    expect(await stage.row(key)).toMatchObject({ value: { n } });
  }
});

it('G10: a value that would not come back the same is refused, with the path of the part at fault', async () => {
  const odd = a.cache.records<unknown>('odd');
  const key = stage.key();
  const circle: { self?: unknown } = {};
  circle.self = circle;
  for (const value of [
    undefined,
    () => 1,
    Symbol('x'),
    1n,
    Number.NaN,
    { a: [1, { b: undefined }] },
    new Date(),
    new Map(),
    circle,
  ]) {
    const error = await errorOf(odd.set(key, value));
    expect(error).toBeInstanceOf(CodecError);
  }
  const error = await errorOf(odd.set(key, { a: [1, { b: Number.NaN }] }));
  expect(String(error)).toContain('a[1].b');
  expect(await odd.has(key)).toBe(false);
});

it('a value that its schema refuses is refused with the paths, and never with the value', async () => {
  const schema = z.object({ name: z.string(), age: z.number() });
  const people = a.cache.records('people', { schema });
  const key = stage.key();
  const wrong = { name: 'Secret Name', age: 'x' };
  const error = await errorOf(Reflect.apply(people.set, people, [key, wrong]));
  expect(error).toBeInstanceOf(SchemaError);
  expect(error).toMatchObject({ outcome: 'none', issues: [{ path: '$.age' }] });
  expect(String(error)).not.toContain('Secret');
  await people.set(key, { name: 'x', age: 1 });
  expect(await people.get(key)).toEqual({ name: 'x', age: 1 });
});

it('unknown options, options out of range and contradicting ones are refused by name', () => {
  const { url } = stage.stack.redis;
  const l3 = supabase({ url: 'http://localhost', key: 'k' });
  const wrong: readonly [options: object, name: RegExp][] = [
    [{}, /at least one/],
    [{ l3, sync: { intervall: '5m' } }, /intervall/],
    [{ l3, nonsense: 1 }, /nonsense/],
    [{ l3, sync: { interval: 'soon' } }, /sync\.interval/],
    [{ l3, sync: { batchSize: 0 } }, /sync\.batchSize/],
    [{ l3, l2: redis({ url, shards: 0 }) }, /l2\.shards/],
    [{ l3, l2: redis({}) }, /l2\.url/],
    [{ l3, l2: redis({ url: 'http://localhost' }) }, /l2\.url/],
    [{ l3: supabase({ url: 'http://localhost' }) }, /l3\.key/],
    [{ l3, deadline: '0ms' }, /deadline/],
  ];
  for (const [options, name] of wrong) {
    const make = () => createCache(options);
    expect(make).toThrow(ConfigError);
    expect(make).toThrow(name);
  }
  for (const options of [{ codex: 'json' }, { id: () => '1' }]) {
    const open = () => Reflect.apply(a.cache.records, a.cache, ['wrong', options]);
    expect(open).toThrow(ConfigError);
  }
});

it('a deadline or a ttl that is none is refused', async () => {
  const key = stage.key();
  await expect(
    Reflect.apply(a.records.set, a.records, [key, { n: 1 }, { ttl: 'soon' }]),
  ).rejects.toThrow(/ttl/);
  await expect(
    Reflect.apply(a.records.update, a.records, [key, () => ({ n: 1 }), { deadline: -1 }]),
  ).rejects.toThrow(/deadline/);
  // Seconds are not milliseconds.
  for (const at of [Number.NaN, 1_700_000_000]) {
    await expect(a.records.update(key, () => ({ n: 1 }), { at })).rejects.toThrow(
      `option "at" takes milliseconds since 1970, from 2020 on, got ${at}`,
    );
  }
});

it('G9: a wrong Redis password is a ConfigError of ready() that names the setting, not the password', async () => {
  const l3 = supabase({ url: stage.stack.supabase.url, key: stage.stack.supabase.secretKey });
  for (const l2 of [
    redis({ url: locked.url.replace('right-secret', 'wrong-secret') }),
    redis({ url: `redis://127.0.0.1:${locked.port}` }),
  ]) {
    const error = await readyOf(createCache({ l2, l3 }));
    expect(error).toBeInstanceOf(ConfigError);
    expect(String(error)).toContain('REDIS_PASSWORD');
    expect(String(error)).not.toMatch(/right-secret|wrong-secret/);
  }
  const cache = createCache({
    l2: redis({ url: `redis://127.0.0.1:${locked.port}`, password: 'right-secret' }),
    l3,
  });
  expect(await readyOf(cache)).toBeUndefined();
});

it('G9: a Supabase without the migrations, with a wrong key or with the publishable one says so at ready()', async () => {
  const { url, publishableKey } = stage.stack.supabase;
  const wrong: readonly [source: { url: string; key: string }, what: RegExp][] = [
    [{ url: bare.url, key: bare.secretKey }, /migrations/],
    [{ url, key: 'sb_secret_wrong' }, /SUPABASE_SECRET_KEY/],
    [{ url, key: publishableKey }, /secret key/],
  ];
  for (const [source, what] of wrong) {
    const cache = createCache({ l3: supabase(source) });
    const records = cache.records('x');
    const error = await errorOf(cache.ready());
    expect(error).toBeInstanceOf(ConfigError);
    expect(String(error)).toMatch(what);
    expect(String(error)).not.toContain(source.key);
    await expect(records.set('k', 1)).rejects.toThrow(ConfigError);
    await cache.close();
  }
});

it('shards that differ from those in Supabase are refused before anything is written', async () => {
  const { redis: server, supabase: durable } = stage.stack;
  const cache = createCache({
    l2: redis({ url: server.url, shards: 8 }),
    l3: supabase({ url: durable.url, key: durable.secretKey }),
  });
  const error = await errorOf(cache.ready());
  expect(error).toBeInstanceOf(ConfigError);
  expect(String(error)).toMatch(/shards.*16/);
  await expect(cache.records('x').set('k', 1)).rejects.toThrow(ConfigError);
  await cache.close();
});

it('G7: a corrupt or foreign value under our key is a miss, an event and a repair', async () => {
  for (const garbage of ['garbage', '', '@c', '@c\u0001']) {
    const key = stage.key();
    await a.records.set(key, { n: 1 });
    await a.logs.create(key, { id: '1', text: 'x' });
    await a.cache.sync();
    for (const namespace of ['counts', 'turns'] as const) {
      const name = await stage.redisKey(namespace, key);
      if (name === undefined) throw new Error('nothing to corrupt');
      await stage.redis.set(name, garbage);
    }
    expect(await b.records.get(key)).toEqual({ n: 1 });
    expect(await b.logs.read(key)).toEqual([{ id: '1', text: 'x' }]);
    await b.said('unreadable', ({ pending, tier }) => !pending && tier === 'l2');
    await eventually(async () => {
      expect((await b.cache.inspect('counts', key)).l2).toMatchObject({ pending: false });
      await b.logs.read(key);
      expect((await b.cache.inspect('turns', key)).l2).toMatchObject({ pending: false });
    });
    await a.records.set(key, { n: 2 });
    await eventually(async () => expect(await b.records.get(key)).toEqual({ n: 2 }));
  }
});

it('G7: a copy that a newer build has left is a miss, stays as it is, and is replaced by a write', async () => {
  const key = stage.key();
  await a.records.set(key, { n: 1 });
  await a.cache.sync();
  const name = await stage.redisKey('counts', key);
  if (name === undefined) throw new Error('nothing to change');
  await stage.redis.setrange(name, 2, '\u0002');
  const theirs = await stage.redis.getBuffer(name);
  const fresh = await stage.ready();
  for (let times = 0; times < 3; times += 1) expect(await fresh.records.get(key)).toEqual({ n: 1 });
  await fresh.said('unreadable', ({ pending }) => !pending);
  await stage.close(fresh);
  expect(await stage.redis.getBuffer(name), 'a newer build reads its own').toEqual(theirs);
  await b.records.set(key, { n: 2 });
  await eventually(async () => expect(await a.records.get(key)).toEqual({ n: 2 }));
});

it('G7: a value of another type of Redis under our key is a miss, and a write replaces it', async () => {
  const key = stage.key();
  await a.records.set(key, { n: 1 });
  await a.cache.sync();
  const name = await stage.redisKey('counts', key);
  if (name === undefined) throw new Error('nothing to corrupt');
  await stage.redis.del(name);
  await stage.redis.lpush(name, 'x');
  expect(await b.records.get(key)).toEqual({ n: 1 });
  await b.records.set(key, { n: 2 });
  await b.cache.sync();
  expect(await stage.row(key)).toMatchObject({ value: { n: 2 } });
  expect(await a.records.get(key)).toEqual({ n: 2 });
});

/** Makes an entry look as if a newer build had written it. */
async function makeForeign(key: string): Promise<string> {
  const name = await stage.redisKey('counts', key);
  const bytes = name === undefined ? null : await stage.redis.getBuffer(name);
  if (name === undefined || bytes === null) throw new Error('nothing to make foreign');
  bytes[2] = 99;
  await stage.redis.set(name, bytes);
  return name;
}

it('G7: a pending entry that this build can not read is never replaced; reads of it reject, others go on', async () => {
  const writer = await stage.ready();
  const key = stage.key();
  const neighbour = stage.key();
  await writer.records.set(key, { n: 1 });
  const name = await makeForeign(key);
  const before = await stage.redis.getBuffer(name);
  const error = await errorOf(b.records.get(key));
  expect(error).toMatchObject({ code: 'UNAVAILABLE' });
  await b.said('unreadable', ({ pending }) => pending);
  await b.records.set(key, { n: 2 });
  await b.records.forget(key);
  expect(await stage.redis.getBuffer(name)).toEqual(before);
  await b.records.set(neighbour, { n: 3 });
  await b.cache.sync();
  expect(await stage.row(neighbour)).toMatchObject({ value: { n: 3 } });
  expect(await stage.redis.getBuffer(name)).toEqual(before);
});

it('G7: marks of a key with a pending foreign entry hold up neither other marks nor the breaker', async () => {
  const proxy = await stage.proxyToRedis();
  const one = await stage.ready({ l2: { url: proxy.url } });
  const key = stage.key();
  await a.records.set(key, { n: 1 });
  await makeForeign(key);
  // Goes around Redis, and leaves a mark that can't be repaired here.
  await one.records.set(key, { n: 2 });
  const neighbour = stage.key();
  await a.records.set(neighbour, { n: 1 });
  await a.cache.sync();
  proxy.cut();
  await until(() => one.cache.stats().tiers.l2.breaker.state !== 'CLOSED' || kick(one), 'open');
  await one.records.set(neighbour, { n: 2 });
  await eventually(async () => expect(await a.records.get(neighbour)).toEqual({ n: 2 }));
  proxy.heal();
  await one.said('breaker', ({ to }) => to === 'CLOSED');
  expect(await one.records.get(neighbour)).toEqual({ n: 2 });
});

it('G6: marks that have to stay are read a page at a time, and hold up none of those behind them', async () => {
  const key = stage.key();
  await a.records.set(key, { n: 1 });
  await makeForeign(key);
  await stage.closeInstances();
  const { redis: server, supabase: durable } = stage.stack;
  const read: number[] = [];
  const client = createClient(durable.url, durable.secretKey, {
    auth: { persistSession: false, autoRefreshToken: false },
    global: {
      fetch: async (input, init) => {
        const answer = await fetch(input, init);
        if (String(input).endsWith('/cache_marks')) {
          read.push((await answer.clone().text()).split('"counts"').length - 1);
        }
        return answer;
      },
    },
  });
  const mark = { namespace: 'counts', key, kind: 'value', version: 2 ** 50, intent: 1 };
  const { error } = await client
    .from('cache_bypass_marks')
    .insert(Array.from({ length: 1200 }, () => mark));
  expect(error).toBeNull();
  const kept = await stage.count('cache_bypass_marks');
  await using one = new Instance({
    l1: memory(),
    l2: redis({ url: server.url, timeout: 500 }),
    l3: supabase({ client, timeout: 4000 }),
  });
  await one.cache.ready();
  await one.healthy();
  for (let n = 0; n < 3; n += 1) {
    await one.records.update(stage.key(), () => ({ n }));
    await one.said('repaired');
    await until(async () => (await stage.count('cache_bypass_marks')) === kept, 'repaired');
  }
  expect(Math.max(...read)).toBe(500);
});

it('G7: a mark of a key that is none, as another program may leave it, holds up no others and goes', async () => {
  await stage.closeInstances();
  const { supabase: durable } = stage.stack;
  const client = createClient(durable.url, durable.secretKey, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  const marks = () => client.from('cache_bypass_marks');
  const keys = ['ä'.repeat(600), ''];
  const mark = { namespace: 'counts', kind: 'value', version: 2 ** 50, intent: 1 };
  const { error } = await marks().insert(keys.map((key) => ({ ...mark, key })));
  expect(error).toBeNull();
  await using one = await stage.ready();
  await one.records.update(stage.key(), () => ({ n: 1 }));
  await one.said('repaired');
  const { data } = await marks()
    .select('id')
    .gt('version', 2 ** 49)
    .in('key', keys);
  expect(data).toEqual([]);
  expect(one.eventsOf('background-error')).toEqual([]);
});

/** Asks Redis something, so that its breaker has something to count. */
async function kick({ records }: Instance): Promise<boolean> {
  await records.get(stage.key('kick'));
  return false;
}
