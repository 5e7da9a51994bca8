/** Leases of derived values, and what an incarnation means to them. */
import { describe, expect, test } from 'vitest';
import { address, shardOf } from '../../../src/model/key.ts';
import { tagId } from '../../../src/model/tags.ts';
import { numberBytes } from '../../../src/tiers/redis/handshake.ts';
import { metaKey } from '../../../src/tiers/redis/keys.ts';
import {
  bench,
  CALL,
  entry,
  keyOf,
  LEASE_MS,
  LONG,
  leaseOf,
  OTHER,
  SHARDS,
  VALUE,
} from './derived-bench.ts';
import { until } from './support.ts';

const { at, fill, load, messages, place, take } = bench();

describe('the lease', () => {
  test('G11: of the readers that find nothing one loads, and the others know for how long', async () => {
    const tokens = [1, 2, 3, 4];
    const takes = tokens.map(
      (token) => ({ address: VALUE, mode: 'miss', token, leaseMs: LEASE_MS }) as const,
    );
    const replies = await at.derived.take(takes);
    expect(replies.map(({ status }) => status)).toEqual(['leased', 'taken', 'taken', 'taken']);
    const [mine, theirs] = replies;
    expect(mine).toMatchObject({ leaseMs: 0, held: undefined, unreadable: false });
    if (theirs?.status !== 'taken') throw new Error('taken');
    expect(theirs.leaseMs).toBeGreaterThan(LEASE_MS - 10_000);
    expect(theirs.leaseMs).toBeLessThanOrEqual(LEASE_MS);
  });

  test('a reader whose first attempt was lost on the way is leased again', async () => {
    await take('miss', 1);
    expect((await take('miss', 1)).status).toBe('leased');
  });

  test('who only looks takes nothing', async () => {
    expect(await take('look')).toMatchObject({ status: 'none', leaseMs: 0 });
    expect(await at.client.exists(leaseOf(VALUE))).toBe(0);
    await take('miss', 2);
    const look = await take('look');
    expect(look.status).toBe('none');
    expect(look.leaseMs).toBeGreaterThan(0);
  });

  test('G11: a fill gives it back and tells everybody with its stamp', async () => {
    const leased = await take('miss');
    expect(await fill(entry(70, { intent: 9 }), leased)).toBe('held');
    expect(await at.client.exists(leaseOf(VALUE))).toBe(0);
    expect(await messages()).toEqual([`k 70 v9 ${VALUE.id}`]);
    expect(await take('miss', 2)).toMatchObject({
      status: 'fresh',
      held: { entry: entry(70, { intent: 9 }) },
    });
  });

  test('G11: a fill whose lease was voided by a delete is discarded', async () => {
    const leased = await take('miss');
    expect(await at.derived.remove([{ address: VALUE, version: 5 }])).toEqual(['done']);
    expect(await fill(entry(Number.MAX_SAFE_INTEGER), leased)).toBe('voided');
    expect(await take('look')).toMatchObject({ status: 'none', held: undefined });
    expect(await messages()).toEqual([`k 0 v0 ${VALUE.id}`]);
  });

  test('G11: a fill whose lease was voided by a value that was placed is discarded', async () => {
    const leased = await take('miss');
    const placed = entry(leased.cut + 1);
    expect(await place(placed)).toEqual({ status: 'held' });
    expect(await fill(entry(leased.cut + 9), leased)).toBe('voided');
    expect(await take('look')).toMatchObject({ status: 'fresh', held: { entry: placed } });
    expect(await messages()).toEqual([`k 0 v0 ${VALUE.id}`]);
  });

  test('G11: a forced load takes it away from whoever has it', async () => {
    const first = await take('miss', 1);
    const second = await take('force', 2);
    expect(second.status).toBe('leased');
    expect(await fill(entry(1), first, 1)).toBe('voided');
    expect(await fill(entry(2), second, 2)).toBe('held');
  });

  test('a forced load is leased although there is something fresh', async () => {
    await load(entry(1));
    expect(await take('force', 2)).toMatchObject({ status: 'leased', held: { entry: entry(1) } });
  });

  test('an early load is leased beside the fresh value, and only once', async () => {
    await load(entry(1));
    expect(await take('early', 2)).toMatchObject({ status: 'leased', held: { entry: entry(1) } });
    const late = await take('early', 3);
    expect(late).toMatchObject({ status: 'fresh', held: { entry: entry(1) } });
    expect(late.leaseMs).toBeGreaterThan(0);
    expect((await take('miss', 3)).status).toBe('fresh');
  });

  test('G11: one that ran out is another reader’s, and the fill that comes too late is discarded', async () => {
    const [first] = await at.derived.take([{ address: VALUE, mode: 'miss', token: 1, leaseMs: 1 }]);
    if (first?.status !== 'leased') throw new Error('leased');
    await until(async () => (await at.client.exists(leaseOf(VALUE))) === 0, 'it ran out');
    expect(await fill(entry(1), first, 1)).toBe('voided');
    expect(await at.derived.extend([{ address: VALUE, token: 1, leaseMs: 1000 }])).toEqual([
      'lost',
    ]);
    expect((await take('miss', 2)).status).toBe('leased');
  });

  test('only its holder extends it', async () => {
    await take('miss', 1);
    const extended = await at.derived.extend([
      { address: VALUE, token: 2, leaseMs: 10 * LEASE_MS },
      { address: VALUE, token: 1, leaseMs: 5 * LEASE_MS },
    ]);
    expect(extended).toEqual(['lost', 'held']);
    const ttl = await at.client.pttl(leaseOf(VALUE));
    expect(ttl).toBeGreaterThan(4 * LEASE_MS);
    expect(ttl).toBeLessThanOrEqual(5 * LEASE_MS);
  });

  test('only its holder gives it back, and everybody hears of it', async () => {
    await take('miss', 1);
    await at.derived.letGo([{ address: VALUE, token: 2 }]);
    expect((await take('miss', 2)).status).toBe('taken');
    expect(await messages()).toEqual([]);
    await at.derived.letGo([{ address: VALUE, token: 1 }]);
    expect((await take('miss', 2)).status).toBe('leased');
    expect(await messages()).toEqual([`f ${VALUE.id}`]);
  });

  test.for([
    ['a text', (key: string) => at.client.set(key, 'not ours')],
    ['a list', (key: string) => at.client.rpush(key, 'not ours')],
  ] as const)('G7: something else under its key (%s) is no lease', async ([, plant]) => {
    await plant(leaseOf(VALUE));
    expect(await fill(entry(1), { sequence: 0 })).toBe('voided');
    expect(await at.derived.extend([{ address: VALUE, token: 1, leaseMs: 1000 }])).toEqual([
      'lost',
    ]);
    await at.derived.letGo([{ address: VALUE, token: 1 }]);
    expect(await at.client.exists(leaseOf(VALUE))).toBe(1);
    expect((await take('miss')).status).toBe('leased');
  });

  test('one that would hold for ever holds for nobody', async () => {
    await take('miss', 1);
    await at.client.persist(leaseOf(VALUE));
    expect((await take('miss', 2)).status).toBe('leased');
    expect(await at.client.pttl(leaseOf(VALUE))).toBeGreaterThan(0);
  });
});

