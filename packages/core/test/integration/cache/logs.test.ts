/** Every verb of logs on real servers: what is appended, in which order, and who reads it. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ConfigError, ConflictError, KeyError } from '../../../src/index.ts';
import { eventually, type Instance, Stage, turn, turns } from '../support.ts';

let stage: Stage;
let a: Instance;
let b: Instance;
beforeAll(async () => {
  stage = await Stage.start();
  [a, b] = await Promise.all([stage.ready(), stage.ready()]);
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
});

const ids = (items: readonly { readonly id: string }[]) => items.map(({ id }) => id);

it('G10, G12: an id that L3 has had before keeps its first words in every tier', async () => {
  const key = stage.key();
  await a.logs.append(key, turn('1'));
  await a.cache.sync();
  await a.cache.forget(a.logs.name, key);
  const again = await a.logs.append(key, { ...turn('1'), text: 'other' });
  expect(again).toMatchObject({ held: ['l2'] });
  await a.logs.read(key);
  await a.cache.sync();
  for (const { logs } of [a, b]) {
    await eventually(async () => expect(await logs.read(key)).toEqual([turn('1')]));
  }
});

it('G1, G2, G12: items are read in their order, here and there, and are in L3 after a sync', async () => {
  const key = stage.key();
  expect((await a.logs.append(key, turn('1'))).held).toEqual(['l2']);
  await b.logs.append(key, [turn('2'), turn('3')]);
  expect(ids(await a.logs.read(key))).toEqual(['1', '2', '3']);
  expect(ids(await b.logs.read(key))).toEqual(['1', '2', '3']);
  expect(await a.cache.sync()).toMatchObject({ failed: 0, remaining: 0, unknown: false });
  const rows = await stage.items(key);
  expect(ids(rows)).toEqual(['1', '2', '3']);
  expect(rows[0]?.item).toEqual(turn('1'));
  expect(ids(await b.logs.read(key))).toEqual(['1', '2', '3']);
  await stage.converges(key, [a, b], 'turns');
});

it('G12: an append with an id that is there changes nothing, whoever sends it, also within one call', async () => {
  const key = stage.key();
  await a.logs.append(key, turn('1', 'first'));
  await b.logs.append(key, turn('1', 'again'));
  await a.logs.append(key, [turn('2'), turn('2'), turn('1')]);
  expect(await a.logs.read(key)).toEqual([turn('1', 'first'), turn('2')]);
  await a.cache.sync();
  await b.logs.append(key, turn('1', 'late'));
  await b.cache.sync();
  expect((await stage.items(key)).map(({ item }) => item)).toEqual([turn('1', 'first'), turn('2')]);
  expect(await b.logs.read(key)).toEqual([turn('1', 'first'), turn('2')]);
});

it('read gives the newest, or what comes after an item', async () => {
  const key = stage.key();
  await a.logs.append(key, turns(5));
  expect(ids(await a.logs.read(key, { last: 2 }))).toEqual(['t3', 't4']);
  expect(ids(await a.logs.read(key, { after: 't2' }))).toEqual(['t3', 't4']);
  expect(ids(await a.logs.read(key, { after: 't0', last: 2 }))).toEqual(['t3', 't4']);
  expect(ids(await a.logs.read(key, { after: 'none' }))).toEqual(ids(turns(5)));
  expect(await a.logs.read(key, { last: 0 })).toEqual([]);
  await expect(a.logs.read(key, { last: -1 })).rejects.toThrow(ConfigError);
});

it('a snapshot names the tier that answered', async () => {
  const key = stage.key();
  await a.logs.append(key, turns(2));
  await a.cache.sync();
  await a.cache.forget('turns', key);
  await eventually(async () => expect((await b.cache.inspect('turns', key)).l2).toBeUndefined());
  expect(await b.logs.snapshot(key)).toMatchObject({ tier: 'l3', items: { length: 2 } });
  await eventually(async () =>
    expect(await a.logs.snapshot(key)).toMatchObject({ tier: 'l2', items: { length: 2 } }),
  );
  await eventually(async () =>
    expect(await a.logs.snapshot(key)).toMatchObject({ tier: 'l1', items: { length: 2 } }),
  );
});

it('an append to a log that Redis does not hold is read together with what L3 has', async () => {
  const key = stage.key();
  await a.logs.append(key, turns(3));
  await a.cache.sync();
  await a.cache.forget('turns', key);
  await b.logs.append(key, turn('later'));
  expect(ids(await b.logs.read(key))).toEqual(['t0', 't1', 't2', 'later']);
  expect(ids(await a.logs.read(key))).toEqual(['t0', 't1', 't2', 'later']);
  await a.cache.sync();
  expect(ids(await stage.items(key))).toEqual(['t0', 't1', 't2', 'later']);
  await stage.converges(key, [a, b], 'turns');
});

it('create begins a log once; a log that is there is a conflict, in Redis or only in L3', async () => {
  const key = stage.key();
  await a.logs.create(key, turn('1'));
  await expect(b.logs.create(key, turn('2'))).rejects.toThrow(ConflictError);
  await a.cache.sync();
  await a.cache.forget('turns', key);
  await expect(b.logs.create(key, turn('3'))).rejects.toThrow(ConflictError);
  expect(ids(await b.logs.read(key))).toEqual(['1']);
});

it('a log that was created empty is whole from its first item, although that comes later', async () => {
  const key = stage.key();
  await a.logs.create(key);
  expect(await b.logs.read(key)).toEqual([]);
  expect(await b.logs.has(key)).toBe(false);
  await b.logs.append(key, turn('1'));
  expect(await a.logs.snapshot(key)).toMatchObject({ tier: 'l2', items: { length: 1 } });
  await expect(b.logs.create(key)).rejects.toThrow(ConflictError);
  await a.cache.sync();
  expect(ids(await stage.items(key))).toEqual(['1']);
});

it('G4: a deleted log is empty everywhere, and begins anew with what is appended after', async () => {
  const key = stage.key();
  await a.logs.append(key, turns(3));
  await a.cache.sync();
  expect(await b.logs.has(key)).toBe(true);
  await b.logs.delete(key);
  expect(await b.logs.read(key)).toEqual([]);
  await eventually(async () => expect(await a.logs.read(key)).toEqual([]));
  await a.logs.append(key, turn('new'));
  expect(ids(await b.logs.read(key))).toEqual(['new']);
  await a.cache.sync();
  expect(ids(await stage.items(key))).toEqual(['new']);
  await stage.converges(key, [a, b], 'turns');
  await a.logs.delete(key, { durability: 'through' });
  expect(await stage.items(key)).toEqual([]);
  await eventually(async () => expect(await b.logs.read(key)).toEqual([]));
  await a.logs.create(key, turn('again'));
  expect(ids(await a.logs.read(key))).toEqual(['again']);
});

it('G2: a log that was deleted is created anew in L3, although L3 has not been told of the deletion', async () => {
  for (const { logs } of [a, b]) {
    const key = stage.key();
    await a.logs.append(key, turns(3), { durability: 'through' });
    expect((await a.logs.delete(key)).held).toEqual(['l2']);
    const { held } = await logs.create(key, [turn('new')], { durability: 'through' });
    expect(held).toEqual(['l3']);
    await eventually(async () => expect(await logs.read(key)).toEqual([turn('new')]));
    await expect(logs.create(key, [turn('x')], { durability: 'through' })).rejects.toThrow(
      ConflictError,
    );
    expect((await stage.items(key)).map(({ id }) => id)).toEqual(['new']);
  }
});

it('an append that is durable through is in L3 when it resolves, and read on every instance', async () => {
  const key = stage.key();
  await a.logs.append(key, turn('1'));
  expect((await a.logs.append(key, turn('2'), { durability: 'through' })).held).toContain('l3');
  expect(ids(await stage.items(key))).toContain('2');
  expect(ids(await a.logs.read(key))).toEqual(['1', '2']);
  await eventually(async () => expect(ids(await b.logs.read(key))).toEqual(['1', '2']));
  await a.cache.sync();
  await stage.converges(key, [a, b], 'turns');
});

it('preload brings logs into L1 and L2', async () => {
  const key = stage.key();
  await a.logs.append(key, turns(2));
  await a.cache.sync();
  await a.cache.forget('turns', key);
  expect(await a.logs.preload([key, stage.key('none')])).toEqual({
    loaded: 1,
    missing: 1,
    tiers: { l2: 0, l3: 1, outbox: 0 },
  });
  await eventually(async () =>
    expect(await a.logs.snapshot(key)).toMatchObject({ tier: 'l1', items: { length: 2 } }),
  );
  expect(await b.logs.snapshot(key)).toMatchObject({ tier: 'l2' });
});

it('items without an id of their own get one, in the order in which they were appended', async () => {
  const notes = a.cache.logs<string>('notes');
  const key = stage.key();
  await notes.append(key, ['a', 'b']);
  await notes.append(key, 'c');
  expect(await notes.read(key)).toEqual(['a', 'b', 'c']);
  const { items } = await notes.snapshot(key);
  expect(new Set(ids(items)).size).toBe(3);
});

it('G10: falsy items are items', async () => {
  const odd = a.cache.logs<unknown>('odd');
  const there = b.cache.logs<unknown>('odd');
  const key = stage.key();
  await odd.append(key, [null, 0, false, '']);
  expect(await there.read(key)).toEqual([null, 0, false, '']);
  await a.cache.sync();
  await a.cache.forget('odd', key);
  expect(await there.read(key)).toEqual([null, 0, false, '']);
});

it('an append of nothing, and ids that can not be stored, are refused', async () => {
  const key = stage.key();
  await expect(a.logs.append(key, [])).rejects.toThrow(ConfigError);
  await expect(a.logs.append(key, turn(''))).rejects.toThrow(KeyError);
  await expect(a.logs.append(key, turn('x'.repeat(1025)))).rejects.toThrow(KeyError);
  expect(await a.logs.has(key)).toBe(false);
});
