import { describe, expect, it } from 'vitest';
import { jsonCodec } from '../../../src/codec/json.ts';
import { CodecError } from '../../../src/errors.ts';

function refusalOf(value: unknown): string {
  try {
    jsonCodec.encode(value);
  } catch (error) {
    if (error instanceof CodecError) return error.message;
    throw error;
  }
  throw new Error('the value was not refused');
}

function isDeeplyFrozen(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true;
  return Object.isFrozen(value) && Object.values(value).every(isDeeplyFrozen);
}

class Guest {
  readonly name = 'Ada';
}

const cyclic: { self?: unknown; name: string } = { name: 'a' };
cyclic.self = [cyclic];

const refused: readonly (readonly [string, unknown, string])[] = [
  ['undefined', undefined, '$: undefined'],
  ['undefined in an object', { a: { b: undefined } }, '$.a.b: undefined'],
  ['undefined in an array', { a: [1, undefined] }, '$.a[1]: undefined'],
  ['a function', { say: () => 1 }, '$.say: function'],
  ['a symbol', [Symbol('x')], '$[0]: symbol'],
  ['a bigint', { n: 1n }, '$.n: bigint'],
  ['NaN', { n: Number.NaN }, '$.n: NaN'],
  ['an infinity', [Number.NEGATIVE_INFINITY], '$[0]: -Infinity'],
  ['minus zero', { n: -0 }, '$.n: -0'],
  ['a Date', { caller: { dates: [0, 0, new Date()] } }, '$.caller.dates[2]: Date'],
  ['a Map', { m: new Map() }, '$.m: Map'],
  ['a Set', new Set(), '$: Set'],
  ['a RegExp', { r: /x/ }, '$.r: RegExp'],
  ['an Error', { e: new TypeError('secret') }, '$.e: TypeError'],
  ['bytes', { b: Buffer.from('x') }, '$.b: Buffer'],
  ['a boxed string', [Object('x')], '$[0]: String'],
  ['an instance of a class', { guest: new Guest() }, '$.guest: Guest'],
  ['an instance of a class of arrays', [new (class Turns extends Array {})()], '$[0]: Turns'],
  ['an object that inherits', [Object.create({ a: 1 })], '$[0]: an object of a class'],
  ['a sparse array', { a: Object.assign([], { 0: 1, 2: 3 }) }, '$.a: a sparse array'],
  ['a named property on an array', { m: 'ab'.match(/b/) }, '$.m: an array with named properties'],
  ['a symbol as key', { a: { [Symbol('s')]: 1 } }, '$.a: a key that is a symbol'],
  [
    'a getter',
    {
      get a() {
        return 1;
      },
    },
    '$.a: an accessor',
  ],
  ['a setter', { set a(_value: number) {} }, '$.a: an accessor'],
  ['toJSON', { at: { toJSON: () => 'x' } }, '$.at.toJSON: function'],
  ['a cycle', cyclic, '$.self[0]: a cycle'],
  ['a key that is no name', { 'a b': { '1"': 1n } }, '$["a b"]["1\\""]: bigint'],
];

describe('G10: JSON refuses what would not survive, naming the path', () => {
  for (const [what, value, message] of refused) {
    it(what, () => {
      expect(refusalOf(value)).toContain(message);
    });
  }

  it('what is nested too deep, and takes what is not', () => {
    const nested = (depth: number): unknown => {
      let value: unknown = [];
      for (let i = 1; i < depth; i++) value = { a: value };
      return value;
    };
    expect(jsonCodec.decode(jsonCodec.encode(nested(500)).payload.bytes)).toEqual(nested(500));
    expect(refusalOf(nested(501))).toMatch(/^\$….*: nested deeper than 500$/);
    expect(refusalOf(nested(100_000)).length).toBeLessThan(300);
  });

  it('parts that are shared so often that they would fill the memory', () => {
    let value: unknown = ['x'];
    for (let i = 0; i < 40; i++) value = [value, value];
    expect(refusalOf(value)).toMatch(/more than 1000000 parts/);
    let text: unknown = ['x'.repeat(1024 * 1024)];
    for (let i = 0; i < 20; i++) text = [text, text];
    expect(refusalOf(text)).toMatch(/too much text/);
  });

  it('G9: never says the value in its message', () => {
    expect(refusalOf({ card: [new Error('4111-1111')] })).not.toContain('4111');
  });
});

