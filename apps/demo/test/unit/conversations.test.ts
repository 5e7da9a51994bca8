import { describe, expect, test } from 'vitest';
import { NotANumberError, patched } from '../../src/conversations.ts';

const base = {
  caller: null,
  metadata: { a: 1, b: { c: 1, d: [1] } },
  state: 'active',
  createdAt: '2026-01-01T00:00:00.000Z',
};

describe('a patch', () => {
  test('leaves what it does not name', () => {
    expect(patched(base, {})).toEqual(base);
    expect(patched(base, { state: 'ended' })).toEqual({ ...base, state: 'ended' });
  });

  test('merges objects member by member, replaces everything else, and removes by null', () => {
    const metadata = { a: null, b: { c: { e: null, f: 1 }, d: [2] }, g: { h: null } };
    expect(patched(base, { metadata }).metadata).toEqual({
      b: { c: { f: 1 }, d: [2] },
      g: {},
    });
  });

  test('does not change what it is applied to', () => {
    const frozen = Object.freeze({ ...base, metadata: Object.freeze({ n: 1 }) });
    expect(patched(frozen, { increment: { n: 1 } }).metadata).toEqual({ n: 2 });
    expect(frozen.metadata).toEqual({ n: 1 });
  });

  test('counts from nothing, and after the merge', () => {
    const patch = { metadata: { n: 5 }, increment: { n: 2, m: -1 } };
    expect(patched({ ...base, metadata: {} }, patch).metadata).toEqual({ n: 7, m: -1 });
  });

  test('refuses to count what is not a number', () => {
    expect(() => patched(base, { increment: { b: 1 } })).toThrow(NotANumberError);
  });

  test('G8: a member called __proto__ is one like any other', () => {
    const metadata: unknown = JSON.parse('{"__proto__":{"admin":true}}');
    const result = patched(base, { metadata: Object(metadata) }).metadata;
    expect(Object.hasOwn(result, '__proto__')).toBe(true);
    expect(Reflect.get({}, 'admin')).toBeUndefined();
    expect(Object.getPrototypeOf(result)).toBe(Object.prototype);
  });
});
