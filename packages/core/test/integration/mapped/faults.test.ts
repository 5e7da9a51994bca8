/** Mapped tables gone wrong: rows that don't fit, columns that are missing, clocks that disagree. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  CodecError,
  ConfigError,
  KeyError,
  SchemaError,
  systemClock,
  table,
  timeOfVersion,
} from '../../../src/index.ts';
import { eventually, type InstanceOptions } from '../support.ts';
import { at, type Listener, MappedStage, type Progress, progressTable } from './support.ts';

let db: MappedStage;
let a: Listener;
let user: string;
let key: string;

beforeAll(async () => {
  db = await MappedStage.start();
  a = await db.listener();
});
afterAll(() => db[Symbol.asyncDispose]());
beforeEach(() => {
  user = db.stage.key('user');
  key = progressTable.key({ user_id: user, document_id: 'book' });
});

describe('rows that do not fit', () => {
  it('G7: a value that the table refuses is a dead letter, its neighbours are rows', async () => {
    const neighbour = progressTable.key({ user_id: user, document_id: 'other' });
    await a.progress.setMany([
      [key, at(-1)],
      [neighbour, at(1)],
    ]);
    await a.instance.cache.sync();
    expect(await db.row(user, 'other')).toMatchObject({ segment_id: 1 });
    expect(await db.row(user)).toBeUndefined();
    const [letter] = await a.instance.cache.deadLetters.list({ namespace: 'progress' });
    expect(letter).toMatchObject({ key, reason: expect.stringContaining('segment_id_check') });
    expect(await a.progress.get(key)).toEqual(at(-1));
    await a.progress.set(key, at(2));
    await a.instance.cache.sync();
    expect(await db.row(user)).toMatchObject({ segment_id: 2 });
    expect(await a.instance.cache.deadLetters.list({ namespace: 'progress' })).toEqual([]);
  });

  it('what no row can hold is refused before anybody is told that it is held', async () => {
    const refused = [
      [at(1, 0, 'a\0b'), '$.voice_id'],
      [at(1, 0, '\ud800'), '$.voice_id'],
      [{ ...at(1), speed: 2 }, '$.speed'],
    ] as const;
    for (const [value, path] of refused) {
      const write = a.progress.set(key, value);
      await expect(write).rejects.toThrow(CodecError);
      await expect(write).rejects.toThrow(path);
    }
    const more = { at: null, price: null, big: null, more: { deep: ['a\0'] } };
    await expect(a.bookmarks.set('1', more)).rejects.toThrow('$.more.deep[0]');
  });

  it.each(['one', 'a:b:c', 'a%3Bb:c', '%:b'])('"%s" is no key of the table', async (wrong) => {
    await expect(a.progress.get(wrong)).rejects.toThrow(KeyError);
    await expect(a.progress.set(wrong, at(1))).rejects.toThrow('{user_id}:{document_id}');
  });

  it('a key that its column writes in another way would be another row: it is a dead letter', async () => {
    await a.bookmarks.set('007', { at: null, price: null, big: null, more: null });
    await a.instance.cache.sync();
    const [letter] = await a.instance.cache.deadLetters.list({ namespace: 'bookmarks' });
    expect(letter).toMatchObject({ key: '007' });
    expect(await db.ask('select 1 from bookmarks where id = 7')).toEqual([]);
    await a.instance.cache.deadLetters.drop(letter?.id ?? 0);
  });

  it('G7: a row that does not parse is refused by name; it hides no other, and a write mends it', async () => {
    await db.sql(`insert into public.progress values
      ('${user}', 'book', 'v', 1, 5000000), ('${user}', 'good', 'v', 1, 5)`);
    const read = a.progress.get(key);
    await expect(read).rejects.toThrow(SchemaError);
    await expect(read).rejects.toThrow('$.intra_ms');
    expect(await a.progress.get(`${user}:good`)).toEqual(at(1, 5, 'v'));
    await a.progress.set(key, at(2), { durability: 'through' });
    expect(await a.progress.get(key)).toEqual(at(2));
    expect(await db.row(user)).toMatchObject({ intra_ms: 0 });
  });
});

describe('clocks that disagree', () => {
  const skewed = (ms: number): InstanceOptions => ({
    clock: { ...bound(), now: () => systemClock.now() + ms },
  });

  it('G4: a program whose database is behind still writes above what it overwrites', async () => {
    const fast = await db.listener(skewed(600_000));
    const { version } = await fast.progress.set(key, at(1), { durability: 'through' });
    expect(timeOfVersion(version)).toBeGreaterThan(Date.now() + 300_000);
    await db.sql(`update public.progress set segment_id = 2 where user_id = '${user}'`);
    await eventually(async () => {
      for (const { progress } of [a, fast]) expect(await progress.get(key)).toEqual(at(2));
    });
    await db.stage.close(fast.instance);
  });

  it('a listener whose clock is behind can still move on from what another program wrote', async () => {
    const slow = await db.listener(skewed(-600_000));
    await db.sql(`insert into public.progress values ('${user}', 'book', 'v', 1, 0)`);
    expect(await slow.progress.get(key)).toEqual(at(1, 0, 'v'));
    await slow.progress.set(key, at(2));
    await slow.instance.cache.sync();
    expect(await db.row(user)).toMatchObject({ segment_id: 2 });
    await db.stage.close(slow.instance);
  });
});

function bound() {
  return {
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic(),
    after: (ms: number, run: () => void) => systemClock.after(ms, run),
    random53: () => systemClock.random53(),
  };
}

describe('a mapping that the database does not have', () => {
  const columns = { voice_id: 'voice', segment_id: 'segment_id', intra_ms: 'intra_ms' } as const;

  it.each([
    [
      'a column that the table lacks',
      table({ ...fields(), columns: { ...columns, intra_ms: 'millis' } }),
      'it lacks the column "millis"',
    ],
    [
      'a column that nobody fills',
      table({ ...fields(), columns: { ...columns, intra_ms: 'note' } }),
      'its column "intra_ms" is neither mapped nor filled by a default',
    ],
    [
      'another key',
      table({ ...fields(), key: ['document_id', 'user_id'], columns }),
      'it is mapped with another key',
    ],
    [
      'another scope',
      table({ ...fields(), scope: undefined, columns }),
      'it is mapped with another scope',
    ],
    ['no such table', table({ ...fields(), name: 'nothing', columns }), 'there is no such table'],
    [
      'another table',
      table({
        name: 'bookmarks',
        key: ['id'],
        columns: { voice_id: 'at', segment_id: 'big', intra_ms: 'price' },
      }),
      'it is not mapped',
    ],
  ])('ready() says it: %s', async (_what, wrong, said) => {
    await using other = db.stage.open();
    const records = other.cache.records<Progress>('progress', { table: wrong });
    await expect(other.cache.ready()).rejects.toThrow(ConfigError);
    await expect(other.cache.ready()).rejects.toThrow(
      `table ${wrong.name} of namespace "progress"`,
    );
    await expect(other.cache.ready()).rejects.toThrow(said);
    await expect(records.set('a:b', at(1))).rejects.toThrow(said);
  });

  function fields() {
    return {
      name: 'progress',
      key: ['user_id', 'document_id'],
      scope: ['user', 'user_id'],
    } as const;
  }

  it('ready() says that a column is there, but not mapped', async () => {
    await using other = db.stage.open();
    const wrong = table({ name: 'bookmarks', key: ['id'], columns: { at: 'at', extra: 'extra' } });
    other.cache.records<{ at: string; extra: string }>('bookmarks', { table: wrong });
    await expect(other.cache.ready()).rejects.toThrow('its column "extra" is not mapped');
  });

  it('ready() says that the triggers of the table are disabled', async () => {
    await db.sql('alter table public.progress disable trigger user');
    await using other = db.stage.open();
    other.cache.records<Progress>('progress', { table: progressTable });
    await expect(other.cache.ready()).rejects.toThrow('its triggers are missing or disabled');
    await db.sql('alter table public.progress enable trigger user');
  });

  it('a column may be mapped before the programs that use it are there', async () => {
    const { voice_id, segment_id } = columns;
    await using other = db.stage.open();
    await db.sql('alter table public.progress alter intra_ms set default 0');
    const older = table({ ...fields(), columns: { voice_id, segment_id } });
    other.cache.records<{ voice_id: string; segment_id: number }>('progress', { table: older });
    await other.cache.ready();
  });

  it('G7: a table that loses a column costs its own writes, and those of no other', async () => {
    await a.progress.set(key, at(1));
    await a.instance.records.set(user, { n: 1 });
    await db.sql('alter table public.progress rename intra_ms to millis');
    await a.instance.cache.sync();
    expect(await db.stage.row(user)).toMatchObject({ value: { n: 1 } });
    const [letter] = await a.instance.cache.deadLetters.list({ namespace: 'progress' });
    expect(letter?.reason).toContain('intra_ms');
    await db.sql('alter table public.progress rename millis to intra_ms');
    await a.instance.cache.deadLetters.retry(letter?.id ?? 0);
    expect(await db.row(user)).toMatchObject({ segment_id: 1 });
  });
});

describe('what is no mapping at all', () => {
  it('is refused where it is written down', () => {
    const columns = { a: 'a' };
    expect(() => table({ name: 'a.b.c', key: ['k'], columns })).toThrow(ConfigError);
    expect(() => table({ name: '', key: ['k'], columns })).toThrow(ConfigError);
    expect(() => table({ name: 't', key: ['a'], columns })).toThrow('names a column twice');
    expect(() => table({ name: 't', key: ['k'], columns: {} })).toThrow(ConfigError);
    expect(() => table({ name: 't', key: ['k'.repeat(64)], columns })).toThrow(ConfigError);
    expect(() => table({ name: 't', key: ['k'], columns, scope: ['Kind', 'k'] })).toThrow(KeyError);
  });

  it('is refused where the namespace says something else', async () => {
    const { cache } = a.instance;
    const open = (options: object) => () => cache.records<Progress>('elsewhere', options);
    const scope = () => ['user', 'x'] as const;
    expect(open({ table: progressTable, scope })).toThrow('the scope of a mapped table');
    expect(open({ table: progressTable, codec: 'structured' })).toThrow('takes the codec json');
    const encryption = { keys: { k: randomBytes(32) }, current: 'k' };
    await using sealed = db.stage.open({ encryption });
    const openSealed = () => sealed.cache.records<Progress>('progress', { table: progressTable });
    expect(openSealed).toThrow('encryption');
  });
});

it('G9: nobody but a migration maps a table, and nobody but the cache sees what is mapped', async () => {
  const { supabase } = db.stage.stack;
  const functions = {
    cache_map_table: { namespace: 'x', relation: 'public.progress', key: ['id'], columns: {} },
    cache_unmap_table: { namespace: 'progress' },
    cache_mapped_change: {},
    cache_mirror: {},
  };
  for (const [name, args] of Object.entries(functions)) {
    for (const secret of [supabase.secretKey, supabase.publishableKey]) {
      const answer = await fetch(`${supabase.url}/rest/v1/rpc/${name}`, {
        method: 'POST',
        headers: { apikey: secret, 'content-type': 'application/json' },
        body: JSON.stringify(args),
      });
      expect(answer.ok, name).toBe(false);
    }
  }
  const [may] = await db.ask(
    `select bool_or(has_function_privilege('service_role', p.oid, 'execute')) as map
     from pg_proc p where p.proname in (
       'cache_map_table', 'cache_unmap_table', 'cache_take_back', 'cache_is_same',
       'cache_mapped_change')`,
  );
  expect(may).toEqual({ map: false });
});
