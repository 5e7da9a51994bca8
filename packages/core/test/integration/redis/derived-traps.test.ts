/** Derived values and what surprises in Redis: foreign bytes and a full memory. */
import { describe, expect, test } from 'vitest';
import { encodeHeader } from '../../../src/codec/envelope.ts';
import { type Address, address, shardOf } from '../../../src/model/key.ts';
import { tagId } from '../../../src/model/tags.ts';
import { metaKey, tagsKey } from '../../../src/tiers/redis/keys.ts';
import {
  bench,
  CALL,
  entry,
  keyOf,
  LEASE_MS,
  leaseOf,
  OTHER,
  SHARDS,
  VALUE,
} from './derived-bench.ts';

const { at, fill, load, place, take } = bench();

describe('what is not ours', () => {
  async function epochOf(of: Address): Promise<number> {
    const meta = await at.client.getBuffer(metaKey(shardOf(of, SHARDS)));
    return Number(meta?.readBigUInt64BE(0));
  }

  async function foreign(description: Buffer, format: number): Promise<Buffer> {
    const header = {
      flags: 0,
      version: 2 ** 52,
      intent: 1,
      epoch: await epochOf(VALUE),
      expiresAt: Date.now() + 600_000,
      erasedTo: Date.now() + 600_000,
    };
    const length = Buffer.from([description.length >> 8, description.length & 255]);
    return Buffer.concat([encodeHeader({ ...header, format }), length, description]);
  }

  const texts = [
    ['no bytes', async () => Buffer.alloc(0)],
    ['text', async () => Buffer.from('something else, and long enough to hold a header of ours')],
    ['half a header', async () => Buffer.from('@c\u0001\u0000')],
    ['a header alone', async () => (await foreign(Buffer.alloc(0), 1)).subarray(0, 44)],
    ['another format', () => foreign(Buffer.from('{}'), 2)],
    ['no JSON', () => foreign(Buffer.from('{"q":'), 1)],
    ['another JSON', () => foreign(Buffer.from('7'), 1)],
    ['a sequence of text', () => foreign(Buffer.from('{"q":"7"}'), 1)],
    ['tags that are none', () => foreign(Buffer.from('{"t":"crm"}'), 1)],
    ['a tag that is none', () => foreign(Buffer.from('{"t":[7]}'), 1)],
    ['a scope that is none', () => foreign(Buffer.from('{"s":["call"]}'), 1)],
    ['a scope of text', () => foreign(Buffer.from('{"s":"call"}'), 1)],
    [
      'a length beyond the end',
      async () => (await foreign(Buffer.from('{}'), 1)).fill(255, 44, 46),
    ],
    ['no payload', () => foreign(Buffer.alloc(0), 1)],
  ] as const;
  for (const [what, bytes] of texts) {
    test(`G7: is as good as nothing, says so, and is replaced by a fill: ${what}`, async () => {
      const { cut } = await take('look');
      await at.client.set(keyOf(VALUE), await bytes());
      expect(await take('look')).toMatchObject({
        status: 'none',
        held: undefined,
        unreadable: true,
      });
      const leased = await take('miss', 1);
      expect(leased).toMatchObject({ status: 'leased', held: undefined, unreadable: true });
      expect(await take('early', 2)).toMatchObject({ status: 'taken', unreadable: true });
      expect(await fill(entry(cut + 1), leased)).toBe('held');
      expect(await take('miss', 2)).toMatchObject({ status: 'fresh', unreadable: false });
    });
  }

  test('G7: a value of another build stays until it is replaced: that build can read it', async () => {
    const bytes = await foreign(Buffer.from('{"q":9007199254740991}'), 2);
    await at.client.set(keyOf(VALUE), bytes);
    expect(await take('miss')).toMatchObject({ status: 'leased', unreadable: true });
    expect(await at.client.getBuffer(keyOf(VALUE))).toEqual(bytes);
  });

  test('G7: a value of another build is no floor for what is placed', async () => {
    const { cut } = await take('look');
    await at.client.set(keyOf(VALUE), await foreign(Buffer.from('{}'), 2));
    expect(await place(entry(cut + 1))).toEqual({ status: 'held' });
    expect((await take('look')).held?.entry).toEqual(entry(cut + 1));
  });

  test('G7: a key of another type is as good as nothing, and is replaced or removed', async () => {
    const { cut } = await take('look');
    await at.client.hset(keyOf(VALUE), 'not', 'ours');
    const leased = await take('miss', 1);
    expect(leased).toMatchObject({ status: 'leased', unreadable: true });
    expect(await fill(entry(1), leased)).toBe('held');
    await at.client.del(keyOf(VALUE));
    await at.client.rpush(keyOf(VALUE), 'not ours');
    expect(await place(entry(cut + 1))).toEqual({ status: 'held' });
    await at.client.del(keyOf(VALUE));
    await at.client.rpush(keyOf(VALUE), 'not ours');
    expect(await at.derived.remove([{ address: VALUE, version: 1 }])).toEqual(['done']);
    expect(await at.client.exists(keyOf(VALUE))).toBe(0);
  });

  test('G7: a fresh value whose body is corrupt is loaded again by the reader that finds it', async () => {
    await load(entry(1));
    await load(entry(1, { address: OTHER }));
    const bytes = (await at.client.getBuffer(keyOf(VALUE))) ?? Buffer.alloc(0);
    await at.client.set(keyOf(VALUE), bytes.subarray(0, -1), 'PX', 600_000);
    const takes = [OTHER, VALUE, OTHER].map((of) => {
      return { address: of, mode: 'miss', token: 5, leaseMs: LEASE_MS } as const;
    });
    const [before, found, after] = await at.derived.take(takes);
    expect([before?.status, after?.status]).toEqual(['fresh', 'fresh']);
    expect(found).toMatchObject({ status: 'leased', held: undefined, unreadable: true });
    expect(await take('miss', 6)).toMatchObject({ status: 'taken', held: undefined });
    expect(await fill(entry(2), await take('force', 5), 5)).toBe('held');
    expect((await take('miss', 6)).status).toBe('fresh');
  });
});

