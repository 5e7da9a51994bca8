/** Every verb of records on real servers: what is stored, what is answered, and from where. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import * as z from 'zod';
import { ConflictError, type Records, systemClock } from '../../../src/index.ts';
import { timeOfVersion } from '../../../src/model/version.ts';
import { type Count, errorOf, eventually, type Instance, Stage, until } from '../support.ts';

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

/** Reads until L1 has its copy: it takes none while a message about the key is under way. */
async function near(records: Records<unknown>, key: string): Promise<void> {
  await eventually(async () => {
    expect(await records.lookup(key)).toMatchObject({ status: 'hit', tier: 'l1' });
  });
}

it('G1, G2: a set is held by Redis, read at once here and there, and in L3 after a sync', async () => {
  const key = stage.key();
  const receipt = await a.records.set(key, { n: 1 });
  expect(receipt.held).toEqual(['l2']);
  expect(await a.records.get(key)).toEqual({ n: 1 });
  expect(await b.records.get(key)).toEqual({ n: 1 });
  expect(await stage.row(key)).toBeUndefined();
  expect(await a.cache.sync()).toMatchObject({ failed: 0, remaining: 0, unknown: false });
  expect(await stage.row(key)).toMatchObject({ value: { n: 1 }, version: receipt.version });
  await stage.converges(key, [a, b]);
});

it('lookup names the tier that answered, the version and the age', async () => {
  const key = stage.key();
  const { version } = await a.records.set(key, { n: 1 });
  expect(await a.records.lookup(key)).toMatchObject({
    status: 'hit',
    value: { n: 1 },
    tier: 'l1',
    freshness: 'fresh',
    version,
  });
  expect(await b.records.lookup(key)).toMatchObject({ status: 'hit', tier: 'l2', version });
  await near(b.records, key);
  await a.cache.sync();
  await a.records.forget(key);
  await eventually(async () => expect((await b.cache.inspect('counts', key)).l1).toBeUndefined());
  expect(await b.records.lookup(key)).toMatchObject({ status: 'hit', tier: 'l3', version });
  expect(await a.records.lookup(stage.key('none'))).toEqual({
    status: 'miss',
    tier: 'l3',
    isSure: true,
  });
});

it('a delete is a write: nothing is there afterwards, on any instance and in L3', async () => {
  const key = stage.key();
  await a.records.set(key, { n: 1 });
  await a.cache.sync();
  await b.records.get(key);
  expect((await a.records.delete(key)).held).toEqual(['l2']);
  expect(await a.records.get(key)).toBeUndefined();
  expect(await a.records.has(key)).toBe(false);
  await eventually(async () => expect(await b.records.get(key)).toBeUndefined());
  await a.cache.sync();
  expect(await stage.row(key)).toMatchObject({ deleted: true, value: null });
  await stage.converges(key, [a, b]);
});

it('G3: a write elsewhere takes the copy out of L1', async () => {
  const key = stage.key();
  await a.records.set(key, { n: 1 });
  expect(await b.records.get(key)).toEqual({ n: 1 });
  await near(b.records, key);
  await a.records.set(key, { n: 2 });
  await eventually(async () => expect(await b.records.get(key)).toEqual({ n: 2 }));
});

it('create writes a new key once; what is there is a conflict, whichever tier knows of it', async () => {
  const key = stage.key();
  expect((await a.records.create(key, { n: 1 })).held).toEqual(['l2']);
  for (const { records } of [a, b]) {
    const error = await errorOf(records.create(key, { n: 2 }));
    expect(error).toBeInstanceOf(ConflictError);
    expect(error).toMatchObject({ outcome: 'none' });
  }
  await a.cache.sync();
  await stage.redis.flushall();
  await expect(b.records.create(key, { n: 3 })).rejects.toThrow(ConflictError);
  expect(await a.records.get(key)).toEqual({ n: 1 });
  await a.records.delete(key);
  await a.records.create(key, { n: 4 });
  expect(await a.records.get(key)).toEqual({ n: 4 });
});

