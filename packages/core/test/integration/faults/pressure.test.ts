/**
 * Every bound of the write path and of reads of L3, reached: what the caller sees, that nothing is
 * lost, and that the metric and the event name the bound.
 */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { OverloadedError } from '../../../src/index.ts';
import { errorOf, eventually, type Instance, Stage, turn, until } from '../support.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterEach(async () => {
  await stage.revive();
  await stage.closeInstances();
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
});

/** How often the metric says that a bound was reached. */
async function reached(one: Instance, bound: string): Promise<number> {
  const metric = one.cache.registry.getSingleMetric('cache_overloaded_total');
  const { values } = (await metric?.get()) ?? { values: [] };
  return values.find(({ labels }) => labels.bound === bound)?.value ?? 0;
}

async function told(one: Instance, bound: string, limit: number): Promise<void> {
  expect(await reached(one, bound)).toBeGreaterThan(0);
  const events = one.eventsOf('overloaded');
  expect(events).toContainEqual({ type: 'overloaded', bound, limit });
  expect(new Set(events.map((event) => event.bound))).toEqual(new Set([bound]));
}

const keysOf = (count: number): readonly string[] =>
  Array.from({ length: count }, () => stage.key());

/** L3 has all of these. */
async function stored(keys: readonly string[]): Promise<void> {
  for (const [n, key] of keys.entries()) {
    await eventually(async () => expect(await stage.row(key)).toMatchObject({ value: { n } }));
  }
}

it('an outbox drains with the write that makes it half full, and does not wait for the next', async () => {
  const one = await stage.ready({ sync: { interval: '1h', maxPending: 2 } });
  const key = stage.key();
  expect(await one.records.set(key, { n: 1 })).toMatchObject({ held: ['l2'] });
  await eventually(async () => expect(await stage.row(key)).toMatchObject({ value: { n: 1 } }));
});

it('G6: an outbox that is full of keys sends writes through to L3, and rejects them while L3 is away', async () => {
  const maxPending = 10;
  const way = await stage.proxyToSupabase();
  const one = await stage.ready({
    l3: { url: way.url },
    sync: { interval: '1h', maxPending },
  });
  way.cut();
  const keys = keysOf(20);
  const outcomes = await Promise.all(
    keys.map((key, n) => one.records.set(key, { n }).catch((error: unknown) => error)),
  );
  const held = outcomes.filter((it) => !(it instanceof Error));
  const rejected = outcomes.filter((it) => it instanceof Error);
  // Writes under way at once may pass the bound by their number, no more.
  expect(held.length).toBeGreaterThanOrEqual(maxPending);
  for (const key of keysOf(3)) {
    const error = await errorOf(one.records.set(key, { n: 0 }));
    expect(error).toBeInstanceOf(OverloadedError);
  }
  for (const error of rejected) expect(error).toBeInstanceOf(OverloadedError);
  await told(one, 'outbox', maxPending);
  way.heal();
  const acknowledged = keys.filter((_, n) => !(outcomes[n] instanceof Error));
  await eventually(async () => {
    for (const key of acknowledged) expect(await stage.row(key)).toBeDefined();
  });
});

it('G6: an outbox that is full of bytes does the same, and says that it is the bytes', async () => {
  const maxBytes = 100_000;
  const way = await stage.proxyToSupabase();
  const one = await stage.ready({
    l3: { url: way.url },
    sync: { interval: '1h', maxBytes },
  });
  const records = one.cache.records<string>('texts');
  way.cut();
  const [first, second, third] = keysOf(3);
  if (first === undefined || second === undefined || third === undefined) throw new Error('three');
  await records.set(first, 'x'.repeat(60_000));
  await records.set(second, 'x'.repeat(60_000));
  expect(await errorOf(records.set(third, 'x'))).toBeInstanceOf(OverloadedError);
  await told(one, 'outbox-bytes', maxBytes);
  expect(one.cache.stats().sync.pending).toBe(2);
  way.heal();
  // L2 has confirmed it too, so that the outbox has let go of it.
  await one.cache.sync();
  expect((await records.set(third, 'x')).held).toEqual(['l2']);
  expect(await stage.row(second, 'texts')).toMatchObject({ value: 'x'.repeat(60_000) });
});

