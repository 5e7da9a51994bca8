/** Popularity without servers, and with a clock that is held. */

import { systemClock } from '@cache/core';
import { expect, test } from 'vitest';
import { isHearing, Popularity, type Segment } from '../src/popularity.ts';

function counted(threshold: number) {
  let now = 0;
  const made: number[] = [];
  const popularity = new Popularity({
    clock: { ...systemClock, monotonic: () => now },
    threshold,
    make: async ({ segment }: Segment) => {
      made.push(segment);
      if (segment > 5) throw new Error('there is no such segment');
    },
  });
  const hear = (segment: number) => popularity.heard({ book: 'b', voice: 'v', segment });
  const pass = (ms: number) => {
    now += ms;
  };
  return { popularity, made, hear, pass };
}

test('a hearing counts half as much an hour later', () => {
  const { popularity, hear, pass } = counted(100);
  hear(1);
  hear(1);
  pass(3_600_000);
  expect(popularity.scoreOf('b')).toBeCloseTo(1);
  pass(7_200_000);
  expect(popularity.scoreOf('b')).toBeCloseTo(0.25);
  expect(popularity.scoreOf('other')).toBe(0);
});

test('hearings that are spread over days make no book popular', async () => {
  const { popularity, made, hear, pass } = counted(3);
  for (let day = 0; day < 10; day += 1) {
    hear(1);
    pass(86_400_000);
  }
  await popularity.idle();
  expect(made).toEqual([]);
});

test('the next three are made, each once while it waits, and one that fails stops no other', async () => {
  const { popularity, made, hear } = counted(1);
  hear(4);
  await popularity.idle();
  expect(made).toEqual([5, 6, 7]);
});

test('what is closed makes nothing more', async () => {
  const { popularity, made, hear } = counted(1);
  hear(1);
  await popularity.close();
  expect(made.length).toBeLessThan(3);
});

const ranges: readonly (readonly [string, boolean])[] = [
  ['bytes 0-0/44144', false],
  ['bytes 0-1/44144', false],
  ['bytes 0-1/2', true],
  ['bytes 0-2/44144', true],
  ['bytes 0-44143/44144', true],
  ['bytes 0-99/*', true],
  ['bytes 1-99/44144', false],
];
test.each(ranges)('of an answer with %s it is %s that somebody hears it', (range, isHeard) => {
  const answer = new Response(null, { status: 206, headers: { 'content-range': range } });
  expect(isHearing(new Request('http://localhost/'), answer)).toBe(isHeard);
});
