/** Derived values themselves: their lives, who may place and remove them, many at once. */
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/clock.ts';
import type { Payload } from '../../../src/model/entry.ts';
import { address } from '../../../src/model/key.ts';
import { tagId } from '../../../src/model/tags.ts';
import { GuardedTier } from '../../../src/tiers/guarded.ts';
import { numberBytes } from '../../../src/tiers/redis/handshake.ts';
import { HeldClock } from '../derived/held-clock.ts';
import { bench, CALL, entry, keyOf, LEASE_MS, LONG, OTHER, VALUE } from './derived-bench.ts';
import { json, StillClock, until } from './support.ts';

const { at, fill, load, messages, opened, place, take } = bench();

describe('an entry', () => {
  const values: readonly (readonly [string, Payload | undefined])[] = [
    ['null', json(null)],
    ['0', json(0)],
    ['false', json(false)],
    ['an empty text', json('')],
    ['no bytes', { codec: 'bytes', bytes: new Uint8Array(0) }],
    ['that there is nothing', undefined],
  ];
  for (const [what, payload] of values) {
    test(`G10: that holds ${what} is a hit`, async () => {
      await load(entry(1, { payload }));
      const { status, held } = await take('miss', 2);
      expect(status).toBe('fresh');
      expect(held?.entry.payload?.codec).toBe(payload?.codec);
      expect(Buffer.from(held?.entry.payload?.bytes ?? [])).toEqual(
        Buffer.from(payload?.bytes ?? []),
      );
    });
  }

  test('says what is left of its life by the server’s clock, whatever an instance’s clock says', async () => {
    await load(entry(1, { tags: ['a', 'é'], scope: CALL }));
    const wrong = await opened({ clock: new StillClock(Date.UTC(2031, 0, 1)) });
    const { status, held } = await take('miss', 2, VALUE, wrong.tier.derived);
    expect(status).toBe('fresh');
    expect(held?.entry).toEqual(entry(1, { tags: ['a', 'é'], scope: CALL }));
    for (const [left, of] of [
      [held?.freshMs ?? 0, LONG.freshMs],
      [held?.lifeMs ?? 0, LONG.lifeMs],
      [await at.client.pttl(keyOf(VALUE)), LONG.lifeMs],
    ] as const) {
      expect(left).toBeGreaterThan(of - 30_000);
      expect(left).toBeLessThanOrEqual(of);
    }
  });

  test('that is stale is shown beside the lease, and to those who wait', async () => {
    await load(entry(1), { freshMs: 1, lifeMs: 600_000 });
    await until(async () => (await take('look')).status === 'none', 'stale');
    const stale = { held: { entry: entry(1), freshMs: 0 } };
    expect(await take('look')).toMatchObject({ status: 'none', ...stale });
    expect(await take('miss', 2)).toMatchObject({ status: 'leased', ...stale });
    expect(await take('miss', 3)).toMatchObject({ status: 'taken', ...stale });
  });

  test('is gone at the end of its life, even where Redis forgot its TTL', async () => {
    await load(entry(1));
    await at.client.setrange(keyOf(VALUE), 28, numberBytes(Date.now() - 60_000));
    await at.client.persist(keyOf(VALUE));
    expect(await take('look')).toMatchObject({ status: 'none', held: undefined });
    expect(await at.client.exists(keyOf(VALUE))).toBe(0);
  });

  test.for([
    { freshMs: 0, lifeMs: 0 },
    { freshMs: 0, lifeMs: 1000 },
    { freshMs: 0.5, lifeMs: 0.5 },
    { freshMs: -1, lifeMs: -1 },
  ])('without a life is not stored, and sends away what was there (%o)', async (none) => {
    await load(entry(1));
    const leased = await take('force', 1);
    expect(await fill(entry(2), leased, 1, none)).toBe('held');
    expect(await take('look')).toMatchObject({ status: 'none', held: undefined, leaseMs: 0 });
    expect((await messages()).at(-1)).toBe(`k 0 v0 ${VALUE.id}`);
    const { cut } = await take('look');
    expect(await place(entry(cut + 5), none)).toEqual({ status: 'held' });
    expect(await at.client.exists(keyOf(VALUE))).toBe(0);
    expect(await place(entry(cut + 5))).toEqual({ status: 'too-low', floor: cut + 5 });
  });

  test('of the longest life there is does not overflow', async () => {
    await load(entry(1), { freshMs: Number.MAX_VALUE, lifeMs: Number.POSITIVE_INFINITY });
    const { held } = await take('miss', 2);
    expect(held?.freshMs).toBeGreaterThan(36_000 * 86_400_000);
  });

  test('the largest version, intent and token come back exactly', async () => {
    const top = Number.MAX_SAFE_INTEGER;
    const leased = await take('miss', top);
    expect(await fill(entry(top, { intent: top }), leased, top)).toBe('held');
    expect((await take('look')).held?.entry).toMatchObject({ version: top, intent: top });
    expect(await messages()).toEqual([`k ${top} v${top} ${VALUE.id}`]);
    expect(await place(entry(top))).toEqual({ status: 'too-low', floor: top });
    await at.derived.remove([{ address: VALUE, version: top - 1 }]);
    expect((await take('look')).cut).toBe(top - 1);
  });
});

