/** One synthesis, many listeners. */
import { expect, it } from 'vitest';
import { SynthesisError } from '../../src/index.ts';
import { Caches, heard, joined, piece, SlowVoice, saying } from './support.ts';

const HOLA = { text: 'Hola, buenos días.', voice: 'lucia' };
const pieces = [1, 2, 3, 4].map((seed) => piece(seed));
const whole = joined(pieces);

it('G11: a hundred listeners, half of them in mid-stream, are spoken to once, and hear the same from the first byte', async () => {
  await using caches = new Caches();
  const speech = caches.open();
  const voice = new SlowVoice();
  const listen = () => speech.stream(HOLA, voice.synthesize);
  const listenToSome = () => Promise.all(Array.from({ length: 50 }, listen));

  const early = listenToSome();
  const utterance = await voice.utterance();
  utterance.say(pieces[0] ?? whole);
  const first = await early;
  utterance.say(pieces[1] ?? whole);
  const all = [...first, ...(await listenToSome())];
  const readers = all.map(({ audio }) => audio.getReader());
  // Everybody has the first piece, and the voice is not at its end.
  const begun = await Promise.all(readers.map((reader) => reader.read()));
  expect(begun.every(({ value }) => value !== undefined && value[0] === 0xff)).toBe(true);
  expect(utterance.isOver).toBe(false);

  // Every other one leaves: as many of the early as of the late.
  await Promise.all(readers.filter((_, at) => at % 2 === 1).map((reader) => reader.cancel()));
  utterance.say(...pieces.slice(2));
  utterance.end();
  const staying = readers.filter((_, at) => at % 2 === 0);
  expect(staying).toHaveLength(50);
  for (const [at, reader] of staying.entries()) {
    const parts = [begun[at * 2]?.value ?? new Uint8Array()];
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
    }
    expect(Buffer.compare(joined(parts), whole)).toBe(0);
  }
  expect(voice.utterances).toHaveLength(1);
  expect(all.map(({ source }) => source).filter((source) => source === 'miss')).toHaveLength(1);
});

it('the synthesis is aborted when the last listener has left, and not before', async () => {
  await using caches = new Caches();
  const speech = caches.open();
  const voice = new SlowVoice();
  const streams = [speech.stream(HOLA, voice.synthesize), speech.stream(HOLA, voice.synthesize)];
  const utterance = await voice.utterance();
  utterance.say(piece(1));
  const [first, second] = await Promise.all(streams);
  await first?.audio.cancel();
  expect(utterance.signal.aborted).toBe(false);
  await second?.audio.cancel();
  expect(utterance.signal.aborted).toBe(true);
  expect(await speech.get(HOLA)).toBeUndefined();
  // Who comes afterwards is not given the rest of what was aborted.
  const next = speech.stream(HOLA, voice.synthesize);
  (await voice.utterance(1)).say(...pieces);
  (await voice.utterance(1)).end();
  expect(Buffer.compare(await heard(await next), whole)).toBe(0);
});

it('with finishUnheard the clip is finished and kept although nobody listens any more', async () => {
  await using caches = new Caches();
  const speech = caches.open({ policy: { finishUnheard: true } });
  const voice = new SlowVoice();
  const asked = speech.stream(HOLA, voice.synthesize);
  const utterance = await voice.utterance();
  utterance.say(pieces[0] ?? whole);
  await (await asked).audio.cancel();
  expect(utterance.signal.aborted).toBe(false);
  utterance.say(...pieces.slice(1));
  utterance.end();
  await caches.told(speech, 'synthesized');
  const again = await speech.stream(HOLA, voice.synthesize);
  expect(Buffer.compare(await heard(again), whole)).toBe(0);
  expect(voice.utterances).toHaveLength(1);
});

it("G5: an aborted signal ends that listener's stream alone, before the first byte and after it", async () => {
  await using caches = new Caches();
  const speech = caches.open();
  const voice = new SlowVoice();
  const before = new AbortController();
  const after = new AbortController();
  const impatient = speech.stream(HOLA, voice.synthesize, { signal: before.signal });
  const half = speech.stream(HOLA, voice.synthesize, { signal: after.signal });
  const patient = speech.stream(HOLA, voice.synthesize);
  const utterance = await voice.utterance();
  before.abort(new Error('hung up'));
  await expect(impatient).rejects.toThrow('hung up');
  utterance.say(pieces[0] ?? whole);
  const reader = (await half).audio.getReader();
  await reader.read();
  const waiting = reader.read();
  after.abort(new Error('hung up later'));
  await expect(waiting).rejects.toThrow('hung up later');
  utterance.say(...pieces.slice(1));
  utterance.end();
  expect(Buffer.compare(await heard(await patient), whole)).toBe(0);
});

it('who stands still holds up nobody, and later hears all of it', async () => {
  await using caches = new Caches();
  const speech = caches.open();
  const voice = new SlowVoice();
  const slow = speech.stream(HOLA, voice.synthesize);
  const fast = speech.stream(HOLA, voice.synthesize);
  const utterance = await voice.utterance();
  utterance.say(...pieces);
  utterance.end();
  expect(Buffer.compare(await heard(await fast), whole)).toBe(0);
  expect(Buffer.compare(await heard(await slow), whole)).toBe(0);
});

