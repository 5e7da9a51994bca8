/** The journal of a whole cache, on real servers that are away, come back, or disagree. */
import { appendFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import {
  ConfigError,
  ConflictError,
  createCache,
  type JournalOptions,
  OverloadedError,
  supabase,
} from '../../../src/index.ts';
import {
  errorOf,
  eventually,
  type Instance,
  type InstanceOptions,
  Stage,
  turn,
  turns,
} from '../support.ts';
import { Directories, holdsText, segmentsIn } from './support.ts';

const directories = new Directories();
let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
}, 300_000);
afterEach(async () => {
  await stage.revive();
  await stage.closeInstances();
  directories.removeAll();
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
});

interface CuttableOptions extends Omit<InstanceOptions, 'journal'> {
  readonly journal?: Omit<JournalOptions, 'dir'>;
}

/** An instance whose ways to both servers can be cut. */
async function cuttable(options: CuttableOptions = {}) {
  const { journal, l2, ...rest } = options;
  const dir = directories.make();
  const ways = [await stage.proxyToRedis(), await stage.proxyToSupabase()] as const;
  const [toRedis, toDurable] = ways;
  const instance = await stage.ready({
    l2: l2 ?? { url: toRedis.url, timeout: 500 },
    l3: { url: toDurable.url, timeout: 4000 },
    journal: { ...journal, dir },
    ...rest,
  });
  const cut = () => {
    for (const way of ways) way.cut();
  };
  const heal = () => {
    for (const way of ways) way.heal();
  };
  return { instance, dir, toRedis, toDurable, cut, heal };
}

async function metric(instance: Instance, line: string): Promise<number> {
  const text = await instance.cache.registry.metrics();
  const found = text.split('\n').find((one) => one.startsWith(`${line} `));
  return Number(found?.slice(line.length + 1));
}

it('G1, G2: with Redis and Supabase away the journal acknowledges; both back, everything is in L3 and nothing in the journal', async () => {
  const [record, gone, log, dead] = [
    stage.key(),
    stage.key(),
    stage.key('call'),
    stage.key('call'),
  ];
  const { instance, dir, cut, heal } = await cuttable();
  await instance.records.set(gone, { n: 1 });
  await instance.logs.append(dead, turn('old'));
  await instance.cache.sync();
  cut();
  expect(await instance.records.set(record, { n: 1 })).toMatchObject({ held: ['journal'] });
  expect(await instance.records.set(record, { n: 2 })).toMatchObject({ held: ['journal'] });
  expect(await instance.records.delete(gone)).toMatchObject({ held: ['journal'] });
  expect(await instance.logs.append(log, turns(3))).toMatchObject({ held: ['journal'] });
  const health = await instance.cache.health();
  expect(health.journal).toMatchObject({ mode: 'fallback', writable: true, records: 3 });
  // A newer write of the same value in the journal stands for the one before.
  expect(await instance.records.get(record)).toEqual({ n: 2 });
  expect(await instance.records.get(gone)).toBeUndefined();
  heal();
  await eventually(async () => {
    expect(await instance.cache.sync()).toMatchObject({ failed: 0, remaining: 0 });
    expect((await instance.cache.health()).journal).toMatchObject({ records: 0 });
  });
  expect(await stage.row(record)).toMatchObject({ value: { n: 2 } });
  expect(await stage.row(gone)).toMatchObject({ deleted: true });
  expect(await stage.items(log)).toHaveLength(3);
  await stage.converges(record, [instance]);
  await stage.converges(log, [instance], 'turns');
  expect(await metric(instance, 'cache_journal_appends_total{outcome="synced"}')).toBe(4);
  await stage.close(instance);
  expect(segmentsIn(dir)).toEqual([]);
});

