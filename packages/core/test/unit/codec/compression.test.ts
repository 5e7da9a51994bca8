import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  Compression,
  type CompressionSettings,
  type SkipReason,
} from '../../../src/codec/compression.ts';
import { ASYNC_BYTES, packPayload, unpackPayload } from '../../../src/codec/payload.ts';

const settings: CompressionSettings = { algorithm: 'auto', threshold: 1024, minSaving: 0.1 };
const text = (bytes: number): Buffer => Buffer.alloc(bytes, 'hello, a room for two please ');

function compression(over: Partial<CompressionSettings> = {}) {
  const seen: (SkipReason | 'compressed')[] = [];
  const bytes = { in: 0, out: 0 };
  const made = new Compression(
    { ...settings, ...over },
    {
      compressed(bytesIn, bytesOut) {
        seen.push('compressed');
        bytes.in += bytesIn;
        bytes.out += bytesOut;
      },
      skipped: (reason) => seen.push(reason),
    },
  );
  return { made, seen, bytes };
}

describe('compression', () => {
  for (const algorithm of ['auto', 'zstd', 'zlib'] as const) {
    it(`brings back what it packed, small or large (${algorithm})`, async () => {
      const { made, seen, bytes } = compression({ algorithm });
      for (const size of [1024, ASYNC_BYTES, ASYNC_BYTES + 1, 1_000_000]) {
        const packed = await packPayload({ codec: 'bytes', bytes: text(size) }, made.for('a'));
        expect(packed.byteLength).toBeLessThan(size / 2);
        const { bytes: raw } = await unpackPayload(packed);
        expect(Buffer.compare(raw, text(size))).toBe(0);
      }
      expect(seen).toEqual(['compressed', 'compressed', 'compressed', 'compressed']);
      expect(bytes.in).toBe(1024 + 2 * ASYNC_BYTES + 1 + 1_000_000);
      expect(bytes.out).toBeLessThan(bytes.in / 10);
    });
  }

  it('uses zstd by itself, which every supported Node has', async () => {
    const { made } = compression();
    expect(await made.for('a').compress(text(2000))).toMatchObject({ encoding: 'zstd' });
  });

  it('leaves alone what is below the threshold, and everything where it is off', async () => {
    const small = compression();
    await small.made.for('a').compress(text(1023));
    expect(small.seen).toEqual(['small']);
    const off = compression({ algorithm: 'off' });
    await off.made.for('a').compress(text(100_000));
    expect(off.seen).toEqual(['off']);
  });

  it('keeps a result only where it saves enough', async () => {
    // About 30 % can be saved: the last part of it is repeated.
    const mixed = Buffer.concat([randomBytes(7000), Buffer.alloc(3000)]);
    const fine = compression({ minSaving: 0.25 });
    expect(await fine.made.for('a').compress(mixed)).toMatchObject({ encoding: 'zstd' });
    const strict = compression({ minSaving: 0.35 });
    expect(await strict.made.for('a').compress(mixed)).toEqual({ encoding: 'plain', bytes: mixed });
    expect(strict.seen).toEqual(['no gain']);
  });
});

describe('compression learns, per namespace', () => {
  const noise = randomBytes(2000);
  const tries = (seen: readonly string[]): number[] =>
    seen.flatMap((what, i) => (what === 'resting' ? [] : [i]));

  it('to try ever more seldom where it does not pay', async () => {
    const { made, seen } = compression();
    for (let i = 0; i < 1000; i++) await made.for('audio').compress(noise);
    // Eight in a row, then gaps of 16, 32, 64, 128, 256, 256 …
    expect(tries(seen)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 23, 55, 119, 247, 503, 759]);
  });

  it('to come back at the first success', async () => {
    const { made, seen } = compression();
    for (let i = 0; i < 23; i++) await made.for('mixed').compress(noise);
    seen.length = 0;
    for (let i = 0; i < 3; i++) await made.for('mixed').compress(text(2000));
    expect(seen).toEqual(['compressed', 'compressed', 'compressed']);
    seen.length = 0;
    for (let i = 0; i < 24; i++) await made.for('mixed').compress(noise);
    expect(tries(seen)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 23]);
  });

  it('without what one namespace learnt reaching another', async () => {
    const { made, seen } = compression();
    for (let i = 0; i < 9; i++) await made.for('audio').compress(noise);
    seen.length = 0;
    await made.for('calls').compress(text(2000));
    expect(seen).toEqual(['compressed']);
  });

  it('G6: in a bounded memory: namespaces beyond it share one', () => {
    const { made } = compression();
    const made1024 = Array.from({ length: 1024 }, (_, i) => made.for(`n${i}`));
    expect(new Set(made1024).size).toBe(1024);
    expect(made.for('x')).toBe(made.for('y'));
    expect(made.for('n7')).toBe(made1024[7]);
  });
});