it('G3: at the bound of keys a newer write of a key that waits already goes to L2, for everybody to see', async () => {
  const way = await stage.proxyToSupabase();
  const one = await stage.ready({ l3: { url: way.url }, sync: { interval: '1h', maxPending: 2 } });
  const other = await stage.ready();
  way.cut();
  const [key, call] = [stage.key(), stage.key('call')];
  await one.records.set(key, { n: 1 });
  await one.logs.create(call, turn('a'));
  expect(await one.records.set(key, { n: 2 })).toMatchObject({ held: ['l2'] });
  expect(await other.records.get(key)).toEqual({ n: 2 });
  // An item more is something more to hold; nothing of a log is less.
  const more = await errorOf(one.logs.append(call, turn('b')));
  expect(more).toBeInstanceOf(OverloadedError);
  expect(await one.logs.delete(call)).toMatchObject({ held: ['l2'] });
  expect(await one.records.delete(key)).toMatchObject({ held: ['l2'] });
  expect(await errorOf(one.records.set(stage.key(), { n: 3 }))).toBeInstanceOf(OverloadedError);
  way.heal();
  await eventually(async () => expect(await stage.row(key)).toMatchObject({ deleted: true }));
});

it('G6: at the bound of bytes a newer write of a key that waits already goes to L2 where it is no larger', async () => {
  const way = await stage.proxyToSupabase();
  const one = await stage.ready({
    l3: { url: way.url },
    sync: { interval: '1h', maxPending: 2, maxBytes: 100_000 },
  });
  const records = one.cache.records<string>('texts');
  way.cut();
  const [first, second] = [stage.key(), stage.key()];
  await records.set(first, 'x'.repeat(60_000));
  await records.set(second, 'x'.repeat(60_000));
  const larger = await errorOf(records.set(first, 'x'.repeat(60_001)));
  expect(larger, 'at both bounds').toBeInstanceOf(OverloadedError);
  expect(await records.set(first, 'y'.repeat(60_000))).toMatchObject({ held: ['l2'] });
  way.heal();
  await eventually(async () => {
    expect(await stage.row(first, 'texts')).toMatchObject({ value: 'y'.repeat(60_000) });
  });
});

it('G6: with L3 there, a full outbox loses nothing: every write goes through, and is read again', async () => {
  const one = await stage.ready({ sync: { interval: '1h', maxPending: 1, batchSize: 1 } });
  const keys = keysOf(20);
  const receipts = [];
  for (const [n, key] of keys.entries()) receipts.push(await one.records.set(key, { n }));
  for (const [n, key] of keys.entries()) expect(await one.records.get(key)).toEqual({ n });
  expect(receipts.flatMap(({ held }) => held)).toContain('l3');
  await one.cache.sync();
  await stored(keys);
});

it('G6: writes that wait for L3 are bounded: those beyond are rejected at once, the others are stored', async () => {
  const queue = 5;
  const one = await stage.ready({
    l2: false,
    l3: { timeout: 10_000 },
    bulkhead: { queue },
    sync: { concurrency: 1 },
  });
  stage.stack.supabase.freeze();
  const keys = keysOf(20);
  const outcomes = keys.map((key, n) =>
    one.records.set(key, { n }).then(
      () => ({ key, n }),
      (error: unknown) => error,
    ),
  );
  const overloaded = await Promise.all(outcomes.slice(queue + 1));
  for (const error of overloaded) {
    expect(error).toBeInstanceOf(OverloadedError);
    expect(error).toMatchObject({ outcome: 'none' });
  }
  await told(one, 'through', queue);
  stage.stack.supabase.thaw();
  const held = await Promise.all(outcomes.slice(0, queue + 1));
  expect(held).toEqual(keys.slice(0, queue + 1).map((key, n) => ({ key, n })));
  await stored(keys.slice(0, queue + 1));
  for (const key of keys.slice(queue + 1)) expect(await stage.row(key)).toBeUndefined();
});

