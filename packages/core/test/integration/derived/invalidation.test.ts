/** G3: what one instance sets, deletes or invalidates is gone in the others. Order, not time. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { type Cache, type Derived, memory } from '../../../src/index.ts';
import { errorOf, until } from '../support.ts';
import { Caches, counted, Holder } from './caches.ts';

const LONG = { ttl: '10m', jitter: 0, earlyRefresh: 0 } as const;

let caches: Caches;
beforeAll(async () => {
  caches = await Caches.start();
});
afterEach(async () => {
  await caches.closeAll();
  await caches.server.empty();
});
afterAll(async () => {
  await caches[Symbol.asyncDispose]();
});

/** Four instances that load from one source. */
async function four() {
  const [a, b, c, d] = await caches.many(4);
  if (a === undefined || b === undefined || c === undefined || d === undefined) {
    throw new Error('four caches');
  }
  const source = { value: 0, loads: 0 };
  const open = (cache: Cache) =>
    cache.derived<string, number>('values', {
      ...LONG,
      load: () => {
        source.loads += 1;
        return source.value;
      },
      tags: (key) => ['all', `of ${key}`],
    });
  return { source, all: [a, b, c, d], a, values: [a, b, c, d].map(open) };
}

/** Resolves when `hearer` has heard what `teller` has told so far: messages come in order. */
async function heard(hearer: Cache | undefined, teller: Cache | undefined): Promise<void> {
  if (hearer === undefined || teller === undefined) throw new Error('no cache');
  const [own, others] = [hearer, teller].map((cache) => cache.derived<string, number>('markers'));
  await own?.getOrSet('m', () => 1);
  await until(async () => hasCopy(), 'a copy of the marker');
  await others?.delete('m');
  await until(async () => !(await hasCopy()), 'the marker is gone');

  async function hasCopy(): Promise<boolean> {
    return (await hearer?.inspect('markers', 'm'))?.l1 !== undefined;
  }
}

/** Everything that a reader is given, one read after the other. */
class Reader {
  readonly seen: number[] = [];
  readonly #values: Derived<string, number>;
  #isOver = false;
  readonly #reading: Promise<void>;

  constructor(values: Derived<string, number>) {
    this.#values = values;
    this.#reading = this.#read();
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#reading;
  }

