import { randomBytes } from 'node:crypto';
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startSupabase } from '@cache/testing';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/clock.ts';
import { ConfigError } from '../../../src/errors.ts';
import { address } from '../../../src/model/key.ts';
import { tagId } from '../../../src/model/tags.ts';
import { MeasuredTier } from '../../../src/tiers/measured.ts';
import { SupabaseTier } from '../../../src/tiers/supabase/supabase.ts';
import {
  age,
  at,
  begin,
  derived,
  entry,
  l3,
  MINUTE,
  other,
  put,
  seen,
  tag,
  tests,
} from './derived-l3.ts';
import { bytes, json, MIGRATIONS, shown, textOf } from './l3.ts';

describe('what comes back', () => {
  it.each([
    'null',
    'false',
    '0',
    '""',
    '{"z":1, "a":"\\u0000","a":2}',
    '[1e400,-0,0.10000000000000000055]',
  ])('G10: the JSON text returns byte for byte, and is a hit: %s', async (text) => {
    expect(await put(entry(1, { payload: json(text) }), await begin())).toBe('held');
    const [held] = (await derived.read([at])).held;
    expect(held?.entry.payload?.codec).toBe('json');
    expect(textOf(held?.entry.payload)).toBe(text);
  });

  it('G10: bytes and structured values return byte for byte, an empty one too', async () => {
    const all = bytes(...Array.from({ length: 256 }, (_, byte) => byte));
    const entries = [
      entry(1, { payload: all }),
      entry(1, { address: other, payload: { ...all, codec: 'structured' } }),
      entry(1, { address: address('derived', 'empty'), payload: bytes() }),
    ];
    for (const one of entries) await put(one, await begin());
    const { held } = await derived.read(entries.map((one) => one.address));
    expect(held.map((one) => shown(one?.entry))).toEqual(entries.map(shown));
  });

  it('is the whole entry; that there is nothing is an answer, and not no answer', async () => {
    const text = 'ä/"\\😀, {}';
    const whole = entry(2 ** 53 - 1, {
      intent: 2 ** 53 - 2,
      payload: undefined,
      loadMs: 1234.56789,
      tags: [text, 'b'],
      scope: { kind: 'call', id: text },
    });
    expect(await put(whole, await begin())).toBe('held');
    const { held } = await derived.read([at, other]);
    expect(held[0]?.entry).toEqual(whole);
    expect(held[1]).toBeUndefined();
  });

  it('comes in as many answers as it takes, under the number of the first', async () => {
    let calls = 0;
    const tier = l3.connect({
      fetch: async (input, init) => {
        calls += 1;
        if (calls === 2) await derived.invalidate([tagId(tag)]);
        return await fetch(input, init);
      },
    });
    const sequence = await begin();
    // What can't be compressed, so that its size in the table is its size here; the last is more
    // than an answer may have, and comes alone.
    const puts = Array.from({ length: 6 }, (_, index) => ({
      entry: entry(1, {
        address: address('large', `${index}`),
        payload: { codec: 'bytes' as const, bytes: randomBytes(index < 5 ? 900_000 : 2_500_000) },
      }),
      sequence,
      freshMs: MINUTE,
      lifeMs: MINUTE,
    }));
    expect(await tier.derived.put(puts)).toEqual(puts.map(() => 'held'));
    expect(calls).toBeGreaterThan(2);
    calls = 0;
    const before = await begin();
    const answer = await tier.derived.read(puts.map((one) => one.entry.address));
    expect(calls).toBeGreaterThan(2);
    expect(answer.held.map((held) => shown(held?.entry))).toEqual(
      puts.map((one) => shown(one.entry)),
    );
    expect(answer.sequence).toBe(before);
    await tier.close();
  });
});

describe('how long it lives', () => {
  it('is fresh, then stale, then gone, by the clock of the database', async () => {
    // The clock of this process is years away.
    expect(Math.abs(l3.clock.now() - Date.now())).toBeGreaterThan(24 * 60 * MINUTE);
    await put(entry(1), await begin());
    const [fresh] = (await derived.read([at])).held;
    expect(fresh?.freshMs).toBeGreaterThan(0);
    expect(fresh?.freshMs).toBeLessThanOrEqual(MINUTE);
    expect(fresh?.lifeMs).toBeGreaterThan(MINUTE);
    expect(fresh?.lifeMs).toBeLessThanOrEqual(2 * MINUTE);
    await age(MINUTE);
    const [stale] = (await derived.read([at])).held;
    expect(stale?.freshMs).toBe(0);
    expect(stale?.lifeMs).toBeGreaterThan(0);
    expect(stale?.lifeMs).toBeLessThanOrEqual(MINUTE);
    await age(MINUTE);
    expect(await seen()).toBeUndefined();
  });

  it('has no end that the database could not reckon with', async () => {
    const forever = { freshMs: Number.POSITIVE_INFINITY, lifeMs: Number.POSITIVE_INFINITY };
    const what = { entry: entry(1), sequence: await begin(), ...forever };
    expect(await derived.put([what])).toEqual(['held']);
    expect(await seen()).toBe('1');
  });

  it('G6: what is over is pruned, and nothing else', async () => {
    await l3.rpc('age', { ms: String(1000 * 365 * 24 * 60 * MINUTE) });
    await l3.rpc('cache_prune');
    await put(entry(1), await begin());
    await age(2 * MINUTE);
    await put(entry(1, { address: other }), await begin());
    expect(await l3.rpc('cache_prune', { max_rows: '1' })).toMatchObject({
      derived: 1,
      more: true,
    });
    expect(await l3.rpc('cache_prune')).toMatchObject({ derived: 0, more: false });
    expect(await l3.rows('cache_derived', 'key')).toHaveLength(1);
    expect(await seen(other)).toBe('1');
  });
});