describe('placing and removing', () => {
  test('G4: a value is placed above what was removed and above what is there, and nowhere else', async () => {
    const { cut } = await take('look');
    expect(await place(entry(cut))).toEqual({ status: 'too-low', floor: cut });
    expect(await place(entry(cut + 5))).toEqual({ status: 'held' });
    expect(await place(entry(cut + 5))).toEqual({ status: 'too-low', floor: cut + 5 });
    expect(await place(entry(cut + 6, { loadMs: 0 }))).toEqual({ status: 'held' });
    expect((await take('look')).held?.entry).toEqual(entry(cut + 6, { loadMs: 0 }));
  });

  test('G4: a delete beats a late place, and leaves the neighbours alone', async () => {
    const { cut } = await take('look');
    await load(entry(1, { address: OTHER }));
    await place(entry(cut + 1));
    expect(await at.derived.remove([{ address: VALUE, version: cut + 3 }])).toEqual(['done']);
    expect(await place(entry(cut + 3))).toEqual({ status: 'too-low', floor: cut + 3 });
    expect(await take('look')).toMatchObject({ status: 'none', held: undefined, cut: cut + 3 });
    expect((await take('look', 1, OTHER)).status).toBe('fresh');
  });

  test('a version that was invalidated is still a floor', async () => {
    const { cut } = await take('look');
    await place(entry(cut + 9, { tags: ['t'] }));
    await at.derived.invalidate([tagId('t')]);
    expect(await place(entry(cut + 9))).toEqual({ status: 'too-low', floor: cut + 9 });
  });

  test('what is placed is of now: only later invalidations concern it', async () => {
    await at.derived.invalidate([tagId('t'), tagId('u')]);
    const { cut } = await take('look');
    const tagged = { tags: ['t'], scope: CALL };
    expect(await place(entry(cut + 1, tagged))).toEqual({ status: 'held' });
    expect((await take('look')).held?.entry).toEqual(entry(cut + 1, tagged));
    await at.derived.invalidate([tagId('t')]);
    expect((await take('look')).status).toBe('none');
  });
});

describe('batches', () => {
  test('one call with many keys is answered in its order', async () => {
    const all = Array.from({ length: 60 }, (_, i) => address('many', `k${i}`));
    const takes = all.map((of, i) => {
      return { address: of, mode: 'miss', token: i + 1, leaseMs: LEASE_MS } as const;
    });
    const replies = await at.derived.take(takes);
    const fills = replies.flatMap((reply, i) => {
      const of = all[i];
      if (reply.status !== 'leased' || of === undefined || i % 3 === 0) return [];
      const one = entry(i, { address: of, payload: i % 3 === 1 ? undefined : json(i) });
      return [{ entry: one, token: i + 1, sequence: reply.sequence, ...LONG }];
    });
    expect(new Set(await at.derived.fill(fills))).toEqual(new Set(['held']));
    for (const [i, reply] of (await at.derived.take(takes)).entries()) {
      expect(reply).toMatchObject(
        i % 3 === 0 ? { status: 'leased' } : { status: 'fresh', held: { entry: { version: i } } },
      );
    }
    expect(await at.derived.take([])).toEqual([]);
    expect(await at.derived.invalidate([])).toBe('done');
  });

  test('a server that forgot the scripts is given them again', async () => {
    await at.client.script('FLUSH');
    await load(entry(1, { tags: ['t'] }));
    await at.client.script('FLUSH');
    expect(await at.derived.invalidate([tagId('t')])).toBe('done');
  });

  test('G7: tags that are too large for an entry fail no other fill of their batch, and end their load', async () => {
    const leased = await take('miss');
    const other = { ...VALUE, key: 'other', id: `${VALUE.namespace}/other` as typeof VALUE.id };
    const [granted] = await at.derived.take([
      { address: other, mode: 'miss', token: 7, leaseMs: 60_000 },
    ]);
    const tags = Array.from({ length: 100 }, (_, n) => `${n} ${'x'.repeat(1000)}`);
    const sequence = granted?.status === 'leased' ? granted.sequence : 0;
    const fills = [
      { entry: entry(leased.cut + 1, { tags }), token: 1, sequence: leased.sequence, ...LONG },
      { entry: { ...entry(leased.cut + 1), address: other }, token: 7, sequence, ...LONG },
    ];
    expect(await at.derived.fill(fills)).toEqual(['full', 'held']);
    expect((await take('miss', 2)).status).toBe('leased');
  });

  test('what is too large for L2 is not kept when it was loaded, and refused when it is placed', async () => {
    const small = (await opened({ maxValueBytes: 200 })).tier.derived;
    const payload: Payload = { codec: 'bytes', bytes: Buffer.alloc(300) };
    await load(entry(1));
    const { sequence, cut } = await take('force');
    const large = entry(cut + 1, { payload });
    const fills = [{ entry: large, token: 1, sequence, ...LONG }];
    await expect(small.place([{ entry: large, ...LONG }])).rejects.toMatchObject({
      reason: 'full',
      outcome: 'none',
    });
    expect(await small.fill(fills)).toEqual(['full']);
    expect(await take('look')).toMatchObject({ status: 'none', held: undefined, leaseMs: 0 });
  });
});

