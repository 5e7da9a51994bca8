import { describe, expect, it } from 'vitest';
import { address } from '../../../src/model/key.ts';
import { scopeTagId, tagId } from '../../../src/model/tags.ts';
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
  scope,
  seen,
  tag,
  tests,
} from './derived-l3.ts';
import { value } from './l3.ts';

describe('a load that is under way', () => {
  it('G4: is void where its key was removed, and one that begins behind that is held', async () => {
    const early = await begin();
    await derived.remove([at]);
    expect(await put(entry(1), early)).toBe('voided');
    expect(await seen()).toBeUndefined();
    expect(await put(entry(1, { address: other }), early)).toBe('held');
    expect(await put(entry(2), await begin())).toBe('held');
    expect(await seen()).toBe('2');
  });

  it('G4: is void where one of its tags was invalidated, also one that nobody bore yet', async () => {
    const early = await begin();
    await derived.invalidate([tagId(tag)]);
    expect(await put(entry(1, { tags: ['harmless', tag] }), early)).toBe('voided');
    expect(await put(entry(1, { tags: ['harmless'] }), early)).toBe('held');
    expect(await put(entry(2, { tags: [tag] }), await begin())).toBe('held');
    expect(await seen()).toBe('2');
  });

  it('G8: is void where its scope was erased, also under a version above the fence', async () => {
    const early = await begin();
    await l3.tier.erase(scope, 10);
    expect(await put(entry(11, { scope }), early)).toBe('voided');
    expect(await put(entry(10, { scope }), await begin())).toBe('voided');
    expect(await seen()).toBeUndefined();
    expect(await put(entry(11, { scope }), await begin())).toBe('held');
  });

  it('G4: is void where somebody set the value meanwhile, whatever its version', async () => {
    const early = await begin();
    expect(await put(entry(5), undefined)).toBe('held');
    expect(await put(entry(9), early)).toBe('voided');
    expect(await seen()).toBe('5');
    expect(await put(entry(9), await begin())).toBe('held');
  });

  it('G4: is void where it quotes a number that this database never gave out', async () => {
    expect(await put(entry(1), (await begin()) + 1)).toBe('voided');
    expect(await put(entry(1), await begin())).toBe('held');
  });

  it('a set and the load of the same call: the load is void', async () => {
    const life = { freshMs: MINUTE, lifeMs: MINUTE };
    const load = { entry: entry(2), sequence: await begin(), ...life };
    const set = { entry: entry(1), sequence: undefined, ...life };
    expect(await derived.put([load, set])).toEqual(['voided', 'held']);
    expect(await seen()).toBe('1');
  });
});

describe('what is stored', () => {
  it('G4: goes with its key, its tag and its scope, and with no other', async () => {
    const elsewhere = { kind: 'call', id: `${scope.id}0` };
    const rows = [
      entry(1, { address: address('derived', `${tests} tagged`), tags: [tag, 'x'] }),
      entry(2, { address: address('derived', `${tests} scoped`), scope }),
      entry(3, { address: address('derived', `${tests} neither`), tags: ['x'], scope: elsewhere }),
      entry(4),
    ];
    for (const row of rows) await put(row, await begin());
    const left = async () =>
      (await derived.read(rows.map((row) => row.address))).held.map((it) => it?.entry.version);
    expect(await left()).toEqual([1, 2, 3, 4]);
    await derived.invalidate([tagId(tag)]);
    expect(await left()).toEqual([undefined, 2, 3, 4]);
    await derived.invalidate([scopeTagId(scope)]);
    expect(await left()).toEqual([undefined, undefined, 3, 4]);
    await derived.remove([at]);
    expect(await left()).toEqual([undefined, undefined, 3, undefined]);
  });

  it('G8: no text of a tag is the name of a scope or of a key', async () => {
    await put(entry(1, { scope }), await begin());
    const early = await begin();
    const names = [`s:call/${scope.id}`, `call/${scope.id}`, `k:${other.id}`, other.id];
    await derived.invalidate(names.map(tagId));
    expect(await seen()).toBe('1');
    expect(await put(entry(1, { address: other }), early)).toBe('held');
  });

  it('G4: is not replaced by what is older, as long as it is valid', async () => {
    const early = await begin();
    await put(entry(10, { tags: [tag] }), early);
    expect(await put(entry(9), early)).toBe('voided');
    expect(await put(entry(10, { intent: 0 }), early)).toBe('voided');
    expect(await seen()).toBe('10');
    await derived.invalidate([tagId(tag)]);
    // An instance whose clock is behind can still store what it loaded since.
    expect(await put(entry(9), early)).toBe('held');
    expect(await seen()).toBe('9');
  });

  it('G4: a value that was set and comes late does not come back over a newer one', async () => {
    await put(entry(10, { tags: [tag] }), undefined);
    await derived.invalidate([tagId(tag)]);
    expect(await put(entry(9), undefined)).toBe('voided');
    expect(await put(entry(10, { tags: [tag] }), undefined)).toBe('voided');
    expect(await seen()).toBeUndefined();
    expect(await put(entry(11), undefined)).toBe('held');
  });

  it('the same write again is held, and its life is not longer for it', async () => {
    const early = await begin();
    await put(entry(1), early);
    await age(MINUTE);
    expect(await put(entry(1), early)).toBe('held');
    expect((await derived.read([at])).held[0]?.freshMs).toBe(0);
    await age(MINUTE);
    expect(await put(entry(1), early)).toBe('voided');
    expect(await seen()).toBeUndefined();
  });
});

