/** A mapped table from both sides: the cache writes it, other programs write it, both are read. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { eventually, until } from '../support.ts';
import { at, type Listener, MappedStage, progressTable } from './support.ts';

let db: MappedStage;
let a: Listener;
let b: Listener;
let user: string;
let key: string;

beforeAll(async () => {
  db = await MappedStage.start();
  [a, b] = await Promise.all([db.listener(), db.listener()]);
});
afterAll(() => db[Symbol.asyncDispose]());
beforeEach(() => {
  user = db.stage.key('user');
  key = progressTable.key({ user_id: user, document_id: 'book' });
});

/** In L3, and so in the table. */
async function kept(listener: Listener, of: string, value = at(1)): Promise<void> {
  await listener.progress.set(of, value);
  await listener.instance.cache.sync();
}

it('what the cache writes is a row for every other program, and what it deletes is none', async () => {
  await kept(a, key, at(5, 1500));
  expect(await db.row(user)).toEqual({ voice: 'es-mx', segment_id: 5, intra_ms: 1500, note: null });
  await db.sql(`update public.progress set note = 'mine' where user_id = '${user}'`);
  await kept(a, key, at(6, 10));
  expect(await db.row(user)).toEqual({ voice: 'es-mx', segment_id: 6, intra_ms: 10, note: 'mine' });
  await a.progress.delete(key, { durability: 'through' });
  expect(await db.row(user)).toBeUndefined();
});

it('a row that was there before the table was mapped is a record', async () => {
  expect(await b.progress.get('before:book')).toEqual(at(3, 1500));
});

it('G3: what another program writes is read on every instance, without anybody asking for it', async () => {
  await kept(a, key);
  await b.progress.get(key);
  const before = await a.progress.lookup(key);
  await db.sql(`update public.progress set segment_id = 9 where user_id = '${user}'`);
  await eventually(async () => {
    for (const { progress } of [a, b]) expect(await progress.get(key)).toEqual(at(9));
  });
  const after = await b.progress.lookup(key);
  if (before.status !== 'hit' || after.status !== 'hit') throw new Error('there is a record');
  expect(after.version).toBeGreaterThan(before.version);
});

it('a write of columns that are not mapped is no write of the record', async () => {
  await kept(a, key);
  const before = await db.stage.row(key, 'progress');
  await db.sql(`update public.progress set note = 'x', voice = voice where user_id = '${user}'`);
  expect(await db.stage.row(key, 'progress')).toEqual(before);
});

it('a write that waits in Redis does not overwrite what another program wrote after it', async () => {
  await kept(a, key);
  await a.progress.set(key, at(2));
  await db.sql(`update public.progress set segment_id = 7 where user_id = '${user}'`);
  await a.instance.cache.sync();
  await eventually(async () => {
    for (const { progress } of [a, b]) expect(await progress.get(key)).toEqual(at(7));
  });
  expect(await db.row(user)).toMatchObject({ segment_id: 7 });
});

it('what another program inserts is there, and what it deletes is gone', async () => {
  expect(await a.progress.get(key)).toBeUndefined();
  await db.sql(`insert into public.progress values ('${user}', 'book', 'v', 1, 2)`);
  expect(await a.progress.get(key)).toEqual(at(1, 2, 'v'));
  await db.sql(`delete from public.progress where user_id = '${user}'`);
  await eventually(async () => {
    for (const { progress } of [a, b]) expect(await progress.get(key)).toBeUndefined();
  });
});

it('a row whose key is changed by another program is another record', async () => {
  await kept(a, key, at(4));
  await db.sql(`update public.progress set document_id = 'b:2' where user_id = '${user}'`);
  const moved = progressTable.key({ user_id: user, document_id: 'b:2' });
  await eventually(async () => {
    expect(await b.progress.get(key)).toBeUndefined();
    expect(await b.progress.get(moved)).toEqual(at(4));
  });
});

it('G12: updates of the cache and of another program compose', async () => {
  await kept(a, key, at(0));
  const later = (listener: Listener) =>
    listener.progress.update(key, (now) => at(now?.segment_id ?? 0, (now?.intra_ms ?? 0) + 1));
  const bySql = () =>
    db.sql(`update public.progress set intra_ms = intra_ms + 1 where user_id = '${user}'`);
  await Promise.all(Array.from({ length: 4 }, () => [later(a), later(b), bySql()]).flat());
  expect(await db.row(user)).toMatchObject({ intra_ms: 12 });
  await eventually(async () => expect(await a.progress.get(key)).toEqual(at(0, 12)));
});

