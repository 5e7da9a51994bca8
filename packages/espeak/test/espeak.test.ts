/** The real program, in its thread. One provider speaks for most of the file: to start one takes a while. */
import { parseWav, type ResolvedRequest } from '@cache/audio';
import { afterAll, expect, it } from 'vitest';
import { type EspeakProvider, espeak } from '../src/index.ts';

const shared = espeak({ renewAfter: 1_000 });
afterAll(() => shared.close());

/** Threads are started and texts spoken one after the other, on machines that others use too. */
const SLOW_MS = 90_000;
const never = new AbortController().signal;

function request(text: string, more: Partial<ResolvedRequest> = {}): ResolvedRequest {
  return {
    tenant: 'hotel',
    provider: 'espeak',
    model: 'formant',
    voice: 'es',
    settings: {},
    dictionaries: [],
    input: { kind: 'text', text },
    format: { codec: 'wav', sampleRate: 22_050 },
    ...more,
  };
}

async function speak(
  provider: EspeakProvider,
  text: string,
  more: Partial<ResolvedRequest> = {},
  signal: AbortSignal = never,
): Promise<Buffer> {
  const { audio } = await provider.synthesize(request(text, more), { signal });
  const pieces: Uint8Array[] = [];
  for await (const piece of audio) pieces.push(piece);
  return Buffer.concat(pieces);
}

it(
  'a sentence becomes a whole WAV of 22 kHz, the same each time',
  async () => {
    const once = await speak(shared, 'Hola, bienvenido al hotel.');
    const wav = parseWav(once);
    expect(wav).toMatchObject({ encoding: 1, channels: 1, sampleRate: 22_050, isWhole: true });
    expect(wav?.dataBytes).toBe(once.byteLength - 44);
    // Between one second and five.
    expect(wav?.dataBytes).toBeGreaterThan(44_100);
    expect(wav?.dataBytes).toBeLessThan(5 * 44_100);
    const again = await speak(shared, 'Hola, bienvenido al hotel.');
    expect(again.byteLength).toBeGreaterThan(44_100);
  },
  SLOW_MS,
);

it(
  'voice, variant, settings and SSML are heard',
  async () => {
    const text = 'Good evening.';
    const said = new Map<string, Buffer>();
    const ways: Readonly<Record<string, Partial<ResolvedRequest>>> = {
      spanish: {},
      english: { voice: 'en-us' },
      variant: { voice: '+f3', language: 'en-us' },
      fast: { voice: 'en-us', settings: { speed: 2 } },
    };
    for (const [way, more] of Object.entries(ways)) said.set(way, await speak(shared, text, more));
    const lengths = [...said.values()].map(({ byteLength }) => byteLength);
    expect(Math.min(...lengths)).toBeGreaterThan(10_000);
    expect(said.get('fast')?.byteLength).toBeLessThan(0.8 * (said.get('english')?.byteLength ?? 0));
    const short = { input: { kind: 'ssml', ssml: '<speak>Good evening.</speak>' } } as const;
    const long = {
      input: { kind: 'ssml', ssml: '<speak>Good <break time="2s"/>evening.</speak>' },
    } as const;
    const pause =
      (await speak(shared, '', long)).byteLength - (await speak(shared, '', short)).byteLength;
    expect(pause).toBeGreaterThan(44_100);
  },
  SLOW_MS,
);

it(
  'bare samples are the WAV without its header, and are called what they are: little-endian, at its rate',
  async () => {
    const format = { codec: 'pcm', sampleRate: 22_050 } as const;
    const { mediaType, audio } = await shared.synthesize(request('Sí.', { format }), {
      signal: never,
    });
    // audio/L16 would be big-endian: noise, to who believes it.
    expect(mediaType).toBe('audio/x-raw;format=S16LE;rate=22050;channels=1');
    const samples = [];
    for await (const piece of audio) {
      expect(Buffer.from(piece).toString('latin1', 0, 4)).not.toBe('RIFF');
      expect(piece.byteLength % 2).toBe(0);
      samples.push(piece);
    }
    const wav = await speak(shared, 'Sí.');
    expect(Buffer.compare(Buffer.concat(samples), wav.subarray(44))).toBe(0);
  },
  SLOW_MS,
);