it('G2: a create after a delete that L3 has not been told of is no conflict, where L3 has to hold it', async () => {
  const way = await stage.proxyToRedis();
  const one = await stage.ready({
    l2: { url: way.url, timeout: 100, breaker: { failures: 1000 } },
    sync: { interval: '1h' },
  });
  for (const [who, how] of [
    [one, 'through'],
    [b, 'through'],
    [one, 'silent'],
  ] as const) {
    const key = stage.key();
    await one.records.set(key, { n: 1 }, { durability: 'through' });
    expect((await one.records.delete(key)).held).toEqual(['l2']);
    if (how === 'silent') way.stall();
    const through = how === 'through' ? ({ durability: 'through' } as const) : {};
    expect((await who.records.create(key, { n: 2 }, through)).held).toContain('l3');
    way.heal();
    expect(await who.records.get(key)).toEqual({ n: 2 });
    await expect(who.records.create(key, { n: 3 }, through)).rejects.toThrow(ConflictError);
    await one.cache.sync();
    await stage.converges(key, [one, b]);
  }
  await stage.close(one);
});

it('G12: update reads, changes and writes through L3; undefined changes nothing', async () => {
  const key = stage.key();
  const add = (current: Count | undefined) => ({ n: (current?.n ?? 0) + 1 });
  expect(await a.records.update(key, add)).toMatchObject({ value: { n: 1 } });
  const receipt = await b.records.update(key, add);
  expect(receipt).toMatchObject({ value: { n: 2 }, held: ['l2', 'l3'] });
  expect(await stage.row(key)).toMatchObject({ value: { n: 2 }, version: receipt.version });
  const unchanged = await a.records.update(key, () => undefined);
  expect(unchanged).toMatchObject({ value: { n: 2 }, version: receipt.version });
  expect(await stage.row(key)).toMatchObject({ version: receipt.version });
  const other = stage.key();
  expect(
    await a.records.update(other, (c) => ({ n: (c?.n ?? 0) + 1 }), { initial: { n: 10 } }),
  ).toMatchObject({ value: { n: 11 } });
});

