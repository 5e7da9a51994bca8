/**
 * Mapped tables on a real PostgreSQL, where sessions wait for each other: another program that has
 * a row is never the one that fails, and the cache comes again.
 */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { UnavailableError } from '../../../src/index.ts';
import { eventually, until } from '../support.ts';
import { at, type Listener, MappedStage, progressTable } from './support.ts';

let db: MappedStage;
let a: Listener;
let user: string;
let key: string;

beforeAll(async () => {
  db = await MappedStage.start({ driver: 'postgres' });
  a = await db.listener();
  await db.sql('create table public.go (name text)');
});
afterAll(() => db[Symbol.asyncDispose]());
beforeEach(async () => {
  user = db.stage.key('user');
  key = progressTable.key({ user_id: user, document_id: 'book' });
  await a.progress.set(key, at(0), { durability: 'through' });
});

/** Another program locks the row and keeps it, until it is told to write and to end. */
async function otherProgram(): Promise<{ readonly goOn: () => Promise<void> }> {
  const running = db.sql(`do $o$ begin
      perform from public.progress where user_id = '${user}' for update;
      while not exists (select from public.go where name = '${user}') loop
        perform pg_sleep(0.01);
      end loop;
      update public.progress set segment_id = segment_id + 10 where user_id = '${user}';
    end $o$`);
  const isLocked = async () =>
    (await db.ask(`select 1 from public.progress where user_id = '${user}' for update skip locked`))
      .length === 0;
  await until(isLocked, 'the other program has the row');
  return {
    goOn: async () => {
      await db.sql(`insert into public.go values ('${user}')`);
      await running;
    },
  };
}

it('G5: a row that another program keeps costs the cache a short wait, and the program nothing', async () => {
  const other = await otherProgram();
  await expect(a.progress.update(key, () => at(1))).rejects.toThrow(UnavailableError);
  await other.goOn();
  expect(await db.row(user)).toMatchObject({ segment_id: 10 });
  await a.progress.update(key, (now) => at((now?.segment_id ?? 0) + 1));
  expect(await db.row(user)).toMatchObject({ segment_id: 11 });
});

it('G1: a write that waits while another program keeps its row is sent again, and is superseded', async () => {
  const other = await otherProgram();
  await a.progress.set(key, at(1));
  const { remaining } = await a.instance.cache.sync();
  expect(remaining).toBe(1);
  expect(await a.instance.cache.deadLetters.list()).toEqual([]);
  await other.goOn();
  await a.instance.cache.sync();
  await eventually(async () => expect(await a.progress.get(key)).toEqual(at(10)));
  expect(await db.row(user)).toMatchObject({ segment_id: 10 });
});

it('G12: updates of the cache and of another program, at the same time, are all there', async () => {
  const times = Array.from({ length: 10 });
  await Promise.all([
    ...times.map(() => a.progress.update(key, (now) => at((now?.segment_id ?? 0) + 1))),
    ...times.map(() =>
      db.sql(`update public.progress set segment_id = segment_id + 1 where user_id = '${user}'`),
    ),
  ]);
  expect(await db.row(user)).toMatchObject({ segment_id: 20 });
  await eventually(async () => expect(await a.progress.get(key)).toEqual(at(20)));
});

it('G4: what the cache and another program write at once ends the same everywhere', async () => {
  const keys = Array.from({ length: 20 }, (_, index) => `${user}:${index}`);
  const both = keys.flatMap((one, index) => [
    a.progress.set(one, at(1), { durability: 'through' }),
    db.sql(`insert into public.progress values ('${user}', '${index}', 'v', 2, 0)
      on conflict (user_id, document_id) do update set segment_id = 2`),
  ]);
  // A row that both insert may cost the cache's write its time, but never the other program's.
  for (const [index, one] of (await Promise.allSettled(both)).entries()) {
    if (index % 2 === 1) expect(one.status).toBe('fulfilled');
  }
  const rows = await db.ask(`select e.value ->> 'segment_id' = p.segment_id::text as same
    from public.progress p join public.cache_entries e
      on e.namespace = 'progress' and e.key = p.user_id || ':' || p.document_id
    where p.user_id = '${user}' and p.document_id <> 'book'`);
  expect(rows).toEqual(keys.map(() => ({ same: true })));
});
