/** Who can write to Redis or Supabase can destroy values, but not pass one off as another. */
import { createClient } from '@supabase/supabase-js';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { HEADER_BYTES } from '../../../src/codec/header.ts';
import { UnavailableError } from '../../../src/index.ts';
import { errorOf, Stage, turn } from '../support.ts';
import { patient, ring, STARTING_MS } from './keys.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
}, STARTING_MS);
afterAll(() => stage[Symbol.asyncDispose]());
afterEach(() => stage.closeInstances());

const encryption = ring('k1', 'k1');

async function rawEntry(namespace: string, key: string): Promise<[string, Buffer]> {
  const name = (await stage.redisKey(namespace, key)) ?? '';
  return [name, (await stage.redis.getBuffer(name)) ?? Buffer.alloc(0)];
}

/** Exchanges what is behind the frozen prefixes, so that only the values change places. */
async function swapInRedis(namespace: string, one: string, other: string): Promise<void> {
  const [[nameA, a], [nameB, b]] = await Promise.all([
    rawEntry(namespace, one),
    rawEntry(namespace, other),
  ]);
  const swap = (head: Buffer, body: Buffer) =>
    Buffer.concat([head.subarray(0, HEADER_BYTES), body.subarray(HEADER_BYTES)]);
  await stage.redis.set(nameA, swap(a, b), 'KEEPTTL');
  await stage.redis.set(nameB, swap(b, a), 'KEEPTTL');
}

function tables() {
  const { url, secretKey } = stage.stack.supabase;
  return createClient(url, secretKey, { auth: { persistSession: false } });
}

type Match = Readonly<Record<string, string>>;

async function rename(table: string, from: Match, to: Match): Promise<void> {
  const { error } = await tables().from(table).update(to).match(from);
  if (error !== null) throw new Error(error.message);
}

/** The rows change names: every column of the one is under the name of the other. */
async function swapInSupabase(table: string, one: Match, other: Match): Promise<void> {
  const aside = Object.fromEntries(Object.keys(one).map((name) => [name, 'aside']));
  await rename(table, one, aside);
  await rename(table, other, one);
  await rename(table, aside, other);
}

describe('G9: values in the wrong place', () => {
  test('two settled entries exchanged in Redis are misses, and L3 answers', async () => {
    const [a, b] = [stage.key(), stage.key()];
    const writer = await stage.ready(patient({ encryption }));
    await writer.records.setMany([
      [a, { n: 1 }],
      [b, { n: 2 }],
    ]);
    await writer.cache.sync();
    await swapInRedis('counts', a, b);
    const reader = await stage.ready(patient({ encryption, l1: false }));
    expect(await reader.records.lookup(a)).toMatchObject({ value: { n: 1 }, tier: 'l3' });
    expect(await reader.records.lookup(b)).toMatchObject({ value: { n: 2 }, tier: 'l3' });
    expect(reader.eventsOf('unreadable')).toHaveLength(2);
    // They were repaired on the way.
    await reader.said('unreadable');
    const again = await stage.ready(patient({ encryption, l1: false }));
    expect(await again.records.get(a)).toEqual({ n: 1 });
  });

  test('two pending entries exchanged in Redis are refused, and not flushed as each other', async () => {
    const [a, b] = [stage.key(), stage.key()];
    const writer = await stage.ready(patient({ encryption, sync: { interval: '1h' } }));
    await writer.records.set(a, { n: 1 });
    await writer.records.set(b, { n: 2 });
    await swapInRedis('counts', a, b);
    const reader = await stage.ready(patient({ encryption, l1: false }));
    expect(await errorOf(reader.records.get(a))).toBeInstanceOf(UnavailableError);
    // The writer still has its words, and they are what reaches L3.
    await writer.cache.sync();
    await stage.redis.flushall();
    const late = await stage.ready(patient({ encryption, l1: false }));
    expect(await late.records.get(a)).toEqual({ n: 1 });
    expect(await late.records.get(b)).toEqual({ n: 2 });
  });

  test('the frames of a log exchanged in Redis make it unreadable', async () => {
    const log = stage.key();
    const writer = await stage.ready(patient({ encryption, compression: { algorithm: 'off' } }));
    await writer.logs.create(log, [turn('a', 'one text'), turn('b', 'two text')]);
    await writer.cache.sync();
    const [name, bytes] = await rawEntry('turns', log);
    const bodyAt = HEADER_BYTES + 2 + bytes.readUInt16BE(HEADER_BYTES);
    const frameBytes = (bytes.length - bodyAt) / 2;
    const [first, second] = [bodyAt, bodyAt + frameBytes];
    const packedAt = 2 + 1 + 8 + 1 + 4;
    const swapped = Buffer.from(bytes);
    bytes.copy(swapped, first + packedAt, second + packedAt, second + frameBytes);
    bytes.copy(swapped, second + packedAt, first + packedAt, first + frameBytes);
    await stage.redis.set(name, swapped, 'KEEPTTL');
    const reader = await stage.ready(patient({ encryption, l1: false }));
    const { items, tier } = await reader.logs.snapshot(log);
    expect(tier).toBe('l3');
    expect(items.map(({ value }) => value.text)).toEqual(['one text', 'two text']);
    expect(reader.eventsOf('unreadable')).toHaveLength(1);
  });

  test('two rows, and two items, exchanged in Supabase are never served', async () => {
    const [a, b, log] = [stage.key(), stage.key(), stage.key()];
    const writer = await stage.ready(patient({ encryption }));
    await writer.records.set(a, { n: 1 });
    await writer.records.set(b, { n: 2 });
    await writer.logs.append(log, [turn('a'), turn('b')]);
    await writer.cache.sync();
    await swapInSupabase('cache_entries', { key: a }, { key: b });
    await swapInSupabase('cache_log_items', { id: 'a' }, { id: 'b' });
    await stage.redis.flushall();
    const reader = await stage.ready(patient({ encryption, l1: false }));
    for (const work of [reader.records.get(a), reader.records.get(b), reader.logs.read(log)]) {
      expect(await errorOf(work)).toBeInstanceOf(UnavailableError);
    }
    // Each of these three reads met what it can't open, and all of it in Supabase.
    expect(reader.eventsOf('unreadable').map(({ tier }) => tier)).toEqual(['l3', 'l3', 'l3']);
  });
});
