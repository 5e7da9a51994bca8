import { expect, test } from 'vitest';
import { figuresOf, Stopwatch } from '../../src/replay/figures.ts';

test('percentiles are values that were measured', () => {
  const ms = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect(figuresOf(ms)).toEqual({ count: 100, p50: 50, p95: 95, p99: 99, max: 100 });
  expect(figuresOf([7])).toEqual({ count: 1, p50: 7, p95: 7, p99: 7, max: 7 });
  expect(figuresOf([])).toEqual({ count: 0, p50: 0, p95: 0, p99: 0, max: 0 });
});

test('operations stay in the order in which they began, their tiers from fast to slow', () => {
  const stopwatch = new Stopwatch();
  stopwatch.add({ operation: 'read', tier: 'l3' }, 3);
  stopwatch.add({ operation: 'turn', tier: 'l2' }, 2);
  stopwatch.add({ operation: 'read', tier: 'l1' }, 1);
  const order = stopwatch.figures().map(({ operation, tier }) => `${operation} ${tier}`);
  expect(order).toEqual(['read l1', 'read l3', 'turn l2']);
});