describe('G10: JSON keeps', () => {
  const kept: readonly unknown[] = [
    null,
    0,
    false,
    '',
    'a\0b',
    '\ud800 and \udc00 alone',
    [],
    {},
    { z: 1, a: 2, 10: 3, '': 4, 'ключ\0': 5 },
    [[[]], { a: [null] }],
    Number.MIN_VALUE,
    2 ** 53,
    JSON.parse('{"__proto__":{"admin":true},"constructor":1,"toString":2}'),
  ];
  for (const value of kept) {
    it(`${JSON.stringify(value)}, from memory as from its bytes`, () => {
      const { payload, value: held } = jsonCodec.encode(value);
      expect(held).toEqual(value);
      expect(JSON.stringify(held)).toBe(JSON.stringify(value));
      const decoded = jsonCodec.decode(payload.bytes);
      expect(decoded).toEqual(held);
      expect(JSON.stringify(decoded)).toBe(JSON.stringify(value));
    });
  }

  it('an own __proto__ as a key, without touching a prototype', () => {
    const { payload, value: held } = jsonCodec.encode(JSON.parse('{"__proto__":{"admin":true}}'));
    for (const value of [held, jsonCodec.decode(payload.bytes)]) {
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
      expect(Object.keys(Object(value))).toEqual(['__proto__']);
    }
    expect(Reflect.get({}, 'admin')).toBeUndefined();
  });

  it('the parts that two places share, once for each', () => {
    const shared = { a: 1 };
    expect(jsonCodec.encode([shared, shared]).value).toEqual([{ a: 1 }, { a: 1 }]);
  });

  it('an object without a prototype, as a plain one', () => {
    const bare: unknown = Object.assign(Object.create(null), { a: 1 });
    expect(jsonCodec.encode(bare).value).toStrictEqual({ a: 1 });
  });
});

describe('G10: one caller can not change what another one sees', () => {
  it('because what is held is deeply frozen and apart from the caller’s object', () => {
    const mine = { list: [{ a: 1 }], name: 'x' };
    const { payload, value: held } = jsonCodec.encode(mine);
    expect(Object.isFrozen(mine) || Object.isFrozen(mine.list[0])).toBe(false);
    expect(isDeeplyFrozen(held)).toBe(true);
    expect(isDeeplyFrozen(jsonCodec.decode(payload.bytes))).toBe(true);
    mine.list.push({ a: 2 });
    mine.name = 'y';
    expect(held).toEqual({ list: [{ a: 1 }], name: 'x' });
    expect(jsonCodec.lend(held)).toBe(held);
  });

  it('because what is stored is written from what is held', () => {
    let reads = 0;
    const shifting = new Proxy(
      { a: 1 },
      {
        getOwnPropertyDescriptor: (target, key) => {
          reads += 1;
          return { ...Reflect.getOwnPropertyDescriptor(target, key), value: reads };
        },
      },
    );
    const { payload, value: held } = jsonCodec.encode(shifting);
    expect(jsonCodec.decode(payload.bytes)).toEqual(held);
  });
});

describe('stored JSON that is broken', () => {
  it('is a CodecError without the text, not a value with marks of replacement', () => {
    const deep = Buffer.from('['.repeat(600) + ']'.repeat(600));
    for (const bytes of [
      Buffer.from('{"secret"'),
      Buffer.of(0x22, 0xff, 0x22),
      Buffer.of(),
      deep,
    ]) {
      expect(() => jsonCodec.decode(bytes)).toThrow(CodecError);
    }
    expect(() => jsonCodec.decode(Buffer.from('{"secret"'))).not.toThrow(/secret/);
  });
});
