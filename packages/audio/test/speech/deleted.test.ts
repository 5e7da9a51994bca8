/** A clip that is deleted while it is on its way somewhere is not served from there afterwards. */
import { afterEach, expect, it } from 'vitest';
import { Shelves } from '../file-store/support.ts';
import { halting } from './halting.ts';
import { Caches, piece } from './support.ts';

const REQUEST = { text: 'Hola', voice: 'lucia' };
const CLIP = { bytes: piece(1, 2_000), mediaType: 'audio/mpeg' };

const shelves = new Shelves();
afterEach(() => shelves.close());

it('deleted while somebody reads it from the store: it is in no memory afterwards', async () => {
  await using caches = new Caches();
  const dir = shelves.dir();
  await caches.open({ store: shelves.open(dir) }).put(REQUEST, CLIP);
  const reading = halting(shelves.open(dir), 'get');
  const speech = caches.open({ store: reading.store });
  const got = speech.get(REQUEST);
  await reading.reached;
  expect(await speech.delete(REQUEST)).toBe(true);
  reading.goOn();
  await got;
  expect((await speech.stats()).memory.entries).toBe(0);
  expect(await speech.get(REQUEST)).toBeUndefined();
});

it('deleted while its copy goes to what outlives the store: it is not there afterwards', async () => {
  await using caches = new Caches();
  const durable = halting(shelves.open(shelves.dir()), 'put');
  const speech = caches.open({ store: shelves.open(shelves.dir()), durable: durable.store });
  await speech.put(REQUEST, CLIP);
  await durable.reached;
  const deleted = speech.delete(REQUEST);
  durable.goOn();
  expect(await deleted).toBe(true);
  expect(await speech.get(REQUEST)).toBeUndefined();
  expect((await durable.store.usage()).entries).toBe(0);
});
