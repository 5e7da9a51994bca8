/** A directory that others write to as well, and keys that would like to be paths. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { ClipDirectory } from '../../src/clip-directory.ts';
import { PREAMBLE_BYTES, USE_AT } from '../../src/clip-file.ts';
import { PART_LIFE_MS, partName } from '../../src/clip-names.ts';
import { clip, entriesOf, filesIn, HeldClock, keyOf, realClock, Shelves } from './support.ts';

const shelves = new Shelves();
afterEach(() => shelves.close());

const A = keyOf('a');

it('a key that is not 64 hexadecimal digits is refused, and nothing is touched', async () => {
  const dir = shelves.dir();
  const outside = join(dir, 'outside.clip');
  writeFileSync(outside, 'mine');
  mkdirSync(join(dir, 'clips'));
  const store = shelves.open(join(dir, 'clips'));
  const keys = [
    '',
    '../outside',
    '..\\outside',
    `../${'a'.repeat(61)}`,
    outside,
    A.toUpperCase(),
    A.slice(1),
    `${A}0`,
    `${A.slice(0, 63)}\n`,
    `${A}\n`,
    `${A.slice(0, 63)}\0`,
    `${A}/../../outside`,
    'ａ'.repeat(64),
  ];
  for (const key of keys) {
    const refused = { name: 'StoreError', reason: 'refused' };
    await expect(store.get(key)).rejects.toMatchObject(refused);
    await expect(store.put(key, clip('a'))).rejects.toMatchObject(refused);
    await expect(store.delete(key)).rejects.toMatchObject(refused);
    store.touch(key, 1);
  }
  await store.close();
  expect(readFileSync(outside, 'utf8')).toBe('mine');
  expect(filesIn(dir)).toEqual(['clips', 'outside.clip']);
  expect(filesIn(join(dir, 'clips'))).toEqual([]);
});

it('files of others stay, are not counted, not served and not removed', async () => {
  const dir = shelves.dir();
  const elsewhere = join(shelves.dir(), 'elsewhere.clip');
  const source = shelves.dir();
  await shelves.open(source).put(A, clip('a'));
  copyFileSync(join(source, `${A}.clip`), elsewhere);
  const before = readFileSync(elsewhere);

  writeFileSync(join(dir, 'notes.txt'), 'mine');
  writeFileSync(join(dir, `${A}.mp3`), 'mine');
  writeFileSync(join(dir, `${A}.0-1.part`), 'mine');
  writeFileSync(join(dir, `${A.toUpperCase()}.clip`), 'mine');
  symlinkSync(elsewhere, join(dir, `${A}.clip`));
  mkdirSync(join(dir, `${keyOf('folder')}.clip`));
  symlinkSync(join(dir, 'nowhere'), join(dir, `${keyOf('broken link')}.clip`));
  execFileSync('mkfifo', [join(dir, `${keyOf('pipe')}.clip`)]);
  const names = filesIn(dir);

  const store = shelves.open(dir);
  const places = [A, keyOf('folder'), keyOf('broken link'), keyOf('pipe')];
  for (const key of places) {
    expect(await store.get(key)).toBeUndefined();
    expect(await store.delete(key)).toBe(false);
    store.touch(key, 1);
    await expect(store.put(key, clip('b'))).rejects.toMatchObject({ reason: 'refused' });
  }
  expect(await store.usage()).toEqual({ entries: 0, bytes: 0 });
  expect(await entriesOf(store)).toEqual([]);
  expect(await store.clear()).toBe(0);
  await store.close();
  expect(filesIn(dir)).toEqual(names);
  expect(readFileSync(elsewhere).equals(before)).toBe(true);
  expect(lstatSync(join(dir, `${A}.clip`)).isSymbolicLink()).toBe(true);
  expect(store.counts).toEqual({ corruptRemoved: 0, partsRemoved: 0 });
});

it('a clip that was cut off anywhere is a miss, and gone', async () => {
  const dir = shelves.dir();
  const store = shelves.open(dir);
  const path = join(dir, `${A}.clip`);
  await store.put(A, clip('a', 3_000));
  const whole = readFileSync(path);
  const lengths = [0, 1, 7, 8, 95, PREAMBLE_BYTES, 150, whole.length - 3_000, whole.length - 1];
  for (const length of lengths) {
    writeFileSync(path, whole);
    truncateSync(path, length);
    expect(await store.get(A), `${length} bytes`).toBeUndefined();
    expect(existsSync(path)).toBe(false);
    writeFileSync(path, whole.subarray(0, length));
    expect(await entriesOf(store), `${length} bytes`).toEqual([]);
    expect(existsSync(path)).toBe(false);
  }
  writeFileSync(path, whole);
  appendFileSync(path, 'x');
  expect(await store.get(A)).toBeUndefined();
  expect(await store.usage()).toEqual({ entries: 0, bytes: 0 });
  expect(store.counts.corruptRemoved).toBe(2 * lengths.length + 1);
});

it('one wrong bit anywhere but in the figures of use is a miss, and the clip is gone', async () => {
  const dir = shelves.dir();
  const store = shelves.open(dir);
  const path = join(dir, `${A}.clip`);
  await store.put(A, clip('a', 600));
  const whole = readFileSync(path);
  const places = Array.from({ length: whole.length }, (_, at) => at).filter(
    (at) => at < USE_AT || at >= PREAMBLE_BYTES,
  );
  for (const at of places.filter((at) => at % 5 === 0 || at < PREAMBLE_BYTES)) {
    const damaged = Buffer.from(whole);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8));
    writeFileSync(path, damaged);
    expect(await store.get(A), `byte ${at}`).toBeUndefined();
    expect(existsSync(path)).toBe(false);
  }
});

it('figures of use that were torn cost the figures, not the clip', async () => {
  const dir = shelves.dir();
  const store = shelves.open(dir);
  const path = join(dir, `${A}.clip`);
  await store.put(A, clip('a', 600));
  store.touch(A, 5);
  expect((await entriesOf(store))[0]?.accessCount).toBe(1);
  for (let at = USE_AT; at < PREAMBLE_BYTES; at += 1) {
    const torn = readFileSync(path);
    torn[at] = (torn[at] ?? 0) ^ 0x10;
    writeFileSync(path, torn);
    expect((await store.get(A))?.metadata).toEqual(clip('a').metadata);
    expect((await entriesOf(store))[0]?.accessCount).toBe(0);
    store.touch(A, 5);
    expect((await entriesOf(store))[0]?.accessCount).toBe(1);
  }
});

it('a corrupt clip is removed, and what took its place meanwhile is not', async () => {
  const dir = shelves.dir();
  const store = shelves.open(dir);
  await store.put(A, clip('a'));
  truncateSync(join(dir, `${A}.clip`), 50);
  const directory = new ClipDirectory(dir);
  const found = await directory.read(A);
  if (found.kind !== 'corrupt') throw new Error(`it is ${found.kind}`);
  await store.put(A, clip('b'));
  expect(await directory.remove(A, found.stats)).toBe(false);
  expect((await store.get(A))?.metadata.preview).toBe('b');
});

it('a clip under the name of another is corrupt: it is never served as that one', async () => {
  const dir = shelves.dir();
  const store = shelves.open(dir);
  await store.put(A, clip('a'));
  copyFileSync(join(dir, `${A}.clip`), join(dir, `${keyOf('b')}.clip`));
  expect(await store.get(keyOf('b'))).toBeUndefined();
  expect((await store.get(A))?.metadata.preview).toBe('a');
  expect(filesIn(dir)).toEqual([`${A}.clip`]);
});

it('what killed processes left is removed at the start, what others are at is not', async () => {
  const dir = shelves.dir();
  const [, host = '', pid = '', owner = '', token = ''] =
    /^(?:[0-9a-f]{64})\.(\w{8})-(\d+)-(\w{16})-(\w{16})\.part$/.exec(partName(A)) ?? [];
  const gone = spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' });
  await once(gone, 'exit');
  const other = owner.replace(/./g, '0');
  const make = (name: string) => {
    writeFileSync(join(dir, name), 'half');
    return name;
  };
  const running = [
    make(`${A}.${host}-${pid}-${owner}-${token}.part`),
    make(`${A}.${host}-${process.ppid}-${other}-${token}.part`),
    make(`${A}.00000000-${gone.pid}-${other}-${token}.part`),
  ].sort();
  make(`${A}.${host}-${gone.pid}-${other}-${token}.part`);
  // The number of this process, as in a container, where it is always the same.
  make(`${A}.${host}-${pid}-${other}-${token}.part`);
  const long = make(`${A}.00000000-1-${other}-${token}.part`);
  const past = (Date.now() - PART_LIFE_MS - 60_000) / 1_000;
  utimesSync(join(dir, long), past, past);

  const store = shelves.open(dir, { clock: realClock });
  expect(await store.usage()).toEqual({ entries: 0, bytes: 0 });
  expect(filesIn(dir)).toEqual(running);
  expect(store.counts.partsRemoved).toBe(3);
});

it('a directory that goes is no miss: it says so, and is made again by the next call', async () => {
  const dir = join(shelves.dir(), 'clips');
  const store = shelves.open(dir);
  await store.put(A, clip('a'));
  rmSync(dir, { recursive: true });
  await expect(store.get(A)).rejects.toMatchObject({ reason: 'unavailable' });
  expect(await store.get(A)).toBeUndefined();
  rmSync(dir, { recursive: true });
  await store.put(A, clip('a'));
  expect((await store.get(A))?.metadata.preview).toBe('a');
});

it('a file where the directory should be is refused, until it is gone', async () => {
  const dir = join(shelves.dir(), 'clips');
  writeFileSync(dir, 'mine');
  const store = shelves.open(dir, { clock: new HeldClock() });
  await expect(store.put(A, clip('a'))).rejects.toMatchObject({ reason: 'refused' });
  await expect(store.get(A)).rejects.toMatchObject({ reason: 'refused' });
  const below = shelves.open(join(dir, 'below'));
  await expect(below.get(A)).rejects.toMatchObject({ reason: 'refused' });
  expect(readFileSync(dir, 'utf8')).toBe('mine');
  rmSync(dir);
  await store.put(A, clip('a'));
  expect(await store.get(A)).toBeDefined();
});