describe('erasing a scope', () => {
  it('G8: takes its derived values in the same call, says how many, and none comes back', async () => {
    await put(entry(50, { scope }), await begin());
    await put(entry(5, { address: other, scope: { kind: 'caller', id: scope.id } }), await begin());
    const record = value(`record ${tests}`, 30, { scope });
    expect(await l3.tier.erase(scope, 20)).toMatchObject({ records: 0, derived: 1 });
    expect(await seen()).toBeUndefined();
    expect(await seen(other)).toBe('5');
    // Nothing at or below what was there, nor its key anywhere.
    expect(await put(entry(50, { scope }), undefined)).toBe('voided');
    const notes = await l3.rows('cache_derived_notes', 'tag');
    expect(notes.map((note) => note.tag)).not.toContain(`k:${at.id}`);
    // The fence of records is the one that was asked for: this one was written behind it.
    expect(await l3.tier.apply([{ write: record, mark: false }])).toEqual([{ status: 'applied' }]);
    expect(await put(entry(51, { scope }), undefined)).toBe('held');
    expect(await l3.tier.erase(scope, 60)).toMatchObject({ records: 1, derived: 1 });
  });
});

describe('the last lock', () => {
  const call = (keys: string, sequence: string) =>
    `select public.cache_derived_put('{derived}', '{${keys}}', '{json}', '{1}', '{1}', '{1}',
      '{1}', array[null]::text[], array[null]::text[], array[null]::text[], '{1000}', '{1000}',
      array[${sequence}]::text[])`;

  it.each([
    ['stores a load', call('locks', `'1'`), ['ShareLock']],
    ['sets a value', call('locks', 'null'), ['ExclusiveLock']],
    ['removes a key', `select public.cache_derived_remove('{a}', '{b}')`, ['ExclusiveLock']],
    ['invalidates', `select public.cache_derived_invalidate('{t:none}')`, ['ExclusiveLock']],
    ['erases a scope', `select public.cache_erase('none', 'none', '1')`, ['ExclusiveLock']],
  ])('G4: who %s holds it to the end, so that neither slips in between', async (_, sql, modes) => {
    expect(await l3.rpc('locks_of', { statement: sql })).toEqual(modes);
  });
});

describe('the notes', () => {
  const settings = async () => (await l3.rows('cache_settings', 'schema_version'))[0];
  const notes = async (prefix: string) =>
    (await l3.rows('cache_derived_notes', 'tag')).filter((it) => String(it.tag).startsWith(prefix));

  it('G6: of tags are at most so many; what is below the floor and bears a tag is void', async () => {
    await put(entry(1, { tags: ['never invalidated'] }), await begin());
    await put(entry(1, { address: other }), await begin());
    const early = await begin();
    await l3.rpc('keep_notes', { most: '5' });
    try {
      for (let index = 0; index < 5; index++) await derived.invalidate([tagId(`many ${index}`)]);
      const before = await begin();
      await derived.invalidate([tagId('one more')]);
      expect(await notes('t:')).toHaveLength(5);
      expect((await settings())?.derived_floor).toBeGreaterThan(early);
      expect((await settings())?.derived_floor).toBeLessThan(before);
      expect(await seen()).toBeUndefined();
      expect(await seen(other)).toBe('1');
      expect(await put(entry(2, { tags: ['never invalidated'] }), early)).toBe('voided');
      expect(await put(entry(2), early)).toBe('held');
      expect(await put(entry(3, { tags: ['never invalidated'] }), before)).toBe('held');
      // Many of one call have one number, and are forgotten together.
      await derived.invalidate(Array.from({ length: 6 }, (_, index) => tagId(`at once ${index}`)));
      expect(await notes('t:')).toEqual([]);
      expect((await settings())?.derived_floor).toBe(await begin());
    } finally {
      await l3.rpc('keep_notes', { most: '10000' });
    }
  });

  it('G6: of keys have a bound and a floor of their own, which only loads are held against', async () => {
    await put(entry(1, { tags: [tag] }), await begin());
    const early = await begin();
    const { derived_floor: floor } = (await settings()) ?? {};
    await l3.rpc('keep_notes', { most: '5' });
    try {
      for (let index = 0; index < 6; index++) {
        await derived.remove([address('derived', `many ${index}`)]);
      }
      expect(await notes('k:')).toHaveLength(5);
      expect(await put(entry(1, { address: other }), early)).toBe('voided');
      expect(await put(entry(1, { address: other }), await begin())).toBe('held');
      expect(await seen()).toBe('1');
      expect((await settings())?.derived_floor).toBe(floor);
    } finally {
      await l3.rpc('keep_notes', { most: '10000' });
    }
  });
});
