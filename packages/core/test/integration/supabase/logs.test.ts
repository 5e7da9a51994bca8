import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { address, type Scope } from '../../../src/model/key.ts';
import type { DurableInsert, LogSlice } from '../../../src/tiers/tier.ts';
import { item, json, type L3, log, startL3, textOf, value } from './l3.ts';

let l3: L3;
beforeAll(async () => {
  l3 = await startL3();
  await l3.tier.connect(16);
}, 60_000);
afterAll(async () => {
  await l3[Symbol.asyncDispose]();
});

async function insert(...args: [...Parameters<typeof log>, Partial<DurableInsert>?]) {
  const [key, items, rest, options] = args;
  const [reply] = await l3.tier.insert([{ write: log(key, items, rest), mark: false, ...options }]);
  return reply;
}

async function ids(key: string, slice?: LogSlice) {
  const [found] = await l3.tier.readLogs([address('logs', key)], { slice });
  return found?.items.map((it) => it.id);
}

describe('inserting', () => {
  it('G12: unites by id, keeps the first version of an item, and says which that is', async () => {
    await insert('united', [item('a', 10), item('b', 30)]);
    expect(await insert('united', [item('b', 20, json('"other"')), item('c', 25)])).toEqual({
      status: 'applied',
      versions: [30, 25],
      others: true,
      erasedTo: 0,
    });
    const [found] = await l3.tier.readLogs([address('logs', 'united')]);
    expect(found?.items.map((it) => [it.id, it.version, textOf(it.payload)])).toEqual([
      ['a', 10, '"a"'],
      ['c', 25, '"c"'],
      ['b', 30, '"b"'],
    ]);
  });

  it('G12: 40 batches at once with overlapping items leave each item once', async () => {
    const batches = Array.from({ length: 40 }, (_, batch) =>
      Array.from({ length: 10 }, (_, index) =>
        item(`i${batch * 5 + index}`, 1000 + batch * 5 + index),
      ),
    );
    const replies = await Promise.all(batches.map((items) => insert('crowded', items)));
    expect(new Set(replies.map((reply) => reply?.status))).toEqual(new Set(['applied']));
    const expected = Array.from({ length: 205 }, (_, index) => `i${index}`);
    expect(await ids('crowded')).toEqual(expected);
  });

  it('orders items of one version by code points', async () => {
    const given = ['z', '😀', '\uffff', 'é', 'Z', '\u{10ffff}', '\ue000'];
    await insert(
      'points',
      given.map((id) => item(id, 5)),
    );
    expect(await ids('points')).toEqual(['Z', 'z', 'é', '\ue000', '\uffff', '😀', '\u{10ffff}']);
  });

  it('a deletion kills items at or below its version, for ever', async () => {
    await insert('deleted', [item('old', 10), item('new', 30)]);
    expect(await insert('deleted', [], { erasedTo: 20 })).toEqual({
      status: 'applied',
      versions: [],
      others: true,
      erasedTo: 20,
    });
    expect(await insert('deleted', [item('old', 10), item('newer', 40)])).toEqual({
      status: 'erased',
      dead: ['old'],
      versions: [10, 40],
      others: true,
      erasedTo: 20,
    });
    expect(await ids('deleted')).toEqual(['new', 'newer']);
    await insert('deleted', [], { erasedTo: 50 });
    expect(await ids('deleted')).toEqual([]);
    expect(await ids('never heard of')).toBeUndefined();
  });

  it('an asserted new log exists where others wrote to it, not where only these items are', async () => {
    const absent = { absent: true };
    expect((await insert('fresh', [item('a', 1)], {}, absent))?.status).toBe('applied');
    expect((await insert('fresh', [item('a', 1), item('b', 2)], {}, absent))?.status).toBe(
      'applied',
    );
    expect(await insert('fresh', [item('c', 3)], { erasedTo: 9 }, absent)).toEqual({
      status: 'exists',
    });
    expect(await ids('fresh')).toEqual(['a', 'b']);
  });
});

describe('slices', () => {
  it('gives the newest items, those behind an id, both, and all where the id is unknown', async () => {
    await insert(
      'sliced',
      ['a', 'b', 'c', 'd', 'e'].map((id, index) => item(id, index + 1)),
    );
    expect(await ids('sliced', { last: 2 })).toEqual(['d', 'e']);
    expect(await ids('sliced', { last: 0 })).toEqual([]);
    expect(await ids('sliced', { after: 'c' })).toEqual(['d', 'e']);
    expect(await ids('sliced', { after: 'a', last: 3 })).toEqual(['c', 'd', 'e']);
    expect(await ids('sliced', { after: 'unknown' })).toEqual(['a', 'b', 'c', 'd', 'e']);
  });
});

