import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../../src/errors.ts';
import { parseDuration } from '../../../src/model/duration.ts';

describe('a duration', () => {
  const good: readonly (readonly [unknown, number])[] = [
    [0, 0],
    [250, 250],
    [0.5, 0.5],
    ['50ms', 50],
    ['10s', 10_000],
    ['1.5s', 1500],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['2d', 172_800_000],
  ];
  for (const [value, ms] of good) {
    it(`of ${JSON.stringify(value)} is ${ms} ms`, () => {
      expect(parseDuration('l1.ttl', value)).toBe(ms);
    });
  }

  const bad: readonly unknown[] = [
    '5',
    '5 m',
    ' 5m',
    '5M',
    '-5m',
    '1e3ms',
    '5min',
    'm',
    '',
    '999999999999999d',
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    null,
    undefined,
    {},
    5n,
  ];
  for (const value of bad) {
    it(`is not ${typeof value === 'string' ? `"${value}"` : String(value)}`, () => {
      expect(() => parseDuration('l1.ttl', value)).toThrow(ConfigError);
    });
  }

  it('that is wrong names the option, what it got and what it takes', () => {
    expect(() => parseDuration('l2.timeout', '50 ms')).toThrow(
      "l2.timeout must be milliseconds or a text like '50ms', '10s', '5m', '1h' or '2d', got \"50 ms\"",
    );
    expect(() => parseDuration('l2.timeout', 'x'.repeat(1000))).toThrow(/^.{0,150}$/);
  });
});
