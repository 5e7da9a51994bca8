/** Several instances over one Redis: one of them speaks. */
import { type RedisServer, startRedis } from '@cache/testing';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { ProviderError, SynthesisError } from '../../src/index.ts';
import { Program } from './program.ts';
import { Caches, heard, heardUntil, joined, piece, SlowVoice } from './support.ts';

const WAIT = { text: 'Un momento.', voice: 'lucia' };
const pieces = [1, 2, 3, 4].map((seed) => piece(seed));
const whole = joined(pieces);

let redis: RedisServer;
let client: Redis;
let tests = 0;
/** Keys of one test are not another's. */
const prefix = () => `t${tests++}:`;

beforeAll(async () => {
  redis = await startRedis();
  client = new Redis(redis.url);
});
afterAll(async () => {
  client.disconnect();
  await redis.close();
});

async function two(caches: Caches, options = {}) {
  const own = prefix();
  const a = await caches.instance(redis.url, own, options);
  const b = await caches.instance(redis.url, own, options);
  return { a, b, own };
}

it('G11: two instances have a sentence spoken once, and the second hears it while it is under way', async () => {
  await using caches = new Caches();
  const { a, b, own } = await two(caches);
  const voice = new SlowVoice();
  const here = a.stream(WAIT, voice.synthesize);
  const utterance = await voice.utterance();
  utterance.say(pieces[0] ?? whole);
  const first = await here;
  const there = await b.stream(WAIT, voice.synthesize);
  expect([first.source, there.source]).toEqual(['miss', 'coalesced']);
  const reader = there.audio.getReader();
  const begun = await reader.read();
  expect(begun.value).toEqual(pieces[0]);
  expect(utterance.isOver).toBe(false);
  reader.releaseLock();
  utterance.say(...pieces.slice(1));
  utterance.end();
  const [mine, rest] = await Promise.all([heard(first), heard(there)]);
  expect(Buffer.compare(mine, whole)).toBe(0);
  expect(Buffer.compare(joined([pieces[0] ?? whole, rest]), whole)).toBe(0);
  expect(voice.utterances).toHaveLength(1);
  // Stored once, and the lease is gone with it.
  await caches.told(a, 'stored');
  expect((await b.stream(WAIT, voice.synthesize)).source).toBe('l2');
  await caches.quiet(a);
  expect(await client.keys(`${own}*lease`)).toEqual([]);
});

it('G11: what another instance stored between the look and the claim is not spoken again', async () => {
  await using caches = new Caches();
  const { a, b } = await two(caches);
  const voice = new SlowVoice();
  const streams = [a, b, a, b].map((cache) => cache.stream(WAIT, voice.synthesize));
  const utterance = await voice.utterance();
  utterance.say(...pieces);
  utterance.end();
  for (const stream of await Promise.all(streams)) {
    expect(Buffer.compare(await heard(stream), whole)).toBe(0);
  }
  expect(voice.utterances).toHaveLength(1);
});

it('what is spoken goes on for another instance when the listeners of the speaking one have left', async () => {
  await using caches = new Caches();
  const { a, b } = await two(caches);
  const voice = new SlowVoice();
  const here = a.stream(WAIT, voice.synthesize);
  const utterance = await voice.utterance();
  utterance.say(pieces[0] ?? whole);
  await here;
  const there = await b.stream(WAIT, voice.synthesize);
  await (await here).audio.cancel();
  utterance.say(...pieces.slice(1));
  utterance.end();
  expect(Buffer.compare(await heard(there), whole)).toBe(0);
  expect(utterance.signal.aborted).toBe(false);
  expect(voice.utterances).toHaveLength(1);
});

it('what the provider refused to one instance the waiting ones are told, and do not ask again', async () => {
  await using caches = new Caches();
  const { a, b, own } = await two(caches);
  const voice = new SlowVoice();
  const here = a.stream(WAIT, voice.synthesize);
  const utterance = await voice.utterance();
  const there = b.stream(WAIT, voice.synthesize);
  const both = Promise.allSettled([here, there]);
  // Whether the other follows by now can be seen in Redis alone.
  await eventually(async () => (await client.keys(`${own}*ear:*`)).length > 0);
  utterance.fail(new ProviderError('busy', 'too many requests', { retryAfterMs: 7000 }));
  for (const answer of await both) {
    expect(answer).toMatchObject({
      status: 'rejected',
      reason: { code: 'SYNTHESIS', reason: 'busy', retryAfterMs: 7000 },
    });
  }
  expect(voice.utterances).toHaveLength(1);
});

