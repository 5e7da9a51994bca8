/** What surprises in Redis and in Lua, script by script. */
import { type RedisServer, startRedis } from '@cache/testing';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { encodeHeader } from '../../../src/codec/envelope.ts';
import { TierError } from '../../../src/errors.ts';
import { type Address, address, shardOf } from '../../../src/model/key.ts';
import { entryKey, indexKey, metaKey } from '../../../src/tiers/redis/keys.ts';
import { scripts } from '../../../src/tiers/redis/scripts.ts';
import { logOf, type Opened, openTier, plainClient, TTL_MS, until, writeOf } from './support.ts';

const SHARDS = 2;
const VALUE = address('v', 'a');
const LOG = address('log', 'a');

let server: RedisServer;
let client: Redis;
let opened: Opened;

function keyOf(of: Address): string {
  return entryKey(shardOf(of, SHARDS), of.id);
}

async function cutOf(of: Address): Promise<number> {
  const [read] = await opened.tier.read([of]);
  return read?.meta.cut ?? 0;
}

async function pendingIds(): Promise<readonly string[]> {
  const { addresses } = await opened.tier.pending(Number.MAX_SAFE_INTEGER, 100);
  return addresses.map(({ id }) => id);
}

beforeAll(async () => {
  server = await startRedis();
  client = plainClient(server.url);
});

beforeEach(async () => {
  await client.config('SET', 'maxmemory', '0');
  await client.flushall();
  opened = openTier(server.url);
  await opened.tier.connect();
});

afterEach(async () => {
  await opened.tier.close();
});

afterAll(async () => {
  client.disconnect();
  await server.close();
});

describe('numbers', () => {
  test('the largest version and intent come back exactly, from the entry, the cut and the bus', async () => {
    const { tier, heard } = opened;
    await until(() => heard.subscriptions > 0, 'subscribed');
    const top = Number.MAX_SAFE_INTEGER;
    const write = writeOf(VALUE, top - 1, top, { expiresAt: top });
    expect(await tier.put([{ write }])).toEqual([{ status: 'held' }]);
    const [read] = await tier.read([VALUE]);
    expect(read?.entry).toMatchObject({ write: { version: top - 1, intent: top, expiresAt: top } });
    const low = writeOf(VALUE, top - 2, top);
    expect(await tier.put([{ write: low }])).toEqual([{ status: 'too-low', floor: top - 1 }]);
    expect(await tier.settle([write].map((one) => ({ ...one, kind: 'value' as const })))).toEqual([
      'done',
    ]);
    expect(await cutOf(VALUE)).toBe(top - 1);
    await until(() => heard.messages.length > 0, 'a message');
    expect(heard.messages).toEqual([`k ${top - 1} v${top} ${VALUE.id}`]);
  });

  test('a version that is raised is raised by exactly one, however large', async () => {
    const top = Number.MAX_SAFE_INTEGER;
    const first = await opened.tier.append([{ write: logOf(LOG, [['a', top - 4]]) }]);
    const second = await opened.tier.append([
      {
        write: logOf(LOG, [
          ['b', top - 9],
          ['c', 2 ** 52],
        ]),
      },
    ]);
    expect(first).toEqual([{ status: 'held', versions: [top - 4] }]);
    expect(second).toEqual([{ status: 'held', versions: [top - 3, top - 2] }]);
  });

  test('a reply to a version that is too low says the floor without rounding', async () => {
    const floor = 890_235_501_633_537;
    const cut = await cutOf(VALUE);
    await opened.tier.drop([{ address: VALUE, newer: { version: cut + floor, intent: 0 } }]);
    const reply = await opened.tier.put([{ write: writeOf(VALUE, cut + floor, 1) }]);
    expect(reply).toEqual([{ status: 'too-low', floor: cut + floor }]);
  });
});