it(
  'text is text: nothing in it is an option, a file or a command to the program',
  async () => {
    for (const text of ['-w elsewhere.wav', '--voices']) {
      const wav = parseWav(await speak(shared, text));
      expect(wav?.isWhole, text).toBe(true);
      expect(wav?.dataBytes, text).toBeGreaterThan(20_000);
    }
    const markup = parseWav(await speak(shared, '<break time="9s"/>'));
    expect(markup?.dataBytes).toBeLessThan(9 * 44_100);
  },
  SLOW_MS,
);

const REFUSED: readonly (readonly [string, Partial<ResolvedRequest>])[] = [
  ['an unknown voice', { voice: 'klingon' }],
  ['an unknown language', { voice: 'default', language: 'xx-YY' }],
  ['another format', { format: { codec: 'mp3', sampleRate: 44_100, bitrate: 128 } }],
  ['another sample rate', { format: { codec: 'wav', sampleRate: 8_000 } }],
  ['an unknown setting', { settings: { stability: 0.5 } }],
  ['a setting out of range', { settings: { speed: 9 } }],
  ['a dictionary', { dictionaries: [{ id: 'd', version: '1' }] }],
  ['too much text', { input: { kind: 'text', text: 'a'.repeat(5_001) } }],
  ['a character that ends the text', { input: { kind: 'text', text: 'a\0b' } }],
];

it.each(REFUSED)(
  '%s is refused',
  async (_, more) => {
    await expect(speak(shared, 'hola', more)).rejects.toMatchObject({
      name: 'ProviderError',
      reason: 'refused',
    });
  },
  SLOW_MS,
);

it(
  'who gives up is answered at once, and the next one is spoken for',
  async () => {
    const controller = new AbortController();
    const reason = new Error('hung up');
    const speaking = expect(speak(shared, 'uno', {}, controller.signal)).rejects.toBe(reason);
    const waiting = speak(shared, 'dos');
    controller.abort(reason);
    await speaking;
    expect(parseWav(await waiting)?.isWhole).toBe(true);
    await expect(speak(shared, 'tres', {}, AbortSignal.abort(reason))).rejects.toBe(reason);
  },
  SLOW_MS,
);

it(
  'the thread is renewed, too many texts are refused as busy, and closing ends it all',
  async () => {
    const provider = espeak({ renewAfter: 2, maxQueue: 2 });
    // To list its voices takes two.
    expect((await provider.voices()).languages).toContain('es');
    expect(provider.threads).toBe(1);
    const many = await Promise.allSettled(
      ['a', 'b', 'c', 'd', 'e'].map((text) => speak(provider, text)),
    );
    const outcomes = many.map((one) => (one.status === 'rejected' ? one.reason.reason : 'spoken'));
    // One is spoken, two wait.
    expect(outcomes).toEqual(['spoken', 'spoken', 'spoken', 'busy', 'busy']);
    expect(provider.threads).toBe(3);
    const interrupted = expect(speak(provider, 'hola')).rejects.toMatchObject({
      reason: 'unavailable',
    });
    await provider.voices();
    await provider.close();
    await interrupted;
    await expect(speak(provider, 'hola')).rejects.toMatchObject({ reason: 'unavailable' });
  },
  SLOW_MS,
);

it('options that can not be are refused', () => {
  expect(() => espeak({ renewAfter: 0 })).toThrow('renewAfter');
  expect(() => espeak({ maxQueue: 1.5 })).toThrow('maxQueue');
  expect(() => espeak({ maxMs: -1 })).toThrow('maxMs');
});
