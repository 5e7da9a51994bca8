/** Source: the audio cache on the file system in front of ElevenLabs. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { ClipCompression } from '../../src/clip-compression.ts';
import { StoreError } from '../../src/store.ts';
import { clip, entriesOf, filesIn, HeldClock, keyOf, NOW, Shelves } from './support.ts';

const shelves = new Shelves();
afterEach(() => shelves.close());

it('what was stored comes back byte by byte, with all that is known of it', async () => {
  const store = shelves.open(join(shelves.dir(), 'not', 'there', 'yet'));
  const words = [{ word: 'Hola', startMs: 0, endMs: 310 }];
  const stored = clip('hola', 12_345, { language: 'es', sampleRate: 22_050, words, durationMs: 1 });
  await store.put(keyOf('hola'), stored);
  const found = await store.get(keyOf('hola'));
  expect(found?.metadata).toEqual(stored.metadata);
  expect(Buffer.compare(found?.bytes ?? Buffer.alloc(0), stored.bytes)).toBe(0);
  expect(await store.get(keyOf('adiós'))).toBeUndefined();
});

it('a clip, its figures and its hearings survive a restart', async () => {
  const dir = shelves.dir();
  const first = shelves.open(dir);
  await first.put(keyOf('a'), clip('a', 3_000));
  await first.put(keyOf('b'), clip('b', 4_000));
  first.touch(keyOf('a'), NOW + 50);
  first.touch(keyOf('a'), NOW + 70);
  first.touch(keyOf('a'), NOW + 60);
  await first.close();
  const second = shelves.open(dir);
  const [a, b] = [keyOf('a'), keyOf('b')].map((key) => statSync(join(dir, `${key}.clip`)).size);
  const entries = await entriesOf(second);
  expect(entries.find(({ key }) => key === keyOf('a'))).toEqual({
    key: keyOf('a'),
    metadata: clip('a').metadata,
    storedBytes: a,
    lastAccessedAt: NOW + 70,
    accessCount: 3,
  });
  expect(entries.find(({ key }) => key === keyOf('b'))).toMatchObject({
    storedBytes: b,
    lastAccessedAt: NOW,
    accessCount: 0,
  });
  expect(await second.usage()).toEqual({ entries: 2, bytes: (a ?? 0) + (b ?? 0) });
  second.touch(keyOf('a'), NOW + 90);
  expect((await entriesOf(second)).map(({ accessCount }) => accessCount).sort()).toEqual([0, 4]);
});

it('hearings are written down in batches, about a second after the first', async () => {
  const dir = shelves.dir();
  const clock = new HeldClock();
  const store = shelves.open(dir, { clock });
  await store.put(keyOf('a'), clip('a'));
  store.touch(keyOf('a'), NOW + 1);
  clock.advance(999);
  await store.usage();
  const other = shelves.open(dir);
  expect((await entriesOf(other))[0]?.accessCount).toBe(0);
  clock.advance(1);
  await store.close();
  expect((await entriesOf(other))[0]?.accessCount).toBe(1);
});

it('a clip that is stored again replaces the one before, and counts once', async () => {
  const dir = shelves.dir();
  const store = shelves.open(dir);
  await store.put(keyOf('a'), clip('first', 9_000));
  await store.put(keyOf('a'), clip('second', 100));
  expect((await store.get(keyOf('a')))?.metadata.preview).toBe('second');
  expect(filesIn(dir)).toEqual([`${keyOf('a')}.clip`]);
  const size = statSync(join(dir, `${keyOf('a')}.clip`)).size;
  expect(await store.usage()).toEqual({ entries: 1, bytes: size });
});

it('deleting says whether there was one, and of two who delete it one did', async () => {
  const store = shelves.open(shelves.dir());
  await store.put(keyOf('a'), clip('a'));
  const said = await Promise.all([store.delete(keyOf('a')), store.delete(keyOf('a'))]);
  expect([...said].sort()).toEqual([false, true]);
  expect(await store.get(keyOf('a'))).toBeUndefined();
  expect(await store.usage()).toEqual({ entries: 0, bytes: 0 });
});

it('clearing says how many went, and leaves an empty directory', async () => {
  const dir = shelves.dir();
  const store = shelves.open(dir);
  for (const name of ['a', 'b', 'c']) await store.put(keyOf(name), clip(name));
  expect(await store.clear()).toBe(3);
  expect(await store.clear()).toBe(0);
  expect(filesIn(dir)).toEqual([]);
  expect(await store.usage()).toEqual({ entries: 0, bytes: 0 });
  expect(await entriesOf(store)).toEqual([]);
});

it('who reads while a clip is stored again and again gets one of them whole', async () => {
  const store = shelves.open(shelves.dir());
  const bodies = ['one', 'two', 'three'].map((name, i) => clip(name, 40_000 * (i + 1)));
  await store.put(keyOf('k'), bodies[0] ?? clip('one'));
  const seen = new Set<string>();
  const read = async () => {
    const found = await store.get(keyOf('k'));
    const name = found?.metadata.preview ?? '';
    const whole = bodies.find(({ metadata }) => metadata.preview === name)?.bytes;
    expect(Buffer.compare(found?.bytes ?? Buffer.alloc(0), whole ?? Buffer.alloc(1))).toBe(0);
    seen.add(name);
  };
  // Before and after too: two of them at least were seen, however fast either side is.
  await read();
  let isWriting = true;
  const writing = (async () => {
    for (let n = 0; n < 12; n += 1) await store.put(keyOf('k'), bodies[n % 3] ?? clip('one'));
    isWriting = false;
  })();
  while (isWriting) await read();
  await writing;
  await read();
  expect([...seen]).toEqual(expect.arrayContaining(['one', 'three']));
  expect(store.counts.corruptRemoved).toBe(0);
});

it('a clip past its time is not given out, not listed, and removed where it is met', async () => {
  const dir = shelves.dir();
  const clock = new HeldClock();
  const store = shelves.open(dir, { clock });
  await store.put(keyOf('a'), clip('a', 100, { expiresAt: NOW + 1_000 }));
  await store.put(keyOf('b'), clip('b', 100, { expiresAt: NOW + 1_000 }));
  await store.put(keyOf('c'), clip('c', 100, { expiresAt: NOW + 1_000, staleUntil: NOW + 9_000 }));
  clock.advance(999);
  expect(await store.get(keyOf('a'))).toBeDefined();
  clock.advance(1);
  expect(await store.get(keyOf('a'))).toBeUndefined();
  expect((await entriesOf(store)).map(({ key }) => key)).toEqual([keyOf('c')]);
  expect((await store.get(keyOf('c')))?.metadata.expiresAt).toBe(NOW + 1_000);
  expect(filesIn(dir)).toEqual([`${keyOf('c')}.clip`]);
  expect((await store.usage()).entries).toBe(1);
  clock.advance(8_000);
  expect(await store.get(keyOf('c'))).toBeUndefined();
  expect(store.counts.corruptRemoved).toBe(0);
});

it('hearing a clip may move its end, never back, at once and across a restart', async () => {
  const dir = shelves.dir();
  const clock = new HeldClock();
  const store = shelves.open(dir, { clock });
  const times = { expiresAt: NOW + 1_000, staleUntil: NOW + 3_000 };
  await store.put(keyOf('a'), clip('a', 100, times));
  store.touch(keyOf('a'), NOW + 500, NOW + 5_000);
  store.touch(keyOf('a'), NOW + 500, NOW + 4_000);
  const moved = { expiresAt: NOW + 5_000, staleUntil: NOW + 7_000 };
  expect((await store.get(keyOf('a')))?.metadata).toMatchObject(moved);
  await store.close();
  const other = shelves.open(dir, { clock });
  clock.advance(6_999);
  expect((await other.get(keyOf('a')))?.metadata).toMatchObject(moved);
  clock.advance(1);
  expect(await other.get(keyOf('a'))).toBeUndefined();
});

it('beyond its limit it refuses as full, also what is stored at the same moment', async () => {
  const dir = shelves.dir();
  const probe = shelves.open(shelves.dir());
  await probe.put(keyOf('0'), clip('0'));
  const one = (await probe.usage()).bytes;
  const store = shelves.open(dir, { maxBytes: 3 * one });
  const names = Array.from({ length: 8 }, (_, n) => `${n}`);
  const said = await Promise.allSettled(names.map((name) => store.put(keyOf(name), clip(name))));
  const reasons = said.flatMap((s) => (s.status === 'rejected' ? [s.reason] : []));
  expect(reasons).toHaveLength(5);
  for (const reason of reasons) expect(reason).toMatchObject({ reason: 'full' });
  expect(await store.usage()).toEqual({ entries: 3, bytes: 3 * one });
  expect(filesIn(dir)).toHaveLength(3);
  // What replaces a clip needs room only for what it is larger; and a place that was made is used.
  const [kept] = await entriesOf(store);
  await store.put(kept?.key ?? '', clip('0'));
  await store.delete(kept?.key ?? '');
  await store.put(keyOf('9'), clip('9'));
});

it('several stores work on one directory: each sees what the others did', async () => {
  const dir = shelves.dir();
  const clock = new HeldClock();
  const [one, two] = [shelves.open(dir, { clock }), shelves.open(dir, { clock })];
  await two.usage();
  await one.put(keyOf('a'), clip('a'));
  expect((await two.get(keyOf('a')))?.metadata.preview).toBe('a');
  expect((await entriesOf(two)).map(({ key }) => key)).toEqual([keyOf('a')]);
  // Its own figures are counted along, and looked up again after a second.
  clock.advance(1_000);
  expect(await two.usage()).toEqual(await one.usage());
  await two.delete(keyOf('a'));
  expect(await one.get(keyOf('a'))).toBeUndefined();
  clock.advance(1_000);
  expect(await one.usage()).toEqual({ entries: 0, bytes: 0 });
});

it('figures are right although clips come and go while they are looked up', async () => {
  const dir = shelves.dir();
  const clock = new HeldClock();
  const store = shelves.open(dir, { clock });
  for (let n = 0; n < 20; n += 1) await store.put(keyOf(`old ${n}`), clip(`${n}`, 100));
  for (let round = 0; round < 5; round += 1) {
    clock.advance(60_000);
    const looking = store.usage();
    await Promise.all([
      looking,
      store.put(keyOf(`new ${round}`), clip('new', 200)),
      store.delete(keyOf(`old ${round}`)),
    ]);
    const sizes = filesIn(dir).map((name) => statSync(join(dir, name)).size);
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    expect(await store.usage()).toEqual({ entries: 20, bytes });
  }
});

it('samples are stored compressed where the store compresses, and come back as they were', async () => {
  const dir = shelves.dir();
  const compression = new ClipCompression({ thresholdBytes: 1_000 });
  const store = shelves.open(dir, { compression });
  const bytes = Buffer.alloc(50_000, 'samples that repeat themselves ');
  await store.put(keyOf('a'), { ...clip('a'), bytes });
  expect((await entriesOf(store))[0]?.storedBytes).toBeLessThan(5_000);
  const found = await store.get(keyOf('a'));
  expect(Buffer.compare(found?.bytes ?? Buffer.alloc(0), bytes)).toBe(0);
  expect(compression.counts()).toMatchObject({ compressed: 1, decompressed: 1 });
  // Who doesn't compress reads what another one compressed.
  const plain = await shelves.open(dir).get(keyOf('a'));
  expect(plain?.bytes.byteLength).toBe(50_000);
});

it('who gives up is answered at once, and leaves nothing behind', async () => {
  const dir = shelves.dir();
  const store = shelves.open(dir);
  const given = AbortSignal.abort(new Error('hung up'));
  const call = { signal: given };
  const late = { name: 'StoreError', reason: 'unavailable', cause: new Error('hung up') };
  await expect(store.put(keyOf('a'), clip('a'), call)).rejects.toMatchObject(late);
  await expect(store.get(keyOf('a'), call)).rejects.toMatchObject(late);
  const controller = new AbortController();
  const putting = store.put(keyOf('b'), clip('b', 300_000), controller);
  controller.abort(new Error('hung up'));
  await expect(putting).rejects.toMatchObject(late);
  await store.close();
  expect(filesIn(dir)).toEqual([]);
});

it('a store that was closed says so, and waits for what was under way', async () => {
  const dir = shelves.dir();
  const store = shelves.open(dir);
  const putting = store.put(keyOf('a'), clip('a', 500_000));
  await store.usage();
  await store.close();
  await putting;
  await store.close();
  const closed = { reason: 'unavailable', message: 'the clip directory was closed' };
  await expect(store.get(keyOf('a'))).rejects.toMatchObject(closed);
  await expect(store.usage()).rejects.toMatchObject(closed);
  store.touch(keyOf('a'), NOW);
  expect(readdirSync(dir)).toEqual([`${keyOf('a')}.clip`]);
});

it('a clip of more than 64 MB is refused', async () => {
  const store = shelves.open(shelves.dir());
  const large = { ...clip('a'), bytes: new Uint8Array(64 * 1024 * 1024) };
  await expect(store.put(keyOf('a'), large)).rejects.toBeInstanceOf(StoreError);
  await expect(store.put(keyOf('a'), large)).rejects.toMatchObject({ reason: 'refused' });
});

it('an empty name and a limit of nothing are no options', () => {
  expect(() => shelves.open('')).toThrow(RangeError);
  expect(() => shelves.open('a\0b')).toThrow(RangeError);
  expect(() => shelves.open('a', { maxBytes: 0 })).toThrow(RangeError);
});