describe('lifetimes', () => {
  test('G1: a pending entry never has a TTL, a settled one always does', async () => {
    const { tier } = opened;
    const cut = await cutOf(VALUE);
    const old = writeOf(VALUE, cut + 1, 1);
    await tier.backfill([{ kind: 'value', write: old, cut }]);
    expect(await client.pttl(keyOf(VALUE))).toBeGreaterThan(0);
    const write = writeOf(VALUE, cut + 2, 1);
    await tier.put([{ write }]);
    expect(await client.pttl(keyOf(VALUE)), 'the TTL of a pending entry').toBe(-1);
    await tier.settle([{ kind: 'value', address: VALUE, version: write.version, intent: 1 }]);
    const ttl = await client.pttl(keyOf(VALUE));
    expect(ttl).toBeGreaterThan(TTL_MS - 60_000);
    expect(ttl).toBeLessThanOrEqual(TTL_MS);
  });

  test('G1: an append onto a settled log takes its TTL away until it is settled again', async () => {
    const { tier } = opened;
    const cut = await cutOf(LOG);
    await tier.backfill([{ kind: 'log', write: logOf(LOG, [['a', cut + 1]]), cut }]);
    expect(await client.pttl(keyOf(LOG))).toBeGreaterThan(0);
    await tier.append([{ write: logOf(LOG, [['b', cut + 2]]) }]);
    expect(await client.pttl(keyOf(LOG))).toBe(-1);
    const items = [{ id: 'b', version: cut + 2 }];
    await tier.settle([{ kind: 'log', address: LOG, items, erasedTo: 0, others: false }]);
    expect(await client.pttl(keyOf(LOG))).toBeGreaterThan(0);
    expect(await pendingIds()).toEqual([]);
  });

  test('a copy never outlives its record', async () => {
    const { tier } = opened;
    const cut = await cutOf(VALUE);
    const expiresAt = Date.now() + 30_000;
    const write = writeOf(VALUE, cut + 1, 1, { expiresAt });
    await tier.backfill([{ kind: 'value', write, cut }]);
    expect(await client.pttl(keyOf(VALUE))).toBeLessThanOrEqual(30_000);
    const next = writeOf(VALUE, cut + 2, 1, { expiresAt });
    await tier.put([{ write: next }]);
    await tier.settle([{ ...next, kind: 'value' }]);
    expect(await client.pttl(keyOf(VALUE))).toBeLessThanOrEqual(30_000);
    const last = writeOf(VALUE, (await cutOf(VALUE)) + 5, 1, { expiresAt });
    await tier.putSettled([last]);
    expect(await client.pttl(keyOf(VALUE))).toBeLessThanOrEqual(30_000);
  });
});

describe('a full memory', () => {
  async function fill(): Promise<void> {
    const { usedMemoryBytes } = await opened.tier.info();
    await client.config('SET', 'maxmemory', String(usedMemoryBytes - 100_000));
  }

  test('what has to grow fails as full and changes nothing', async () => {
    const { tier } = opened;
    const cut = await cutOf(VALUE);
    await tier.append([{ write: logOf(LOG, [['a', cut + 1]]) }]);
    const before = await client.getBuffer(keyOf(LOG));
    await fill();
    const full = { reason: 'full', outcome: 'none' };
    const write = writeOf(VALUE, cut + 1, 1);
    await expect(tier.put([{ write }])).rejects.toMatchObject(full);
    await expect(tier.append([{ write: logOf(LOG, [['b', cut + 2]]) }])).rejects.toMatchObject(
      full,
    );
    await expect(tier.backfill([{ kind: 'value', write, cut }])).rejects.toMatchObject(full);
    await expect(tier.putSettled([write])).rejects.toMatchObject(full);
    expect(await client.getBuffer(keyOf(LOG))).toEqual(before);
    expect(await cutOf(VALUE)).toBe(cut);
    expect(await client.exists(keyOf(VALUE))).toBe(0);
  });

  test('G1: settle, drop, repair, forget and purge work, and so do heartbeat and lease', async () => {
    const { tier } = opened;
    const addresses = ['b', 'c', 'd', 'e'].map((key) => address('v', key));
    const [dropped, repaired, forgotten, purged] = addresses;
    if (!dropped || !repaired || !forgotten || !purged) throw new Error('four addresses');
    const cut = Math.max(
      ...(await tier.read([...addresses, VALUE, LOG])).map(({ meta }) => meta.cut),
    );
    const version = cut + 1;
    await tier.put([VALUE, dropped, purged].map((of) => ({ write: writeOf(of, version, 1) })));
    await tier.append([
      {
        write: logOf(LOG, [
          ['a', version],
          ['b', version],
        ]),
      },
    ]);
    for (const of of [repaired, forgotten]) {
      const write = writeOf(of, version, 1);
      await tier.backfill([{ kind: 'value', write, cut: await cutOf(of) }]);
    }
    await fill();
    const newer = { version: version + 1, intent: 1 };
    await tier.settle([
      { kind: 'value', address: VALUE, version, intent: 1 },
      { kind: 'log', address: LOG, items: [{ id: 'a', version }], erasedTo: 0, others: false },
    ]);
    await tier.drop([{ address: dropped, newer }]);
    await tier.repair([{ address: repaired, kind: 'value', stamp: newer }]);
    await tier.repair([{ address: LOG, kind: 'log', stamp: { version, intent: 0 } }]);
    await tier.forget([forgotten]);
    await tier.purge([{ address: purged, version }]);
    const reads = await tier.read([...addresses, VALUE, LOG]);
    expect(reads.slice(0, 4).map(({ entry }) => entry)).toEqual(addresses.map(() => undefined));
    expect(reads[4]?.entry).toMatchObject({ kind: 'value', pending: false });
    expect(reads[5]?.entry).toMatchObject({ kind: 'log', pending: true, partial: true });
    expect(await pendingIds()).toEqual([LOG.id]);
    await tier.fleet.heartbeat('one', 'h one 1');
    expect(await tier.fleet.lease('repair', 'one', 1000)).toBe(true);
  });

  test('a new epoch can begin', async () => {
    await fill();
    await client.flushall();
    await client.config('SET', 'maxmemory', '1');
    await opened.tier.probe();
    expect(await opened.tier.read([VALUE])).toMatchObject([{ entry: undefined }]);
  });
});

