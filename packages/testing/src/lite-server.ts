/**
 * The program of the Supabase process: @supabase/lite on PGlite or on a PostgreSQL, the
 * project's migrations applied, served on the loopback interface. Its only argument is a
 * {@link LiteSettings} as JSON. `migrate` ends when the migrations are applied; `serve` says
 * `ready` and ends at SIGTERM, or killed.
 */
import { once } from 'node:events';
import { createAdaptorServer } from '@hono/node-server';
import { App, splitSqlStatements } from '@supabase/lite';
import { createPgliteConnection, type PgliteConnection } from '@supabase/lite/pglite';
import type { PostgresConnection } from '@supabase/lite/postgres';
import { type MigrationFolders, PLATFORM_SQL, readMigrations } from './supabase-migrations.ts';

export interface LiteSettings {
  readonly mode: 'migrate' | 'serve';
  /** A directory for PGlite, or `postgres://…`. */
  readonly database: string;
  readonly migrations: MigrationFolders;
  readonly port: number;
  readonly secretKey: string;
  readonly publishableKey: string;
}

type Database = PgliteConnection | PostgresConnection;

const settings: LiteSettings = JSON.parse(process.argv[2] ?? '');
await main(settings);

async function main({ mode, ...rest }: LiteSettings): Promise<void> {
  const database = await open(rest.database);
  await migrate(database, rest.migrations);
  if (mode === 'serve') return await serve(database, rest);
  process.stdout.write('migrated\n');
  await database.close();
  process.exit(0);
}

async function open(database: string): Promise<Database> {
  if (!/^postgres(ql)?:/.test(database)) return await createPgliteConnection({ url: database });
  // Loads a client that PGlite does without.
  const { createPostgresConnection } = await import('@supabase/lite/postgres');
  return await createPostgresConnection({ url: database });
}

async function migrate(database: Database, folders: MigrationFolders): Promise<void> {
  const { rows: known } = await query(
    database,
    `select to_regclass('supabase_migrations.schema_migrations') is not null as known`,
  );
  if (known[0]?.known !== true) await database.transaction(splitSqlStatements(PLATFORM_SQL));
  const { rows } = await query(
    database,
    'select version from supabase_migrations.schema_migrations',
  );
  const applied = new Set(rows.map((row) => row.version));
  for (const { version, name, sql } of await readMigrations(folders)) {
    if (applied.has(version)) continue;
    const record = `insert into supabase_migrations.schema_migrations (version, name) values (${literal(version)}, ${literal(name)})`;
    try {
      await database.transaction([...splitSqlStatements(sql), record]);
    } catch (error) {
      throw new Error(`migration ${version}_${name} failed`, { cause: error });
    }
  }
}

async function query(
  database: Database,
  sql: string,
): Promise<{ readonly rows: readonly Readonly<Record<string, unknown>>[] }> {
  return await database.exec<{ rows: Record<string, unknown>[] }>(sql);
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

async function serve(database: Database, o: Omit<LiteSettings, 'mode'>): Promise<void> {
  const app = new App({
    connection: database,
    auth: { secret_key: o.secretKey, publishable_key: o.publishableKey },
    // Otherwise a request without a key would be served as service_role.
    options: { server: { admin: false } },
  });
  await app.init();
  await warmUp(app, database, o.secretKey);
  const server = createAdaptorServer({ fetch: (request) => app.fetch(request) });
  server.listen(o.port, '127.0.0.1');
  await once(server, 'listening');
  process.once('SIGTERM', () => {
    server.close();
    database.close().finally(() => process.exit(0));
  });
  process.stdout.write('ready\n');
}

/** The first request reads the schema: rather now than at the price of somebody's deadline. */
async function warmUp(app: App, database: Database, secretKey: string): Promise<void> {
  const { rows } = await query(
    database,
    `select tablename as name from pg_tables where schemaname = 'public' order by 1 limit 1`,
  );
  const url = `http://127.0.0.1/rest/v1/${rows[0]?.name ?? ''}?limit=1`;
  const answer = await app.fetch(new Request(url, { headers: { apikey: secretKey } }));
  await answer.arrayBuffer();
}