it('what one listener writes into his audio, no other hears', async () => {
  await using caches = new Caches();
  const speech = caches.open();
  const voice = new SlowVoice();
  const streams = [speech.stream(HOLA, voice.synthesize), speech.stream(HOLA, voice.synthesize)];
  const utterance = await voice.utterance();
  const given = piece(1);
  utterance.say(given);
  const [vandal, other] = await Promise.all(streams);
  const { value } = (await vandal?.audio.getReader().read()) ?? {};
  value?.fill(0);
  // The provider uses its buffer again.
  given.fill(7);
  utterance.end();
  expect(other && Buffer.compare(await heard(other), piece(1))).toBe(0);
  const stored = await speech.stream(HOLA, voice.synthesize);
  (await stored.audio.getReader().read()).value?.fill(0);
  expect(Buffer.compare((await speech.get(HOLA))?.bytes ?? whole, piece(1))).toBe(0);
});

it('a clip over the limit in mid-stream is heard to its end by those who listen, and not stored', async () => {
  await using caches = new Caches();
  const speech = caches.open({ policy: { maxClipBytes: 10_000 } });
  const voice = new SlowVoice();
  const streams = [speech.stream(HOLA, voice.synthesize), speech.stream(HOLA, voice.synthesize)];
  const utterance = await voice.utterance();
  utterance.say(...pieces);
  const both = Promise.all(streams.map(async (stream) => heard(await stream)));
  // Half of a second one: longer than the limit twice over.
  utterance.say(...pieces);
  utterance.end();
  for (const bytes of await both) {
    expect(Buffer.compare(bytes, joined([...pieces, ...pieces]))).toBe(0);
  }
  expect(await caches.told(speech, 'not-stored')).toEqual([{ type: 'not-stored', reason: 'over' }]);
  expect(await speech.get(HOLA)).toBeUndefined();
});

it('a listener too late for the beginning of a clip over the limit has it spoken anew', async () => {
  await using caches = new Caches();
  const speech = caches.open({ policy: { maxClipBytes: 10_000 } });
  const voice = new SlowVoice();
  const first = speech.stream(HOLA, voice.synthesize);
  const utterance = await voice.utterance();
  utterance.say(...pieces);
  const reader = (await first).audio.getReader();
  for (let n = 0; n < 4; n += 1) await reader.read();
  const late = speech.stream(HOLA, voice.synthesize);
  const second = await voice.utterance(1);
  second.say(piece(9));
  second.end();
  expect(Buffer.compare(await heard(await late), piece(9))).toBe(0);
  await reader.cancel();
});

it('the beginning of a stream says where it comes from, and a second time it is in memory', async () => {
  await using caches = new Caches();
  const speech = caches.open({ prices: { perThousandCharacters: { '*': 1000 } } });
  const { synthesize, calls } = saying(...pieces);
  const spoken = await speech.stream(HOLA, synthesize);
  expect(spoken).toMatchObject({ source: 'miss', mediaType: 'audio/mpeg', contentType: 'other' });
  await heard(spoken);
  const known = await speech.stream(HOLA, synthesize);
  expect(known).toMatchObject({ source: 'l1', mediaType: 'audio/mpeg', bytes: whole.byteLength });
  expect(Buffer.compare(await heard(known), whole)).toBe(0);
  expect(calls).toHaveLength(1);
  const { hits, misses, hitRatioByCharacters, money } = await speech.stats();
  expect({ hits, misses, hitRatioByCharacters }).toEqual({
    hits: 1,
    misses: 1,
    hitRatioByCharacters: 0.5,
  });
  expect(money).toEqual({ currency: 'USD', saved: 18, spent: 18 });
});

it('a closed cache lets what is being spoken end, and takes nothing more', async () => {
  await using caches = new Caches();
  const speech = caches.open();
  const voice = new SlowVoice();
  const asked = speech.stream(HOLA, voice.synthesize);
  const utterance = await voice.utterance();
  utterance.say(pieces[0] ?? whole);
  const stream = await asked;
  const closing = speech.close();
  await expect(speech.stream(HOLA, voice.synthesize)).rejects.toMatchObject({ code: 'CLOSED' });
  utterance.say(...pieces.slice(1));
  utterance.end();
  expect(Buffer.compare(await heard(stream), whole)).toBe(0);
  await closing;
});

it('half a clip is never a whole one: the streams of all fail where the voice does', async () => {
  await using caches = new Caches();
  const speech = caches.open();
  const voice = new SlowVoice();
  const streams = [speech.stream(HOLA, voice.synthesize), speech.stream(HOLA, voice.synthesize)];
  const utterance = await voice.utterance();
  utterance.say(pieces[0] ?? whole);
  const both = await Promise.all(streams);
  utterance.fail(new Error('the line went dead'));
  for (const stream of both) {
    await expect(heard(stream)).rejects.toBeInstanceOf(SynthesisError);
  }
  expect(await speech.get(HOLA)).toBeUndefined();
  expect((await speech.stats()).memory.entries).toBe(0);
});