it('G6: writes that wait for L3 are bounded by their bytes too', async () => {
  const one = await stage.ready({
    l2: false,
    l3: { timeout: 10_000 },
    sync: { concurrency: 1, maxBytes: 100_000 },
  });
  const records = one.cache.records<string>('texts');
  stage.stack.supabase.freeze();
  const outcomes = keysOf(4).map((key) =>
    records.set(key, 'x'.repeat(90_000)).then(
      () => 'held',
      (error: unknown) => error,
    ),
  );
  expect(await outcomes[3]).toBeInstanceOf(OverloadedError);
  expect(await reached(one, 'through')).toBe(1);
  stage.stack.supabase.thaw();
  expect(await Promise.all(outcomes.slice(0, 3))).toEqual(['held', 'held', 'held']);
});

/** What a writer asks L3 before he writes, and his swaps: 20 at once, where one leaves and five may wait. */
const CROWDS = {
  'updates that read L3': {
    warm: false,
    write: ({ records }: Instance, key: string) =>
      records.update(key, (current) => ({ n: (current?.n ?? 0) + 1 })),
  },
  'updates of what Redis holds': {
    warm: true,
    write: ({ records }: Instance, key: string) =>
      records.update(key, (current) => ({ n: (current?.n ?? 0) + 1 })),
  },
  'creates of records': {
    warm: false,
    write: ({ records }: Instance, key: string) => records.create(key, { n: 1 }),
  },
  'creates of logs': {
    warm: false,
    write: ({ logs }: Instance, key: string) => logs.create(key, turn('1')),
  },
  'deletions of logs': {
    warm: false,
    write: ({ logs }: Instance, key: string) => logs.delete(key, { durability: 'through' }),
  },
} as const;

it.each(Object.entries(CROWDS))(
  'G6: %s are bounded: those beyond are rejected at once, and had no effect; the others are stored',
  async (_, { warm, write }) => {
    const queue = 5;
    const one = await stage.ready({
      l2: { timeout: 10_000 },
      l3: { timeout: 10_000 },
      bulkhead: { queue, concurrency: 1 },
      sync: { concurrency: 1, interval: '1h' },
    });
    const keys = keysOf(20);
    if (warm) for (const key of keys) await one.records.set(key, { n: 0 });
    await one.cache.sync();
    stage.stack.supabase.freeze();
    const outcomes = keys.map((key) =>
      write(one, key).then(
        () => 'held',
        (error: unknown) => error,
      ),
    );
    const first = keys.length - queue - 1;
    const turnedAway: unknown[] = [];
    for (const outcome of outcomes) void outcome.then((it) => turnedAway.push(it));
    await until(() => turnedAway.length >= first, 'those beyond the bound are told');
    for (const error of turnedAway) {
      expect(error).toBeInstanceOf(OverloadedError);
      expect(error).toMatchObject({ outcome: 'none' });
    }
    expect(turnedAway).toHaveLength(first);
    await told(one, 'through', queue);
    stage.stack.supabase.thaw();
    const all = await Promise.all(outcomes);
    expect(all.filter((it) => it === 'held')).toHaveLength(queue + 1);
    expect(await one.cache.sync()).toMatchObject({ failed: 0, remaining: 0 });
    for (const [n, key] of keys.entries()) {
      if (all[n] === 'held') continue;
      expect((await stage.row(key))?.value).toEqual(warm ? { n: 0 } : undefined);
      expect(await stage.items(key)).toEqual([]);
    }
  },
);

