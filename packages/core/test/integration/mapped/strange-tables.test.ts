/** Tables that a team may well have: long keys, shifted keys, odd names, triggers of their own. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { table } from '../../../src/index.ts';
import { MIGRATIONS } from '../support.ts';
import { MappedStage } from './support.ts';

let db: MappedStage;
let name: string;
let tables = 0;

beforeAll(async () => {
  db = await MappedStage.start();
});
afterAll(() => db[Symbol.asyncDispose]());
beforeEach(() => {
  tables += 1;
  name = `strange_${tables}`;
});

/** Makes the table `name` and maps it: the columns of its key, and one column of the value. */
async function mapped(definition: string, key: readonly string[], column: string): Promise<void> {
  await db.sql(`create table public.${name} (${definition}, primary key (${key.join(', ')}))`);
  await mapAgain(key, column);
}

async function mapAgain(key: readonly string[], column: string): Promise<void> {
  await db.sql(
    table({ name, key: [key[0] ?? '', ...key.slice(1)], columns: [column] }).migration(name),
  );
}

const rows = (columns = '*') => db.ask(`select ${columns} from public.${name} order by 1, 2`);
/** What the cache holds: `{ key, value }` of every live record. */
const records = () =>
  db.ask(`select key, value from public.cache_entries
    where namespace = '${name}' and not deleted order by key`);
const marks = () => db.ask(`select key from public.cache_bypass_marks where namespace = '${name}'`);

it('G7: a row whose key is longer than a key may be, or empty, is no record and leaves no mark', async () => {
  await mapped('k text, v text', ['k'], 'v');
  await db.sql(`insert into public.${name} values (repeat('ä', 600), 'y'), ('', 'z'), ('a', 'x')`);
  expect(await records()).toEqual([{ key: 'a', value: { v: 'x' } }]);
  expect(await marks()).toEqual([{ key: 'a' }]);
  await db.sql(`update public.${name} set k = 'b' where k = ''`);
  await db.sql(`update public.${name} set k = repeat('k', 1025) where k = 'a'`);
  expect(await records()).toEqual([{ key: 'b', value: { v: 'z' } }]);
  await mapAgain(['k'], 'v');
  expect(await rows('length(k) as long, v')).toHaveLength(3);
});

it('G7: what such keys left behind before goes with the migration, and the row stays', async () => {
  await mapped('k text, v text', ['k'], 'v');
  await db.sql(`set local session_replication_role = replica;
    insert into public.${name} values (repeat('k', 1025), 'y');
    insert into public.cache_entries (namespace, key, version, intent, codec, value)
      select '${name}', k, 1, 1, 'json', '{"v":"y"}' from public.${name};
    insert into public.cache_bypass_marks (namespace, key, kind, version, intent)
      select '${name}', k, 'value', 1, 1 from public.${name};
    set local session_replication_role = origin`);
  await db.sql(await readFile(join(MIGRATIONS, '20261120002000_cache_mapped_faults.sql'), 'utf8'));
  expect(await records()).toEqual([]);
  expect(await marks()).toEqual([]);
  expect(await rows('v, 1')).toHaveLength(1);
});

it('G7: an empty key of a table with a scope does not make its own program fail', async () => {
  await db.sql(`create table public.${name} (k text primary key, v text)`);
  const scoped = table({ name, key: ['k'], columns: ['v'], scope: ['user', 'k'] });
  await db.sql(scoped.migration(name));
  await db.sql(`insert into public.${name} values ('', 'y')`);
  expect(await rows()).toEqual([{ k: '', v: 'y' }]);
  expect(await records()).toEqual([]);
});

it('a statement that shifts keys leaves the columns that are not mapped', async () => {
  const definition = 'list text, position integer, title text, note text';
  await mapped(definition, ['list', 'position'], 'title');
  await db.sql(`insert into public.${name}
    values ('a', 1, 't1', 'n1'), ('a', 2, 't2', 'n2'), ('a', 3, 't3', 'n3')`);
  await db.sql(`delete from public.${name} where position = 1`);
  await db.sql(`update public.${name} set position = position - 1 where list = 'a'`);
  expect(await rows('position, title, note')).toEqual([
    { position: 1, title: 't2', note: 'n2' },
    { position: 2, title: 't3', note: 'n3' },
  ]);
  expect(await records()).toEqual([
    { key: 'a:1', value: { title: 't2' } },
    { key: 'a:2', value: { title: 't3' } },
  ]);
});

it('a key that is written anew, and is equal, leaves the columns that are not mapped', async () => {
  await mapped('k numeric, v text, note text', ['k'], 'v');
  await db.sql(`insert into public.${name} values (1.0, 'x', 'mine')`);
  await db.sql(`update public.${name} set k = 1.00`);
  expect(await rows('v, note')).toEqual([{ v: 'x', note: 'mine' }]);
  expect(await records()).toEqual([{ key: '1.00', value: { v: 'x' } }]);
});

