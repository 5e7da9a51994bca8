/**
 * Derived values at rest. A fixture is never rewritten: where today's code disagrees with one, the
 * code is wrong.
 */
import { readFile } from 'node:fs/promises';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type DerivedMarks,
  decodeDerived,
  encodeDerived,
  type StoredDerived,
} from '../../../src/codec/derived-entry.ts';
import { packPayload } from '../../../src/codec/payload.ts';
import { CodecError } from '../../../src/errors.ts';
import { address } from '../../../src/model/key.ts';
import type { DerivedEntry } from '../../../src/tiers/derived.ts';

const WEATHER = address('weather', 'Zürich/now');

const full: StoredDerived = {
  entry: {
    address: WEATHER,
    version: 7_350_000_000_000_001,
    intent: 9_007_199_254_740_991,
    payload: { codec: 'json', bytes: Buffer.from('{"b":1,"a":[null,0,false,""]}') },
    loadMs: 41,
    tags: ['crm', 'élan "1"'],
    scope: { kind: 'tenant', id: 'Zürich "1"' },
  },
  epoch: 4_503_599_627_370_497,
  sequence: 1_795_189_485_926_351,
  expiresAt: 1_900_000_000_000,
  freshUntil: 1_899_999_999_999,
};

const bare: StoredDerived = {
  entry: {
    address: WEATHER,
    version: 1,
    intent: 0,
    payload: undefined,
    loadMs: 0,
    tags: [],
    scope: undefined,
  },
  epoch: 1,
  sequence: 0,
  expiresAt: 0,
  freshUntil: 0,
};

async function encode({ entry, ...marks }: StoredDerived): Promise<Buffer> {
  return encodeDerived(entry, entry.payload && (await packPayload(entry.payload)), marks);
}

function fixture(name: string): Promise<Buffer> {
  return readFile(new URL(`../../fixtures/derived/${name}.bin`, import.meta.url));
}

describe('the stored derived values of format 1', () => {
  for (const [name, stored] of [
    ['full', full],
    ['nothing', bare],
  ] as const) {
    it(`are read as they were when ${name} was kept`, async () => {
      expect(await decodeDerived(await fixture(name), WEATHER)).toEqual(stored);
    });
    it(`are written byte for byte as ${name} was kept`, async () => {
      expect((await encode(stored)).toString('hex')).toBe((await fixture(name)).toString('hex'));
    });
  }

  it('have both times where scripts replace them, and say by what they are judged', async () => {
    const bytes = await fixture('full');
    expect(bytes.subarray(0, 4)).toEqual(Buffer.from([0x40, 0x63, 1, 0]));
    expect(bytes.readBigUInt64BE(20)).toBe(4_503_599_627_370_497n);
    expect(bytes.readBigUInt64BE(28)).toBe(1_900_000_000_000n);
    expect(bytes.readBigUInt64BE(36)).toBe(1_899_999_999_999n);
    const length = bytes.readUInt16BE(44);
    expect(JSON.parse(bytes.toString('utf8', 46, 46 + length))).toEqual({
      s: ['tenant', 'Zürich "1"'],
      t: ['crm', 'élan "1"'],
      l: 41,
      q: 1_795_189_485_926_351,
    });
  });

  it('come back as they were, whatever they hold', async () => {
    const number = fc.maxSafeNat();
    const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 });
    const bytes = fc.uint8Array({ maxLength: 200 });
    const stored = fc.record({
      entry: fc.record({
        address: fc.constant(WEATHER),
        version: number,
        intent: number,
        payload: fc.option(
          fc.record({ codec: fc.constantFrom('json', 'bytes', 'structured'), bytes }),
          {
            nil: undefined,
          },
        ),
        loadMs: fc.nat(),
        tags: fc.array(text, { maxLength: 5 }),
        scope: fc.option(fc.record({ kind: fc.constant('call'), id: text }), { nil: undefined }),
      }),
      epoch: number,
      sequence: number,
      expiresAt: number,
      freshUntil: number,
    });
    await fc.assert(
      fc.asyncProperty(stored, async (one) => {
        const back = await decodeDerived(await encode(one), WEATHER);
        expect({ ...back, entry: comparable(back?.entry) }).toEqual({
          ...one,
          entry: comparable(one.entry),
        });
      }),
      { numRuns: 200 },
    );
  });
});

describe('G7: what is not a derived value of this build', () => {
  const altered = async (at: number, ...values: number[]): Promise<Buffer> => {
    const copy = Buffer.from(await fixture('full'));
    copy.set(values, at);
    return copy;
  };
  for (const [what, bytes] of [
    ['another format', () => altered(2, 2)],
    ['a pending entry', () => altered(3, 1)],
    ['a log', () => altered(3, 4)],
    ['a value on "nothing"', () => altered(3, 2)],
    ['a number of 2^53', () => altered(4, 0, 0x20)],
    ['a description of broken text', () => altered(50, 0xff)],
    ['a description that is no JSON', () => altered(46, 0x5b)],
    ['no magic', () => altered(0, 0)],
  ] as const) {
    it(`is none: ${what}`, async () => {
      expect(await decodeDerived(await bytes(), WEATHER)).toBeUndefined();
    });
  }

  it('is none at every length that it may have been cut to', async () => {
    const whole = await fixture('full');
    for (let length = 0; length < whole.length; length++) {
      expect(await decodeDerived(whole.subarray(0, length), WEATHER)).toBeUndefined();
    }
  });
});

describe('writing a derived value', () => {
  const marks: DerivedMarks = { epoch: 1, sequence: 0, expiresAt: 0, freshUntil: 0 };

  it('keeps whole milliseconds of what its load took', async () => {
    const one = { ...bare, entry: { ...bare.entry, loadMs: 12.6 } };
    expect((await decodeDerived(await encode(one), WEATHER))?.entry.loadMs).toBe(13);
  });

  it('leaves room for the sequence that a script adds', () => {
    const entry = (last: number): DerivedEntry => ({
      ...bare.entry,
      tags: [...Array.from({ length: 65 }, () => 'x'.repeat(1000)), 'x'.repeat(last)],
    });
    const size = (last: number): number =>
      encodeDerived(entry(last), undefined, marks).readUInt16BE(44);
    const most = 0xffff - 22 - size(0);
    expect(size(most)).toBe(0xffff - 22);
    expect(() => size(most + 1)).toThrow(CodecError);
  });
});

function comparable(entry: DerivedEntry | undefined): unknown {
  const { payload, ...rest } = entry ?? bare.entry;
  return { ...rest, codec: payload?.codec, bytes: payload && Buffer.from(payload.bytes) };
}