it('G5, G6: an update that waits for L3 is not sent any more when its time is over', async () => {
  const one = await stage.ready({
    l2: { timeout: 10_000 },
    l3: { timeout: 10_000 },
    bulkhead: { concurrency: 1 },
  });
  const keys = keysOf(5);
  for (const key of keys) await one.records.set(key, { n: 0 });
  await one.cache.sync();
  stage.stack.supabase.freeze();
  const [under = '', last = '', ...late] = keys;
  const write = (key: string, deadline: number) =>
    one.records.update(key, () => ({ n: 1 }), { deadline });
  const sent = write(under, 15_000);
  for (const error of await Promise.all(late.map((key) => errorOf(write(key, 300))))) {
    expect(error).toMatchObject({ code: 'TIMEOUT' });
  }
  const after = write(last, 15_000);
  stage.stack.supabase.thaw();
  await Promise.all([sent, after]);
  for (const key of late) expect(await stage.row(key)).toMatchObject({ value: { n: 0 } });
});

it('G6: reads that wait for L3 are bounded by keys and by readers, and the others are answered', async () => {
  const queue = 3;
  const one = await stage.ready({
    l2: false,
    l1: false,
    l3: { timeout: 10_000 },
    bulkhead: { concurrency: 1, queue },
  });
  const keys = keysOf(6);
  await Promise.all(keys.slice(0, 3).map((key, n) => one.records.set(key, { n })));
  stage.stack.supabase.freeze();
  // One query is under way; what is asked for from now on waits for the next.
  const busy = one.records.get(stage.key());
  await new Promise((resolve) => setImmediate(resolve));
  const ask = (key: string) => one.records.get(key).catch((error: unknown) => error);
  const [first = ''] = keys;
  const answers = keys.map(ask);
  const crowd = Array.from({ length: 40 }, () => ask(first));
  for (const answer of await Promise.all(answers.slice(queue))) {
    expect(answer).toBeInstanceOf(OverloadedError);
  }
  // 3 keys, and ten readers for each: 30 wait, of whom 3 are above.
  const turnedAway = await Promise.all(crowd.slice(27));
  for (const answer of turnedAway) expect(answer).toBeInstanceOf(OverloadedError);
  await told(one, 'bulkhead', queue);
  stage.stack.supabase.thaw();
  await busy;
  expect(await Promise.all(answers.slice(0, queue))).toEqual([{ n: 0 }, { n: 1 }, { n: 2 }]);
  expect(await Promise.all(crowd.slice(0, 27))).toEqual(Array(27).fill({ n: 0 }));
});

it('G5: a write that waits for L3 waits no longer than its deadline', async () => {
  const one = await stage.ready({ l2: false, l3: { timeout: 10_000 } });
  stage.stack.supabase.freeze();
  const start = performance.now();
  const error = await errorOf(one.records.set(stage.key(), { n: 1 }, { deadline: 300 }));
  expect(error).toMatchObject({ code: 'TIMEOUT', outcome: 'unknown' });
  expect(performance.now() - start).toBeLessThan(5000);
});

it('G8: 10,000 keys of one scope are flushed, and erased', async () => {
  const one = await stage.ready({
    l2: { timeout: '30s' },
    l3: { timeout: 30_000 },
    sync: { interval: '1h', batchSize: 500, maxPending: 50_000 },
    deadline: '2m',
  });
  const records = one.cache.records<number>('many', { scope: () => ['tenant', 'large'] });
  const count = 10_000;
  const entries = Array.from({ length: count }, (_, n) => [`many-${n}`, n] as const);
  for (let at = 0; at < count; at += 250) {
    await records.setMany(new Map(entries.slice(at, at + 250)));
  }
  const scope = one.cache.scope('tenant', 'large');
  const flushed = await scope.flush({ deadline: '2m' });
  expect(flushed).toMatchObject({ failed: 0, remaining: 0, unknown: false });
  expect(await records.get('many-9999')).toBe(9999);
  const erased = await scope.erase({ deadline: '2m' });
  expect(erased).toMatchObject({ records: count, unknown: false });
  expect(await records.get('many-9999')).toBeUndefined();
  expect(await scope.entries()).toEqual([]);
  expect(await stage.pending()).toBe(0);
}, 400_000);
