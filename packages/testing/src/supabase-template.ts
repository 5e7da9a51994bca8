/**
 * Migrated databases to copy from. Making a PGlite database and migrating it takes seconds,
 * copying one a tenth of one; so each set of migrations is applied once per machine, under the
 * temporary directory, and never changed again.
 */
import { cpSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { temporaryDirectory } from './directory.ts';
import {
  hashMigrations,
  type MigrationFolders,
  PLATFORM_SQL,
  readMigrations,
} from './supabase-migrations.ts';

const UNUSED_MS = 60 * 60 * 1000;
const LITE_VERSION = '0.10.0';

/**
 * Fills `target`, which must not exist, with a migrated database. `make` is called where there
 * is no template yet: it makes the database in the directory that it is given.
 */
export async function copyTemplate(
  target: string,
  migrations: MigrationFolders,
  make: (directory: string) => Promise<void>,
): Promise<void> {
  const shelf = join(tmpdir(), `cache-testing-${userInfo().uid}`);
  await mkdir(shelf, { recursive: true, mode: 0o700 });
  const platform = { version: LITE_VERSION, name: 'platform', sql: PLATFORM_SQL };
  const hash = hashMigrations([platform, ...(await readMigrations(migrations))]);
  const template = join(shelf, hash);
  if (!(await exists(template))) {
    await sweep(shelf);
    await create(template, make);
  }
  const now = new Date();
  await utimes(template, now, now);
  // A thousand small files: the synchronous copy takes a quarter of the other one's CPU time.
  cpSync(template, target, { recursive: true });
}

async function create(template: string, make: (directory: string) => Promise<void>): Promise<void> {
  const workshop = await temporaryDirectory('cache-template');
  try {
    const database = join(workshop.path, 'database');
    await make(database);
    await rename(database, template);
  } catch (error) {
    // Where two processes made the same template, the first one's stands.
    if (!(await exists(template))) throw error;
  } finally {
    await workshop.remove();
  }
}

/** Templates of migrations that were edited since would otherwise pile up. */
async function sweep(shelf: string): Promise<void> {
  for (const name of await readdir(shelf)) {
    const path = join(shelf, name);
    const used = await stat(path).catch(() => undefined);
    if (used !== undefined && Date.now() - used.mtimeMs > UNUSED_MS) {
      await rm(path, { recursive: true, force: true });
    }
  }
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