it.each(['another instance', 'the same instance'])(
  'G4, G12: an update of what happened a while ago gives way to a set that it could not see, of %s',
  async (whose) => {
    const key = stage.key();
    const at = Date.now() - 60_000;
    // What it proposes for now would be above the set.
    const clock = { ...systemClock, now: () => Date.now() + 30_000 };
    const late = await stage.ready({ clock });
    const live = whose === 'another instance' ? b : late;
    const [asked, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const updating = late.records.update(
      key,
      async (current) => {
        asked.resolve();
        await gate.promise;
        return current === undefined ? { n: 1 } : undefined;
      },
      { at },
    );
    await asked.promise;
    const { version } = await live.records.set(key, { n: 2 });
    gate.resolve();
    await updating;
    expect(await live.records.get(key)).toEqual({ n: 2 });
    await live.cache.sync();
    expect(await stage.row(key)).toMatchObject({ value: { n: 2 }, version });
    await stage.converges(key, [late, b]);
    await late.cache.close();
  },
);

it('an update of what happened before a delete, or an erasure, is above it: there is nothing newer', async () => {
  const key = stage.key('call');
  const at = Date.now() - 60_000;
  for (const gone of [
    () => a.records.delete(key, { durability: 'through' }),
    () => a.cache.scope('call', key).erase(),
  ]) {
    await gone();
    await b.records.update(key, (current) => current ?? { n: 1 }, { at });
    expect(await b.records.get(key)).toEqual({ n: 1 });
    await stage.converges(key, [a, b]);
  }
  // A time that is ahead is now.
  const { version } = await a.records.update(key, () => ({ n: 2 }), { at: Date.now() + 60_000 });
  expect(timeOfVersion(version)).toBeLessThan(Date.now() + 30_000);
});

it('G1: an update upon a write that waits for L3 takes that write along', async () => {
  const key = stage.key();
  await a.records.set(key, { n: 5 });
  expect(await b.records.update(key, (c) => ({ n: (c?.n ?? 0) + 1 }))).toMatchObject({
    value: { n: 6 },
  });
  expect(await a.records.update(key, (c) => ({ n: (c?.n ?? 0) + 1 }))).toMatchObject({
    value: { n: 7 },
  });
  await a.cache.sync();
  expect(await stage.row(key)).toMatchObject({ value: { n: 7 } });
  await stage.converges(key, [a, b]);
});

it('set with ifVersion writes exactly upon that version, or upon nothing', async () => {
  const key = stage.key();
  const first = await a.records.set(key, { n: 1 }, { ifVersion: 'absent' });
  expect(first.held).toContain('l3');
  await expect(b.records.set(key, { n: 2 }, { ifVersion: 'absent' })).rejects.toThrow(
    ConflictError,
  );
  const second = await b.records.set(key, { n: 2 }, { ifVersion: first.version });
  await expect(a.records.set(key, { n: 3 }, { ifVersion: first.version })).rejects.toThrow(
    ConflictError,
  );
  await a.records.set(key, { n: 3 }, { ifVersion: second.version });
  expect(await stage.row(key)).toMatchObject({ value: { n: 3 } });
});

it('a set that is durable through is in L3 when it resolves, and settled in Redis', async () => {
  const key = stage.key();
  const receipt = await a.records.set(key, { n: 1 }, { durability: 'through', tags: ['red'] });
  expect(receipt.held).toEqual(['l2', 'l3']);
  expect(await stage.row(key)).toMatchObject({ version: receipt.version, tags: ['red'] });
  expect(await b.records.lookup(key)).toMatchObject({ tier: 'l2', value: { n: 1 } });
  await a.records.delete(key, { durability: 'through' });
  expect(await stage.row(key)).toMatchObject({ deleted: true });
});

it('a record with a ttl is gone when its life is over, in every tier', async () => {
  const key = stage.key();
  await a.records.set(key, { n: 1 }, { ttl: '400ms' });
  expect(await a.records.get(key)).toEqual({ n: 1 });
  await eventually(async () => {
    expect(await a.records.get(key)).toBeUndefined();
    expect(await b.records.get(key)).toBeUndefined();
  });
  await a.cache.sync();
  expect(await stage.row(key)).toMatchObject({ deleted: true, value: null });
});

it('G10: null, 0, false and the empty text are values, and hits, from every tier', async () => {
  const falsy: Records<unknown> = a.cache.records('falsy');
  const there: Records<unknown> = b.cache.records('falsy');
  for (const value of [null, 0, false, '']) {
    const key = stage.key();
    await falsy.set(key, value);
    expect(await falsy.lookup(key)).toMatchObject({ status: 'hit', tier: 'l1', value });
    expect(await there.lookup(key)).toMatchObject({ status: 'hit', tier: 'l2', value });
    await near(there, key);
    expect(await there.lookup(key)).toMatchObject({ status: 'hit', tier: 'l1', value });
    await a.cache.sync();
    await there.forget(key);
    expect(await there.lookup(key)).toMatchObject({ status: 'hit', tier: 'l3', value });
    expect(await falsy.has(key)).toBe(true);
    await expect(falsy.create(key, 1)).rejects.toThrow(ConflictError);
  }
});

it('G10: text with U+0000, the order of keys, bytes and dates come back the same from every tier', async () => {
  const texts = { json: a.cache.records<object>('texts'), there: b.cache.records<object>('texts') };
  const bytes = a.cache.records<Uint8Array>('blobs', { codec: 'bytes' });
  const bytesThere = b.cache.records<Uint8Array>('blobs', { codec: 'bytes' });
  const rich = a.cache.records<{ at: Date; seen: Map<string, number> }>('rich', {
    codec: 'structured',
  });
  const richThere = b.cache.records<{ at: Date; seen: Map<string, number> }>('rich', {
    codec: 'structured',
  });
  const key = stage.key();
  const text = { z: 'a\u0000b', a: { y: 1, b: [1, 'é😀'] } };
  const value = { at: new Date(1_700_000_000_000), seen: new Map([['x', 1]]) };
  await texts.json.set(key, text);
  await bytes.set(key, Uint8Array.of(0, 255, 3));
  await rich.set(key, value);
  for (const tier of ['l2', 'l3']) {
    if (tier === 'l3') {
      await a.cache.sync();
      await Promise.all([texts.there.forget(key), bytesThere.forget(key), richThere.forget(key)]);
    }
    const found = await texts.there.lookup(key);
    expect(found).toMatchObject({ status: 'hit', tier });
    if (found.status === 'hit') expect(JSON.stringify(found.value)).toBe(JSON.stringify(text));
    expect(await bytesThere.get(key)).toEqual(Uint8Array.of(0, 255, 3));
    expect(await richThere.get(key)).toEqual(value);
  }
});

it('G10: what is handed out is frozen, also what the caller keeps in his hands', async () => {
  const key = stage.key();
  const notes = a.cache.records<{ tags: string[] }>('notes');
  const mine = { tags: ['a'] };
  await notes.set(key, mine);
  mine.tags.push('b');
  const got = await notes.get(key);
  expect(got).toEqual({ tags: ['a'] });
  expect(() => Reflect.apply(Array.prototype.push, got?.tags, ['c'])).toThrow(TypeError);
  expect(await notes.get(key)).toEqual({ tags: ['a'] });
});

it('getMany, setMany and deleteMany answer for each key by itself', async () => {
  const keys = [stage.key(), stage.key(), stage.key()];
  const [one = '', two = '', three = ''] = keys;
  const receipts = await a.records.setMany([
    [one, { n: 1 }],
    [two, { n: 2 }],
    ['', { n: 3 }],
  ]);
  expect(receipts.get(one)).toMatchObject({ status: 'fulfilled', value: { held: ['l2'] } });
  expect(receipts.get('')).toMatchObject({ status: 'rejected', reason: { code: 'KEY' } });
  const found = await b.records.getMany(keys);
  expect([...found]).toEqual([
    [one, { n: 1 }],
    [two, { n: 2 }],
  ]);
  const gone = await a.records.deleteMany([one, three]);
  expect([...gone.values()].map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
  expect([...(await a.records.getMany(keys)).keys()]).toEqual([two]);
});

it('preload brings records into L2 and L1 before somebody asks for them', async () => {
  const keys = [stage.key(), stage.key()];
  const [one = '', two = ''] = keys;
  await a.records.set(one, { n: 1 });
  await a.records.set(two, { n: 2 });
  await a.cache.sync();
  await a.cache.forget('counts', one);
  await a.cache.forget('counts', two);
  const report = await a.records.preload([...keys, stage.key('none')]);
  expect(report).toEqual({ loaded: 2, missing: 1, tiers: { l2: 0, l3: 2, outbox: 0 } });
  await near(a.records, one);
  expect(await b.records.lookup(two)).toMatchObject({ tier: 'l2' });
});

it('a value too large for Redis lives in L3 alone, and an older copy of it is not served', async () => {
  const key = stage.key();
  const blobs = a.cache.records<Uint8Array>('large', { codec: 'bytes' });
  const there = b.cache.records<Uint8Array>('large', { codec: 'bytes' });
  await blobs.set(key, Uint8Array.of(1));
  expect(await there.get(key)).toEqual(Uint8Array.of(1));
  const large = randomBytes(8_500_000);
  expect((await blobs.set(key, large)).held).toContain('l3');
  const isThere = async (records: Records<Uint8Array>) =>
    large.equals((await records.get(key)) ?? Uint8Array.of());
  expect(await isThere(blobs)).toBe(true);
  await until(() => isThere(there), 'the large value on the other instance');
});

it('without Redis everything goes through to L3, and is read from there', async () => {
  const alone = await stage.ready({ l2: false });
  const key = stage.key();
  expect((await alone.records.set(key, { n: 1 })).held).toEqual(['l3']);
  expect(await alone.records.lookup(key)).toMatchObject({ tier: 'l3', value: { n: 1 } });
  expect(await alone.records.update(key, (c) => ({ n: (c?.n ?? 0) + 1 }))).toMatchObject({
    value: { n: 2 },
  });
  expect((await alone.logs.append(key, { id: '1', text: 'x' })).held).toEqual(['l3']);
  expect(await alone.logs.read(key)).toEqual([{ id: '1', text: 'x' }]);
  await alone.records.delete(key);
  expect(await alone.records.get(key)).toBeUndefined();
  expect(await alone.cache.sync()).toMatchObject({ remaining: 0, unknown: false });
  expect((await alone.cache.health()).redis_cache).toBeUndefined();
});

it('without L1 every read is answered by Redis or L3', async () => {
  const bare = stage.open({ l1: false });
  await bare.cache.ready();
  const key = stage.key();
  await bare.records.set(key, { n: 1 });
  expect(await bare.records.lookup(key)).toMatchObject({ tier: 'l2' });
  expect(await bare.records.lookup(key)).toMatchObject({ tier: 'l2' });
});

it('G10: what a schema makes anew is frozen, and the same for everybody, from every tier', async () => {
  const key = stage.key();
  const schema = z.object({ name: z.string(), roles: z.array(z.string()) });
  const [one, two] = [a, b].map(({ cache }) => cache.records('shaped', { schema }));
  await one?.set(key, { name: 'Ada', roles: ['x'] });
  const value = await two?.get(key);
  expect([value, value?.roles].map((one) => Object.isFrozen(one))).toEqual([true, true]);
  await near(two ?? a.records, key);
  expect(await two?.get(key)).toEqual({ name: 'Ada', roles: ['x'] });
});
