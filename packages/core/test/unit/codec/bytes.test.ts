import { describe, expect, it } from 'vitest';
import { bytesCodec } from '../../../src/codec/bytes.ts';
import { CodecError } from '../../../src/errors.ts';

describe('bytes', () => {
  it('come back as they went in, as a plain Uint8Array, from memory as from their bytes', () => {
    const { payload, value: held } = bytesCodec.encode(Buffer.from('wav\0'));
    for (const value of [bytesCodec.lend(held), bytesCodec.decode(payload.bytes)]) {
      expect(value).toStrictEqual(Uint8Array.of(119, 97, 118, 0));
    }
  });

  it('G10: are copied in and copied out, so nobody can change the cached ones', () => {
    const mine = Uint8Array.of(1, 2, 3);
    const { payload, value: held } = bytesCodec.encode(mine);
    mine.fill(9);
    bytesCodec.lend(held).fill(8);
    bytesCodec.decode(payload.bytes).fill(7);
    expect(bytesCodec.lend(held)).toEqual(Uint8Array.of(1, 2, 3));
    expect(bytesCodec.decode(payload.bytes)).toEqual(Uint8Array.of(1, 2, 3));
  });

  it('G9: show nothing of the memory around the view that was stored', () => {
    const pool = Uint8Array.from({ length: 100 }, (_, i) => i);
    const { value: held } = bytesCodec.encode(pool.subarray(10, 12));
    expect(bytesCodec.lend(held).buffer.byteLength).toBe(2);
    expect(bytesCodec.decode(pool.subarray(10, 12)).buffer.byteLength).toBe(2);
  });

  it('are nothing else', () => {
    for (const value of ['text', [1, 2], new ArrayBuffer(2), new Uint16Array(2), null, undefined]) {
      expect(() => bytesCodec.encode(value)).toThrow(CodecError);
    }
  });
});