it('G1, G2: what was in the journal is read before Supabase is back, and is ready only in L3', async () => {
  const [record, log] = [stage.key(), stage.key('call')];
  const first = await cuttable();
  await first.instance.records.set(record, { n: 1 });
  await first.instance.cache.sync();
  first.cut();
  await first.instance.records.set(record, { n: 2 });
  await first.instance.logs.append(log, turn('a'));
  const dir = directories.copyOf(first.dir);

  const away = await stage.proxyToSupabase();
  away.cut();
  const again = stage.open({ l3: { url: away.url, timeout: 4000 }, journal: { dir } });
  // Redis has the older value, settled: the journal is the floor of the first answer. Before Redis
  // is connected to, nobody can say.
  const answers: unknown[] = [];
  await eventually(async () => {
    answers.push(await again.records.get(record));
  });
  expect(answers).toEqual([{ n: 2 }]);
  expect(await errorOf(again.cache.ready())).toMatchObject({ code: 'UNAVAILABLE' });
  expect((await again.cache.health()).journal).toMatchObject({ records: 2 });
  expect(await stage.row(record)).toMatchObject({ value: { n: 1 } });
  away.heal();
  await eventually(async () => expect(await stage.row(record)).toMatchObject({ value: { n: 2 } }));
  await eventually(async () => expect(await stage.items(log)).toHaveLength(1));
  await eventually(async () => {
    expect((await again.cache.health()).journal).toMatchObject({ records: 0 });
  });
  expect(await metric(again, 'cache_journal_replayed_total')).toBe(2);
  // The first one lives, and brings the same writes: they are the same.
  first.heal();
  await eventually(async () => {
    expect(await first.instance.cache.sync()).toMatchObject({ failed: 0, remaining: 0 });
  });
  expect(await stage.items(log)).toHaveLength(1);
  await stage.converges(record, [again, first.instance]);
});

it('G1: ready() rejects while L3 lacks what was in the journal, and resolves once it has it', async () => {
  const record = stage.key();
  const first = await cuttable();
  first.cut();
  await first.instance.records.set(record, { n: 1 });
  const dir = directories.copyOf(first.dir);
  await stage.close(first.instance);

  const way = await stage.proxyToSupabase();
  const again = stage.open({ l2: false, l3: { url: way.url }, journal: { dir } });
  // It is there when it is opened, and away when it is to take what was replayed.
  again.cache.subscribe(({ type }) => {
    if (type === 'ready') way.cut();
  });
  expect(await errorOf(again.cache.ready())).toMatchObject({ code: 'UNAVAILABLE' });
  expect(await stage.row(record)).toBeUndefined();
  way.heal();
  await eventually(() => again.cache.ready());
  expect(await stage.row(record)).toMatchObject({ value: { n: 1 } });
});

it('G1: close() leaves in the journal what L3 does not have, and releases the directory', async () => {
  const record = stage.key();
  const { instance, dir, cut } = await cuttable();
  cut();
  await instance.records.set(record, { n: 1 });
  expect(() => stage.open({ journal: { dir } })).toThrow(/another process, or another cache/);
  await instance.cache.close({ deadline: '300ms' });
  expect(segmentsIn(dir)).toHaveLength(1);

  // Somebody may have written since: alone, what was in a journal is a floor and no answer.
  const way = await stage.proxyToSupabase();
  way.cut();
  const alone = stage.open({ l2: false, l3: { url: way.url }, journal: { dir } });
  expect(await errorOf(alone.records.get(record))).toMatchObject({ code: 'UNAVAILABLE' });
  await stage.close(alone);

  await stage.ready({ journal: { dir } });
  expect(await stage.row(record)).toMatchObject({ value: { n: 1 } });
});

it('G1: mode "always" holds every write beside Redis, under the version that was acknowledged', async () => {
  const [record, log] = [stage.key(), stage.key('call')];
  const other = await stage.ready({ clock: aheadOf(20 * 60_000) });
  await other.records.set(record, { n: 1 });
  const ahead = await other.logs.append(log, turn('a'));
  // It comes later, has heard of nothing, and its clock is behind: the append script raises its
  // versions, and the record is proposed again.
  const { instance, dir, cut } = await cuttable({ journal: { mode: 'always' }, l2: {} });
  const appended = await instance.logs.append(log, turns(2));
  const set = await instance.records.set(record, { n: 2 });
  expect(appended.version - ahead.version).toBeLessThan(4096);
  expect(set.held).toEqual(['l2', 'journal']);
  expect(appended.held).toEqual(['l2', 'journal']);
  cut();
  const copy = directories.copyOf(dir);
  await stage.redis.flushall();
  // Cut off from Supabase to its end: what is there afterwards came out of the journal.
  await instance.cache.close({ deadline: '50ms' });
  await stage.closeInstances();
  expect((await stage.items(log)).map(({ id }) => id)).not.toContain('t1');

  await stage.ready({ journal: { dir: copy } });
  expect(await stage.row(record)).toMatchObject({ value: { n: 2 }, version: set.version });
  const items = await stage.items(log);
  expect(items.filter(({ id }) => id !== 'a').map(({ id }) => id)).toEqual(['t0', 't1']);
  expect(items.find(({ id }) => id === 't1')?.version).toBe(appended.version);
});

