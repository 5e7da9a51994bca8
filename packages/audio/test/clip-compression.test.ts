/** Source: the hotel agent's audio cache (2025-10-07), its compression. */
import { deflateSync, zstdCompressSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { ClipCompression } from '../src/clip-compression.ts';
import { bodyOf } from './file-store/support.ts';

/** Sixteen bits a sample, a voice's worth of high bytes that repeat. */
function samples(bytes: number): Buffer {
  const pcm = Buffer.alloc(bytes);
  for (let at = 0; at + 1 < bytes; at += 2)
    pcm.writeInt16LE(Math.round(900 * Math.sin(at / 40)), at);
  return pcm;
}

const NOISE = bodyOf('noise', 200_000);

it.each(['pcm', 'wav', 'ulaw'])(
  '%s above 100 KB is compressed, and comes back as it was',
  async (format) => {
    for (const algorithm of ['zlib', 'zstd'] as const) {
      const compression = new ClipCompression({ algorithm });
      const raw = samples(150_000);
      const packed = await compression.pack(raw, format);
      expect(packed).toMatchObject({ encoding: algorithm, rawBytes: 150_000 });
      expect(packed.bytes.byteLength).toBeLessThan(0.77 * 150_000);
      expect(Buffer.compare((await compression.unpack(packed)) ?? Buffer.alloc(0), raw)).toBe(0);
      const counts = compression.counts();
      expect(counts).toMatchObject({
        compressed: 1,
        decompressed: 1,
        corrupt: 0,
        bytesIn: 150_000,
        bytesOut: packed.bytes.byteLength,
      });
      expect(counts.ratioSum).toBeCloseTo(150_000 / packed.bytes.byteLength);
      const [bucket] = counts.ratios.filter(({ clips }) => clips === 1);
      expect(bucket?.upTo).toBeGreaterThanOrEqual(counts.ratioSum);
    }
  },
);

it('the threshold is 100 KB and the level 6, as in the source', async () => {
  const compression = new ClipCompression();
  expect(compression.options).toMatchObject({
    enabled: true,
    algorithm: 'zlib',
    thresholdBytes: 102_400,
    level: 6,
  });
  expect((await compression.pack(samples(102_399), 'pcm')).encoding).toBe('plain');
  const packed = await compression.pack(samples(102_400), 'pcm');
  expect(packed.encoding).toBe('zlib');
  expect(deflateSync(samples(102_400), { level: 6 }).equals(packed.bytes)).toBe(true);
  expect(compression.counts().leftAlone).toMatchObject({ small: 1 });
});

it.each(['mp3', 'opus', 'aac', 'flac'])(
  '%s is stored as it is, however well it would compress',
  async (format) => {
    const compression = new ClipCompression();
    const raw = Buffer.alloc(300_000);
    const packed = await compression.pack(raw, format);
    expect(packed).toEqual({ encoding: 'plain', rawBytes: 300_000, bytes: raw });
    expect(packed.bytes).toBe(raw);
    expect(compression.counts()).toMatchObject({ compressed: 0, leftAlone: { format: 1 } });
  },
);

it('an unknown type is tried in the middle: a beginning that compresses says nothing of the rest', async () => {
  const compression = new ClipCompression();
  const picture = Buffer.concat([Buffer.alloc(60_000), NOISE]);
  expect((await compression.pack(picture, 'mystery')).encoding).toBe('plain');
  expect(compression.counts().leftAlone.probe).toBe(1);
  const inside = Buffer.concat([bodyOf('a', 2_000), samples(200_000), bodyOf('b', 2_000)]);
  expect((await compression.pack(inside, 'mystery')).encoding).toBe('zlib');
});

it('what saves less than a tenth is stored as it is, whatever it is', async () => {
  const compression = new ClipCompression();
  // Nine tenths of it are noise; the middle is not.
  const middling = Buffer.concat([
    NOISE.subarray(0, 95_000),
    Buffer.alloc(17_000),
    NOISE.subarray(95_000, 190_000),
  ]);
  expect((await compression.pack(middling, 'mystery')).encoding).toBe('plain');
  expect((await compression.pack(NOISE, 'pcm')).encoding).toBe('plain');
  expect(compression.counts()).toMatchObject({
    compressed: 0,
    leftAlone: { 'no gain': 2, probe: 0 },
  });
  const eager = new ClipCompression({ minSaving: 0.05 });
  expect((await eager.pack(middling, 'mystery')).encoding).toBe('zlib');
});

it('switched off it packs nothing, and still unpacks', async () => {
  const packed = await new ClipCompression().pack(samples(150_000), 'pcm');
  const off = new ClipCompression({ enabled: false });
  expect((await off.pack(samples(150_000), 'pcm')).encoding).toBe('plain');
  expect(off.counts().leftAlone.off).toBe(1);
  expect((await off.unpack(packed))?.byteLength).toBe(150_000);
});

it('a bomb is not unpacked: nothing gets larger than it says, or than anything may be', async () => {
  const compression = new ClipCompression({ maxRawBytes: 1_000_000 });
  for (const [encoding, bytes] of [
    ['zlib', deflateSync(Buffer.alloc(900_000))],
    ['zstd', zstdCompressSync(Buffer.alloc(900_000))],
  ] as const) {
    expect((await compression.unpack({ encoding, rawBytes: 900_000, bytes }))?.byteLength).toBe(
      900_000,
    );
    for (const rawBytes of [899_999, 900_001, 0, -1, Number.NaN, 2_000_000]) {
      expect(
        await compression.unpack({ encoding, rawBytes, bytes }),
        `${rawBytes}`,
      ).toBeUndefined();
    }
    const large =
      encoding === 'zlib' ? deflateSync(Buffer.alloc(2e6)) : zstdCompressSync(Buffer.alloc(2e6));
    expect(
      await compression.unpack({ encoding, rawBytes: 2_000_000, bytes: large }),
    ).toBeUndefined();
    expect(
      await compression.unpack({ encoding, rawBytes: 10, bytes: Buffer.from('garbage') }),
    ).toBeUndefined();
    expect(
      await compression.unpack({ encoding, rawBytes: 900_000, bytes: bytes.subarray(0, -2) }),
    ).toBeUndefined();
  }
  expect(
    await compression.unpack({ encoding: 'plain', rawBytes: 3, bytes: Buffer.alloc(4) }),
  ).toBeUndefined();
  expect(compression.counts()).toMatchObject({ decompressed: 2, corrupt: 19 });
});

it('options out of range are refused', () => {
  for (const level of [0, 10, 1.5, Number.NaN]) {
    expect(() => new ClipCompression({ level })).toThrow('compression.level');
  }
  expect(() => new ClipCompression({ thresholdBytes: -1 })).toThrow('compression.thresholdBytes');
  expect(() => new ClipCompression({ minSaving: 1 })).toThrow('compression.minSaving');
  expect(() => new ClipCompression({ maxRawBytes: 0 })).toThrow('compression.maxRawBytes');
});
