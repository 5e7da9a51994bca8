/** What comes in wrong, from the caller and from the provider: a clear error, and nothing behind it. */
import { expect, it } from 'vitest';
import { ProviderError, type SpeechCacheOptions, SpeechRequestError } from '../../src/index.ts';
import { Caches, heard, piece, SlowVoice, saying } from './support.ts';

const HOLA = { text: 'Hola', voice: 'lucia' };
const text = (body: string) => new TextEncoder().encode(body);

const BAD_REQUESTS = [
  ['no text', { voice: 'v', text: '' }, 'empty-text', 'text'],
  ['white space alone', { voice: 'v', text: ' \n\t\u00a0' }, 'empty-text', 'text'],
  ['what can not be seen', { voice: 'v', text: '\u200b\u200d' }, 'empty-text', 'text'],
  ['markup without words', { voice: 'v', ssml: '<speak> </speak>' }, 'empty-text', 'ssml'],
  ['text and SSML', { voice: 'v', text: 'a', ssml: '<speak>a</speak>' }, 'bad-field', 'text'],
  ['neither', { voice: 'v' }, 'bad-field', 'text'],
  ['one character too many', { voice: 'v', text: 'a'.repeat(21) }, 'too-long', 'text'],
  ['far too many', { voice: 'v', text: 'a'.repeat(1_000_000) }, 'too-long', 'text'],
  ['half a character', { voice: 'v', text: 'a\ud83d' }, 'bad-text', 'text'],
  ['U+0000', { voice: 'v', text: 'a\0b' }, 'bad-text', 'text'],
  ['an unknown voice', { voice: 'w', text: 'a' }, 'unknown-voice', 'voice'],
  ['no voice', { voice: '', text: 'a' }, 'bad-field', 'voice'],
  ['a path for a voice', { voice: '../../etc', text: 'a' }, 'unknown-voice', 'voice'],
  ['a line break in a tenant', { voice: 'v', text: 'a', tenant: 'a\nb' }, 'bad-field', 'tenant'],
  [
    'a path for a content type',
    { voice: 'v', text: 'a', contentType: '../x' },
    'bad-field',
    'contentType',
  ],
  [
    'a setting that is no number',
    { voice: 'v', text: 'a', settings: { speed: Number.NaN } },
    'bad-field',
    'settings.speed',
  ],
  [
    'a codec that is not spoken here',
    { voice: 'v', text: 'a', format: 'flac' },
    'unknown-format',
    'format',
  ],
  [
    'an impossible sample rate',
    { voice: 'v', text: 'a', format: 'mp3_1' },
    'unknown-format',
    'format.sampleRate',
  ],
] as const;

it.each(BAD_REQUESTS)(
  '%s is refused, and the provider is not asked',
  async (_, request, problem, part) => {
    await using caches = new Caches();
    const speech = caches.open({
      requests: { voices: ['v'], codecs: ['mp3', 'pcm'], maxCharacters: 20 },
    });
    const voice = saying(piece(1));
    const error = await speech.stream(request, voice.synthesize).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(SpeechRequestError);
    expect(error).toMatchObject({ code: 'SPEECH_REQUEST', problem, part });
    expect(voice.calls).toEqual([]);
  },
);

it("the provider's own limit counts too, in characters and not in bytes", async () => {
  await using caches = new Caches();
  const speech = caches.open();
  const { synthesize } = saying(piece(1));
  const provider = { name: 'short', maxCharacters: 3, synthesize };
  await heard(await speech.stream({ voice: 'v', text: '😀ñ1' }, provider));
  await expect(speech.stream({ voice: 'v', text: '1234' }, provider)).rejects.toMatchObject({
    problem: 'too-long',
  });
});

const REFUSALS = [
  ['401', new ProviderError('unauthorized', '401'), { reason: 'unauthorized' }],
  [
    '429',
    new ProviderError('busy', '429', { retryAfterMs: 3000 }),
    { reason: 'busy', retryAfterMs: 3000 },
  ],
  ['500', new ProviderError('unavailable', '500'), { reason: 'unavailable' }],
  ['an error of its own', new TypeError('fetch failed'), { reason: 'broken' }],
] as const;

