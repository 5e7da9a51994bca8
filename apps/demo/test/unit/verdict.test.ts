import { describe, expect, test } from 'vitest';
import { type Acknowledged, course } from '../../src/tour/speaker.ts';
import { isClean, verdictOf } from '../../src/tour/verdict.ts';

const said = (id: string, held = 'l2'): Acknowledged => ({
  id,
  text: `sentence ${id}`,
  by: 'A',
  held,
  ms: 1,
});
const kept = (id: string, text: string = `sentence ${id}`) =>
  ({ id, role: 'caller', text, at: 1 }) as const;

const whole = {
  acknowledged: [said('1'), said('2')],
  stored: [kept('1'), kept('2')],
  read: ['1', '2'],
  stale: 0,
};

describe('the verdict of a tour', () => {
  test('is clean where everything is there once, in the same order', () => {
    expect(isClean(verdictOf(whole))).toBe(true);
    // What was not acknowledged may be there all the same.
    const more = { ...whole, stored: [...whole.stored, kept('3')], read: ['1', '2', '3'] };
    expect(isClean(verdictOf(more))).toBe(true);
  });

  test.each([
    ['lost', { ...whole, stored: [kept('1')], read: ['1'] }, { lost: 1, found: 1 }],
    [
      'doubled',
      { ...whole, stored: [...whole.stored, kept('9', 'sentence 1')], read: ['1', '2', '9'] },
      { doubled: 1 },
    ],
    ['stale', { ...whole, stale: 1 }, { stale: 1 }],
    ['out of order', { ...whole, read: ['2', '1'] }, { sameOrder: false }],
    ['read elsewhere only', { ...whole, read: ['1', '2', '3'] }, { sameOrder: false }],
  ])('is not where something is %s', (_, input, why) => {
    const verdict = verdictOf(input);
    expect(verdict).toMatchObject(why);
    expect(isClean(verdict)).toBe(false);
  });
});

test('the course of receipts is told in runs', () => {
  const receipts = [said('1'), said('2'), said('3', 'l3'), said('4')];
  expect(course(receipts)).toBe('l2 ×2, l3 ×1, l2 ×1');
});