it('G1: a write that was rejected as without effect does not come back from the journal', async () => {
  const keys = Array.from({ length: 30 }, () => stage.key());
  // Patient, so that no time-out sends one of them past Redis, where the other is not seen.
  const patient = { journal: { mode: 'always' }, l2: { timeout: 10_000 } } as const;
  const both = [await cuttable(patient), await cuttable(patient)];
  // Both find that the key is new, and write that down; then one of them is told otherwise.
  const outcomes = await Promise.all(
    keys.map((key) =>
      Promise.allSettled(both.map(({ instance }, n) => instance.records.create(key, { n }))),
    ),
  );
  const winners = outcomes.map((two) => two.findIndex(({ status }) => status === 'fulfilled'));
  for (const two of outcomes) {
    expect(two.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    for (const one of two) {
      if (one.status === 'rejected') expect(one.reason).toBeInstanceOf(ConflictError);
    }
  }
  const copies = both.map(({ dir }) => directories.copyOf(dir));
  await both[0]?.instance.cache.sync();
  await stage.closeInstances();
  for (const dir of copies) await stage.close(await stage.ready({ journal: { dir } }));
  for (const [index, key] of keys.entries()) {
    expect(await stage.row(key)).toMatchObject({ value: { n: winners[index] } });
  }
});

it('G6: at its bound the journal rejects with OverloadedError, loses nothing, and takes writes again when L3 has the old ones', async () => {
  const { instance, cut, heal } = await cuttable({
    journal: { maxBytes: 1024 * 1024 },
    sync: { maxBytes: 64 * 1024 * 1024 },
  });
  const large = instance.cache.records<string>('large');
  cut();
  // The breaker opens, so that the rest costs only what L3 takes to be found away.
  const keys = Array.from({ length: 40 }, () => stage.key());
  const outcomes = await Promise.allSettled(
    keys.map((key) => large.set(key, key.padEnd(100_000, '.'))),
  );
  const held = keys.filter((_, i) => outcomes[i]?.status === 'fulfilled');
  const errors = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
  expect(held.length).toBeGreaterThan(5);
  expect(errors.length).toBeGreaterThan(5);
  for (const error of errors) expect(error).toBeInstanceOf(OverloadedError);
  expect((await instance.cache.health()).journal).toMatchObject({ writable: false });
  expect(await metric(instance, 'cache_journal_bytes')).toBeLessThanOrEqual(1024 * 1024);
  expect(await metric(instance, 'cache_journal_appends_total{outcome="full"}')).toBeGreaterThan(0);
  expect(await metric(instance, 'cache_overloaded_total{bound="journal"}')).toBeGreaterThan(0);
  expect(instance.eventsOf('journal-full')).toMatchObject([{ reason: 'bound' }]);
  heal();
  await eventually(async () => {
    expect(await instance.cache.sync()).toMatchObject({ failed: 0, remaining: 0 });
  });
  for (const key of held) expect(await stage.row(key, 'large')).toBeDefined();
  await eventually(async () => {
    expect(await metric(instance, 'cache_journal_bytes')).toBeLessThan(128 * 1024);
  });
  cut();
  expect(await large.set(stage.key(), 'small')).toMatchObject({ held: ['journal'] });
});

it('a full journal in mode "always" rejects with the outcome "none", although Redis would hold the write', async () => {
  const { instance, toDurable } = await cuttable({
    journal: { mode: 'always', maxBytes: 1024 * 1024 },
    l2: {},
  });
  const large = instance.cache.records<string>('large-always');
  toDurable.cut();
  const key = stage.key();
  let error: unknown;
  for (let n = 0; n < 30 && error === undefined; n += 1) {
    error = await errorOf(large.set(stage.key(), 'x'.repeat(100_000)));
  }
  expect(error).toBeInstanceOf(OverloadedError);
  expect(error).toMatchObject({ outcome: 'none' });
  expect(await errorOf(large.set(key, 'x'.repeat(100_000)))).toMatchObject({ outcome: 'none' });
  expect(await stage.redisKey('large-always', key)).toBeUndefined();
});

it('G1: without Redis the journal holds what Supabase can not take, and nothing stays behind', async () => {
  const [record, log] = [stage.key(), stage.key('call')];
  const toDurable = await stage.proxyToSupabase();
  const dir = directories.make();
  const instance = await stage.ready({
    l2: false,
    l3: { url: toDurable.url, timeout: 4000 },
    journal: { dir },
  });
  toDurable.cut();
  expect(await instance.records.set(record, { n: 1 })).toMatchObject({ held: ['journal'] });
  expect(await instance.logs.append(log, turn('a'))).toMatchObject({ held: ['journal'] });
  expect(await instance.records.get(record)).toEqual({ n: 1 });
  toDurable.heal();
  await eventually(async () => {
    expect(await instance.cache.sync()).toMatchObject({ failed: 0, remaining: 0 });
    expect((await instance.cache.health()).journal).toMatchObject({ records: 0 });
  });
  expect((await instance.cache.inspect('counts', record)).outbox).toBeUndefined();
  expect((await instance.cache.inspect('turns', log)).outbox).toBeUndefined();
  expect(await stage.items(log)).toHaveLength(1);
});

it('what only L3 may acknowledge is not in the journal, and is not replayed', async () => {
  const record = stage.key();
  const { instance, dir, cut } = await cuttable({ journal: { mode: 'always' } });
  expect(await instance.records.update(record, () => ({ n: 1 }))).toMatchObject({
    held: ['l2', 'l3'],
  });
  expect(await instance.records.set(record, { n: 2 }, { durability: 'through' })).toMatchObject({
    held: ['l2', 'l3'],
  });
  cut();
  for (const work of [
    instance.records.set(record, { n: 3 }, { durability: 'through' }),
    instance.records.update(record, () => ({ n: 4 })),
  ]) {
    expect(await errorOf(work)).toMatchObject({ code: 'UNAVAILABLE' });
  }
  expect(segmentsIn(dir)).toEqual([]);
});

it('G7: a damaged file of the journal is set aside and told of; what could be read of it, and the files after it, are not lost', async () => {
  const keys = Array.from({ length: 6 }, () => stage.key());
  const { instance, dir, cut } = await cuttable({ journal: { mode: 'always' } });
  cut();
  for (const [n, key] of keys.entries()) await instance.records.set(key, { n });
  const copy = directories.copyOf(dir);
  const [segment = ''] = segmentsIn(copy);
  appendFileSync(join(copy, segment), 'not a record of this journal');
  writeFileSync(join(copy, '0000000099.journal'), 'nor is this a segment');
  await instance.cache.close({ deadline: '100ms' });

  const again = await stage.ready({ journal: { dir: copy } });
  expect(again.eventsOf('journal-corrupt')).toEqual([{ type: 'journal-corrupt', segments: 2 }]);
  expect(await metric(again, 'cache_journal_corrupt_segments_total')).toBe(2);
  for (const [n, key] of keys.entries()) {
    expect(await stage.row(key)).toMatchObject({ value: { n } });
  }
  await stage.close(again);
  expect(readdirSync(copy).filter((name) => name.endsWith('.corrupt'))).toHaveLength(2);
  expect(segmentsIn(copy)).toEqual([]);
});

it('G9: with encryption no value is in the clear in the journal, and without its key the start is refused', async () => {
  const record = stage.key();
  const keys = { a: Buffer.alloc(32, 7) };
  const encryption = { keys, current: 'a' };
  const { instance, dir, cut } = await cuttable({ encryption });
  const secrets = instance.cache.records<string>('secrets');
  cut();
  await secrets.set(record, 'the word is swordfish');
  const copy = directories.copyOf(dir);
  expect(holdsText(copy, record)).toBe(true);
  expect(holdsText(copy, 'swordfish')).toBe(false);
  expect(() => stage.open({ journal: { dir: copy } })).toThrow(/with these keys, can not read/);
  expect(segmentsIn(copy)).toHaveLength(1);
  const again = await stage.ready({ journal: { dir: copy }, encryption });
  expect(await again.cache.records<string>('secrets').get(record)).toBe('the word is swordfish');
});

it('a directory that can not be used is a ConfigError that names the option', () => {
  const l3 = supabase({ url: 'http://127.0.0.1:1', key: 'k' });
  const problem = (journal: object): string => {
    try {
      Reflect.apply(createCache, undefined, [{ l3, journal }]);
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError);
      return error instanceof Error ? error.message : '';
    }
    return 'no error';
  };
  const file = join(directories.make(), 'file');
  writeFileSync(file, '');
  expect(problem({ dir: '/nowhere/at/all' })).toContain('"journal.dir" names no directory');
  expect(problem({ dir: file })).toContain('"journal.dir" takes a directory');
  expect(problem({ dir: '/proc' })).toContain('"journal.dir" names a directory that can not be');
  expect(problem({ dir: file, mode: 'sometimes' })).toContain('"journal.mode" takes "fallback"');
  expect(problem({ mode: 'always' })).toContain('"journal.dir"');
  expect(problem({ dir: file, maxBytes: 5 })).toContain('"journal.maxBytes" takes');
});

function aheadOf(ms: number): InstanceOptions['clock'] {
  return {
    now: () => Date.now() + ms,
    monotonic: () => performance.now(),
    after: (wait, run) => {
      const timer = setTimeout(run, wait);
      timer.unref();
      return () => clearTimeout(timer);
    },
    random53: () => Math.floor(Math.random() * 2 ** 53),
  };
}