describe('what is not ours', () => {
  test.for([
    ['no bytes', Buffer.alloc(0)],
    ['text', Buffer.from('something else entirely, long enough to hold a whole header of ours')],
    ['a header cut short', Buffer.from('@c\u0001\u0001')],
  ] as const)(
    'G7: garbage (%s) is unreadable and not pending, and a write replaces it',
    async ([, bytes]) => {
      const { tier } = opened;
      await client.set(keyOf(VALUE), bytes);
      const [read] = await tier.read([VALUE]);
      expect(read?.entry).toMatchObject({ kind: 'unreadable' });
      const write = writeOf(VALUE, (read?.meta.cut ?? 0) + 1, 1);
      expect(await tier.put([{ write }])).toEqual([{ status: 'held' }]);
      expect((await tier.read([VALUE]))[0]?.entry).toMatchObject({
        write: { version: write.version },
      });
    },
  );

  test('G7: a key of another type is a miss, and a write replaces it', async () => {
    const { tier } = opened;
    for (const of of [VALUE, LOG]) await client.hset(keyOf(of), 'not', 'ours');
    const reads = await tier.read([VALUE, LOG]);
    expect(reads.map(({ entry }) => entry)).toEqual([undefined, undefined]);
    const version = Math.max(...reads.map(({ meta }) => meta.cut)) + 1;
    expect(await tier.settle([{ kind: 'value', address: VALUE, version, intent: 1 }])).toEqual([
      'done',
    ]);
    expect(await tier.put([{ write: writeOf(VALUE, version + 1, 1) }])).toEqual([
      { status: 'held' },
    ]);
    const appended = await tier.append([{ write: logOf(LOG, [['a', version + 5]]) }]);
    expect(appended).toMatchObject([{ status: 'held' }]);
  });

  test('G7: a pending entry of another format is never replaced, and only purged', async () => {
    const { tier } = opened;
    const { meta } = (await tier.read([VALUE]))[0] ?? { meta: { epoch: 0, cut: 0 } };
    const bytes = Buffer.concat([
      encodeHeader({
        format: 2,
        flags: 1,
        version: meta.cut + 1,
        intent: 1,
        epoch: meta.epoch,
        expiresAt: 0,
        erasedTo: 0,
      }),
      Buffer.from('of the future'),
    ]);
    await client.set(keyOf(VALUE), bytes);
    const write = writeOf(VALUE, meta.cut + 9, 1);
    const newer = { version: meta.cut + 9, intent: 1 };
    expect(await tier.put([{ write }])).toEqual([{ status: 'foreign' }]);
    expect(await tier.backfill([{ kind: 'value', write, cut: meta.cut }])).toEqual(['refused']);
    await tier.putSettled([write]);
    await tier.settle([{ kind: 'value', address: VALUE, ...newer }]);
    await tier.drop([{ address: VALUE, newer }]);
    expect(await tier.repair([{ address: VALUE, kind: 'value', stamp: newer }])).toEqual([
      'pending',
    ]);
    await tier.forget([VALUE]);
    expect(await client.getBuffer(keyOf(VALUE))).toEqual(bytes);
    expect((await tier.read([VALUE]))[0]?.entry).toMatchObject({
      kind: 'unreadable',
      pending: true,
    });
    await tier.purge([{ address: VALUE, version: newer.version }]);
    expect(await client.exists(keyOf(VALUE))).toBe(0);
  });

  test('G7: nothing is appended behind a corrupt frame of a settled log', async () => {
    const { tier } = opened;
    const cut = await cutOf(LOG);
    await tier.backfill([{ kind: 'log', write: logOf(LOG, [['a', cut + 1]]), cut }]);
    await client.append(keyOf(LOG), 'half a frame');
    expect((await tier.read([LOG]))[0]?.entry).toMatchObject({
      kind: 'unreadable',
      pending: false,
    });
    await tier.append([{ write: logOf(LOG, [['b', cut + 2]]) }]);
    const [read] = await tier.read([LOG]);
    expect(read?.entry).toMatchObject({ kind: 'log', partial: true, items: [{ id: 'b' }] });
  });

  test('an id that hides in a payload is not taken for an item', async () => {
    const { tier } = opened;
    const cut = await cutOf(LOG);
    const hidden = Buffer.from('\u0000\u0003abc and \u0000\u0001x', 'latin1');
    const payload = { codec: 'bytes', bytes: hidden } as const;
    const write = { ...logOf(LOG, []), items: [{ id: 'first', version: cut + 1, payload }] };
    await tier.append([{ write }]);
    const reply = await tier.append([
      {
        write: logOf(LOG, [
          ['abc', cut + 2],
          ['x', cut + 3],
        ]),
      },
    ]);
    expect(reply).toEqual([{ status: 'held', versions: [cut + 2, cut + 3] }]);
    const again = await tier.append([
      {
        write: logOf(LOG, [
          ['abc', cut + 9],
          ['y', cut + 10],
        ]),
      },
    ]);
    expect(again).toEqual([{ status: 'held', versions: [cut + 2, cut + 10] }]);
  });

  test('a meta, an index and a registry of another type do not stop anything', async () => {
    await client.flushall();
    await client.hset(metaKey(0), 'not', 'ours');
    await client.set(metaKey(1), 'not ours, but as long as a meta'.padEnd(56, '!'));
    await client.set(indexKey(0), 'not ours');
    await opened.tier.probe();
    const addresses = ['a', 'b', 'c', 'd'].map((key) => address('w', key));
    const reads = await opened.tier.read(addresses);
    const puts = reads.map(({ meta }, i) => ({
      write: writeOf(addresses[i] ?? VALUE, meta.cut + 1, 1),
    }));
    const replies = await opened.tier.put(puts);
    expect(replies.map(({ status }) => status)).toEqual(['held', 'held', 'held', 'held']);
  });
});

