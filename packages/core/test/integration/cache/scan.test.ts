/** Scans on real servers: what L3 has, united with what this process holds, never below a `get`. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Records } from '../../../src/index.ts';
import { type Count, type Instance, Stage } from '../support.ts';

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

async function scanned<V>(
  records: Records<V>,
  options?: Parameters<Records<V>['scan']>[0],
): Promise<string[]> {
  const keys: string[] = [];
  for await (const [key] of records.scan(options)) keys.push(key);
  return keys;
}

it('scan gives the live records in key order, those that L3 lacks included', async () => {
  const records = a.cache.records<Count>('scanned', { scope: (key) => ['team', key.slice(0, 1)] });
  await records.set('b2', { n: 2 });
  await records.set('a1', { n: 1 });
  await records.set('b1', { n: 0 });
  await a.cache.sync();
  await records.set('b3', { n: 3 });
  await records.set('b1', { n: 9 });
  await records.delete('b2');
  const all = async (options?: Parameters<typeof records.scan>[0]) => {
    const found: [string, Count][] = [];
    for await (const [key, value] of records.scan(options)) found.push([key, value]);
    return found;
  };
  expect(await all()).toEqual([
    ['a1', { n: 1 }],
    ['b1', { n: 9 }],
    ['b3', { n: 3 }],
  ]);
  expect((await all({ prefix: 'b' })).map(([key]) => key)).toEqual(['b1', 'b3']);
  expect((await all({ scope: ['team', 'a'] })).map(([key]) => key)).toEqual(['a1']);
  expect((await all({ limit: 2 })).map(([key]) => key)).toEqual(['a1', 'b1']);
});

it('G2: scan brings nothing back that another has deleted, or moved to another scope', async () => {
  let team = 'x';
  const open = ({ cache }: Instance) =>
    cache.records<Count>('outdated', { scope: () => ['team', team] });
  const [mine, theirs] = [open(a), open(b)];
  for (const key of ['gone', 'kept', 'moved']) await mine.set(key, { n: 1 });
  await theirs.getMany(['gone', 'moved']);
  await theirs.delete('gone', { durability: 'through' });
  team = 'y';
  await theirs.set('moved', { n: 2 }, { durability: 'through' });
  // Of what is below those, this process still holds its own.
  for (const key of ['gone', 'kept', 'moved']) {
    expect((await a.cache.inspect('outdated', key)).outbox).toMatchObject({ deleted: false });
  }
  expect(await mine.get('gone')).toBeUndefined();
  expect(await scanned(mine)).toEqual(['kept', 'moved']);
  expect(await scanned(mine, { scope: ['team', 'x'] })).toEqual(['kept']);
});

it('G2: scan gives nothing older than what this process has written, however late', async () => {
  let team = 'x';
  const records = a.cache.records<Count>('rewritten', { scope: () => ['team', team] });
  await records.setMany(['a', 'b', 'c', 'd'].map((key) => [key, { n: 1 }]));
  await a.cache.sync();
  team = 'y';
  await records.set('d', { n: 2 });
  const found: (readonly [string, Count])[] = [];
  for await (const [key, value] of records.scan({ scope: ['team', 'x'] })) {
    found.push([key, value]);
    if (key !== 'a') continue;
    team = 'x';
    await records.delete('b');
    await records.set('c', { n: 3 });
  }
  expect(found).toEqual([
    ['a', { n: 1 }],
    ['c', { n: 3 }],
  ]);
});

it('scan gives all that waits here, however much it is', async () => {
  const records = a.cache.records<Count>('waiting');
  const keys = Array.from({ length: 450 }, (_, i) => String(i).padStart(3, '0'));
  await records.setMany(keys.map((key, n) => [key, { n }]));
  expect(await scanned(records)).toEqual(keys);
  expect(await scanned(records, { limit: 210 })).toEqual(keys.slice(0, 210));
});
