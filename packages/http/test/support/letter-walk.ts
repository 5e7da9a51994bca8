/**
 * The routes of dead letters, walked once through everything that they document: the same for the
 * routes alone and for a service that mounts them. A letter needs a Supabase that refuses rows.
 */
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Stack, startStack } from '@cache/testing';
import { createClient } from '@supabase/supabase-js';
import { expect } from 'vitest';
import { z } from 'zod';

/** While the table `rules` has a row, what mentions "poison" is refused, and no log can be deleted. */
const RULES = `
  create table public.rules (id integer primary key);
  grant all on public.rules to service_role;
  create function public.judge() returns trigger language plpgsql as $$
    begin
      if exists (select from public.rules) and to_json(new)::text like '%poison%' then
        raise exception 'not on my watch';
      end if;
      return new;
    end $$;
  create trigger judge before insert or update on public.cache_entries
    for each row execute function public.judge();
  create function public.judge_deletion() returns trigger language plpgsql as $$
    begin
      if exists (select from public.rules) and new.erased_to > old.erased_to then
        raise exception 'not on my watch';
      end if;
      return new;
    end $$;
  create trigger judge before update on public.cache_logs
    for each row execute function public.judge_deletion();
  create function public.rule(on_off boolean) returns void language sql as $$
    delete from public.rules where true;
    insert into public.rules select 1 where on_off;
  $$;
`;

/** Servers of which Supabase refuses rows. */
export class StrictStack implements AsyncDisposable {
  readonly stack: Stack;
  readonly #folder: string;

  private constructor(stack: Stack, folder: string) {
    this.stack = stack;
    this.#folder = folder;
  }

  static async start(migrations: string): Promise<StrictStack> {
    const folder = await mkdtemp(join(tmpdir(), 'cache-migrations-'));
    await cp(migrations, folder, { recursive: true });
    await writeFile(join(folder, '20991231000000_rules.sql'), RULES);
    return new StrictStack(await startStack({ supabase: { migrations: folder } }), folder);
  }

  async rule(isOn: boolean): Promise<void> {
    const { url, secretKey } = this.stack.supabase;
    const client = createClient(url, secretKey, {
      auth: { persistSession: false, autoRefreshToken: false },
    });
    const { error } = await client.rpc('rule', { on_off: isOn });
    if (error !== null) throw new Error(error.message);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stack.close();
    await rm(this.#folder, { recursive: true });
  }
}

export interface LetterWalk {
  readonly strict: StrictStack;
  readonly ask: (path: string, init?: RequestInit) => Promise<Response>;
  /** The same routes, of a cache whose servers are not there. */
  readonly askLost: (path: string, init?: RequestInit) => Promise<Response>;
  readonly admin: Readonly<Record<string, string>>;
  /** Writes two values that are refused, and deletes a log that can't be deleted. */
  readonly write: () => Promise<void>;
}

const LETTERS = '/admin/cache/dead-letters';
const letter = z.object({ id: z.int(), kind: z.enum(['value', 'log']), reason: z.string() });
const page = z.object({ letters: z.array(letter), next: z.int().nullable() });

export async function walkLetters({ strict, ask, askLost, admin, write }: LetterWalk) {
  const as = (method = 'GET') => ({ method, headers: admin });
  const statusOf = async (path: string, method = 'GET') =>
    (await ask(`${LETTERS}${path}`, as(method))).status;
  const list = async (query = '') =>
    page.parse(await (await ask(`${LETTERS}${query}`, as())).json());

  await strict.rule(true);
  await write();
  expect((await ask('/admin/cache/sync', as('POST'))).status).toBe(503);
  const state = await (await ask('/admin/cache/sync', as())).json();
  expect(state).toMatchObject({ deadLetters: 3 });

  const { letters, next } = await list();
  expect([letters.length, next]).toEqual([3, null]);
  const firstPage = await list('?limit=2&order=newest');
  expect(firstPage.letters).toEqual(letters.toReversed().slice(0, 2));
  const rest = await list(`?limit=2&order=newest&after=${firstPage.next}`);
  expect(rest).toEqual({ letters: letters.slice(0, 1), next: null });
  const [one, two] = letters.filter(({ kind }) => kind === 'value');
  const deletion = letters.find(({ kind }) => kind === 'log');
  if (one === undefined || two === undefined || deletion === undefined) {
    throw new Error('two values and a deletion are refused');
  }
  const bare = await (await ask(`${LETTERS}/${one.id}`, as())).json();
  expect(bare).toMatchObject({ reason: expect.stringContaining('not on my watch') });
  expect(JSON.stringify(bare)).not.toContain('poison');
  const whole = await (await ask(`${LETTERS}/${one.id}?value=1`, as())).json();
  expect(whole).toMatchObject({ payload: expect.stringContaining('poison') });

  const refused = await ask(`${LETTERS}/${one.id}/retry`, as('POST'));
  expect(refused.status).toBe(409);
  expect(refused.headers.get('content-type')).toContain('application/problem+json');
  expect(await refused.json()).toMatchObject({ outcome: 'refused' });
  expect(await statusOf(`/${deletion.id}`, 'DELETE')).toBe(409);
  expect(await statusOf(`/${two.id}`, 'DELETE')).toBe(204);
  await strict.rule(false);
  const retried = await ask(`${LETTERS}/${one.id}/retry`, as('POST'));
  expect([retried.status, await retried.json()]).toEqual([200, { id: one.id, outcome: 'applied' }]);
  expect(await statusOf(`/${deletion.id}/retry`, 'POST')).toBe(200);
  expect(await list()).toEqual({ letters: [], next: null });
  expect((await ask('/admin/cache/sync', as('POST'))).status).toBe(200);

  for (const [path, method] of [
    [`/${one.id}`, 'GET'],
    [`/${one.id}/retry`, 'POST'],
    [`/${two.id}`, 'DELETE'],
  ] as const) {
    expect(await statusOf(path, method)).toBe(404);
    expect((await askLost(`${LETTERS}${path}`, as(method))).status).toBe(503);
    expect((await ask(`${LETTERS}${path}`, { method })).status).toBe(401);
    expect(await statusOf(path.replace(/\d+/, 'one'), method)).toBe(400);
  }
  expect((await askLost(LETTERS, as())).status).toBe(503);
  expect((await ask(LETTERS)).status).toBe(401);
  expect(await statusOf('?limit=0')).toBe(400);
}