describe('batches', () => {
  test('one call with many keys is answered in its order, tombstones and misses included', async () => {
    const { tier } = opened;
    const addresses = Array.from({ length: 50 }, (_, i) => address('many', `k${i}`));
    const before = await tier.read(addresses);
    const cut = Math.max(...before.map(({ meta }) => meta.cut));
    const puts = addresses.flatMap((of, i) =>
      i % 3 === 2
        ? []
        : [{ write: writeOf(of, cut + 1 + i, 1, i % 3 === 1 ? { payload: undefined } : {}) }],
    );
    expect(new Set((await tier.put(puts)).map(({ status }) => status))).toEqual(new Set(['held']));
    const after = await tier.read(addresses);
    for (const [i, { entry }] of after.entries()) {
      if (i % 3 === 2) expect(entry).toBeUndefined();
      else expect(entry).toMatchObject({ write: { version: cut + 1 + i, address: addresses[i] } });
    }
    const { total, addresses: due } = await tier.pending(Number.MAX_SAFE_INTEGER, 10);
    expect([total, due.length]).toEqual([puts.length, 10]);
  });

  test('a server that forgot the scripts is given them again, in one more round trip', async () => {
    const cut = await cutOf(VALUE);
    await client.script('FLUSH');
    const writes = ['a', 'b', 'c'].map((key) => writeOf(address('v', key), cut + 1, 1));
    const replies = await opened.tier.put(writes.map((write) => ({ write })));
    expect(replies.map(({ status }) => status)).toEqual(['held', 'held', 'held']);
    expect(await client.script('EXISTS', scripts.put.sha)).toEqual([1]);
  });

  test('what is too large for L2 is refused as full, and as a copy only sends the older one away', async () => {
    await opened.tier.close();
    opened = openTier(server.url, { maxValueBytes: 200 });
    const { tier } = opened;
    await tier.connect();
    const cut = await cutOf(VALUE);
    await tier.backfill([{ kind: 'value', write: writeOf(VALUE, cut + 1, 1), cut }]);
    const payload = { codec: 'bytes', bytes: Buffer.alloc(300) } as const;
    const large = writeOf(VALUE, cut + 2, 1, { payload });
    await expect(tier.put([{ write: large }])).rejects.toBeInstanceOf(TierError);
    await expect(tier.put([{ write: large }])).rejects.toMatchObject({ reason: 'full' });
    expect(await tier.backfill([{ kind: 'value', write: large, cut }])).toEqual(['refused']);
    expect(await client.exists(keyOf(VALUE))).toBe(1);
    expect(await tier.putSettled([large])).toEqual(['done']);
    expect(await client.exists(keyOf(VALUE))).toBe(0);
  });
});
