/** Dead letters through the whole cache: what an operator does about a write, and what becomes of it. */
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { ConfigError, type DeadLetter } from '../../../src/index.ts';
import { eventually, type Instance, MIGRATIONS, Stage, turn } from '../support.ts';

/** Rules of somebody's own on the cache's tables; the trigger's holds while `rules` has a row. */
const RULES = `
  create table public.rules (id integer primary key);
  grant all on public.rules to service_role;
  create function public.judge() returns trigger language plpgsql as $$
    begin
      -- Only what was written: a version, an intent or a time may have these digits by chance.
      if exists (select from public.rules)
        and coalesce(to_jsonb(new) ->> 'value', to_jsonb(new) ->> 'item') like '%666%' then
        raise exception 'not on my watch';
      end if;
      return new;
    end $$;
  create trigger judge before insert or update on public.cache_entries
    for each row execute function public.judge();
  create trigger judge before insert or update on public.cache_log_items
    for each row execute function public.judge();
  create function public.rule(on_off boolean) returns void language sql as $$
    delete from public.rules where true;
    insert into public.rules select 1 where on_off;
  $$;
  -- A column that can't hold what JSON can.
  alter table public.cache_entries add column n text generated always as (value ->> 'n') stored;
`;

let stage: Stage;
let folder: string;
let a: Instance;
let b: Instance;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cache-migrations-'));
  await cp(MIGRATIONS, folder, { recursive: true });
  await writeFile(join(folder, '20991231000000_rules.sql'), RULES);
  stage = await Stage.start({ supabase: { migrations: folder } });
  [a, b] = await Promise.all([stage.ready(), stage.ready()]);
});
beforeEach(() => rule(true));
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

