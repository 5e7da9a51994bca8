import { describe, expect, it } from 'vitest';
import { KeyError } from '../../../src/errors.ts';
import { derivedKeyText } from '../../../src/model/derived-key.ts';

describe('G8: keys that differ never share a text', () => {
  const keys = [
    'a',
    '1',
    1,
    -1,
    0,
    '#1',
    '\\#1',
    '\\\\#1',
    '{}',
    {},
    '{"a":1}',
    { a: 1 },
    { a: '1' },
    { a: [1] },
    { a: { b: 1 } },
    { 'a":1,"b': 1 },
    { a: 1, b: 1 },
    { a: null },
    { a: true },
    { a: 'true' },
  ];

  it('whatever their types', () => {
    const texts = keys.map(derivedKeyText);
    expect(new Set(texts).size).toBe(keys.length);
  });
});

it('the order of members, and members that are undefined, make no difference', () => {
  const text = derivedKeyText({ b: 2, a: { d: [1, { f: 1, e: 2 }], c: null }, x: undefined });
  expect(text).toBe('{"a":{"c":null,"d":[1,{"e":2,"f":1}]},"b":2}');
  expect(derivedKeyText({ a: { c: null, d: [1, { e: 2, f: 1 }] }, b: 2 })).toBe(text);
});

it('minus zero is zero', () => {
  expect(derivedKeyText(-0)).toBe(derivedKeyText(0));
  expect(derivedKeyText({ a: -0 })).toBe(derivedKeyText({ a: 0 }));
});

it.each([
  [null, 'null'],
  [undefined, 'undefined'],
  [true, 'boolean'],
  [[1], 'Array'],
  [new Date(0), 'Date'],
  [new Map(), 'Map'],
  [Number.NaN, 'NaN'],
  [Number.POSITIVE_INFINITY, 'Infinity'],
  [{ a: Number.NaN }, 'NaN'],
  [{ a: new Date(0) }, 'Date'],
  [{ a: 1n }, 'bigint'],
  [{ a: () => 1 }, 'function'],
])('%o is refused, by what it is', (key, name) => {
  expect(() => derivedKeyText(key)).toThrow(KeyError);
  expect(() => derivedKeyText(key)).toThrow(name);
});
