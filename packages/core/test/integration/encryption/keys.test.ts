/** Keys come and go while the caches run; a build without them does no harm. */
import { createClient } from '@supabase/supabase-js';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { UnavailableError } from '../../../src/index.ts';
import { errorOf, eventually, Stage, turn, turns } from '../support.ts';
import { bytesOf, patient, ring, STARTING_MS } from './keys.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
}, STARTING_MS);
afterAll(() => stage[Symbol.asyncDispose]());
afterEach(() => stage.closeInstances());

const old = ring('k1', 'k1');
const both = ring('k1', 'k1', 'k2');
const rotated = ring('k2', 'k1', 'k2');

function tables() {
  const { url, secretKey } = stage.stack.supabase;
  return createClient(url, secretKey, { auth: { persistSession: false } });
}

async function bodyOf(key: string): Promise<{ codec: string; body: Buffer }> {
  const { data, error } = await tables()
    .from('cache_entries')
    .select('codec,body')
    .eq('key', key)
    .single<{ codec: string; body: unknown }>();
  if (error !== null) throw new Error(error.message);
  return { codec: data.codec, body: bytesOf(data.body) };
}

describe('G9: keys', () => {
  test('two instances with different current keys read and update each other', async () => {
    const [record, log] = [stage.key(), stage.key()];
    const a = await stage.ready(patient({ encryption: both, l1: false }));
    const b = await stage.ready(patient({ encryption: rotated, l1: false }));
    for (let n = 1; n <= 6; n += 1) {
      const [writer, reader] = n % 2 === 0 ? [a, b] : [b, a];
      await writer.records.set(record, { n });
      expect(await reader.records.get(record)).toEqual({ n });
      await writer.logs.append(log, turn(`t${n}`));
      expect(await reader.logs.read(log)).toHaveLength(n);
    }
    await a.records.update(record, (count) => ({ n: (count?.n ?? 0) + 10 }));
    await b.records.update(record, (count) => ({ n: (count?.n ?? 0) + 100 }));
    expect(await a.records.get(record)).toEqual({ n: 116 });
    await Promise.all([a.cache.sync(), b.cache.sync()]);
    await stage.redis.flushall();
    const late = await stage.ready(patient({ encryption: rotated, l1: false }));
    expect(await late.records.get(record)).toEqual({ n: 116 });
    expect(await late.logs.read(log)).toHaveLength(6);
  });

  test('a key is rotated away by writing again, and then is not needed any more', async () => {
    const key = stage.key();
    const before = await stage.ready(patient({ encryption: old }));
    await before.records.set(key, { n: 1 });
    await before.cache.sync();
    expect((await bodyOf(key)).body.includes('k1')).toBe(true);
    const during = await stage.ready(patient({ encryption: rotated }));
    await during.records.update(key, (count) => ({ n: count?.n ?? 0 }));
    expect((await bodyOf(key)).body.includes('k2')).toBe(true);
    const after = await stage.ready(patient({ encryption: ring('k2', 'k2'), l1: false }));
    expect(await after.records.get(key)).toEqual({ n: 1 });
  });

  test('what was written in the clear is read after encryption is switched on, and encrypted when it is written again', async () => {
    const [record, log] = [stage.key(), stage.key()];
    const clear = await stage.ready(patient({}));
    await clear.records.set(record, { n: 1 });
    await clear.logs.append(log, turns(2, 'old'));
    const sealed = await stage.ready(patient({ encryption: old, l1: false }));
    expect(await sealed.records.get(record)).toEqual({ n: 1 });
    // One entry holds items in the clear and encrypted ones.
    await sealed.logs.append(log, turn('new'));
    expect(await sealed.logs.read(log)).toHaveLength(3);
    await clear.cache.sync();
    await sealed.cache.sync();
    await stage.redis.flushall();
    const reader = await stage.ready(patient({ encryption: old, l1: false }));
    expect(await reader.records.get(record)).toEqual({ n: 1 });
    expect((await reader.logs.read(log)).map(({ id }) => id)).toEqual(['old0', 'old1', 'new']);
    expect((await bodyOf(record)).codec).toBe('json');
    await reader.records.update(record, (count) => ({ n: (count?.n ?? 0) + 1 }));
    expect((await bodyOf(record)).codec).toBe('encrypted');
  });

  test('"off" reads what is encrypted and writes in the clear', async () => {
    const key = stage.key();
    const sealed = await stage.ready(patient({ encryption: old, l1: false }));
    await sealed.records.set(key, { n: 1 });
    const off = await stage.ready(patient({ encryption: ring('off', 'k1'), l1: false }));
    expect(await off.records.get(key)).toEqual({ n: 1 });
    await off.records.set(key, { n: 2 });
    await off.cache.sync();
    expect(await stage.row(key)).toMatchObject({ value: { n: 2 } });
    expect(await sealed.records.get(key)).toEqual({ n: 2 });
  });

  test('G7: a build without the key leaves pending entries alone, and one with it flushes them', async () => {
    const [record, log] = [stage.key(), stage.key()];
    const dying = await stage.ready(patient({ encryption: old, sync: { interval: '1h' } }));
    await dying.records.set(record, { n: 1 });
    await dying.logs.append(log, turns(3));
    const entry = (await stage.redisKey('counts', record)) ?? '';
    const before = await stage.redis.getBuffer(entry);

    const keyless = await stage.ready(patient({ l1: false, sync: { adoptAfter: 10 } }));
    expect(await errorOf(keyless.records.get(record))).toBeInstanceOf(UnavailableError);
    expect(await errorOf(keyless.logs.read(log))).toBeInstanceOf(UnavailableError);
    const update = keyless.records.update(record, (count) => ({ n: (count?.n ?? 0) + 10 }));
    expect(await errorOf(update)).toMatchObject({ code: 'UNAVAILABLE', outcome: 'none' });
    const other = await stage.ready(patient({ encryption: ring('k9', 'k9'), l1: false }));
    expect(await errorOf(other.records.get(record))).toBeInstanceOf(UnavailableError);
    await keyless.said('unreadable', ({ pending, tier }) => pending && tier === 'l2');
    expect(keyless.cache.stats()).toBeDefined();
    expect(await stage.redis.getBuffer(entry)).toEqual(before);
    expect(await stage.row(record)).toBeUndefined();

    // It appends to a log that it can't read, and loses nothing of it.
    await keyless.logs.append(log, turn('clear'));
    await dying.cache.close({ deadline: 1 }).catch(() => {});
    const able = await stage.ready(
      patient({ encryption: old, l1: false, sync: { adoptAfter: 10 } }),
    );
    await eventually(async () => {
      // Who closed and left something behind is not waited for.
      expect(await able.cache.sync()).toMatchObject({ unknown: false });
      expect(await stage.row(record)).toMatchObject({ deleted: false });
      expect(await stage.items(log)).toHaveLength(4);
    });
    expect(await able.records.get(record)).toEqual({ n: 1 });
    expect((await able.logs.read(log)).map(({ id }) => id).sort()).toEqual([
      'clear',
      't0',
      't1',
      't2',
    ]);
  });

  test('a settled entry under an unknown key is a miss with an event; what L3 holds under it is never "absent"', async () => {
    const [record, log] = [stage.key(), stage.key()];
    const writer = await stage.ready(patient({ encryption: old }));
    await writer.records.set(record, { n: 1 });
    await writer.logs.append(log, turns(2));
    await writer.cache.sync();
    const keyless = await stage.ready(patient({ l1: false }));
    for (const _again of [1, 2]) {
      expect(await errorOf(keyless.records.get(record))).toBeInstanceOf(UnavailableError);
      expect(await errorOf(keyless.logs.read(log))).toBeInstanceOf(UnavailableError);
    }
    expect(keyless.eventsOf('unreadable').map(({ tier }) => tier)).toContain('l2');
    expect(keyless.eventsOf('unreadable').map(({ tier }) => tier)).toContain('l3');
    expect(await errorOf(keyless.records.update(record, () => ({ n: 2 })))).toBeInstanceOf(
      UnavailableError,
    );
    expect(await keyless.cache.inspect('counts', record)).toMatchObject({
      l3: { codec: 'encrypted', deleted: false },
    });
    // A new word on the matter needs no key: it replaces what was there, as it would anything older.
    await keyless.records.set(record, { n: 3 });
    expect(await keyless.records.get(record)).toEqual({ n: 3 });
    await keyless.cache.sync();
    await eventually(async () => expect(await writer.records.get(record)).toEqual({ n: 3 }));
  });

  test('a derived value under an unknown key is loaded again', async () => {
    const key = stage.key();
    const writer = await stage.ready(patient({ encryption: old }));
    const options = { ttl: '1h', persist: true } as const;
    await writer.cache.derived<string, string>('weather', options).set(key, 'rain');
    const keyless = await stage.ready(patient({ l1: false }));
    const derived = keyless.cache.derived<string, string>('weather', options);
    expect(await derived.getOrSet(key, () => 'sun')).toBe('sun');
    expect(await derived.getOrSet(key, () => 'snow')).toBe('sun');
  });
});
