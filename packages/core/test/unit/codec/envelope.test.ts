import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import {
  decodeEntry,
  decodeHeader,
  encodeDescription,
  encodeHeader,
  encodeLog,
  encodeValue,
  entryFlags,
  HEADER_BYTES,
} from '../../../src/codec/envelope.ts';
import { packPayload } from '../../../src/codec/payload.ts';
import { CodecError } from '../../../src/errors.ts';
import { CALL, EPOCH, golden, goldenWrite } from './golden-entries.ts';

async function fixture(name: string): Promise<Buffer> {
  return await readFile(new URL(`../../fixtures/envelope/${name}.bin`, import.meta.url));
}

/** The fixture with some bytes replaced. */
async function altered(name: string, at: number, ...bytes: number[]): Promise<Buffer> {
  const copy = Buffer.from(await fixture(name));
  copy.set(bytes, at);
  return copy;
}

describe('the stored entries of format 1', () => {
  for (const { name, encode, entry } of golden) {
    it(`are read as they were when ${name} was kept`, async () => {
      expect(comparable(await decodeEntry(await fixture(name), CALL, EPOCH))).toEqual(
        comparable(entry),
      );
    });
    if (encode !== undefined) {
      it(`are written byte for byte as ${name} was kept`, async () => {
        expect((await encode()).toString('hex')).toBe((await fixture(name)).toString('hex'));
      });
    }
  }

  it('have the frozen prefix at its documented offsets', () => {
    const header = {
      flags: entryFlags.pending | entryFlags.unproven,
      version: 2 ** 53 - 1,
      intent: 2 ** 32,
      epoch: 3,
      expiresAt: 4,
      erasedTo: 5,
    };
    const bytes = encodeHeader(header);
    expect(bytes).toHaveLength(HEADER_BYTES);
    expect(bytes.subarray(0, 4)).toEqual(Buffer.from([0x40, 0x63, 1, 17]));
    expect(bytes.readBigUInt64BE(4)).toBe(2n ** 53n - 1n);
    expect(bytes.readBigUInt64BE(12)).toBe(2n ** 32n);
    expect(bytes.readBigUInt64BE(20)).toBe(3n);
    expect(bytes.readBigUInt64BE(28)).toBe(4n);
    expect(bytes.readBigUInt64BE(36)).toBe(5n);
    expect(decodeHeader(bytes)).toEqual({ format: 1, ...header });
  });

  it('say their prefix in every format, and nothing without the magic', async () => {
    const newer = await altered('value-json', 2, 9);
    expect(decodeHeader(newer)).toMatchObject({ format: 9, epoch: EPOCH });
    expect(decodeHeader(Buffer.alloc(100))).toBeUndefined();
    expect(decodeHeader(newer.subarray(0, HEADER_BYTES - 1))).toBeUndefined();
  });

  it('are read from any view of the memory that they lie in', async () => {
    const bytes = await fixture('value-json');
    const odd = new Uint8Array(bytes.length + 7);
    odd.set(bytes, 5);
    const view = odd.subarray(5, 5 + bytes.length);
    expect(await decodeEntry(view, CALL, EPOCH)).toMatchObject({ kind: 'value', pending: true });
  });
});