describe('behind the guard', () => {
  test('G5: derived values count for the same breaker as records, and stop when it opens', async () => {
    const { tier } = await opened();
    const transitions: string[] = [];
    const guard = new GuardedTier(tier, {
      timeoutMs: 300,
      failures: 2,
      resetMs: 60_000,
      trial: 1,
      clock: systemClock,
      onTransition: (to) => transitions.push(to),
      onCall: (operation, _ms, result) => transitions.push(`${operation} ${result}`),
      recover: () => Promise.resolve(),
    });
    guard.began();
    try {
      const look = [{ address: VALUE, mode: 'look', token: 1, leaseMs: 1000 }] as const;
      expect(await guard.derived.take(look)).toHaveLength(1);
      expect(await guard.derivedBackground.members(CALL)).toEqual([]);
      at.server.freeze();
      await expect(guard.derived.take(look)).rejects.toMatchObject({ reason: 'timeout' });
      await expect(guard.foreground.read([VALUE])).rejects.toMatchObject({ reason: 'timeout' });
      const closed = { reason: 'unreachable', outcome: 'none' };
      await expect(guard.derived.invalidate([tagId('t')])).rejects.toMatchObject(closed);
      await expect(guard.derivedBackground.erase(CALL)).rejects.toMatchObject(closed);
      expect(transitions).toEqual([
        ...[
          'derived_take ok',
          'derived_members ok',
          'derived_take timeout',
          'read timeout',
          'OPEN',
        ],
      ]);
    } finally {
      at.server.thaw();
      await guard.close();
    }
  });

  test('G5: the trial of one of several servers waits for it as long as callers do', async () => {
    const { tier } = await opened();
    const rest = { failures: 1, resetMs: 100, trial: 1, onTransition() {}, onCall() {} };
    const recover = async () => {};
    const whole = new GuardedTier(tier, {
      ...rest,
      timeoutMs: 60_000,
      clock: systemClock,
      recover,
    });
    const probe = () => tier.probe();
    const lanes = { of: () => 'a', all: () => ['a', 'b'], probe, check: probe, drop() {} };
    const { fleet, derived } = tier;
    const several = {
      ...whole.foreground,
      probe,
      check: probe,
      reconnect() {},
      fleet,
      derived,
      lanes,
    };
    const clock = new HeldClock();
    const said: string[] = [];
    const guard = new GuardedTier(several, {
      ...rest,
      timeoutMs: 3000,
      clock,
      onLane: (_, state) => said.push(state),
      recover: async (shared) => {
        at.server.freeze();
        said.push('tried');
        await shared.read([VALUE]);
      },
    });
    guard.began();
    try {
      at.server.freeze();
      const late = expect(guard.foreground.read([VALUE])).rejects.toMatchObject({
        reason: 'timeout',
      });
      await clock.pass(3000);
      await late;
      at.server.thaw();
      await clock.pass(100);
      await until(() => said.includes('tried'), 'it is tried');
      await clock.pass(2000);
      at.server.thaw();
      await until(() => said.length > 2, 'the trial is over');
      expect(said).toEqual(['away', 'tried', 'back']);
    } finally {
      at.server.thaw();
      await Promise.all([guard.close(), whole.close()]);
    }
  });
});