it('a table that is mapped again wins: what was deleted past the triggers does not come back', async () => {
  await mapped('k text, v text', ['k'], 'v');
  await db.sql(`insert into public.${name} values ('a', 'x'), ('b', 'y')`);
  await db.sql(`set local session_replication_role = replica;
    delete from public.${name} where k = 'a'; update public.${name} set v = 'z';
    set local session_replication_role = origin`);
  await mapAgain(['k'], 'v');
  expect(await rows()).toEqual([{ k: 'b', v: 'z' }]);
  expect(await records()).toEqual([{ key: 'b', value: { v: 'z' } }]);
  expect(await marks()).toContainEqual({ key: 'a' });
});

it('records become rows where a table is mapped for the first time', async () => {
  await using instance = db.stage.open();
  const { cache } = instance;
  const before = cache.records<{ v: string }>(name);
  await before.set('a', { v: 'x' }, { durability: 'through' });
  await mapped('k text, v text', ['k'], 'v');
  expect(await rows()).toEqual([{ k: 'a', v: 'x' }]);
});

it.each(['t', 'r'])('a column may be named %s', async (column) => {
  await mapped(`k text, ${column} text`, ['k'], column);
  await using instance = db.stage.open();
  const { cache } = instance;
  const mappedTable = table({ name, key: ['k'], columns: { v: column } });
  await db.sql(mappedTable.migration(name));
  const opened = cache.records<{ v: string }>(name, { table: mappedTable });
  await opened.set('a', { v: 'x' }, { durability: 'through' });
  await opened.set('a', { v: 'y' }, { durability: 'through' });
  expect(await rows()).toEqual([{ k: 'a', [column]: 'y' }]);
  await opened.delete('a', { durability: 'through' });
  expect(await rows()).toEqual([]);
  await db.sql(`insert into public.${name} values ('b', 'z')`);
  await mapAgain(['k'], column);
  expect(await records()).toEqual([{ key: 'b', value: { [column]: 'z' } }]);
});

it('G7: a write that a trigger of the table swallows is a dead letter', async () => {
  await mapped('k text, v text', ['k'], 'v');
  await db.sql(`create function public.${name}_swallow() returns trigger language plpgsql as
      $f$ begin return case when new.v = 'no' then null else new end; end $f$;
    create trigger swallow before insert or update on public.${name}
      for each row execute function public.${name}_swallow()`);
  await using instance = db.stage.open();
  const { cache } = instance;
  const opened = cache.records<{ v: string }>(name, {
    table: table({ name, key: ['k'], columns: ['v'] }),
  });
  await instance.healthy();
  await opened.setMany([
    ['a', { v: 'no' }],
    ['b', { v: 'yes' }],
  ]);
  await cache.sync();
  await opened.set('b', { v: 'no' });
  await cache.sync();
  expect(await rows()).toEqual([{ k: 'b', v: 'yes' }]);
  const letters = await cache.deadLetters.list({ namespace: name });
  expect(letters.map(({ key }) => key).toSorted()).toEqual(['a', 'b']);
  expect(letters[0]?.reason).toContain('was not written');
});

it('a partitioned table is refused, because nobody sees a partition being truncated', async () => {
  await db.sql(`create table public.${name} (k text primary key, v text) partition by hash (k)`);
  await expect(mapAgain(['k'], 'v')).rejects.toThrow('it is partitioned');
});

it('settings of another program change neither keys nor values', async () => {
  const definition = 'k double precision, f double precision, b bytea, i interval';
  await db.sql(`create table public.${name} (${definition}, primary key (k))`);
  await db.sql(table({ name, key: ['k'], columns: ['f', 'b', 'i'] }).migration(name));
  await db.sql(`set local extra_float_digits = 0; set local bytea_output = 'escape';
    set local intervalstyle = 'iso_8601';
    insert into public.${name} values (0.1::float8 + 0.2::float8, 1.1::float8 * 1.1::float8, '\\x00ff', '1 day 02:00')`);
  const value = { f: 1.2100000000000002, b: '\\x00ff', i: '1 day 02:00:00' };
  expect(await records()).toEqual([{ key: '0.30000000000000004', value }]);
});

it('a table in a schema of its own, with a sequence, can be written', async () => {
  await db.sql(`create schema ${name}; create table ${name}.things
    (k text primary key, v text, place integer not null default 0, number serial)`);
  const things = table({ name: `${name}.things`, key: ['k'], columns: ['v'] });
  await db.sql(things.migration(name));
  const granted = await db.ask(`select
    has_schema_privilege('service_role', '${name}', 'usage') as schema,
    has_sequence_privilege('service_role', '${name}.things_number_seq', 'usage') as sequence`);
  expect(granted).toEqual([{ schema: true, sequence: true }]);
});