it('a clip over the limit reaches the other instance too, and what Redis holds of it is bounded', async () => {
  await using caches = new Caches();
  const { a, b, own } = await two(caches, { policy: { maxClipBytes: 10_000 } });
  const voice = new SlowVoice();
  const here = a.stream(WAIT, voice.synthesize);
  const utterance = await voice.utterance();
  utterance.say(pieces[0] ?? whole);
  await here;
  const there = await b.stream(WAIT, voice.synthesize);
  const readers = [(await here).audio.getReader(), there.audio.getReader()];
  const length = 100_000;
  // In step, as a voice that is not much faster than its listeners.
  for (let seed = 1; seed <= 15; seed += 1) {
    const said = seed === 1 ? (pieces[0] ?? whole) : piece(seed, length);
    if (seed > 1) utterance.say(said);
    for (const reader of readers) {
      const parts: Uint8Array[] = [];
      while (joined(parts).byteLength < said.byteLength) {
        parts.push((await reader.read()).value ?? whole);
      }
      expect(Buffer.compare(joined(parts), said)).toBe(0);
    }
  }
  utterance.end();
  for (const reader of readers) expect((await reader.read()).done).toBe(true);
  const [stream] = await client.keys(`${own}*say:*`);
  const left = stream === undefined ? [] : await client.xrange(stream, '-', '+');
  const bytes = left.reduce((sum, [, [, , , value]]) => sum + (value?.length ?? 0), 0);
  expect(bytes).toBeLessThanOrEqual(1024 * 1024 + 10);
  expect(bytes).toBeGreaterThan(0);
  expect(await b.get(WAIT)).toBeUndefined();
});

it('a clip deleted while it is spoken, by any instance, is heard to its end and not stored', async () => {
  await using caches = new Caches();
  const { a, b } = await two(caches);
  const voice = new SlowVoice();
  const here = a.stream(WAIT, voice.synthesize);
  const utterance = await voice.utterance();
  utterance.say(pieces[0] ?? whole);
  const stream = await here;
  await b.delete(WAIT);
  utterance.say(...pieces.slice(1));
  utterance.end();
  expect(Buffer.compare(await heard(stream), whole)).toBe(0);
  await a.close();
  expect(await b.get(WAIT)).toBeUndefined();
  // Not for a moment either.
  expect(caches.events(a)).toContainEqual({ type: 'not-stored', reason: 'voided' });
  expect(caches.events(a).some(({ type }) => type === 'stored')).toBe(false);
});

it('a deletion empties the memory of every instance', async () => {
  await using caches = new Caches();
  const { a, b } = await two(caches);
  const voice = new SlowVoice();
  const here = a.stream(WAIT, voice.synthesize);
  (await voice.utterance()).say(...pieces);
  (await voice.utterance()).end();
  await heard(await here);
  await caches.told(a, 'stored');
  expect((await b.stream(WAIT, voice.synthesize)).source).toBe('l2');
  expect((await b.stream(WAIT, voice.synthesize)).source).toBe('l1');
  expect(await a.delete(WAIT)).toBe(true);
  await eventually(async () => (await b.get(WAIT)) === undefined);
});

it('refresh: it is spoken anew, what is under way is not stored over it, and every instance has the new one', async () => {
  await using caches = new Caches();
  const { a, b } = await two(caches);
  const voice = new SlowVoice();
  const old = a.stream(WAIT, voice.synthesize);
  const first = await voice.utterance();
  first.say(piece(50));
  const before = await old;
  const anew = b.stream(WAIT, voice.synthesize, { mode: 'refresh' });
  const second = await voice.utterance(1);
  second.say(...pieces);
  second.end();
  expect(Buffer.compare(await heard(await anew), whole)).toBe(0);
  await caches.told(b, 'stored');
  first.say(piece(51));
  first.end();
  expect(Buffer.compare(await heard(before), joined([piece(50), piece(51)]))).toBe(0);
  await a.close();
  expect((await b.get(WAIT))?.bytes).toEqual(whole);
});

it('no-store leaves nothing behind: not in memory, not in Redis, not for those who ask at the same time', async () => {
  await using caches = new Caches();
  const { a, own } = await two(caches);
  const voice = new SlowVoice();
  const secret = a.stream(WAIT, voice.synthesize, { mode: 'no-store' });
  const other = a.stream(WAIT, voice.synthesize, { mode: 'no-store' });
  const utterances = [await voice.utterance(), await voice.utterance(1)];
  for (const utterance of utterances) utterance.say(pieces[0] ?? whole);
  await Promise.all([secret, other]);
  expect(await client.keys(`${own}*`)).toEqual([]);
  for (const utterance of utterances) utterance.end();
  await heard(await secret);
  await heard(await other);
  expect(await client.keys(`${own}*`)).toEqual([]);
  expect((await a.stats()).memory.entries).toBe(0);
});

it('only-if-cached never speaks', async () => {
  await using caches = new Caches();
  const { a, b } = await two(caches);
  const voice = new SlowVoice();
  const ask = () => b.stream(WAIT, voice.synthesize, { mode: 'only-if-cached' });
  await expect(ask()).rejects.toMatchObject({ code: 'NOT_CACHED' });
  await a.put(WAIT, { bytes: whole, mediaType: 'audio/mpeg' });
  expect(Buffer.compare(await heard(await ask()), whole)).toBe(0);
  expect(voice.utterances).toHaveLength(0);
});

