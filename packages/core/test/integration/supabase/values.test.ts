import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { address, type Scope } from '../../../src/model/key.ts';
import { bytes, item, json, type L3, log, startL3, textOf, value } from './l3.ts';

let l3: L3;
beforeAll(async () => {
  l3 = await startL3();
  await l3.tier.connect(16);
}, 60_000);
afterAll(async () => {
  await l3[Symbol.asyncDispose]();
});

const put = (write: ReturnType<typeof value>, rest: { mark?: boolean; absent?: boolean } = {}) =>
  ({ write, mark: false, ...rest }) as const;

describe('what comes back', () => {
  it.each([
    ['the order of keys, spaces and repeated keys', '{"z":1, "a":[ ],"a":2}'],
    ['U+0000 in a string and in a key', '{"a\\u0000b":"\\u0000"}'],
    ['numbers as they were written', '[1e400,0.10000000000000000055,-0,12345678901234567890,1.0]'],
    [
      'text beyond the basic plane, a lone surrogate and a byte order mark',
      '"😀é\u2028\ufeff\\ud800"',
    ],
    ['quotes and backslashes', JSON.stringify({ a: '"\\"', b: `{"nested":"\\"}` })],
    ['500 levels of nesting', `${'['.repeat(500)}${']'.repeat(500)}`],
    ['the value null', 'null'],
    ['an empty string', '""'],
  ])('G10: the JSON text returns byte for byte: %s', async (title, text) => {
    const write = value(`text ${title}`, 10, { payload: json(text) });
    expect(await l3.tier.apply([put(write)])).toEqual([{ status: 'applied' }]);
    const [read] = await l3.tier.read([write.address]);
    expect(textOf(read?.payload)).toBe(text);
    const named = log(`text ${title}`, [item('one', 5, json(text))]);
    await l3.tier.insert([{ write: named, mark: false }]);
    const [found] = await l3.tier.readLogs([named.address]);
    expect(textOf(found?.items[0]?.payload)).toBe(text);
  });

  it('G10: bytes and structured values return byte for byte, an empty one too', async () => {
    const all = bytes(...Array.from({ length: 256 }, (_, byte) => byte));
    const writes = [
      value('all bytes', 1, { payload: all }),
      value('no bytes', 1, { payload: bytes() }),
      value('structured', 1, { payload: { ...all, codec: 'structured' } }),
    ];
    await l3.tier.apply(writes.map((write) => put(write)));
    const read = await l3.tier.read(writes.map((write) => write.address));
    for (const [index, write] of writes.entries()) {
      expect(read[index]?.payload?.codec).toBe(write.payload?.codec);
      expect(
        Buffer.compare(
          read[index]?.payload?.bytes ?? bytes(1).bytes,
          write.payload?.bytes ?? bytes(2).bytes,
        ),
      ).toBe(0);
    }
  });

  it('is the whole write: stamp, life, scope and tags, and a tombstone without payload', async () => {
    const scope: Scope = { kind: 'call', id: 'ä/"\\😀' };
    const intent = 2 ** 53 - 1;
    const write = value('whole "key" \\ ü', 2 ** 53 - 2, {
      intent,
      expiresAt: 2 ** 52,
      scope,
      tags: ['b', 'a,"\\'],
    });
    const tombstone = value('gone', 7, { payload: undefined, scope });
    await l3.tier.apply([put(write), put(tombstone)]);
    const [whole, gone, never] = await l3.tier.read([
      write.address,
      tombstone.address,
      address('values', 'never'),
    ]);
    expect({ ...whole, payload: textOf(whole?.payload) }).toEqual({
      ...write,
      payload: textOf(write.payload),
    });
    expect(gone).toEqual(tombstone);
    expect(never).toBeUndefined();
  });

  it('a team can query a value with plain SQL operators', async () => {
    await l3.tier.apply([put(value('queried', 1, { payload: json('{"caller":{"name":"Ana"}}') }))]);
    const [row] = (await l3.rows('cache_entries', 'key')).filter((it) => it.key === 'queried');
    expect(row?.value).toEqual({ caller: { name: 'Ana' } });
  });
});

