import { expect, expectTypeOf, it } from 'vitest';
import { type Duration, parseDuration } from '../../src/model/duration.ts';

it('a duration is a number or a text with its unit, and the compiler knows which', () => {
  expectTypeOf<'50ms'>().toExtend<Duration>();
  expectTypeOf<'1.5h'>().toExtend<Duration>();
  expectTypeOf<number>().toExtend<Duration>();
  expectTypeOf<'5'>().not.toExtend<Duration>();
  expectTypeOf<'5 minutes'>().not.toExtend<Duration>();
  expectTypeOf<string>().not.toExtend<Duration>();
  expect(parseDuration('x', '5m' satisfies Duration)).toBe(300_000);
});
