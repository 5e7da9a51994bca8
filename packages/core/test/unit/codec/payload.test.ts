import * as zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  ASYNC_BYTES,
  type Encoding,
  encodings,
  MAX_PAYLOAD_BYTES,
  MalformedError,
  packPayload,
  unpackPayload,
} from '../../../src/codec/payload.ts';
import { CodecError } from '../../../src/errors.ts';
import type { Payload } from '../../../src/model/entry.ts';

const json = (text: string): Payload => ({ codec: 'json', bytes: Buffer.from(text) });

/** A packed payload whose parts are given, honest or not. */
function forged(encoding: Encoding, rawLength: number, body: Uint8Array): Buffer {
  const prefix = Buffer.from([1, encodings[encoding], 0, 0, 0, 0]);
  prefix.writeUInt32BE(rawLength, 2);
  return Buffer.concat([prefix, body]);
}

const deflate = { zlib: zlib.deflateSync, zstd: zlib.zstdCompressSync };

describe('a packed payload', () => {
  it('keeps codec and bytes', async () => {
    for (const codec of ['json', 'bytes', 'structured'] as const) {
      const bytes = Buffer.from('abc');
      expect(await unpackPayload(await packPayload({ codec, bytes }))).toEqual({ codec, bytes });
    }
  });

  it('is unpacked at once where it is small, and off the event loop where it is large', async () => {
    for (const encoding of ['zlib', 'zstd'] as const) {
      const small = Buffer.alloc(ASYNC_BYTES, 'a');
      const large = Buffer.alloc(ASYNC_BYTES + 1, 'a');
      const now = unpackPayload(forged(encoding, small.length, deflate[encoding](small)));
      const later = unpackPayload(forged(encoding, large.length, deflate[encoding](large)));
      expect(now).not.toBeInstanceOf(Promise);
      expect(later).toBeInstanceOf(Promise);
      expect(Buffer.compare((await now).bytes, small)).toBe(0);
      expect(Buffer.compare((await later).bytes, large)).toBe(0);
    }
  });

  it('holds nothing as well as something', async () => {
    for (const encoding of ['zlib', 'zstd'] as const) {
      const packed = forged(encoding, 0, deflate[encoding](Buffer.alloc(0)));
      expect((await unpackPayload(packed)).bytes).toHaveLength(0);
    }
    expect((await unpackPayload(await packPayload(json('')))).bytes).toHaveLength(0);
  });

  it('is refused where nobody could read it back', () => {
    const bytes = new Uint8Array(MAX_PAYLOAD_BYTES + 1);
    expect(() => packPayload({ codec: 'bytes', bytes })).toThrow(CodecError);
  });
});

describe('G9: a payload that would inflate beyond its bounds', () => {
  for (const encoding of ['zlib', 'zstd'] as const) {
    const zeros = deflate[encoding](Buffer.alloc(32 * 1024 * 1024));

    it(`is refused before a byte is inflated where it says so (${encoding})`, () => {
      const packed = forged(encoding, MAX_PAYLOAD_BYTES + 1, zeros);
      expect(() => unpackPayload(packed)).toThrow(/too large/);
      expect(() => unpackPayload(forged(encoding, 101, zeros), 100)).toThrow(/too large/);
    });

    it(`stops at the length that it claims, small or large (${encoding})`, async () => {
      const stopped = { name: 'MalformedError', cause: { code: 'ERR_BUFFER_TOO_LARGE' } };
      const small = async () => await unpackPayload(forged(encoding, 1000, zeros));
      const large = async () => await unpackPayload(forged(encoding, ASYNC_BYTES + 1, zeros));
      await expect(small()).rejects.toMatchObject(stopped);
      await expect(large()).rejects.toMatchObject(stopped);
    });

    it(`is refused where it holds less than it claims (${encoding})`, async () => {
      const body = deflate[encoding](Buffer.from('abc'));
      expect(() => unpackPayload(forged(encoding, 4, body))).toThrow(/3 bytes instead of 4/);
      await expect(unpackPayload(forged(encoding, ASYNC_BYTES + 1, body))).rejects.toThrow(
        MalformedError,
      );
    });
  }
});
