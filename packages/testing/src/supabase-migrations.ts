/**
 * The migrations of a project, as the supabase CLI keeps them: `<version>_<name>.sql`, applied
 * in the order of their names, each in a transaction that also records it.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Migration {
  readonly version: string;
  readonly name: string;
  readonly sql: string;
}

const FILE = /^(\d+)_(.+)\.sql$/;

/** One folder of migrations, or those of several parts of a project, which are applied as one. */
export type MigrationFolders = string | readonly string[];

/** The migrations in these folders, first to last. Other files are not looked at. */
export async function readMigrations(folders: MigrationFolders): Promise<readonly Migration[]> {
  const all = await Promise.all([folders].flat().map(readFolder));
  return all.flat().sort((a, b) => (a.version < b.version ? -1 : 1));
}

async function readFolder(folder: string): Promise<readonly Migration[]> {
  const files = (await readdir(folder)).filter((file) => FILE.test(file)).sort();
  return await Promise.all(
    files.map(async (file) => {
      const [, version = '', name = ''] = FILE.exec(file) ?? [];
      return { version, name, sql: await readFile(join(folder, file), 'utf8') };
    }),
  );
}

/** The same for the same migrations, wherever they lie. */
export function hashMigrations(migrations: readonly Migration[]): string {
  return createHash('sha256').update(JSON.stringify(migrations)).digest('hex').slice(0, 16);
}

/**
 * What a hosted project has before its first migration: the three roles of the API, and that
 * whatever is created in `public` is theirs unless the migration takes it away.
 */
export const PLATFORM_SQL = `
do $$
begin
  if not exists (select from pg_roles where rolname = 'anon') then
    create role anon nologin noinherit;
  end if;
  if not exists (select from pg_roles where rolname = 'authenticated') then
    create role authenticated nologin noinherit;
  end if;
  if not exists (select from pg_roles where rolname = 'service_role') then
    create role service_role nologin noinherit bypassrls;
  end if;
end
$$;
grant usage on schema public to anon, authenticated, service_role;
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
  version text primary key,
  statements text[],
  name text
);
`;