it('a holder that is killed before its first byte is replaced, and nobody is told', async () => {
  await using caches = new Caches();
  const own = prefix();
  await using holder = new Program('./holder.ts', redis.url, own, '0');
  const b = await caches.instance(redis.url, own, { lease: '2s' });
  expect(await holder.line()).toBe('holding');
  const voice = new SlowVoice();
  const asked = b.stream(WAIT, voice.synthesize);
  await eventually(async () => (await client.keys(`${own}*ear:*`)).length > 0);
  expect(voice.utterances).toHaveLength(0);
  await holder.kill();
  const utterance = await voice.utterance();
  utterance.say(...pieces);
  utterance.end();
  expect(Buffer.compare(await heard(await asked), whole)).toBe(0);
});

it('a holder that is killed in mid-stream: who has heard a part is told, who has not hears it all, and no bytes are spliced', async () => {
  await using caches = new Caches();
  const own = prefix();
  await using holder = new Program('./holder.ts', redis.url, own, '2');
  const b = await caches.instance(redis.url, own, { lease: '2s' });
  expect(await holder.line()).toBe('holding');
  const voice = new SlowVoice();
  const begun = await b.stream(WAIT, voice.synthesize);
  const idle = await b.stream(WAIT, voice.synthesize);
  const reader = begun.audio.getReader();
  const { value } = await reader.read();
  expect(value?.subarray(0, 4000)).toEqual(pieces[0]);
  reader.releaseLock();
  const rest = heardUntil(begun);
  await holder.kill();
  expect((await rest).error).toMatchObject({ code: 'SYNTHESIS', reason: 'interrupted' });
  expect((await rest).error).toBeInstanceOf(SynthesisError);
  const anew = heard(idle);
  const other = [piece(60), piece(61)];
  const utterance = await voice.utterance();
  utterance.say(...other);
  utterance.end();
  expect(Buffer.compare(await anew, joined(other))).toBe(0);
});

it('who has heard nothing when the holder falls silent hears what is stored by then, whole', async () => {
  await using caches = new Caches();
  const { a, b, own } = await two(caches);
  const voice = new SlowVoice();
  const here = a.stream(WAIT, voice.synthesize);
  const utterance = await voice.utterance();
  utterance.say(pieces[0] ?? whole);
  await here;
  const [idle, begun] = await Promise.all([
    b.stream(WAIT, voice.synthesize),
    b.stream(WAIT, voice.synthesize),
  ]);
  const reader = begun.audio.getReader();
  expect((await reader.read()).value).toEqual(pieces[0]);
  const rest = reader.read();
  // Another take of the same sentence is stored, and nothing is to be heard of the first one.
  const take = joined([piece(70), piece(71)]);
  expect(await b.put(WAIT, { bytes: take, mediaType: 'audio/mpeg' })).toBe(true);
  const gone = await client.keys(`${own}*say:*`);
  expect(await client.del(gone)).toBe(1);
  await expect(rest).rejects.toMatchObject({ reason: 'interrupted' });
  expect(Buffer.compare(await heard(idle), take)).toBe(0);
  expect(voice.utterances).toHaveLength(1);
  utterance.end();
});

it.each([
  ['as long as a clip may be', 1024 * 1024 + 10, 2 * 1024 * 1024],
  ['longer than that', 3 * 1024 * 1024 + 10, 1024 * 1024],
])(
  'a clip that comes in one piece goes to other instances in small ones, and whole: %s',
  async (_, bytes, maxClipBytes) => {
    await using caches = new Caches();
    const { a, b, own } = await two(caches, { policy: { maxClipBytes } });
    const voice = new SlowVoice();
    const here = a.stream(WAIT, voice.synthesize);
    const utterance = await voice.utterance();
    const large = piece(5, bytes);
    utterance.say(large);
    const first = await here;
    const there = await b.stream(WAIT, voice.synthesize);
    const sizes = await vi.waitFor(
      async () => {
        const [stream = ''] = await client.keys(`${own}*say:*`);
        const entries = await client.xrangeBuffer(stream, '-', '+');
        const pieces = entries.filter(([, [, kind]]) => kind?.toString() === 'piece');
        const lengths = pieces.map(([, [, , , value]]) => value?.byteLength ?? 0);
        expect(lengths.reduce((sum, length) => sum + length, 0)).toBe(large.byteLength);
        return lengths;
      },
      { timeout: 15_000 },
    );
    expect(Math.max(...sizes)).toBeLessThanOrEqual(64 * 1024);
    utterance.end();
    for (const heardWhole of await Promise.all([heard(first), heard(there)])) {
      expect(Buffer.compare(heardWhole, large)).toBe(0);
    }
  },
);

/** Asks until it is so. */
async function eventually(isSo: () => Promise<boolean>): Promise<void> {
  await vi.waitFor(async () => expect(await isSo()).toBe(true), { timeout: 15_000 });
}
