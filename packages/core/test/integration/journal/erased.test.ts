/** What was erased is in nobody's journal any more, and comes back from none. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { JournalOptions } from '../../../src/index.ts';
import { eventually, Stage, turn } from '../support.ts';
import { Directories, holdsText } from './support.ts';

const directories = new Directories();
let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterEach(async () => {
  await stage.revive();
  await stage.closeInstances();
  directories.removeAll();
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
});

async function journaled(mode: JournalOptions['mode']) {
  const dir = directories.make();
  return { dir, instance: await stage.ready({ journal: { mode, dir } }) };
}

it('G8: an erasure on one instance leaves nothing in the journal of another that has long flushed it', async () => {
  const key = stage.key('call');
  const { instance, dir } = await journaled('always');
  const elsewhere = await stage.ready();
  await instance.logs.append(key, turn('a', 'the word is swordfish'));
  await instance.cache.sync();
  expect(holdsText(dir, 'swordfish'), 'a file is not rewritten for each write').toBe(true);
  await eventually(async () => {
    expect(await elsewhere.cache.scope('call', key).erase()).toMatchObject({ unknown: false });
  });
  expect(holdsText(dir, 'swordfish')).toBe(false);
});

it('G8: an erased scope is gone from the journal with the report, and does not come back from an old one', async () => {
  const [key, other] = [stage.key(), stage.key()];
  const { instance, dir } = await journaled('always');
  const secrets = instance.cache.records<string>('confided', { scope: (name) => ['call', name] });
  await secrets.set(key, 'the word is swordfish');
  await secrets.set(other, 'the word is herring');
  await instance.logs.append(key, turn('a', 'swordfish again'));
  const old = directories.copyOf(dir);
  expect(holdsText(dir, 'swordfish')).toBe(true);
  // An instance of an earlier test counts as living for some seconds yet: then nobody is sure.
  await eventually(async () => {
    expect(await instance.cache.scope('call', key).erase()).toMatchObject({ unknown: false });
  });
  expect(holdsText(dir, 'swordfish')).toBe(false);
  await stage.close(instance);

  // A machine that was off while the scope was erased.
  const again = await stage.ready({ journal: { dir: old } });
  await again.cache.sync();
  expect(await stage.row(key, 'confided')).toBeUndefined();
  expect(await stage.items(key)).toEqual([]);
  expect(await stage.row(other, 'confided')).toMatchObject({ value: 'the word is herring' });
  await eventually(() => expect(holdsText(old, 'swordfish')).toBe(false));
});

it('G8: an instance that Redis has lost does not read what was erased elsewhere, and clears its journal on return', async () => {
  const [call, other] = [stage.key('call'), stage.key('call')];
  const dir = directories.make();
  const way = await stage.proxyToRedis();
  const lost = await stage.ready({ l2: { url: way.url }, journal: { mode: 'always', dir } });
  const secrets = lost.cache.records<string>('confided', { scope: (name) => ['call', name] });
  const elsewhere = await stage.ready();
  way.cut();
  for (const key of [call, other]) {
    expect((await secrets.set(key, 'the word is swordfish')).held).toContain('l3');
    expect((await lost.records.set(key, { n: 1 })).held).toContain('l3');
    expect((await lost.logs.append(key, turn('a', 'swordfish'))).held).toContain('l3');
  }
  // Until it has been silent for some seconds it is waited for.
  await eventually(async () => {
    expect(await elsewhere.cache.scope('call', call).erase()).toMatchObject({ unknown: false });
  });
  expect(await secrets.get(call)).toBeUndefined();
  expect(await lost.logs.read(call)).toEqual([]);
  expect(await secrets.get(other), 'of another scope').toBe('the word is swordfish');
  expect(await lost.logs.read(other), 'of another scope').toHaveLength(1);
  // What is written from now on is there, beside what is not.
  await lost.records.set(call, { n: 2 });
  expect(await lost.records.get(call)).toEqual({ n: 2 });
  await elsewhere.logs.append(other, turn('b'));
  await elsewhere.cache.scope('call', other).erase();
  await elsewhere.logs.append(other, turn('c'), { durability: 'through' });
  expect((await lost.logs.read(other)).map(({ id }) => id)).toEqual(['c']);
  expect(holdsText(dir, 'swordfish')).toBe(true);
  way.heal();
  await lost.healthy();
  await eventually(() => expect(holdsText(dir, 'swordfish')).toBe(false));
  await stage.converges(call, [lost, elsewhere]);
});
