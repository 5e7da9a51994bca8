/** Room in the store: what counts towards its limit, and who waits while there is none. */
import { afterEach, expect, it } from 'vitest';
import { ClipCompression } from '../../src/index.ts';
import { Shelves } from '../file-store/support.ts';
import { halting } from './halting.ts';
import { Caches, heard, piece, saying } from './support.ts';

const VOICE = 'lucia';

const shelves = new Shelves();
afterEach(() => shelves.close());

it('what counts is what a clip occupies in the store: one that is compressed needs room for that alone', async () => {
  await using caches = new Caches();
  const compression = new ClipCompression();
  const store = shelves.open(shelves.dir(), { compression });
  const cleanup = { maxBytes: 200_000 };
  const speech = caches.open({ store, cleanup, requests: { format: 'pcm_16000' } });
  const bytes = new Uint8Array(300_000).fill(7);
  for (let n = 0; n < 3; n += 1) {
    const request = { text: `${n}`, voice: VOICE };
    expect(await speech.put(request, { bytes, mediaType: 'audio/x-raw' })).toBe(true);
  }
  expect(compression.counts().compressed).toBe(3);
  expect(caches.events(speech).map(({ type }) => type)).toEqual(['stored', 'stored', 'stored']);
  expect((await speech.stats()).store?.entries).toBe(3);
});

it('a clip that is in memory alone, because the store is full, was there when it is deleted', async () => {
  await using caches = new Caches();
  const store = shelves.open(shelves.dir(), { maxBytes: 1_000 });
  const speech = caches.open({ store });
  const request = { text: 'Hola', voice: VOICE };
  await heard(await speech.stream(request, saying(piece(1)).synthesize));
  await caches.told(speech, 'not-stored');
  expect((await speech.stats()).memory.entries).toBe(1);
  expect(await speech.delete(request)).toBe(true);
  expect(await speech.get(request)).toBeUndefined();
  expect(await speech.delete(request)).toBe(false);
});

it('while the clean-up stands still in the middle, no request is beyond its deadline, be it a hit or a miss', async () => {
  await using caches = new Caches();
  const halt = halting(shelves.open(shelves.dir()), 'delete');
  const cleanup = { maxBytes: 100_000 };
  const speech = caches.open({ store: halt.store, cleanup, memory: { maxBytes: 0 } });
  const bytes = piece(1, 4_200);
  const voice = saying(bytes);
  let isCleaning = false;
  const begun = halt.reached.then(() => {
    isCleaning = true;
  });
  let stored = 0;
  for (let n = 0; !isCleaning && n < 30; n += 1) {
    const request = { text: `${n}`, voice: VOICE };
    if (await speech.put(request, { bytes, mediaType: 'audio/mpeg' })) stored += 1;
  }
  await begun;
  let late = 0;
  const ask = async (n: number) => {
    const signal = AbortSignal.timeout(5_000);
    const asked = speech.stream({ text: `${n}`, voice: VOICE }, voice.synthesize, { signal });
    const got = await asked.then(heard).catch(() => undefined);
    if (got === undefined) late += 1;
    else expect(got).toEqual(bytes);
  };
  for (let n = 0; n < 40; n += 8) {
    await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map((at) => ask(n + at)));
  }
  expect(late).toBe(0);
  // All of that was in the middle of it: of the clips that it takes, none has gone.
  const told = caches.events(speech);
  expect(told.some(({ type }) => type === 'cleanup')).toBe(false);
  // Storing waited for it as little: what did not fit was refused as such, at once.
  expect(told.filter((event) => event.type === 'not-stored' && event.reason === 'failed')).toEqual(
    [],
  );
  expect(voice.calls).toHaveLength(40 - stored);
  halt.goOn();
  const [report] = await caches.told(speech, 'cleanup');
  expect(report).toMatchObject({ result: 'done' });
});
