/** What invalidates derived values: tags and scopes. */
import { describe, expect, test } from 'vitest';
import { address, shardOf } from '../../../src/model/key.ts';
import { scopeTagId, tagId } from '../../../src/model/tags.ts';
import { membersKey, tagsKey } from '../../../src/tiers/redis/keys.ts';
import {
  bench,
  CALL,
  entry,
  keyOf,
  leaseOf,
  OTHER,
  SHARDS,
  tagsOf,
  VALUE,
} from './derived-bench.ts';

const { at, fill, load, messages, opened, place, take } = bench();

describe('invalidation', () => {
  test('G3: a tag reaches its entries in every shard, and every instance hears of it', async () => {
    const all = Array.from({ length: 12 }, (_, i) => address('d', `k${i}`));
    for (const of of all) await load(entry(1, { address: of, tags: ['crm'] }));
    await load(entry(1, { tags: ['other'] }));
    expect(await at.derived.invalidate([tagId('crm'), tagId('a b')])).toBe('done');
    for (const of of all) {
      expect(await take('look', 1, of)).toMatchObject({ status: 'none', held: undefined });
      expect(await at.client.exists(keyOf(of))).toBe(0);
    }
    expect((await take('look')).status).toBe('fresh');
    const tags = (await messages()).filter((message) => message.startsWith('t '));
    expect(tags).toEqual(['t t:crm', 't t:a b', 't t:crm', 't t:a b']);
  });

  test('G3, G11: a tag that is invalidated while its value is being loaded voids the fill, and another may load', async () => {
    const leased = await take('miss', 1);
    await at.derived.invalidate([tagId('crm')]);
    expect(await fill(entry(1, { tags: ['x', 'crm'] }), leased)).toBe('voided');
    expect(await at.client.exists(leaseOf(VALUE))).toBe(0);
    expect((await messages()).at(-1)).toBe(`f ${VALUE.id}`);
    const again = await take('miss', 2);
    expect(again.status).toBe('leased');
    expect(await fill(entry(1, { tags: ['x', 'crm'] }), again, 2)).toBe('held');
    expect((await take('miss', 3)).status).toBe('fresh');
  });

  test('a load without that tag goes on', async () => {
    const leased = await take('miss', 1);
    await at.derived.invalidate([tagId('crm')]);
    expect(await fill(entry(1, { tags: ['x'] }), leased)).toBe('held');
  });

  test('every invalidation takes the next number', async () => {
    const { sequence } = await take('look');
    await at.derived.invalidate([tagId('a'), tagId('b')]);
    await at.derived.invalidate([tagId('a')]);
    expect((await take('look')).sequence).toBe(sequence + 3);
    const notes = await at.client.zrange(tagsOf(VALUE), '0', '-1', 'WITHSCORES');
    expect(notes).toEqual(['', `${sequence}`, 't:b', `${sequence + 2}`, 't:a', `${sequence + 3}`]);
  });

  test('G8: no tag is a scope, whatever it is called', async () => {
    await load(entry(1, { scope: CALL }));
    await load(entry(1, { address: OTHER, tags: ['s:call/7 of 9'] }));
    await at.derived.invalidate([tagId('s:call/7 of 9'), tagId('call/7 of 9')]);
    expect((await take('look')).status).toBe('fresh');
    await load(entry(1, { address: OTHER, tags: ['s:call/7 of 9'] }));
    await at.derived.invalidate([scopeTagId(CALL)]);
    expect((await take('look')).status).toBe('none');
    expect((await take('look', 1, OTHER)).status).toBe('fresh');
  });

  test('G6: notes beyond the bound are forgotten, and the floor rises to the newest of them', async () => {
    const few = (await opened({ maxNotes: 2 })).tier.derived;
    await load(entry(1, { tags: ['never'] }));
    await load(entry(1, { address: OTHER }));
    const { sequence } = await take('look');
    await few.invalidate(['a', 'b', 'c'].map(tagId));
    expect(await at.client.zrange(tagsOf(VALUE), '0', '-1', 'WITHSCORES')).toEqual([
      ...['', `${sequence + 1}`, 't:b', `${sequence + 2}`, 't:c', `${sequence + 3}`],
    ]);
    // Nobody knows any more that its tag was not among the forgotten ones.
    expect(await take('look')).toMatchObject({ status: 'none', held: undefined });
    expect((await take('look', 1, OTHER)).status).toBe('fresh');
    await load(entry(1, { tags: ['a', 'b', 'never'] }));
    expect(await take('look')).toMatchObject({ status: 'fresh', sequence: sequence + 3 });
  });

  test('G6: a load that began before the floor is voided where it bears a tag, and else held', async () => {
    const few = (await opened({ maxNotes: 1 })).tier.derived;
    const tagged = await take('miss', 1);
    const plain = await take('miss', 1, OTHER);
    await few.invalidate(['a', 'b'].map(tagId));
    expect(await fill(entry(1, { tags: ['never'] }), tagged)).toBe('voided');
    expect(await fill(entry(1, { address: OTHER }), plain)).toBe('held');
  });

  test('a value outlives the note of its tag until the floor passes the number of its load', async () => {
    const few = (await opened({ maxNotes: 2 })).tier.derived;
    await few.invalidate(['a', 'b'].map(tagId));
    await load(entry(1, { tags: ['b'] }));
    await few.invalidate(['c'].map(tagId));
    expect((await take('look')).status).toBe('fresh');
    await few.invalidate(['d'].map(tagId));
    expect((await take('look')).status).toBe('fresh');
    await few.invalidate(['e'].map(tagId));
    expect((await take('look')).status).toBe('none');
  });

  test.for([
    ['is lost', (key: string) => at.client.del(key)],
    ['is of another type', (key: string) => at.client.set(key, 'not ours')],
  ] as const)(
    'a set of notes that %s invalidates every tagged value, and what is being loaded',
    async ([, lose]) => {
      await load(entry(1, { tags: ['t'] }));
      await load(entry(1, { address: address('d', 'plain') }));
      const { sequence } = await take('miss', 1, OTHER);
      for (let shard = 0; shard < SHARDS; shard += 1) {
        await at.client.del(tagsKey(shard));
        await lose(tagsKey(shard));
      }
      expect((await take('look')).status).toBe('none');
      expect((await take('look', 1, address('d', 'plain'))).status).toBe('fresh');
      const late = entry(1, { address: OTHER, tags: ['t'] });
      expect(await fill(late, { sequence })).toBe('voided');
      expect((await take('look', 1, OTHER)).sequence).toBeGreaterThan(sequence);
      await load(entry(1, { tags: ['t'] }));
      expect((await take('look')).status).toBe('fresh');
    },
  );

  test('a number that was never given out is believed of nobody', async () => {
    const { sequence } = await take('miss', 1);
    expect(await fill(entry(1), { sequence: sequence + 1 })).toBe('voided');
    await load(entry(1));
    await at.client.zadd(tagsOf(VALUE), sequence - 1000, '');
    expect(await take('look')).toMatchObject({ status: 'none', held: undefined });
  });
});