function service() {
  const { supabase } = stage.stack;
  return createClient(supabase.url, supabase.secretKey, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
}

async function rule(isOn: boolean): Promise<void> {
  const { error } = await service().rpc('rule', { on_off: isOn });
  if (error !== null) throw new Error(error.message);
}

/** The letter of a key; `undefined` where there is none. */
async function letterOf(key: string): Promise<DeadLetter | undefined> {
  return (await a.cache.deadLetters.list()).find((letter) => letter.key === key);
}

async function idOf(key: string): Promise<number> {
  const letter = await letterOf(key);
  if (letter === undefined) throw new Error(`there is no letter of ${key}`);
  return letter.id;
}

/** Nothing of the key waits anywhere any more, on any of these. */
async function settled(key: string, namespace: 'counts' | 'turns' = 'counts'): Promise<void> {
  await eventually(async () => {
    expect(await letterOf(key)).toBeUndefined();
    for (const { cache } of [a, b]) {
      const { outbox, l2 } = await cache.inspect(namespace, key);
      expect(outbox, 'the outbox').toBeUndefined();
      if (l2 !== undefined) expect(l2).toMatchObject({ pending: false });
    }
    expect(await stage.count('cache_bypass_marks')).toBe(0);
  });
}

it('a letter says what it is about, and shows its payload only where asked for', async () => {
  const key = stage.key();
  await a.records.set(key, { n: 666 });
  await a.cache.sync();
  const letter = await letterOf(key);
  expect(letter).toEqual({
    id: expect.any(Number),
    namespace: 'counts',
    key,
    kind: 'value',
    version: expect.any(Number),
    reason: 'P0001 not on my watch',
    attempts: expect.any(Number),
    bytes: 9,
    isKept: true,
    createdAt: expect.any(String),
    updatedAt: expect.any(String),
    scope: ['call', key],
    codec: 'json',
  });
  const id = letter?.id ?? 0;
  expect(await b.cache.deadLetters.get(id)).toMatchObject({ id, attempts: letter?.attempts });
  expect(await b.cache.deadLetters.get(id, { payload: true })).toMatchObject({
    payload: '{"n":666}',
  });
  expect(await a.cache.deadLetters.list({ namespace: 'turns' })).toEqual([]);
  await expect(a.cache.deadLetters.list({ limit: 0 })).rejects.toBeInstanceOf(ConfigError);
  expect(a.cache.stats().sync.deadLetters).toBeGreaterThan(0);
  await a.cache.deadLetters.drop(id);
});

it('G7: once the cause is mended, a retry stores the write, settles L2, and frees whoever wrote it', async () => {
  const key = stage.key();
  await a.records.set(key, { n: 666 });
  await a.cache.sync();
  expect(await b.cache.deadLetters.retry(await idOf(key))).toBe('refused');
  await rule(false);
  expect(await b.cache.deadLetters.retry(await idOf(key))).toBe('applied');
  expect(await stage.row(key)).toMatchObject({ value: { n: 666 } });
  await settled(key);
  for (const { records } of [a, b]) expect(await records.get(key)).toEqual({ n: 666 });
});

it('G7: what was dropped comes back from nowhere: not from L2, from memory, nor from the outbox of its writer', async () => {
  const key = stage.key();
  await a.records.set(key, { n: 1 });
  await a.cache.sync();
  await a.records.set(key, { n: 666 });
  await a.cache.sync();
  for (const { records } of [a, b]) expect(await records.get(key)).toEqual({ n: 666 });
  const id = await idOf(key);
  expect(await b.cache.deadLetters.drop(id)).toBe(true);
  expect(await b.records.get(key)).toEqual({ n: 1 });
  await settled(key);
  await rule(false);
  await Promise.all([a.cache.sync(), b.cache.sync()]);
  for (const { records } of [a, b]) expect(await records.get(key)).toEqual({ n: 1 });
  expect(await stage.row(key)).toMatchObject({ value: { n: 1 } });
  expect(await stage.pending()).toBe(0);
  expect(await b.cache.deadLetters.drop(id)).toBe(false);
  // The key itself is free.
  await a.records.set(key, { n: 666 });
  await a.cache.sync();
  expect(await stage.row(key)).toMatchObject({ value: { n: 666 } });
});

it('G7: a drop while Redis is away holds once it is back', async () => {
  const key = stage.key();
  await a.records.set(key, { n: 666 });
  await a.cache.sync();
  const id = await idOf(key);
  stage.stack.redis.freeze();
  try {
    expect(await b.cache.deadLetters.drop(id)).toBe(true);
  } finally {
    stage.stack.redis.thaw();
  }
  await Promise.all([a.healthy(), b.healthy()]);
  await settled(key);
  for (const { records } of [a, b]) expect(await records.get(key)).toBeUndefined();
  expect(await stage.pending()).toBe(0);
});

it('G7: a newer good value resolves a letter, and frees whoever wrote the bad one', async () => {
  const key = stage.key();
  await a.records.set(key, { n: 666 });
  await a.cache.sync();
  await b.records.set(key, { n: 2 });
  await b.cache.sync();
  await settled(key);
  expect(await stage.row(key)).toMatchObject({ value: { n: 2 } });
});

it('G7: what was resolved while its writer heard nothing is let go of once the writer hears again', async () => {
  const key = stage.key();
  const way = await stage.proxyToRedis();
  const deaf = await stage.ready({ l2: { url: way.url } });
  await deaf.records.set(key, { n: 666 });
  await deaf.cache.sync();
  way.cut();
  await deaf.said('breaker', ({ to }) => to === 'OPEN');
  // What it drains by itself at this moment is refused once more.
  await deaf.cache.sync();
  await b.records.set(key, { n: 2 });
  await b.cache.scope('call', key).flush();
  way.heal();
  await deaf.healthy();
  await eventually(async () => {
    expect((await deaf.cache.inspect('counts', key)).outbox).toBeUndefined();
  });
  expect(await stage.row(key)).toMatchObject({ value: { n: 2 } });
  await stage.close(deaf);
});

it.each([
  ['its writer', () => a],
  ['another instance', () => b],
  ['its writer, after Redis was emptied', () => a],
] as const)(
  'G2, G12: an update is given the write that L3 refused, and stands above it: by %s',
  async (name, who) => {
    const key = stage.key();
    await a.records.set(key, { n: 1 });
    await a.cache.sync();
    await a.records.set(key, { n: 666 });
    await a.cache.sync();
    if (name.includes('emptied')) {
      await stage.redis.flushall();
      await eventually(async () =>
        expect((await a.cache.inspect('counts', key)).l2).toBeUndefined(),
      );
    }
    const { records } = who();
    expect(await records.update(key, () => undefined)).toMatchObject({ value: { n: 666 } });
    const { version } = await records.update(key, (current) => ({ n: (current?.n ?? 0) + 1 }));
    expect(await records.get(key)).toEqual({ n: 667 });
    expect(await stage.row(key)).toMatchObject({ value: { n: 667 }, version });
    await a.cache.sync();
    await settled(key);
  },
);

it('G12: an update of what happened a while ago is given what L3 refused since, and is above it', async () => {
  const key = stage.key();
  await a.records.set(key, { n: 1 });
  await a.cache.sync();
  await a.records.set(key, { n: 666 });
  await a.cache.sync();
  const at = Date.now() - 60_000;
  await b.records.update(key, (current) => ({ n: (current?.n ?? 0) + 1 }), { at });
  for (const { records } of [a, b]) {
    await eventually(async () => expect(await records.get(key)).toEqual({ n: 667 }));
  }
  await a.cache.sync();
  await settled(key);
});

it('G7, G8: what was dropped, or erased, unheard is given to no update of its writer', async () => {
  for (const gone of ['dropped', 'erased']) {
    const key = stage.key();
    const way = await stage.proxyToRedis();
    const deaf = await stage.ready({ l2: { url: way.url } });
    await deaf.records.set(key, { n: 666 });
    await deaf.cache.sync();
    way.cut();
    await deaf.said('breaker', ({ to }) => to === 'OPEN');
    if (gone === 'dropped') await b.cache.deadLetters.drop(await idOf(key));
    else await b.cache.scope('call', key).erase();
    const { value } = await deaf.records.update(key, (current) => ({ n: (current?.n ?? 0) + 1 }));
    expect(value).toEqual({ n: 1 });
    await stage.close(deaf);
  }
});

it.each([
  ['erased', 1],
  ['erased', undefined],
  ['dropped', 1],
  ['dropped', undefined],
] as const)(
  'G7, G8: what L3 refused, and is %s while an update is given it, does not come back by the update: L3 had %s',
  async (gone, before) => {
    const key = stage.key();
    if (before !== undefined) await a.records.set(key, { n: before });
    await a.cache.sync();
    await a.records.set(key, { n: 666 });
    await a.cache.sync();
    const given: (number | undefined)[] = [];
    await b.records.update(key, async (current) => {
      given.push(current?.n);
      if (given.length === 1) {
        if (gone === 'erased') await a.cache.scope('call', key).erase();
        else await a.cache.deadLetters.drop(await idOf(key));
      }
      return { n: (current?.n ?? 0) + 1 };
    });
    const left = gone === 'erased' ? undefined : before;
    expect(given).toEqual([666, left]);
    expect(await b.records.get(key)).toEqual({ n: (left ?? 0) + 1 });
    await settled(key);
  },
);

it('an exact write goes by the version that is read, also where L3 refused that', async () => {
  const key = stage.key();
  await a.records.set(key, { n: 1 });
  await a.cache.sync();
  const { version } = await a.records.set(key, { n: 666 });
  await a.cache.sync();
  await b.records.set(key, { n: 2 }, { ifVersion: version });
  expect(await stage.row(key)).toMatchObject({ value: { n: 2 } });
  await a.cache.sync();
  await settled(key);
});

it('G7: one item of a log is dropped, and the log is whole without it on every instance', async () => {
  const key = stage.key('call');
  await a.logs.append(key, [turn('1'), turn('2', '666'), turn('3')]);
  await a.cache.sync();
  await b.logs.append(key, turn('4'));
  expect((await stage.items(key)).map(({ id }) => id)).toEqual(['1', '3']);
  expect(await letterOf(key)).toMatchObject({ kind: 'log', items: ['2'] });
  for (const { logs } of [a, b]) expect(await logs.read(key)).toHaveLength(4);
  expect(await b.cache.deadLetters.drop(await idOf(key))).toBe(true);
  const left = ['1', '3', '4'];
  await eventually(async () => {
    for (const { logs } of [a, b]) {
      expect((await logs.read(key)).map(({ id }) => id)).toEqual(left);
    }
  });
  await rule(false);
  await Promise.all([a.cache.sync(), b.cache.sync()]);
  await settled(key, 'turns');
  expect((await stage.items(key)).map(({ id }) => id)).toEqual(left);
  for (const { logs } of [a, b]) {
    expect((await logs.read(key)).map(({ id }) => id)).toEqual(left);
  }
});

it('G7: who has the dropped item hears of it, although a newer write of the log went around Redis too', async () => {
  const key = stage.key('call');
  await a.logs.append(key, [turn('1'), turn('2', '666')]);
  await a.cache.sync();
  const { version } = await b.logs.append(key, turn('3'));
  const { error } = await service().from('cache_bypass_marks').insert({
    namespace: 'turns',
    key,
    kind: 'log',
    version,
    intent: 0,
  });
  expect(error).toBeNull();
  expect(await b.cache.deadLetters.drop(await idOf(key))).toBe(true);
  await settled(key, 'turns');
  expect((await a.logs.read(key)).map(({ id }) => id)).toEqual(['1', '3']);
});

it('G7: one item of a log is retried, and takes the place that it had', async () => {
  const key = stage.key('call');
  await a.logs.append(key, [turn('1'), turn('2', '666'), turn('3')]);
  await a.cache.sync();
  await rule(false);
  expect(await a.cache.deadLetters.retry(await idOf(key))).toBe('applied');
  await settled(key, 'turns');
  expect((await stage.items(key)).map(({ id }) => id)).toEqual(['1', '2', '3']);
});

it('G7: what a column of somebody else can not hold is a letter; as text it was never a problem', async () => {
  const records = a.cache.records<{ readonly n: string }>('texts');
  const [bad, good] = [stage.key(), stage.key()];
  await records.set(bad, { n: 'a\u0000b' });
  await records.set(good, { n: 'ab' });
  await a.cache.sync();
  expect(await letterOf(bad)).toMatchObject({ namespace: 'texts', key: bad });
  expect((await letterOf(bad))?.reason).toMatch(/^22P05 /);
  expect(await stage.row(good, 'texts')).toMatchObject({ value: { n: 'ab' } });
  expect(await records.get(bad)).toEqual({ n: 'a\u0000b' });
  await records.delete(bad);
  await a.cache.sync();
  expect(await letterOf(bad)).toBeUndefined();
});

it('G7: a write that its caller was refused is no letter', async () => {
  const key = stage.key();
  const write = a.records.set(key, { n: 666 }, { durability: 'through' });
  await expect(write).rejects.toMatchObject({ code: 'TIER', outcome: 'none' });
  expect(await letterOf(key)).toBeUndefined();
});

it('G8: an erased scope has no letter, and nobody holds what it was about', async () => {
  const key = stage.key();
  await a.records.set(key, { n: 666 });
  await a.cache.sync();
  expect(await b.cache.scope('call', key).erase()).toMatchObject({ deadLetters: 1 });
  await settled(key);
  for (const { records } of [a, b]) expect(await records.get(key)).toBeUndefined();
});