  async #read(): Promise<void> {
    while (!this.#isOver) {
      const value = await this.#values.get('k');
      if (this.seen.at(-1) !== value) this.seen.push(value);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

it('G3: 50 invalidations of a tag are seen by three others, each once and in order, and each is one load in all', async () => {
  const { source, a, values } = await four();
  const [own, ...others] = values;
  const readers = others.map((one) => new Reader(one));
  await until(() => readers.every(({ seen }) => seen.length === 1), 'everybody reads');
  for (let nth = 1; nth <= 50; nth += 1) {
    source.value = nth;
    await a.invalidateTags([nth % 2 === 0 ? 'all' : 'of k']);
    // Whoever invalidated is answered with what is new at once.
    expect(await own?.get('k')).toBe(nth);
    await until(() => readers.every(({ seen }) => seen.at(-1) === nth), `${nth} is seen`);
  }
  await Promise.all(readers.map((reader) => reader.stop()));
  const inOrder = Array.from({ length: 51 }, (_, nth) => nth);
  for (const { seen } of readers) expect(seen).toEqual(inOrder);
  expect(source.loads).toBe(51);
});

it('G3: a set, a delete and a refresh by one instance are seen by three others', async () => {
  const { source, all, values } = await four();
  const [own, ...others] = values;
  const seenBy = async (value: number) => {
    for (const other of others) {
      await until(async () => (await other.get('k')) === value, `${value} is seen`);
    }
  };
  await seenBy(0);
  await own?.set('k', 100);
  expect(await own?.get('k')).toBe(100);
  await seenBy(100);
  expect(source.loads).toBe(1);
  source.value = 1;
  await own?.delete('k');
  await seenBy(1);
  expect(source.loads).toBe(2);
  source.value = 2;
  expect(await own?.refresh('k')).toBe(2);
  await seenBy(2);
  expect(source.loads).toBe(3);
  await all[3]?.forget('values', 'k');
  source.value = 3;
  await seenBy(3);
  expect(source.loads).toBe(4);
});

it('an invalidation leaves what bears other tags alone, and costs no more for 200 entries than for one', async () => {
  const [a, b] = await caches.many(2, { l1: memory({ max: 5000 }), l2: { timeout: '30s' } });
  const loads: string[] = [];
  const open = (cache: Cache | undefined) => {
    if (cache === undefined) throw new Error('no cache');
    return cache.derived<string, string>('values', {
      ...LONG,
      load: (key) => {
        loads.push(key);
        return key;
      },
      tags: (key) => [key.startsWith('red') ? 'red' : 'blue'],
    });
  };
  const [first, second] = [open(a), open(b)];
  const red = Array.from({ length: 200 }, (_, n) => `red ${n}`);
  // Until both have all of it in memory: a load that took too long is not kept.
  await until(async () => {
    const loaded = loads.length;
    for (const one of [first, second]) await one.getMany([...red, 'blue']);
    return loads.length === loaded;
  }, 'nothing is left to be loaded');
  const filled = loads.length;
  const before = await calls();
  await a?.invalidateTags(['red']);
  const after = await calls();
  // Heartbeats may come in between; a script for each entry would be hundreds.
  expect(after - before).toBeLessThan(100);
  await heard(b, a);
  for (const one of [first, second]) expect(await one.get('blue')).toBe('blue');
  expect(loads).toHaveLength(filled);
  await second.getMany(red);
  expect(new Set(loads.slice(filled))).toEqual(new Set(red));

  async function calls(): Promise<number> {
    if (a === undefined) throw new Error('no cache');
    return counted(a, 'cache_bus_messages_total', { direction: 'received' });
  }
});

for (const what of ['invalidation', 'delete', 'set'] as const) {
  it(`G3, G11: ${what} elsewhere during a load: its result is nobody's who asks afterwards, and is stored nowhere`, async () => {
    const [a, b] = await caches.many(2);
    const [old, fresh] = [new Holder<string>(), new Holder<string>()];
    const open = (cache: Cache | undefined, holder: Holder<string>) => {
      if (cache === undefined) throw new Error('no cache');
      return cache.derived<string, string>('values', {
        ...LONG,
        load: holder.load,
        tags: () => ['t'],
      });
    };
    const [here, there] = [open(a, old), open(b, fresh)];
    const asked = here.get('k');
    const late = await old.begun(1);
    if (what === 'invalidation') await b?.invalidateTags(['t']);
    else if (what === 'delete') await there.delete('k');
    else await there.set('k', 'new');
    await heard(a, b);
    for (const holder of [old, fresh]) holder.next = 'new';
    late.answer('old');
    // Who asked before it all may be given what was then.
    expect(['old', 'new']).toContain(await asked);
    expect(await Promise.all([here.get('k'), there.get('k')])).toEqual(['new', 'new']);
    expect(await b?.inspect('values', 'k', { value: true })).toMatchObject({
      l2: { value: 'new' },
    });
    expect([await here.get('k'), await there.get('k')]).toEqual(['new', 'new']);
  });
}

it('G3: while nobody could tell of an invalidation L1 is not served: L2 is asked, or the value loaded', async () => {
  const [a, b] = await caches.many(2, { l2: { timeout: 500 } });
  let value = 1;
  const open = (cache: Cache | undefined) => {
    if (cache === undefined) throw new Error('no cache');
    return cache.derived<string, number>('values', { ...LONG, load: () => value });
  };
  const [here, there] = [open(a), open(b)];
  expect([await here.get('k'), await there.get('k')]).toEqual([1, 1]);
  await caches.server.kill();
  value = 2;
  await until(async () => (await there.get('k')) === 2, 'it is loaded');
  const error = await errorOf(here.set('k', 3));
  expect(error).toMatchObject({ code: 'UNAVAILABLE' });
  expect(await errorOf(a?.invalidateTags(['t']) ?? Promise.resolve())).toMatchObject({
    code: 'UNAVAILABLE',
    outcome: 'unknown',
  });
  expect(await here.get('k')).toBe(2);
  await caches.server.restart();
});