describe('a scope', () => {
  const MEMBERS = ['a', 'b', 'c', 'ä/ö', 'e f'].map((key) => address('d', key));
  const outside = address('d', 'outside');

  async function filled(): Promise<void> {
    for (const of of MEMBERS) await load(entry(1, { address: of, scope: CALL }));
    await load(entry(1, { address: outside, scope: { kind: 'call', id: '7' } }));
  }

  test('knows its members in every shard', async () => {
    await filled();
    const { cut } = await take('look', 1, outside);
    await place(entry(cut + 1, { address: address('d', 'placed'), scope: CALL }));
    const ids = (await at.derived.members(CALL)).map(({ id }) => id).sort();
    expect(ids).toEqual([...MEMBERS.map(({ id }) => id), 'd/placed'].sort());
    expect(await at.derived.members({ kind: 'call', id: 'none' })).toEqual([]);
  });

  test('G8: that is erased loses every entry and every load, and nobody else does', async () => {
    await filled();
    const leased = await take('force', 1);
    const first = await take('miss', 1, address('d', 'first'));
    expect(await at.derived.erase(CALL)).toEqual({ removed: MEMBERS.length });
    for (const of of MEMBERS) expect(await at.client.exists(keyOf(of))).toBe(0);
    expect((await take('look', 1, outside)).status).toBe('fresh');
    expect(await at.client.exists(leaseOf(VALUE))).toBe(0);
    expect(await at.derived.members(CALL)).toEqual([]);
    expect(await fill(entry(2, { scope: CALL }), leased)).toBe('voided');
    // Its key was not known to belong to the scope when that was erased.
    const late = entry(2, { address: address('d', 'first'), scope: CALL });
    expect(await fill(late, first)).toBe('voided');
    expect(await at.client.keys('*7 of 9')).toEqual([]);
    expect((await messages()).filter((message) => message.startsWith('t '))).toEqual(
      Array.from({ length: SHARDS }, () => 't s:call/7 of 9'),
    );
    expect(await at.derived.erase(CALL)).toEqual({ removed: 0 });
  });

  test('G8: that is erased after its set of members was evicted has no valid entry', async () => {
    await filled();
    for (let shard = 0; shard < SHARDS; shard += 1) await at.client.del(membersKey(shard, CALL));
    expect(await at.derived.erase(CALL)).toEqual({ removed: 0 });
    for (const of of MEMBERS) expect((await take('look', 1, of)).held).toBeUndefined();
  });

  test('G6: knows its members for as long as the longest of them lives, and no longer', async () => {
    const key = membersKey(shardOf(VALUE, SHARDS), CALL);
    await load(entry(1, { scope: CALL }), { freshMs: 1000, lifeMs: 100_000 });
    expect(await at.client.pttl(key)).toBeLessThanOrEqual(100_000);
    await load(entry(1, { scope: CALL }));
    expect(await at.client.pttl(key)).toBeGreaterThan(800_000);
    await load(entry(1, { scope: CALL }), { freshMs: 1000, lifeMs: 2000 });
    expect(await at.client.pttl(key)).toBeGreaterThan(800_000);
  });

  test('G6: that never ends forgets the members whose life is over', async () => {
    const key = membersKey(shardOf(VALUE, SHARDS), CALL);
    await load(entry(1, { scope: CALL }));
    await at.client.zadd(key, Date.now() - 1000, 'd/over', Date.now() + 600_000, 'd/alive');
    await load(entry(2, { scope: CALL }));
    expect((await at.client.zrange(key, '0', '-1')).sort()).toEqual([VALUE.id, 'd/alive'].sort());
  });

  test('G7: whose set is of another type is none, and begins anew', async () => {
    for (let shard = 0; shard < SHARDS; shard += 1) {
      await at.client.set(membersKey(shard, CALL), 'not ours');
    }
    expect(await at.derived.members(CALL)).toEqual([]);
    await load(entry(1, { scope: CALL }));
    expect((await at.derived.members(CALL)).map(({ id }) => id)).toEqual([VALUE.id]);
    await at.client.del(membersKey(shardOf(VALUE, SHARDS), CALL));
    await at.client.set(membersKey(shardOf(VALUE, SHARDS), CALL), 'not ours');
    expect(await at.derived.erase(CALL)).toEqual({ removed: 0 });
    expect((await take('look')).status).toBe('none');
  });
});
