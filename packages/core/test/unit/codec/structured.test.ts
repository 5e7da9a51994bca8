import { serialize } from 'node:v8';
import { describe, expect, it } from 'vitest';
import { structuredCodec } from '../../../src/codec/structured.ts';
import { CodecError } from '../../../src/errors.ts';

const cyclic: { name: string; self?: unknown } = { name: 'a' };
cyclic.self = cyclic;

const kept: readonly (readonly [string, unknown])[] = [
  ['null', null],
  ['minus zero, NaN and the infinities', [-0, Number.NaN, Number.POSITIVE_INFINITY]],
  ['a bigint', 2n ** 100n],
  ['undefined inside', { a: undefined, b: [undefined] }],
  ['a Date', new Date(1_900_000_000_000)],
  ['a Date that is none', [new Date(Number.NaN)]],
  ['a Map of Maps', new Map<unknown, unknown>([['a', new Map([[{ k: 1 }, new Set([1, 'x'])]])]])],
  [
    'typed arrays',
    { f: Float64Array.of(1.5, -0), u: Uint8ClampedArray.of(1), b: BigInt64Array.of(1n) },
  ],
  ['an ArrayBuffer and a DataView', [new ArrayBuffer(3), new DataView(new ArrayBuffer(9), 1, 2)]],
  ['texts', ['a\0b', '\ud800', 'naïve 日本']],
  ['a cycle', cyclic],
  ['an own __proto__', JSON.parse('{"__proto__":{"a":1}}')],
];

describe('G10: structured values keep', () => {
  for (const [what, value] of kept) {
    it(`${what}, from memory as from their bytes`, () => {
      const { payload, value: held } = structuredCodec.encode(value);
      expect(structuredCodec.lend(held)).toStrictEqual(value);
      expect(structuredCodec.decode(payload.bytes)).toStrictEqual(value);
    });
  }

  it('what two places share as one', () => {
    const shared = { a: 1 };
    const { payload } = structuredCodec.encode({ x: shared, y: shared });
    const read = structuredCodec.decode(payload.bytes);
    expect(Reflect.get(Object(read), 'x')).toBe(Reflect.get(Object(read), 'y'));
  });

  it('a Buffer as the Uint8Array that it is, with memory of its own', () => {
    const { payload, value: held } = structuredCodec.encode({ b: Buffer.from('ab') });
    for (const value of [held, structuredCodec.decode(payload.bytes)]) {
      const bytes: unknown = Reflect.get(Object(value), 'b');
      expect(bytes).toStrictEqual(Uint8Array.of(97, 98));
      expect(bytes instanceof Uint8Array && bytes.buffer.byteLength).toBe(2);
    }
  });
});

class Guest {}
const named = Object.assign(new Date(), { note: 'x' });

const refused: readonly (readonly [string, unknown, string])[] = [
  ['undefined', undefined, '$: undefined'],
  ['a function', { f: () => 1 }, '$.f: function'],
  ['a symbol', new Map([['k', Symbol('x')]]), '$.k: symbol'],
  ['an instance of a class', new Set([1, new Guest()]), '$[1]: Guest'],
  ['a RegExp', [/x/], '$[0]: RegExp'],
  ['an Error', { e: new Error('x') }, '$.e: Error'],
  ['a Promise', { p: Promise.resolve() }, '$.p: Promise'],
  ['a WeakMap', { w: new WeakMap() }, '$.w: WeakMap'],
  ['memory that threads share', { s: new SharedArrayBuffer(1) }, '$.s: SharedArrayBuffer'],
  ['a subclass of Map', { m: new (class Index extends Map {})() }, '$.m: Index'],
  ['a boxed number', { n: Object(1) }, '$.n: Number'],
  ['a Date with a property', { d: named }, '$.d: Date with named properties'],
  [
    'a getter',
    {
      get a() {
        return 1;
      },
    },
    '$.a: an accessor',
  ],
  ['a symbol as key', { [Symbol('s')]: 1 }, '$: a key that is a symbol'],
  ['a sparse array', Object.assign([], { 0: 1, 2: 3 }), '$: a sparse array'],
];

describe('G10: structured values refuse what would not survive, naming the path', () => {
  for (const [what, value, message] of refused) {
    it(what, () => {
      expect(() => structuredCodec.encode(value)).toThrow(CodecError);
      expect(() => structuredCodec.encode(value)).toThrow(message);
    });
  }

  it('what is nested too deep', () => {
    let value: unknown = [];
    for (let i = 0; i < 500; i++) value = new Map([[1, value]]);
    expect(() => structuredCodec.encode(value)).toThrow(/nested deeper than 500/);
  });
});

describe('G10: one caller can not change what another one sees', () => {
  it('where all can be frozen, because it is', () => {
    const { payload, value: held } = structuredCodec.encode({ a: [{ n: 1n }], u: undefined });
    for (const value of [held, structuredCodec.decode(payload.bytes)]) {
      expect(structuredCodec.lend(value)).toBe(value);
      const list: unknown = Reflect.get(Object(value), 'a');
      expect(Object.isFrozen(value) && Object.isFrozen(list)).toBe(true);
      expect(Array.isArray(list) && Object.isFrozen(list[0])).toBe(true);
    }
  });

  it('where something can not be frozen, because each gets a copy', () => {
    const mine = { at: new Date(5), tags: new Set(['a']), bytes: Uint8Array.of(1) };
    const { payload, value: held } = structuredCodec.encode(mine);
    mine.at.setTime(6);
    for (const value of [held, structuredCodec.decode(payload.bytes)]) {
      const lent = structuredCodec.lend(value);
      expect(lent).not.toBe(value);
      const { at, bytes } = Object(lent);
      if (at instanceof Date) at.setTime(7);
      if (bytes instanceof Uint8Array) bytes.fill(9);
      expect(structuredCodec.lend(value)).toEqual({
        at: new Date(5),
        tags: new Set(['a']),
        bytes: Uint8Array.of(1),
      });
    }
  });

  it('because nothing decoded is a view on the stored bytes', () => {
    const { payload } = structuredCodec.encode({ f: Float64Array.of(1, 2) });
    const before = Buffer.from(payload.bytes);
    const { f } = Object(structuredCodec.decode(payload.bytes));
    if (f instanceof Float64Array) f.fill(7);
    expect(Buffer.compare(payload.bytes, before)).toBe(0);
  });
});

describe('stored structured values that are broken or foreign', () => {
  it('are a CodecError', () => {
    const foreign = [
      Buffer.of(),
      Buffer.from('{"a":1}'),
      serialize(/x/),
      serialize(new Error('x')),
    ];
    for (const bytes of foreign) expect(() => structuredCodec.decode(bytes)).toThrow(CodecError);
  });
});
