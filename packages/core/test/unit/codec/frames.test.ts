import { describe, expect, it } from 'vitest';
import {
  decodeFrames,
  encodeFrame,
  encodeFrames,
  packItems,
  splitFrames,
} from '../../../src/codec/frames.ts';
import { encodings } from '../../../src/codec/payload.ts';
import type { LogItem } from '../../../src/model/entry.ts';

const item = (id: string, version: number, text = '1'): LogItem => ({
  id,
  version,
  payload: { codec: 'json', bytes: Buffer.from(text) },
});

describe('the frames of a log', () => {
  it('stand alone: frames joined are the frames of all', async () => {
    const packed = await packItems([item('b', 2), item('a', 1)], false);
    const joined = Buffer.concat(packed.map(encodeFrame));
    expect(joined).toEqual(encodeFrames(packed));
    expect(splitFrames(joined).map(({ id }) => id)).toEqual(['b', 'a']);
  });

  it('are read in the order of version and id', async () => {
    const items = [item('z', 5), item('b', 7), item('a', 7), item('y', 1)];
    const body = encodeFrames(await packItems(items, true));
    const read = await decodeFrames(body, 0);
    expect(read.map(({ id }) => id)).toEqual(['y', 'z', 'a', 'b']);
    expect(read.every(({ synced }) => synced)).toBe(true);
  });

  it('compress each by itself', async () => {
    const compress = (raw: Uint8Array) => ({ encoding: 'plain' as const, bytes: raw });
    const seen: number[] = [];
    const compressor = {
      compress(raw: Uint8Array) {
        seen.push(raw.byteLength);
        return compress(raw);
      },
    };
    await packItems([item('a', 1, '"x"'), item('b', 2, '"long"')], false, compressor);
    expect(seen).toEqual([3, 6]);
  });

  it('G9: are bounded all together', async () => {
    const claim = Buffer.from([1, encodings.zstd, 0, 0, 1, 0]);
    const frames = ['a', 'b', 'c'].map((id, version) => ({
      id,
      version: version + 1,
      synced: false,
      packed: claim,
    }));
    await expect(decodeFrames(encodeFrames(frames), 0, 767)).rejects.toThrow(/768 bytes/);
  });

  it('let other work have a turn in a long log', async () => {
    const items = Array.from({ length: 400 }, (_, i) =>
      item(`i${i}`, i + 1, `"${'x'.repeat(2000)}"`),
    );
    let turns = 0;
    const count = (): void => {
      turns += 1;
      next = setImmediate(count);
    };
    let next = setImmediate(count);
    await packItems(items, false);
    clearImmediate(next);
    expect(turns).toBeGreaterThan(1);
  });
});
