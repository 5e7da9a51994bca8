import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jsonCodec } from '../../../src/codec/json.ts';
import { structuredCodec } from '../../../src/codec/structured.ts';
import { CodecError } from '../../../src/errors.ts';

// Written once and read again, so that it has no -0, which JSON loses and encode refuses.
const jsonValue = fc
  .jsonValue({ maxDepth: 6, stringUnit: 'binary' })
  .map((value): unknown => JSON.parse(JSON.stringify(value)));
const anything = fc.anything({
  withBigInt: true,
  withBoxedValues: true,
  withDate: true,
  withMap: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
  withNullPrototype: true,
});

/** Whether nothing in it can be changed, by walking all of it. */
function isDeeplyFrozen(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return Object.isFrozen(value) && Object.values(value).every(isDeeplyFrozen);
}

describe('G10: the JSON codec', () => {
  it('hands out the same from memory as from bytes: text, order of keys and all', () => {
    fc.assert(
      fc.property(jsonValue, (value) => {
        const { payload, value: held } = jsonCodec.encode(value);
        const decoded = jsonCodec.decode(payload.bytes);
        expect(JSON.stringify(held)).toBe(JSON.stringify(value));
        expect(JSON.stringify(decoded)).toBe(JSON.stringify(value));
        expect(isDeeplyFrozen(held) && isDeeplyFrozen(decoded)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it('either refuses a value with a path, or keeps it', () => {
    fc.assert(
      fc.property(anything, (value) => {
        try {
          const { payload, value: held } = jsonCodec.encode(value);
          expect(jsonCodec.decode(payload.bytes)).toStrictEqual(held);
          expect(held).toEqual(value);
        } catch (error) {
          if (!(error instanceof CodecError)) throw error;
          expect(error.message).toMatch(/^\$.*: .* does not survive JSON$/s);
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('never throws anything but a CodecError on what is stored', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((t) => Buffer.from(t)),
        ),
        (bytes) => {
          try {
            jsonCodec.decode(bytes);
          } catch (error) {
            expect(error).toBeInstanceOf(CodecError);
          }
        },
      ),
    );
  });
});

describe('G10: the structured codec', () => {
  it('either refuses a value with a path, or keeps it', () => {
    fc.assert(
      fc.property(anything, (value) => {
        try {
          const { payload, value: held } = structuredCodec.encode(value);
          expect(structuredCodec.decode(payload.bytes)).toStrictEqual(held);
          expect(structuredCodec.lend(held)).toEqual(value);
        } catch (error) {
          if (!(error instanceof CodecError)) throw error;
          expect(error.message).toMatch(/^\$.*: .* does not survive structured serialisation$/s);
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('never throws anything but a CodecError on what is stored, with bits flipped', () => {
    fc.assert(
      fc.property(anything, fc.array(fc.nat(), { maxLength: 4 }), (value, bits) => {
        try {
          const bytes = Buffer.from(structuredCodec.encode(value).payload.bytes);
          for (const bit of bits) {
            const at = (bit >> 3) % bytes.length;
            bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
          }
          structuredCodec.decode(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(CodecError);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
