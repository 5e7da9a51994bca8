import { expect, it } from 'vitest';
import { isDueEarly, jittered, unitInterval } from '../../../src/model/freshness.ts';

it('chance shortens a time to live by up to its part, and never lengthens it', () => {
  expect(jittered(1000, 0.1, 0)).toBe(1000);
  expect(jittered(1000, 0.1, 1)).toBe(900);
  expect(jittered(1000, 0, 1)).toBe(1000);
  expect(jittered(1, 1, 1)).toBe(1);
});

it('a random number is above 0, so that its logarithm is finite, and at most 1', () => {
  expect(unitInterval(0)).toBeGreaterThan(0);
  expect(unitInterval(2 ** 53 - 1)).toBe(1);
});

it('XFetch: the nearer the end and the longer a load, the likelier an early refresh', () => {
  const share = (leftMs: number, loadMs: number, beta: number) => {
    let due = 0;
    const draws = 10_000;
    for (let draw = 1; draw <= draws; draw += 1) {
      if (isDueEarly(leftMs, loadMs, beta, () => draw / draws)) due += 1;
    }
    return due / draws;
  };
  // P(−δβ·ln U ≥ left) = e^(−left/δβ)
  expect(share(100, 100, 1)).toBeCloseTo(Math.exp(-1), 2);
  expect(share(300, 100, 1)).toBeCloseTo(Math.exp(-3), 2);
  expect(share(300, 100, 3)).toBeCloseTo(Math.exp(-1), 2);
  expect(share(0, 100, 1)).toBe(1);
});

it('a β of 0, and what took no time to load, is never refreshed early', () => {
  expect(isDueEarly(0, 100, 0, () => 1e-9)).toBe(false);
  expect(isDueEarly(0, 0, 1, () => 1e-9)).toBe(false);
});

it('far from its end a value draws no random number at all', () => {
  const draw = () => {
    throw new Error('drawn');
  };
  expect(isDueEarly(100_000, 100, 1, draw)).toBe(false);
});
