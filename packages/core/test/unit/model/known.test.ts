import { expect, it } from 'vitest';
import { address } from '../../../src/model/key.ts';
import { unite, uniteNewest } from '../../../src/model/known.ts';

const at = address('turns', 'call');
const log = (erasedTo: number, ...items: readonly (readonly [id: string, version: number])[]) => ({
  kind: 'log' as const,
  address: at,
  items: items.map(([id, version]) => ({
    id,
    version,
    payload: { codec: 'json' as const, bytes: new Uint8Array([version]) },
  })),
  erasedTo,
  scope: undefined,
});

it('of two logs that have an item the first says under which version, and with which words', () => {
  expect(unite(log(0, ['a', 1]), log(0, ['a', 3], ['b', 2]))).toEqual(log(0, ['a', 1], ['b', 2]));
});

it('an item that is deleted does not hide the one that was said again under its id', () => {
  expect(unite(log(0, ['a', 1], ['b', 2]), log(5, ['a', 6]))).toEqual(log(5, ['a', 6]));
  expect(unite(log(5, ['a', 6]), log(0, ['a', 1]))).toEqual(log(5, ['a', 6]));
});

it('of an item that is flushed what was said last counts, whoever holds it', () => {
  expect(uniteNewest(log(0, ['a', 1], ['b', 4]), log(0, ['a', 5], ['b', 2]))).toEqual(
    log(0, ['b', 4], ['a', 5]),
  );
  expect(uniteNewest(undefined, log(3, ['a', 5]))).toEqual(log(3, ['a', 5]));
});
