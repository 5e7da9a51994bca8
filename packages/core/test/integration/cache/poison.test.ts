/** Rows that L3 refuses for what they are: alone with it, readable, kept as dead letters, overwritten. */
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventually, type Instance, MIGRATIONS, Stage, turn } from '../support.ts';

/** A rule of somebody's own, on the cache's tables. */
const RULES = `
  alter table public.cache_entries add constraint no_poison check (value::text not like '%666%');
  alter table public.cache_log_items add constraint no_poison check (item::text not like '%666%');
`;

let stage: Stage;
let folder: string;
let a: Instance;
let b: Instance;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cache-migrations-'));
  await cp(MIGRATIONS, folder, { recursive: true });
  await writeFile(join(folder, '20991231000000_rules.sql'), RULES);
  stage = await Stage.start({ supabase: { migrations: folder } });
  [a, b] = await Promise.all([stage.ready(), stage.ready()]);
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

it('G7: a record that L3 refuses stays readable and pending, its neighbours are written, and a good value takes its place', async () => {
  const [bad, good] = [stage.key('bad'), stage.key('good')];
  await a.records.set(bad, { n: 666 });
  await a.records.set(good, { n: 1 });
  const before = await stage.count('cache_dead_letters');
  expect(await a.cache.sync()).toMatchObject({ failed: 1, remaining: 1 });
  expect(await stage.row(good)).toMatchObject({ value: { n: 1 } });
  expect(await stage.row(bad)).toBeUndefined();
  expect(await stage.count('cache_dead_letters')).toBe(before + 1);
  await a.said('dead-letter', ({ why }) => why === 'refused');
  for (const { records } of [a, b]) expect(await records.get(bad)).toEqual({ n: 666 });
  // Sent again and again it is one letter, and holds up nobody.
  await a.cache.sync();
  await b.cache.sync();
  expect(await stage.count('cache_dead_letters')).toBe(before + 1);
  await b.records.set(bad, { n: 2 });
  await eventually(async () => expect(await a.records.get(bad)).toEqual({ n: 2 }));
  await b.cache.sync();
  await a.cache.sync();
  expect(await stage.row(bad)).toMatchObject({ value: { n: 2 } });
  expect(await stage.pending()).toBe(0);
});

it('G2: scan gives what get gives of a record that L3 refused, and of what has taken its place', async () => {
  const key = stage.key('bad');
  const scanned = async () => {
    const found: unknown[] = [];
    for await (const [, value] of a.records.scan({ prefix: key })) found.push(value);
    return found;
  };
  await a.records.set(key, { n: 666 });
  await a.cache.sync();
  expect(await a.records.get(key)).toEqual({ n: 666 });
  expect(await scanned()).toEqual([{ n: 666 }]);
  await b.records.delete(key, { durability: 'through' });
  await eventually(async () => expect(await a.records.get(key)).toBeUndefined());
  expect(await scanned()).toEqual([]);
});

it('G7: a write through to L3 that is refused is not acknowledged, and leaves what was there', async () => {
  const key = stage.key();
  await a.records.set(key, { n: 1 }, { durability: 'through' });
  for (const write of [
    () => a.records.set(key, { n: 666 }, { durability: 'through' }),
    () => a.records.update(key, () => ({ n: 666 })),
  ]) {
    await expect(write()).rejects.toMatchObject({ outcome: 'none' });
  }
  expect(await a.records.get(key)).toEqual({ n: 1 });
  expect(await stage.row(key)).toMatchObject({ value: { n: 1 } });
});

it('G7: an item that L3 refuses holds up no other item of its log, nor another log', async () => {
  const [log, other] = [stage.key('call'), stage.key('call')];
  await a.logs.append(log, [turn('1'), turn('2', '666'), turn('3')]);
  await b.logs.append(other, turn('1'));
  await a.cache.sync();
  expect((await stage.items(other)).map(({ id }) => id)).toEqual(['1']);
  expect((await stage.items(log)).map(({ id }) => id)).toEqual(['1', '3']);
  await a.logs.append(log, turn('4'));
  await b.logs.append(log, turn('5'));
  await a.cache.sync();
  expect((await stage.items(log)).map(({ id }) => id)).toEqual(['1', '3', '4', '5']);
  for (const { logs } of [a, b]) {
    expect((await logs.read(log)).map(({ id }) => id)).toEqual(['1', '2', '3', '4', '5']);
  }
});