describe('the order of writes', () => {
  it('G4: an older write is superseded and told what is there, whichever came first', async () => {
    const [older, newer] = [value('order', 1), value('order', 2)];
    await l3.tier.apply([put(newer)]);
    const [reply] = await l3.tier.apply([put(older)]);
    expect(reply?.status === 'superseded' && textOf(reply.newer.payload)).toBe('{"version":2}');
    expect((await l3.tier.read([older.address]))[0]?.version).toBe(2);
  });

  it('the same write again is applied, and the intent decides between equal versions', async () => {
    const low = value('tie', 5, { intent: 1 });
    const high = value('tie', 5, { intent: 2 });
    const statuses = [];
    for (const write of [low, low, high, low, high]) {
      const [reply] = await l3.tier.apply([put(write)]);
      statuses.push(reply?.status);
    }
    expect(statuses).toEqual(['applied', 'applied', 'applied', 'superseded', 'applied']);
  });

  it('several writes of one key in one batch count in the order given', async () => {
    const replies = await l3.tier.apply([
      put(value('twice', 1)),
      put(value('another', 1)),
      put(value('twice', 3)),
      put(value('twice', 2)),
    ]);
    expect(replies.map((reply) => reply.status)).toEqual([
      'applied',
      'applied',
      'applied',
      'superseded',
    ]);
  });

  it('a value that is past its life is stored as a tombstone', async () => {
    const write = value('late', 4, { expiresAt: l3.clock.now(), tags: ['x'] });
    expect(await l3.tier.apply([put(write)])).toEqual([{ status: 'applied' }]);
    expect(await l3.tier.read([write.address])).toEqual([
      { ...write, payload: undefined, expiresAt: 0, tags: [] },
    ]);
  });

  it('a new key that is asserted exists where a live one is, not where it is deleted or expired', async () => {
    const live = value('asserted', 1);
    const assert = (version: number) =>
      l3.tier.apply([put(value('asserted', version), { absent: true })]);
    await l3.tier.apply([put(live)]);
    expect(await assert(2)).toEqual([{ status: 'exists' }]);
    expect(await assert(1)).toEqual([{ status: 'applied' }]);
    await l3.tier.apply([put(value('asserted', 3, { payload: undefined }))]);
    expect(await assert(4)).toEqual([{ status: 'applied' }]);
    await l3.tier.apply([put(value('asserted', 5, { expiresAt: l3.clock.now() + 1 }))]);
    l3.clock.time += 1;
    expect(await assert(6)).toEqual([{ status: 'applied' }]);
  });
});

describe('compare and set', () => {
  it('G12: of 50 at once on one base exactly one wins, and each of the others is told of it', async () => {
    const base = value('counter', 100);
    await l3.tier.apply([put(base)]);
    const replies = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        l3.tier.compareAndSet(value('counter', 101 + index), base),
      ),
    );
    const won = replies.findIndex((reply) => reply.status === 'applied');
    const rest = replies.filter((_, index) => index !== won);
    expect(rest.map((reply) => reply.status === 'mismatch' && reply.current?.version)).toEqual(
      rest.map(() => 101 + won),
    );
  });

  it('G12: of 50 at once on a key that is not there exactly one wins', async () => {
    const replies = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        l3.tier.compareAndSet(value('first', 101 + index), undefined),
      ),
    );
    expect(replies.filter((reply) => reply.status === 'applied')).toHaveLength(1);
  });

  it('is exact on both parts of the stamp, goes upwards only, and repeats itself', async () => {
    const base = value('exact', 10, { intent: 7 });
    await l3.tier.apply([put(base)]);
    const cas = async (version: number, on: { version: number; intent: number } | undefined) =>
      (await l3.tier.compareAndSet(value('exact', version, { intent: 9 }), on)).status;
    expect(await cas(11, { version: 10, intent: 6 })).toBe('mismatch');
    expect(await cas(11, undefined)).toBe('mismatch');
    expect(await cas(10, base)).toBe('mismatch');
    expect(await cas(11, base)).toBe('applied');
    expect(await cas(11, base)).toBe('applied');
    expect(await l3.tier.compareAndSet(value('nowhere', 5), base)).toEqual({
      status: 'mismatch',
      current: undefined,
    });
  });

  it('leaves a bypass mark that is deleted by its id', async () => {
    const before = await l3.tier.marks(1000);
    await l3.tier.unmark(before.map((mark) => mark.id));
    const write = value('marked', 10);
    await l3.tier.compareAndSet(write, undefined);
    await l3.tier.compareAndSet(value('marked', 11), value('marked', 3));
    const marks = await l3.tier.marks(10);
    expect(marks).toEqual([
      {
        id: marks[0]?.id,
        address: write.address,
        kind: 'value',
        stamp: { version: 10, intent: 1 },
      },
    ]);
    await l3.tier.unmark(marks.map((mark) => mark.id));
    expect(await l3.tier.marks(10)).toEqual([]);
  });
});