describe('a full memory', () => {
  async function fillUp(): Promise<void> {
    const info = await at.open[0]?.tier.info();
    await at.client.config('SET', 'maxmemory', String((info?.usedMemoryBytes ?? 0) - 100_000));
  }

  test('what has to grow fails as full and changes nothing', async () => {
    const leased = await take('miss');
    await fillUp();
    const full = { reason: 'full', outcome: 'none' };
    await expect(fill(entry(1, { scope: CALL }), leased)).rejects.toMatchObject(full);
    await expect(place(entry(2 ** 52))).rejects.toMatchObject(full);
    expect(await at.client.exists(keyOf(VALUE))).toBe(0);
    expect(await at.client.exists(leaseOf(VALUE))).toBe(1);
    expect(await at.derived.members(CALL)).toEqual([]);
  });

  test('G3, G11: what takes away, and the lease, still work', async () => {
    const tagged = address('d', 'tagged');
    await load(entry(1, { scope: CALL }));
    await load(entry(1, { address: OTHER }));
    await load(entry(1, { address: tagged, tags: ['t'] }));
    await fillUp();
    expect((await take('force', 3)).status).toBe('leased');
    expect(await at.derived.extend([{ address: VALUE, token: 3, leaseMs: 9000 }])).toEqual([
      'held',
    ]);
    await at.derived.letGo([{ address: VALUE, token: 3 }]);
    expect(await at.client.exists(leaseOf(VALUE))).toBe(0);
    expect(await at.derived.invalidate([tagId('t')])).toBe('done');
    expect((await take('look', 1, tagged)).status).toBe('none');
    expect(await at.derived.remove([{ address: OTHER, version: 1 }])).toEqual(['done']);
    expect((await take('look', 1, OTHER)).status).toBe('none');
    expect(await at.derived.erase(CALL)).toEqual({ removed: 1 });
    expect((await take('look')).status).toBe('none');
    await at.client.del(tagsKey(0), tagsKey(1));
    expect((await take('look')).sequence).toBeGreaterThan(0);
  });
});