describe('G7: what is not an entry of this build', () => {
  const cases: readonly (readonly [string, () => Promise<Uint8Array>, boolean, string])[] = [
    ['a foreign value', async () => Buffer.from('{"id":1}'), false, 'not an entry'],
    ['an empty value', async () => Buffer.alloc(0), false, 'not an entry'],
    ['a newer format, pending', () => altered('value-json', 2, 2), true, 'unknown format 2'],
    ['a newer format, settled', () => altered('value-bytes', 2, 2), false, 'unknown format 2'],
    ['an unknown flag', () => altered('value-json', 3, 1 | 64), true, 'unknown flags 65'],
    ['a number of 2^53', () => altered('value-json', 4, 0, 0x20), true, '2^53'],
    ['a body on a tombstone', () => altered('value-json', 3, 3), true, 'a tombstone has a body'],
    ['an unknown codec', () => altered('value-bytes', 46, 9), false, 'unknown codec 9'],
    ['an unknown encoding', () => altered('value-bytes', 47, 9), false, 'unknown encoding 9'],
    ['a length that lies', () => altered('value-bytes', 51, 5), false, '4 bytes instead of 5'],
    [
      'a frame that is cut',
      async () => (await fixture('log-pending')).subarray(0, -1),
      true,
      'cut',
    ],
    ['an unknown frame flag', () => altered('log-pending', 80, 2), true, 'unknown flags'],
    ['a frame id of broken text', () => altered('log-pending', 66, 0xff), true, 'not UTF-8'],
    ['a description of broken text', () => altered('value-json', 50, 0xff), true, 'not UTF-8'],
    [
      'a description that is no JSON',
      () => altered('value-json', 46, 0x5b),
      true,
      'does not decode',
    ],
  ];
  for (const [what, bytes, pending, reason] of cases) {
    it(`is unreadable and says whether it is pending: ${what}`, async () => {
      expect(await decodeEntry(await bytes(), CALL, EPOCH)).toEqual({
        kind: 'unreadable',
        pending,
        isForeign: what.startsWith('a newer format'),
        reason: expect.stringContaining(reason),
      });
    });
  }

  it('is unreadable at every length that it may have been cut to', async () => {
    for (const name of ['value-json', 'value-zlib', 'value-zstd', 'value-tombstone']) {
      const whole = await fixture(name);
      for (let length = 0; length < whole.length; length++) {
        const entry = await decodeEntry(whole.subarray(0, length), CALL, EPOCH);
        expect(entry, `${name} cut to ${length}`).toMatchObject({
          kind: 'unreadable',
          pending: length > 3,
        });
      }
    }
  });

  it('is unreadable wherever a log is cut, except between two frames', async () => {
    const whole = await fixture('log-pending');
    const between = new Set([64, 114]);
    for (let length = 0; length < whole.length; length++) {
      const entry = await decodeEntry(whole.subarray(0, length), CALL, EPOCH);
      expect(entry.kind, `cut to ${length}`).toBe(between.has(length) ? 'log' : 'unreadable');
    }
  });

  it('is unreadable where the same id has two frames', async () => {
    const packed = await packPayload({ codec: 'json', bytes: Buffer.from('1') });
    const item = { id: 'a', version: 1, packed, synced: false };
    const marks = {
      pending: true,
      unproven: false,
      partial: false,
      erasure: false,
      tombstone: false,
      epoch: 1,
    };
    const bytes = encodeLog({ erasedTo: 0, scope: undefined }, [item, item], marks);
    expect(await decodeEntry(bytes, CALL, 1)).toMatchObject({ kind: 'unreadable', pending: true });
  });
});

describe('a log entry', () => {
  it('leaves out the frames that its deletion covers', async () => {
    const packed = await packPayload({ codec: 'json', bytes: Buffer.from('1') });
    const items = [1, 2, 3].map((version) => ({
      id: `i${version}`,
      version,
      packed,
      synced: true,
    }));
    const bytes = encodeLog({ erasedTo: 2, scope: undefined }, items, {
      pending: false,
      unproven: false,
      partial: false,
      erasure: false,
      tombstone: false,
      epoch: 1,
    });
    const entry = await decodeEntry(bytes, CALL, 1);
    expect(entry).toMatchObject({ kind: 'log', version: 3, erasedTo: 2, items: [{ id: 'i3' }] });
  });
});

describe('writing an entry', () => {
  it('refuses numbers that Redis or L3 could not hold exactly', async () => {
    const packed = await packPayload({ codec: 'json', bytes: Buffer.from('1') });
    const marks = { pending: true, unproven: false, epoch: 1 };
    const write = goldenWrite({ codec: 'json', bytes: Buffer.from('1') });
    for (const version of [2 ** 53, -1, 1.5, Number.NaN]) {
      expect(() => encodeValue({ ...write, version }, packed, marks)).toThrow(RangeError);
    }
  });

  it('refuses a description that its length field can not say', () => {
    const tags = Array.from({ length: 70 }, () => 'x'.repeat(1000));
    expect(() => encodeDescription(undefined, tags)).toThrow(CodecError);
    expect(encodeDescription(undefined, [])).toHaveLength(0);
  });
});

/** Buffers and Uint8Arrays compare by their bytes. */
function comparable(entry: unknown): unknown {
  return JSON.parse(
    JSON.stringify(entry, (_key, value: unknown) =>
      value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
    ).replaceAll(/\{"type":"Buffer","data":(\[[\d,]*\])\}/g, (_all, list: string) =>
      JSON.stringify(Buffer.from(listOf(list)).toString('hex')),
    ),
  );
}

function listOf(text: string): number[] {
  const list: unknown = JSON.parse(text);
  return Array.isArray(list) ? list.map(Number) : [];
}