it.each(REFUSALS)(
  'a provider that answers %s: the caller is told, and nothing is kept',
  async (_, error, expected) => {
    await using caches = new Caches();
    const speech = caches.open();
    await expect(speech.stream(HOLA, () => Promise.reject(error))).rejects.toMatchObject({
      code: 'SYNTHESIS',
      ...expected,
    });
    await expectNothing(speech, caches);
  },
);

const wav = (says: number, has: number) => {
  const bytes = Buffer.alloc(44 + has);
  bytes.write('RIFF');
  bytes.writeUInt32LE(36 + says, 4);
  bytes.write('WAVEfmt ', 8);
  bytes.writeUInt32LE(16, 16);
  bytes.write('data', 36);
  bytes.writeUInt32LE(says, 40);
  return new Uint8Array(bytes);
};
const BODIES = [
  ['an empty body', 'audio/mpeg', [], 'empty'],
  ['empty pieces alone', 'audio/mpeg', [new Uint8Array(), new Uint8Array()], 'empty'],
  ['HTML by its type', 'text/html', [piece(1)], 'not-audio'],
  ['JSON by its type', 'application/json', [piece(1)], 'not-audio'],
  ['HTML that is called audio', 'audio/mpeg', [text('<!DOCTYPE html><p>Bad gateway')], 'not-audio'],
  ['HTML byte by byte', 'audio/mpeg', [...'\n <HtMl>'].map(text), 'not-audio'],
  ['JSON that is called audio', 'audio/mpeg', [text('{"detail":"quota"}')], 'not-audio'],
  ['a WAV shorter than it says', 'audio/wav', [wav(1000, 400)], 'incomplete'],
  ['a WAV that ends in its header', 'audio/wav', [wav(1000, 0).subarray(0, 30)], 'incomplete'],
] as const;

it.each(BODIES)('%s is an error, and is never kept', async (_, mediaType, pieces, reason) => {
  await using caches = new Caches();
  const speech = caches.open();
  const voice = new SlowVoice(mediaType);
  const asked = speech.stream(HOLA, voice.synthesize).then(heard);
  const utterance = await voice.utterance();
  utterance.say(...pieces);
  utterance.end();
  await expect(asked).rejects.toMatchObject({ code: 'SYNTHESIS', reason });
  await expectNothing(speech, caches);
});

it('what is audio after all is not held back: samples may begin like anything', async () => {
  await using caches = new Caches();
  const speech = caches.open();
  for (const [codec, bytes] of [
    ['pcm', text('{"no JSON')],
    ['ulaw', text('<<<<<<<<')],
    ['mp3', text('<h')],
    ['wav', wav(400, 400)],
  ] as const) {
    const { synthesize } = saying(bytes);
    const stream = await speech.stream({ ...HOLA, format: codec }, synthesize);
    expect(await heard(stream)).toEqual(bytes);
  }
});

it.each([
  ['before its first byte', []],
  ['in mid-stream', [piece(1)]],
] as const)('a provider that says nothing any more, %s, is given up', async (_, pieces) => {
  await using caches = new Caches();
  const short: SpeechCacheOptions = { firstByteTimeout: '100ms', stallTimeout: '100ms' };
  const speech = caches.open(short);
  const voice = new SlowVoice();
  const asked = speech.stream(HOLA, voice.synthesize).then(heard);
  const utterance = await voice.utterance();
  utterance.say(...pieces);
  await expect(asked).rejects.toMatchObject({ code: 'SYNTHESIS', reason: 'silent' });
  expect(utterance.signal.aborted).toBe(true);
  await expectNothing(speech, caches);
});

async function expectNothing(speech: ReturnType<Caches['open']>, caches: Caches): Promise<void> {
  expect(await speech.get(HOLA)).toBeUndefined();
  expect((await speech.stats()).memory).toEqual({ entries: 0, bytes: 0 });
  expect(caches.events(speech).some(({ type }) => type === 'stored')).toBe(false);
  // And the next one who asks is not told of it.
  expect(await heard(await speech.stream(HOLA, saying(piece(9)).synthesize))).toEqual(piece(9));
}
