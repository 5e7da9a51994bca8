/**
 * The provider against a server that answers as the documentation of ElevenLabs says, and as no
 * documentation says. Source: the audio cache on the file system in front of ElevenLabs.
 */
import type { ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { elevenLabs } from '../src/elevenlabs.ts';
import { type Provider, ProviderError, type ResolvedRequest } from '../src/provider.ts';
import { ElevenLabsService, request, speak } from './elevenlabs-service.ts';
import { HeldClock } from './file-store/support.ts';
import { mp3 } from './sounds.ts';

const service = new ElevenLabsService();
const providers: Provider[] = [];

beforeAll(() => service.listen());

afterEach(async () => {
  await Promise.all(providers.splice(0).map((provider) => provider.close?.()));
  service.heard.length = 0;
});

afterAll(() => service.close());

function open(clock = new HeldClock()): Provider {
  const { baseUrl } = service;
  const provider = elevenLabs({ apiKey: 'sk_test', baseUrl, silenceMs: 5_000, clock });
  providers.push(provider);
  return provider;
}

const MPEG = { 'content-type': 'audio/mpeg' };
const SOUND = mp3(40);

it('asks as the documentation says: streaming, with format, model, settings, seed and dictionaries', async () => {
  service.says(200, SOUND, MPEG);
  const provider = open();
  const settings = {
    stability: 0.4,
    similarity: 0.8,
    style: 0.1,
    speed: 1.1,
    speakerBoost: true,
    seed: 7,
  };
  const bytes = await speak(provider, {
    language: 'es-MX',
    settings,
    dictionaries: [{ id: 'd1', version: 'v9' }],
    textNormalization: 'on',
  });
  expect(bytes.equals(SOUND)).toBe(true);
  expect(service.heard).toMatchObject([
    {
      method: 'POST',
      url: '/v1/text-to-speech/JBFqnCBsd6RMkjVDRZzb/stream?output_format=mp3_44100_128',
      headers: { 'xi-api-key': 'sk_test', 'content-type': 'application/json' },
    },
  ]);
  expect(service.heard[0]?.body).toEqual({
    text: 'Bienvenido al hotel.',
    model_id: 'eleven_flash_v2_5',
    language_code: 'es',
    voice_settings: {
      stability: 0.4,
      similarity_boost: 0.8,
      style: 0.1,
      speed: 1.1,
      use_speaker_boost: true,
    },
    seed: 7,
    pronunciation_dictionary_locators: [{ pronunciation_dictionary_id: 'd1', version_id: 'v9' }],
    apply_text_normalization: 'on',
  });
});

it('says nothing that was not asked for, and no language to a model that refuses it', async () => {
  service.says(200, SOUND, MPEG);
  await speak(open(), { model: 'eleven_multilingual_v2', language: 'es' });
  expect(service.heard[0]?.body).toEqual({
    text: 'Bienvenido al hotel.',
    model_id: 'eleven_multilingual_v2',
  });
});

it('the first piece is heard while the service still speaks', async () => {
  const spoken = Promise.withResolvers<ServerResponse>();
  service.answer = (response) => {
    response.writeHead(200, MPEG);
    response.write(SOUND.subarray(0, 1_000));
    spoken.resolve(response);
  };
  const signal = new AbortController().signal;
  const { audio, mediaType } = await open().synthesize(request(), { signal });
  expect(mediaType).toBe('audio/mpeg');
  const pieces = audio[Symbol.asyncIterator]();
  const first = await pieces.next();
  (await spoken.promise).end(SOUND.subarray(1_000));
  const rest: Uint8Array[] = [first.value];
  for (let next = await pieces.next(); next.done !== true; next = await pieces.next())
    rest.push(next.value);
  expect(Buffer.concat(rest).equals(SOUND)).toBe(true);
});

it('formats and media types go together', async () => {
  const cases = [
    [
      { codec: 'pcm', sampleRate: 24_000 },
      'pcm_24000',
      Buffer.alloc(100),
      'audio/x-raw;format=S16LE;rate=24000;channels=1',
    ],
    [{ codec: 'ulaw', sampleRate: 8_000 }, 'ulaw_8000', Buffer.alloc(100), 'audio/basic'],
    [
      { codec: 'opus', sampleRate: 48_000, bitrate: 64 },
      'opus_48000_64',
      Buffer.from('OggS'.padEnd(99)),
      'audio/ogg',
    ],
  ] as const;
  for (const [format, name, sound, type] of cases) {
    service.says(200, sound, { 'content-type': 'audio/whatever' });
    const { mediaType, audio } = await open().synthesize(request({ format }), {
      signal: new AbortController().signal,
    });
    const pieces: Uint8Array[] = [];
    for await (const piece of audio) pieces.push(piece);
    expect([mediaType, Buffer.concat(pieces).equals(sound)]).toEqual([type, true]);
    expect(service.heard.at(-1)?.url).toContain(`output_format=${name}`);
  }
});

const REFUSED: readonly (readonly [string, Partial<ResolvedRequest>])[] = [
  ['a voice with a path in it', { voice: '../../user' }],
  ['an empty voice', { voice: '' }],
  [
    'more text than the model takes',
    { model: 'eleven_v3', input: { kind: 'text', text: 'a'.repeat(5_001) } },
  ],
  [
    'more text than any model takes',
    { model: 'unheard_of', input: { kind: 'text', text: 'a'.repeat(5_001) } },
  ],
  ['a format that it has not', { format: { codec: 'wav', sampleRate: 22_050 } }],
  ['a bitrate that it has not', { format: { codec: 'mp3', sampleRate: 44_100, bitrate: 127 } }],
  ['a setting that it has not', { settings: { reverb: 1 } }],
  ['a setting out of range', { settings: { stability: 1.5 } }],
  ['a setting of another type', { settings: { speed: 'fast' } }],
  ['a seed that is none', { settings: { seed: -1 } }],
  ['four dictionaries', { dictionaries: [1, 2, 3, 4].map((n) => ({ id: `${n}`, version: '1' })) }],
  ['another normalisation', { textNormalization: 'maybe' }],
];

it.each(REFUSED)('%s is refused before anything is asked', async (_, more) => {
  await expect(speak(open(), more)).rejects.toMatchObject({
    name: 'ProviderError',
    reason: 'refused',
  });
  expect(service.heard).toEqual([]);
});

const FAILURES: readonly (readonly [number, string, string, string])[] = [
  [
    401,
    'unauthorized',
    '{"detail":{"status":"invalid_api_key","message":"secret text"}}',
    'ElevenLabs answered 401 (invalid_api_key)',
  ],
  [
    401,
    'unauthorized',
    '{"detail":{"status":"quota_exceeded"}}',
    'ElevenLabs answered 401 (quota_exceeded)',
  ],
  [403, 'unauthorized', '', 'ElevenLabs answered 403'],
  [
    400,
    'refused',
    '{"detail":{"status":"voice_not_found"}}',
    'ElevenLabs answered 400 (voice_not_found)',
  ],
  [404, 'refused', 'nothing here', 'ElevenLabs answered 404'],
  [
    422,
    'refused',
    '{"detail":[{"loc":["body","text"],"msg":"secret text","type":"value_error.missing"}]}',
    'ElevenLabs answered 422 (value_error.missing)',
  ],
  [
    429,
    'busy',
    '{"detail":{"status":"too_many_concurrent_requests"}}',
    'ElevenLabs answered 429 (too_many_concurrent_requests)',
  ],
  [500, 'unavailable', '<html>secret text</html>', 'ElevenLabs answered 500'],
  [503, 'unavailable', '{"detail":{"status":"secret text, at length"}}', 'ElevenLabs answered 503'],
];

it.each(FAILURES)('%i is %s', async (status, reason, body, message) => {
  service.says(status, body);
  const error = await speak(open()).catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(ProviderError);
  expect(error).toMatchObject({ reason, message, retryAfterMs: undefined });
});

it('429 and 503 say when to try again, in seconds or as a date', async () => {
  const clock = new HeldClock();
  service.says(429, '{}', { 'retry-after': '7' });
  await expect(speak(open(clock))).rejects.toMatchObject({ reason: 'busy', retryAfterMs: 7_000 });
  service.says(503, '{}', { 'retry-after': new Date(clock.now() + 90_000).toUTCString() });
  await expect(speak(open(clock))).rejects.toMatchObject({
    reason: 'unavailable',
    retryAfterMs: 90_000,
  });
  service.says(429, '{}', { 'retry-after': 'soon' });
  await expect(speak(open(clock))).rejects.toMatchObject({
    reason: 'busy',
    retryAfterMs: undefined,
  });
});

it('an error that never ends is not read to its end', async () => {
  service.answer = (response) => {
    response.writeHead(500, { 'content-type': 'text/plain' });
    const more = () => {
      while (response.write('x'.repeat(65_536)));
    };
    response.on('drain', more).on('error', () => {});
    more();
  };
  await expect(speak(open())).rejects.toMatchObject({ reason: 'unavailable' });
});

it('a page, an error or another format in place of audio is broken, and not one byte of it is heard', async () => {
  const bodies = [
    ['<html>Bad Gateway</html>', 'text/html'],
    ['{"detail":"no"}', 'application/json'],
    ['<html>Bad Gateway</html>', 'audio/mpeg'],
    ['{"detail":"no"}', 'audio/mpeg'],
    ['OggS and so on', 'audio/mpeg'],
  ] as const;
  for (const [body, type] of bodies) {
    service.says(200, body, { 'content-type': type });
    const pieces: Uint8Array[] = [];
    const speaking = (async () => {
      const { audio } = await open().synthesize(request(), {
        signal: new AbortController().signal,
      });
      for await (const piece of audio) pieces.push(piece);
    })();
    await expect(speaking, `${type}: ${body}`).rejects.toMatchObject({ reason: 'broken' });
    expect(pieces).toEqual([]);
  }
});

it('an empty answer is broken, and so is half of one, however it ends', async () => {
  service.says(200, '', MPEG);
  await expect(speak(open())).rejects.toMatchObject({ reason: 'broken' });
  const half = SOUND.subarray(0, SOUND.length / 2);
  for (const headers of [{ ...MPEG, 'content-length': `${SOUND.length}` }, MPEG]) {
    service.answer = (response) => {
      response.writeHead(200, headers);
      response.write(half, () => response.destroy());
    };
    await expect(speak(open())).rejects.toMatchObject({ reason: 'broken' });
  }
});

it('a service that says nothing is given up after its time, before the answer and in the middle of it', async () => {
  const clock = new HeldClock();
  const asked = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  service.answer = (response) => {
    response.on('close', () => gone.resolve());
    asked.resolve();
  };
  const silent = expect(speak(open(clock))).rejects.toMatchObject({
    reason: 'unavailable',
    message: 'ElevenLabs sent nothing for 5000 ms',
  });
  await asked.promise;
  clock.advance(5_000);
  await silent;
  await gone.promise;

  service.answer = (response) => {
    response.writeHead(200, MPEG);
    response.write(SOUND.subarray(0, 1_000));
  };
  const { audio } = await open(clock).synthesize(request(), {
    signal: new AbortController().signal,
  });
  const pieces = audio[Symbol.asyncIterator]();
  await pieces.next();
  const next = expect(pieces.next()).rejects.toMatchObject({ reason: 'unavailable' });
  clock.advance(4_999);
  clock.advance(1);
  await next;
});

it('who gives up gets his own reason, and the connection is gone', async () => {
  const gone = Promise.withResolvers<void>();
  service.answer = (response) => {
    response.writeHead(200, MPEG);
    response.write(SOUND.subarray(0, 1_000));
    response.on('close', () => gone.resolve());
  };
  const controller = new AbortController();
  const { audio } = await open().synthesize(request(), controller);
  const pieces = audio[Symbol.asyncIterator]();
  await pieces.next();
  const reason = new Error('hung up');
  const next = expect(pieces.next()).rejects.toBe(reason);
  controller.abort(reason);
  await next;
  await gone.promise;
  await expect(speak(open(), {}, AbortSignal.abort(reason))).rejects.toBe(reason);
});

it('who stops listening ends the connection', async () => {
  const gone = Promise.withResolvers<void>();
  service.answer = (response) => {
    response.writeHead(200, MPEG);
    response.write(SOUND);
    response.on('close', () => gone.resolve());
  };
  const { audio } = await open().synthesize(request(), { signal: new AbortController().signal });
  for await (const piece of audio) {
    expect(piece.byteLength).toBeGreaterThan(0);
    break;
  }
  await gone.promise;
});

it('a redirect is not followed: the key goes to nobody else', async () => {
  service.answer = (response, { url }) => {
    response.writeHead(url === '/elsewhere' ? 200 : 307, {
      location: `${service.baseUrl}/elsewhere`,
      ...MPEG,
    });
    response.end(SOUND);
  };
  await expect(speak(open())).rejects.toMatchObject({ reason: 'unavailable' });
  expect(service.heard).toHaveLength(1);
});

it('a service that is not there is unavailable, and a provider that was closed is, too', async () => {
  const nobody = elevenLabs({
    apiKey: 'sk_test',
    baseUrl: 'http://127.0.0.1:1',
    clock: new HeldClock(),
  });
  await expect(speak(nobody)).rejects.toMatchObject({ reason: 'unavailable' });
  await nobody.close?.();
  await expect(speak(nobody)).rejects.toMatchObject({ reason: 'unavailable' });
  const asked = Promise.withResolvers<void>();
  service.answer = () => asked.resolve();
  const provider = open();
  const speaking = expect(speak(provider)).rejects.toMatchObject({
    message: 'the provider was closed',
  });
  await asked.promise;
  await provider.close?.();
  await speaking;
});

it('a key, an address or a time that can not be is no option', () => {
  for (const apiKey of ['', 'two words', 'line\nbreak']) {
    expect(() => elevenLabs({ apiKey })).toThrow('apiKey');
  }
  expect(() => elevenLabs({ apiKey: 'k', baseUrl: 'file:///etc' })).toThrow('baseUrl');
  expect(() => elevenLabs({ apiKey: 'k', baseUrl: 'nowhere' })).toThrow('baseUrl');
  expect(() => elevenLabs({ apiKey: 'k', silenceMs: 0 })).toThrow('silenceMs');
});
