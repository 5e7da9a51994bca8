import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareText } from '../../../../src/model/entry.ts';
import { batchesOf, MAX_BYTES } from '../../../../src/tiers/supabase/batches.ts';
import { afterPrefix } from '../../../../src/tiers/supabase/rows.ts';

/** Text over the places where UTF-8 and UTF-16 sort differently. */
const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: fc.constantFrom('a', 'b', '\ud7ff', '\ue000', '\uffff', '😀', '\u{10ffff}') }),
);

describe('the order of text', () => {
  it('is that of UTF-8 bytes, as the database has it', () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        const expected = Buffer.compare(Buffer.from(a), Buffer.from(b));
        expect(Math.sign(compareText(a, b))).toBe(expected);
      }),
    );
  });
});

describe('the end of a prefix', () => {
  it('is above everything that begins with it and not above anything else behind it', () => {
    fc.assert(
      fc.property(text, text, fc.boolean(), (prefix, other, extend) => {
        const key = extend ? prefix + other : other;
        const end = afterPrefix(prefix);
        const inside = compareText(key, prefix) >= 0 && (end === null || compareText(key, end) < 0);
        expect(inside).toBe(key.startsWith(prefix));
      }),
    );
  });

  it('is none where nothing can be above it', () => {
    expect(afterPrefix('')).toBeNull();
    expect(afterPrefix('\u{10ffff}\u{10ffff}')).toBeNull();
    expect(afterPrefix('a\u{10ffff}')).toBe('b');
  });
});

describe('batches', () => {
  it('keep the order, hold at most so many rows and bytes, and are never empty', () => {
    const sizes = fc.array(fc.nat({ max: MAX_BYTES + 10 }), { maxLength: 50 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 8 }), (rows, most) => {
        const batches = batchesOf(rows, most, (size) => size);
        expect(batches.flat()).toEqual(rows);
        for (const batch of batches) {
          const bytes = batch.reduce((sum, size) => sum + size, 0);
          expect(batch.length).toBeGreaterThan(0);
          expect(batch.length).toBeLessThanOrEqual(most);
          expect(batch.length === 1 || bytes <= MAX_BYTES).toBe(true);
        }
      }),
    );
  });
});