describe('incarnations', () => {
  /** In the same shard: looking at a key removes what is no answer any more. */
  const NEXT =
    ['n', 'o', 'p', 'q']
      .map((key) => address('d', key))
      .find((of) => shardOf(of, SHARDS) === shardOf(VALUE, SHARDS)) ?? OTHER;

  async function restarted(): Promise<void> {
    await at.server.restart({ from: await at.server.snapshot() });
    await until(
      () =>
        at.derived.take([{ address: NEXT, mode: 'look', token: 9, leaseMs: 1 }]).then(
          ([reply]) => reply?.status !== 'epoch',
          () => false,
        ),
      'Redis answers',
    );
  }

  test('G4, G11: after a restart from a dump neither an entry nor a lease of before counts', async () => {
    await load(entry(1));
    const leased = await take('early', 1);
    await take('miss', 5, OTHER);
    await restarted();
    expect(await fill(entry(2), leased, 1)).toBe('voided');
    expect(await at.derived.extend([{ address: VALUE, token: 1, leaseMs: 1000 }])).toEqual([
      'lost',
    ]);
    expect(await take('miss', 2)).toMatchObject({ status: 'leased', held: undefined, leaseMs: 0 });
    expect((await take('miss', 6, OTHER)).status).toBe('leased');
  });

  test('G4: what was there before is no floor for what is placed', async () => {
    const { cut } = await take('look');
    const far = cut + 2 ** 50;
    expect(await place(entry(far))).toEqual({ status: 'held' });
    await restarted();
    const after = await take('look', 1, NEXT);
    expect(after.cut).toBeLessThan(far);
    expect(await at.client.exists(keyOf(VALUE))).toBe(1);
    expect(await place(entry(after.cut + 1))).toEqual({ status: 'held' });
  });

  test('G4: nothing has an effect under another epoch', async () => {
    const old = await take('miss');
    await at.client.flushall();
    await at.open[0]?.tier.probe();
    const commands = [
      () => at.derived.take([{ address: VALUE, mode: 'force', token: 1, leaseMs: 1000 }]),
      () => at.derived.fill([{ entry: entry(1), token: 1, sequence: old.sequence, ...LONG }]),
      () => at.derived.place([{ entry: entry(2 ** 52), ...LONG }]),
      () => at.derived.remove([{ address: VALUE, version: 2 ** 52 }]),
      () => at.derived.extend([{ address: VALUE, token: 1, leaseMs: 1000 }]),
      () => at.derived.letGo([{ address: VALUE, token: 1 }]).then(() => ['epoch']),
      () => at.derived.invalidate([tagId('t')]),
      () => at.derived.erase(CALL),
    ];
    for (const [i, command] of commands.entries()) {
      for (let shard = 0; shard < SHARDS; shard += 1) {
        await at.client.setrange(metaKey(shard), 0, numberBytes(i + 1));
      }
      expect(JSON.stringify(await command())).toContain('epoch');
      expect(await at.client.keys('c:{*}:[dgst]*')).toEqual([]);
      await at.open[0]?.tier.probe();
    }
    expect(await messages()).toEqual([]);
  });

  test('an invalidation that one shard did not do says so, and is done when it is asked for again', async () => {
    await load(entry(1, { tags: ['t'] }));
    await at.client.del(metaKey(1 - shardOf(VALUE, SHARDS)));
    expect(await at.derived.invalidate([tagId('t')])).toBe('epoch');
    expect(await at.derived.invalidate([tagId('t')])).toBe('done');
    expect(at.open[0]?.heard.epochs).toBe(1);
    expect((await take('look')).status).toBe('none');
  });
});