describe('what cannot be stored', () => {
  it('G7: is void alone; its neighbours are held, and it leaves no letter', async () => {
    const sequence = await begin();
    const letters = await l3.tier.deadLetters();
    const life = { freshMs: MINUTE, lifeMs: MINUTE, sequence };
    const rows = [
      entry(1),
      entry(1, { address: address('derived', `poison ${tests}`) }),
      entry(1, { address: address('derived', `${tests} broken`), payload: json('{') }),
      entry(1, {
        address: address('derived', `${tests} no text`),
        payload: { codec: 'json', bytes: Uint8Array.from([0x22, 0xff, 0, 0x22]) },
      }),
      entry(1, { address: address('derived', `${tests} endless`), loadMs: Number.NaN }),
      entry(1, { address: other }),
    ];
    expect(await derived.put(rows.map((row) => ({ entry: row, ...life })))).toEqual([
      'held',
      'voided',
      'voided',
      'voided',
      'voided',
      'held',
    ]);
    const { held } = await derived.read(rows.map((row) => row.address));
    expect(held.map((it) => it !== undefined)).toEqual([true, false, false, false, false, true]);
    expect(await l3.tier.deadLetters()).toBe(letters);
  });

  it('leaves what was loaded before, but takes the place of it where somebody sets it', async () => {
    await put(entry(1), await begin());
    expect(await put(entry(2, { payload: json('{') }), await begin())).toBe('voided');
    expect(await seen()).toBe('1');
    const early = await begin();
    expect(await put(entry(2, { payload: json('{') }), undefined)).toBe('voided');
    expect(await seen()).toBeUndefined();
    expect(await put(entry(3), early)).toBe('voided');
  });
});

describe('the tier', () => {
  it('says that the migrations of derived values are missing where only the older ones are', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cache-migrations-'));
    await cp(MIGRATIONS, folder, { recursive: true });
    const names = (await readdir(folder)).sort();
    const first = names.findIndex((name) => name.includes('_derived'));
    expect(first).toBeGreaterThan(0);
    for (const name of names.slice(first)) await rm(join(folder, name));
    const server = await startSupabase({ migrations: folder });
    const { url, secretKey: key } = server;
    const tier = new SupabaseTier({ url, key, timeoutMs: 5000, clock: systemClock });
    try {
      const error = await tier.connect(16).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(ConfigError);
      expect(error).toHaveProperty('message', expect.stringContaining('migrations are missing'));
    } finally {
      await tier.close();
      await server.close();
      await rm(folder, { recursive: true, force: true });
    }
  }, 60_000);

  it('G5: is watched: every call is measured, and one without an answer says that it is away', async () => {
    const calls: string[] = [];
    const states: string[] = [];
    const tier = l3.connect({ timeoutMs: 300 });
    const watched = new MeasuredTier(tier, {
      clock: systemClock,
      onCall: (operation) => calls.push(operation),
      onState: (state) => states.push(state),
    });
    l3.server.freeze();
    try {
      await expect(watched.derived.read([at])).rejects.toMatchObject({ reason: 'timeout' });
      const set = { entry: entry(1), sequence: undefined, freshMs: MINUTE, lifeMs: MINUTE };
      await expect(watched.derived.put([set])).rejects.toMatchObject({ outcome: 'unknown' });
      expect(watched.away).toBe(true);
    } finally {
      l3.server.thaw();
    }
    await expect
      .poll(() =>
        watched.derived.remove([at]).then(
          () => 'done',
          () => 'away',
        ),
      )
      .toBe('done');
    await watched.derived.invalidate([tagId(tag)]);
    expect(states).toEqual(['away', 'back']);
    expect(new Set(calls)).toEqual(
      new Set(['derived_read', 'derived_put', 'derived_remove', 'derived_invalidate']),
    );
    await tier.close();
  });
});