it('G8: erasing a scope leaves no row, neither of the cache nor of another program', async () => {
  await kept(a, key);
  await db.sql(`insert into public.progress values ('${user}', 'other', 'v', 1, 2)`);
  await a.progress.set(`${user}:third`, at(1));
  await a.instance.cache.scope('user', user).erase();
  expect(await db.ask(`select 1 from public.progress where user_id = '${user}'`)).toEqual([]);
  await b.instance.cache.sync();
  expect(await db.ask(`select 1 from public.progress where user_id = '${user}'`)).toEqual([]);
  await db.sql(`insert into public.progress values ('${user}', 'book', 'v', 8, 0)`);
  expect(await b.progress.get(key)).toEqual(at(8, 0, 'v'));
});

it('G8: parts of a key that hold its separator are rows of their own', async () => {
  const keys = [
    progressTable.key({ user_id: `${user}:a`, document_id: 'b' }),
    progressTable.key({ user_id: user, document_id: 'a:b' }),
    progressTable.key({ user_id: `${user}%3Aa`, document_id: 'b' }),
  ];
  for (const [index, one] of keys.entries()) await a.progress.set(one, at(index));
  await a.instance.cache.sync();
  const rows = await db.ask(
    `select user_id, document_id, segment_id from public.progress
     where user_id like '${user}%' order by segment_id`,
  );
  expect(rows).toEqual([
    { user_id: `${user}:a`, document_id: 'b', segment_id: 0 },
    { user_id: user, document_id: 'a:b', segment_id: 1 },
    { user_id: `${user}%3Aa`, document_id: 'b', segment_id: 2 },
  ]);
});

it('G10: a value is read as it was written, whatever the columns make of it', async () => {
  const bookmark = { at: '2026-01-01T12:00:00Z', price: 1.5, big: 7, more: { z: 1, a: [null] } };
  await a.bookmarks.set('1', bookmark);
  await a.instance.cache.sync();
  await a.bookmarks.forget('1');
  const found = await b.bookmarks.get('1');
  expect(JSON.stringify(found)).toBe(JSON.stringify(bookmark));
  const [row] = await db.ask(`select at = '2026-01-01 12:00+00' as same, price from bookmarks`);
  expect(row).toEqual({ same: true, price: 1.5 });
});

it('what another program writes into columns of other types is read as JSON writes it', async () => {
  await db.sql(
    `insert into bookmarks values (2, '2026-01-01 12:00:00.5+02', 10, 9007199254740993, '{"b": 1}')`,
  );
  expect(await a.bookmarks.get('2')).toEqual({
    at: '2026-01-01T10:00:00.5+00:00',
    price: 10,
    big: '9007199254740993',
    more: { b: 1 },
  });
  await db.sql('insert into bookmarks values (3)');
  expect(await a.bookmarks.get('3')).toEqual({ at: null, price: null, big: null, more: null });
});

it('what a trigger of the table makes of a value is what the cache reads', async () => {
  await db.sql(`create function public.clip() returns trigger language plpgsql as $f$
      begin new.segment_id := least(new.segment_id, 100); return new; end $f$;
    create trigger clip before insert or update on public.progress
      for each row when (new.user_id = '${user}') execute function public.clip()`);
  await kept(a, key, at(500));
  expect(await db.row(user)).toMatchObject({ segment_id: 100 });
  await eventually(async () => {
    for (const { progress } of [a, b]) expect(await progress.get(key)).toEqual(at(100));
  });
});

it('a record whose life is over leaves the table when it is pruned', async () => {
  await a.progress.set(key, at(1), { ttl: '1s', durability: 'through' });
  expect(await db.row(user)).toBeDefined();
  await until(async () => (await a.progress.get(key)) === undefined, 'its life is over');
  expect(await db.row(user)).toBeDefined();
  await db.sql(`select public.cache_prune(
    (select version::text from public.cache_entries where key = '${key}')
  )`);
  expect(await db.row(user)).toBeUndefined();
});

it('a table that another program empties holds no records', async () => {
  await kept(a, key);
  await b.progress.get(key);
  await db.sql('truncate public.progress');
  await eventually(async () => {
    for (const { progress } of [a, b]) expect(await progress.get(key)).toBeUndefined();
  });
  const found = [];
  for await (const [one] of a.progress.scan()) found.push(one);
  expect(found).toEqual([]);
});
