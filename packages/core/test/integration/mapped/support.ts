/**
 * A stage whose Supabase has tables of a team's own: listeners' progress, mapped by the team's
 * migration, and a table with columns of other types. `sql` is the other program: plain SQL, past
 * the cache.
 */
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { type MappedTable, type Records, table } from '../../../src/index.ts';
import { createRpcClient, type RpcClient } from '../../../src/tiers/supabase/client.ts';
import { type Instance, type InstanceOptions, MIGRATIONS, Stage } from '../support.ts';

/** Where a listener is in a book (source: an audiobook service's Redis cache). */
export interface Progress {
  readonly voice_id: string;
  readonly segment_id: number;
  readonly intra_ms: number;
}

export const progressTable: MappedTable<keyof Progress, 'user_id' | 'document_id'> = table({
  name: 'progress',
  key: ['user_id', 'document_id'],
  columns: { voice_id: 'voice', segment_id: 'segment_id', intra_ms: 'intra_ms' },
  scope: ['user', 'user_id'],
});

/** A bookmark: what columns of other types make of a value. */
export interface Bookmark {
  readonly at: string | null;
  readonly price: number | string | null;
  readonly big: number | string | null;
  readonly more: unknown;
}

export const bookmarkTable: MappedTable<keyof Bookmark, 'id'> = table({
  name: 'bookmarks',
  key: ['id'],
  columns: { at: 'at', price: 'price', big: 'big', more: 'more' },
});

const TABLES = `
  create table public.progress (
    user_id text not null,
    document_id text not null,
    voice text not null,
    segment_id integer not null check (segment_id >= 0),
    intra_ms integer not null,
    note text,
    primary key (user_id, document_id)
  );
  insert into public.progress values ('before', 'book', 'es-mx', 3, 1500);
  ${progressTable.migration('progress')}

  create table public.bookmarks (
    id integer primary key, at timestamptz, price numeric(8, 2), big bigint, more jsonb, extra text
  );
  ${bookmarkTable.migration('bookmarks')}

  create function public.run(statement text) returns void language plpgsql security definer as
    $$ begin execute statement; end $$;
  create function public.ask(query text) returns json language plpgsql security definer as $$
    declare found json;
    begin
      execute format('select coalesce(json_agg(q), ''[]'') from (%s) q', query) into found;
      return found;
    end $$;
`;

/** Says what progress is, as any library of schemas would. */
export const progressSchema: StandardSchemaV1<unknown, Progress> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) => {
      if (isProgress(value)) return { value };
      return { issues: [{ message: 'is no number of milliseconds', path: ['intra_ms'] }] };
    },
  },
};

function isProgress(value: unknown): value is Progress {
  return (
    typeof value === 'object' &&
    value !== null &&
    'intra_ms' in value &&
    typeof value.intra_ms === 'number' &&
    value.intra_ms < 1_000_000
  );
}

export interface Listener {
  readonly instance: Instance;
  readonly progress: Records<Progress>;
  readonly bookmarks: Records<Bookmark>;
}

export class MappedStage implements AsyncDisposable {
  readonly stage: Stage;
  readonly #folder: string;
  readonly #client: RpcClient;

  private constructor(stage: Stage, folder: string) {
    this.stage = stage;
    this.#folder = folder;
    const { supabase } = stage.stack;
    this.#client = createRpcClient(supabase.url, supabase.secretKey);
  }

  static async start(options: { readonly driver?: 'postgres' } = {}): Promise<MappedStage> {
    const folder = await mkdtemp(join(tmpdir(), 'cache-migrations-'));
    await cp(MIGRATIONS, folder, { recursive: true });
    await writeFile(join(folder, '20991231000000_tables_of_a_team.sql'), TABLES);
    const stage = await Stage.start({ supabase: { migrations: folder, ...options } });
    return new MappedStage(stage, folder);
  }

  /** A cache with the mapped namespaces open. */
  async listener(options: InstanceOptions = {}): Promise<Listener> {
    const instance = this.stage.open(options);
    const progress = instance.cache.records('progress', {
      table: progressTable,
      schema: progressSchema,
    });
    const bookmarks = instance.cache.records<Bookmark>('bookmarks', { table: bookmarkTable });
    await instance.cache.ready();
    if (options.l2 !== false) await instance.healthy();
    return { instance, progress, bookmarks };
  }

  /** Another program writes. */
  async sql(statement: string): Promise<void> {
    const { error } = await this.#client.rpc('run', { statement });
    if (error !== null) throw new Error(error.message);
  }

  /** Another program reads. */
  async ask(query: string): Promise<readonly object[]> {
    const { data, error } = await this.#client.rpc('ask', { query });
    if (error !== null) throw new Error(error.message);
    if (!Array.isArray(data)) throw new Error('the answer is a list of rows');
    return data;
  }

  /** The row of a listener, as another program sees it. */
  async row(user: string, document = 'book'): Promise<object | undefined> {
    const rows = await this.ask(
      `select voice, segment_id, intra_ms, note from public.progress
       where user_id = '${user}' and document_id = '${document}'`,
    );
    return rows[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stage[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true });
  }
}

/** Where somebody is. */
export function at(segment_id: number, intra_ms = 0, voice_id = 'es-mx'): Progress {
  return { voice_id, segment_id, intra_ms };
}