describe('many at once', () => {
  it('5,000 values are written and read whole, in the order asked for', async () => {
    const writes = Array.from({ length: 5000 }, (_, index) =>
      value(`many ${index}`, 1, { namespace: 'many' }),
    );
    const replies = await l3.tier.apply(writes.map((write) => put(write)));
    expect(new Set(replies.map((reply) => reply.status))).toEqual(new Set(['applied']));
    const asked = writes.toReversed().map((write) => write.address);
    const read = await l3.tier.read([...asked, address('many', 'none')]);
    expect(read.map((row) => row?.address.key)).toEqual([...asked.map((it) => it.key), undefined]);
    const scanned = await l3.tier.scan({ namespace: 'many', limit: 10_000 });
    expect(scanned.map((row) => row.address.key)).toEqual(asked.map((it) => it.key).sort());
  });

  it('a log of 5,000 items is read whole and in order', async () => {
    const items = Array.from({ length: 5000 }, (_, index) => item(`i${index}`, 10_000 - index));
    const write = log('long', items);
    await l3.tier.insert([{ write, mark: false }]);
    const [found] = await l3.tier.readLogs([write.address]);
    expect(found?.items.map((it) => it.id)).toEqual(items.map((it) => it.id).reverse());
  });

  it('values that are larger together than one answer may be come in several', async () => {
    const large = json(`"${'x'.repeat(900_000)}"`);
    const noise = { codec: 'bytes', bytes: incompressible(700_000) } as const;
    const writes = Array.from({ length: 8 }, (_, index) =>
      value(`large ${index}`, 1, { payload: index % 2 === 0 ? large : noise }),
    );
    await l3.tier.apply(writes.map((write) => put(write)));
    const read = await l3.tier.read(writes.map((write) => write.address));
    expect(read.map((row) => row?.payload?.bytes.length)).toEqual(
      writes.map((write) => write.payload?.bytes.length),
    );
    const scanned = await l3.tier.scan({ namespace: 'values', prefix: 'large ', limit: 7 });
    expect(scanned.map((row) => row.address.key)).toEqual(
      writes.slice(0, 7).map((write) => write.address.key),
    );
  }, 60_000);
});

describe('finding', () => {
  it('scans a prefix, a scope and behind a key, in the order of code points', async () => {
    const keys = ['a', 'ab', 'a\ue000', 'a\uffff', 'a😀', 'a%', 'a_b', 'b', 'a\u{10ffff}z'];
    const scope: Scope = { kind: 'caller', id: 'scanned' };
    await l3.tier.apply(
      keys.map((key) =>
        put(value(key, 1, { namespace: 'scan', scope: key.length > 2 ? scope : undefined })),
      ),
    );
    await l3.tier.apply([put(value('a-gone', 2, { namespace: 'scan', payload: undefined }))]);
    const scan = async (rest: object) =>
      (await l3.tier.scan({ namespace: 'scan', limit: 100, ...rest })).map(
        (row) => row.address.key,
      );
    const ordered = ['a', 'a%', 'a_b', 'ab', 'a\ue000', 'a\uffff', 'a😀', 'a\u{10ffff}z', 'b'];
    expect(await scan({})).toEqual(ordered);
    expect(await scan({ prefix: 'a' })).toEqual(ordered.slice(0, -1));
    expect(await scan({ prefix: 'a', after: 'ab', limit: 2 })).toEqual(['a\ue000', 'a\uffff']);
    expect(await scan({ prefix: 'a\u{10ffff}' })).toEqual(['a\u{10ffff}z']);
    expect(await scan({ scope })).toEqual(['a_b', 'a😀', 'a\u{10ffff}z']);
    expect(await scan({ after: 'b' })).toEqual([]);
  });

  it('finds live records by any of several tags', async () => {
    await l3.tier.apply([
      put(value('t1', 1, { tags: ['red', 'round'] })),
      put(value('t2', 1, { tags: ['blue'] })),
      put(value('t3', 1, { tags: ['red'] })),
      put(value('t3', 2, { payload: undefined, tags: ['red'] })),
    ]);
    const found = await l3.tier.tagged(['red', 'blue', 'unknown']);
    expect(found.map((it) => it.key)).toEqual(['t1', 't2']);
    expect(await l3.tier.tagged([])).toEqual([]);
  });
});

/** What no compression of the database makes smaller. */
function incompressible(length: number): Uint8Array {
  let state = 1;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  });
}