describe('erasing a scope', () => {
  const scope: Scope = { kind: 'call', id: 'erased' };
  const other: Scope = { kind: 'call', id: 'kept' };

  it('G8: takes all of it and nothing else, and answers later arrivals that they are erased', async () => {
    const at = value('state', 100, { scope });
    await l3.tier.apply([
      { write: at, mark: false },
      { write: value('gone', 101, { scope, payload: undefined }), mark: false },
      { write: value('other', 100, { scope: other }), mark: false },
    ]);
    await insert('turns', [item('a', 90), item('b', 120)], { scope });
    expect(await l3.tier.scope(scope)).toEqual([
      { address: address('logs', 'turns'), kind: 'log' },
      { address: at.address, kind: 'value' },
    ]);
    const report = await l3.tier.erase(scope, 110);
    expect({ ...report, addresses: report.addresses.map((it) => it.address.id) }).toEqual({
      addresses: ['logs/turns', 'values/gone', 'values/state'],
      records: 2,
      items: 2,
      deadLetters: 0,
      derived: 0,
    });
    expect(await l3.tier.scope(scope)).toEqual([]);
    // The fence is above everything that went, not only above the version asked for.
    expect(await l3.tier.apply([{ write: value('state', 115, { scope }), mark: true }])).toEqual([
      { status: 'erased' },
    ]);
    expect(await insert('turns', [item('b', 120)], { scope })).toEqual({
      status: 'erased',
      dead: ['b'],
      versions: [120],
      others: false,
      erasedTo: 0,
    });
    expect(await l3.tier.compareAndSet(value('state', 120, { scope }), undefined)).toEqual({
      status: 'erased',
    });
    for (const table of ['cache_entries', 'cache_logs', 'cache_log_items']) {
      const rows = await l3.rows(table, 'key');
      expect(rows.filter((row) => row.key === 'turns' || row.key === 'state')).toEqual([]);
    }
    expect(await l3.tier.apply([{ write: value('state', 121, { scope }), mark: false }])).toEqual([
      { status: 'applied' },
    ]);
    expect(await l3.tier.scope(other)).toHaveLength(1);
    expect(await l3.tier.maxVersion()).toBeGreaterThanOrEqual(121);
  });

  it('G8: takes its dead letters too', async () => {
    const broken = value('broken', 500, { scope, payload: json('{') });
    const [reply] = await l3.tier.apply([{ write: broken, mark: false }]);
    expect(reply?.status).toBe('refused');
    expect(await l3.tier.deadLetters()).toBe(1);
    expect((await l3.tier.erase(scope, 501)).deadLetters).toBe(1);
    expect(await l3.tier.deadLetters()).toBe(0);
  });

  it('G8: writes that race with it are either gone or answered erased', async () => {
    const raced: Scope = { kind: 'call', id: 'raced' };
    const writes = Array.from({ length: 60 }, (_, index) =>
      l3.tier.apply([{ write: value(`raced ${index}`, 10, { scope: raced }), mark: false }]),
    );
    const [replies] = await Promise.all([Promise.all(writes), l3.tier.erase(raced, 10)]);
    expect(await l3.tier.scope(raced)).toEqual([]);
    expect(replies.flat().every(({ status }) => status === 'applied' || status === 'erased')).toBe(
      true,
    );
  });
});

describe('pruning', () => {
  it('G4: an older write of a key whose tombstone was forgotten is expired, not brought back', async () => {
    const tombstone = value('forgotten', 1000, { payload: undefined });
    const kept = value('kept', 900);
    await l3.tier.apply([
      { write: tombstone, mark: false },
      { write: kept, mark: false },
    ]);
    const at = String(l3.clock.now());
    expect(await l3.rpc('cache_prune', { before: '999', at })).toMatchObject({ values: 0 });
    expect(await l3.rpc('cache_prune', { before: '1000', at })).toMatchObject({ values: 1 });
    expect(await l3.tier.read([tombstone.address])).toEqual([undefined]);
    const late = value('forgotten', 999);
    expect(await l3.tier.apply([{ write: late, mark: false }])).toEqual([{ status: 'expired' }]);
    expect(await l3.tier.compareAndSet(late, undefined)).toEqual({ status: 'expired' });
    expect(await l3.tier.deadLetters()).toBe(1);
    expect(await l3.tier.read([tombstone.address])).toEqual([undefined]);
    // What is there is not absent, and what is newer is nobody's ghost.
    expect(
      await l3.tier.apply([
        { write: value('kept', 901), mark: false },
        { write: value('forgotten', 1001), mark: false },
      ]),
    ).toEqual([{ status: 'applied' }, { status: 'applied' }]);
  });
});
