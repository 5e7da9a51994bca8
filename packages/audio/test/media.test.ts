import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Codec } from '../src/formats.ts';
import { beginsLike, durationMs, parseWav, problemOf, sniff } from '../src/media.ts';
import { mp3, wav } from './sounds.ts';

const CODECS: readonly Codec[] = ['mp3', 'wav', 'pcm', 'ulaw', 'opus', 'aac', 'flac'];
const text = (said: string) => Buffer.from(said);

const PAGES = [
  '<!DOCTYPE html><html><body>502 Bad Gateway</body></html>',
  '\n\n  <html><head>',
  '\ufeff<?xml version="1.0"?><Error/>',
  '{"detail":{"status":"quota_exceeded"}}',
  '{ "error" : "no" }',
  '[{"loc":["body"]}]',
  '{}',
];

it.each(CODECS)(
  'a page or an error in place of %s is found out, and so is nothing at all',
  (codec) => {
    for (const page of PAGES) {
      expect(problemOf(text(page), codec), page).toBe('text');
      expect(beginsLike(text(page), codec), page).toBe(false);
    }
    expect(problemOf(new Uint8Array(), codec)).toBe('empty');
  },
);

it('audio is known by how it begins, and is not taken for another kind', () => {
  const files = {
    wav: wav(1_000),
    mp3: mp3(3),
    opus: Buffer.from('OggS then more'),
    flac: Buffer.from('fLaC then more'),
    aac: Buffer.from([0xff, 0xf1, 0x50, 0x80, 0, 0, 0, 0]),
  };
  for (const [name, bytes] of Object.entries(files)) {
    for (const codec of ['wav', 'mp3', 'opus', 'flac', 'aac'] as const) {
      expect(beginsLike(bytes, codec), `${name} as ${codec}`).toBe(codec === name);
      if (codec !== name) expect(problemOf(bytes, codec)).toBe('other format');
    }
  }
  expect(beginsLike(Buffer.from('ID3\u0004 and the rest', 'latin1'), 'mp3')).toBe(true);
  expect(beginsLike(Buffer.from('\0\0\0\u0020ftypM4A '), 'aac')).toBe(true);
});

it('raw samples may begin with anything that is not text', () => {
  for (const codec of ['pcm', 'ulaw'] as const) {
    for (const bytes of [Buffer.alloc(4), Buffer.from([0x7b, 0x22, 0, 9]), Buffer.from('{{{{')]) {
      expect(problemOf(bytes, codec)).toBeUndefined();
    }
  }
});

it('a WAV that was cut off anywhere is no whole WAV', () => {
  const whole = wav(400);
  expect(problemOf(whole, 'wav')).toBeUndefined();
  for (let length = 1; length < whole.length; length += 1) {
    expect(problemOf(whole.subarray(0, length), 'wav'), `${length}`).toBeDefined();
  }
  expect(problemOf(whole.subarray(0, 100), 'wav')).toBe('truncated');
});

it('a WAV is read through chunks that are not ours, and one of unknown length is whole', () => {
  const plain = wav(800);
  const note = Buffer.concat([Buffer.from('LIST\u0003\0\0\0'), Buffer.from('abc\0')]);
  const noted = Buffer.concat([plain.subarray(0, 36), note, plain.subarray(36)]);
  const expected = {
    channels: 1,
    sampleRate: 22_050,
    bitsPerSample: 16,
    dataBytes: 800,
    encoding: 1,
  };
  expect(parseWav(plain)).toMatchObject({ ...expected, dataAt: 44, isWhole: true });
  expect(parseWav(noted)).toMatchObject({ ...expected, dataAt: 56, isWhole: true });
  for (const unknown of [0, 0xffff_ffff]) {
    const streamed = Buffer.from(plain);
    streamed.writeUInt32LE(unknown, 40);
    expect(parseWav(streamed)).toMatchObject({ dataBytes: 800, isWhole: true });
  }
});

it('how long a clip sounds: samples, WAV and MP3', () => {
  const ms = (bytes: Uint8Array, codec: Codec, sampleRate: number) =>
    durationMs(bytes, { codec, sampleRate });
  expect(ms(Buffer.alloc(32_000), 'pcm', 16_000)).toBe(1_000);
  expect(ms(Buffer.alloc(4_000), 'ulaw', 8_000)).toBe(500);
  expect(ms(wav(44_100), 'wav', 22_050)).toBe(1_000);
  expect(ms(wav(44_100).subarray(0, 44 + 22_050), 'wav', 22_050)).toBe(500);
  // 1,152 samples a frame at 44.1 kHz.
  expect(ms(mp3(100), 'mp3', 44_100)).toBe(Math.round((100 * 1_152_000) / 44_100));
  expect(ms(Buffer.concat([mp3(100), mp3(1).subarray(0, 200)]), 'mp3', 44_100)).toBe(2_612);
  const tagged = Buffer.concat([
    Buffer.from('ID3\u0003\0\0\0\0\u0001\0', 'latin1'),
    Buffer.alloc(128),
    mp3(100),
  ]);
  expect(ms(tagged, 'mp3', 44_100)).toBe(2_612);
  const table = mp3(1);
  table.write('Info', 36, 'latin1');
  expect(ms(Buffer.concat([table, mp3(100)]), 'mp3', 44_100)).toBe(2_612);
  expect(ms(Buffer.concat([mp3(2), Buffer.alloc(50), mp3(2)]), 'mp3', 44_100)).toBeUndefined();
  expect(ms(Buffer.from('OggS'), 'opus', 48_000)).toBeUndefined();
});

it('whatever the bytes are, looking at them does not fail', () => {
  const heads = ['RIFF\0\0\0\0WAVEfmt ', 'ID3', '\u00ff\u00fb', 'OggS', '{', ''].map((head) =>
    Buffer.from(head, 'latin1'),
  );
  fc.assert(
    fc.property(fc.constantFrom(...heads), fc.uint8Array({ maxLength: 300 }), (head, rest) => {
      const bytes = Buffer.concat([head, rest]);
      sniff(bytes);
      for (const codec of CODECS) {
        problemOf(bytes, codec);
        const duration = durationMs(bytes, { codec, sampleRate: 8_000 });
        if (duration !== undefined) expect(duration).toBeGreaterThanOrEqual(0);
      }
    }),
  );
});
