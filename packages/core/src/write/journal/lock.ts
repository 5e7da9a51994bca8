/**
 * One process at a time works on a directory. The lock is the operating system's own, on a file
 * in the directory, and so it is gone with the process that held it, however that ended: there is
 * no stale lock to be judged, nothing to be taken over, and no race between two who would.
 *
 * Node has no call for such locks, but it brings SQLite, which takes one on its database: here an
 * empty one, in which nothing is ever written.
 */
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { ConfigError } from '../../errors.ts';

/** The file that bears the lock. It stays, empty. */
export const LOCK_NAME = 'lock';

const SQLITE_BUSY = 5;

/** Returns what releases it. Throws `ConfigError` where somebody else has the directory. */
export function lockDirectory(dir: string): () => void {
  const sqlite = process.getBuiltinModule('node:sqlite');
  if (sqlite === undefined) {
    throw new ConfigError('option "journal" needs node:sqlite, which this runtime lacks');
  }
  let file: DatabaseSync | undefined;
  try {
    file = new sqlite.DatabaseSync(join(dir, LOCK_NAME), { timeout: 0 });
    file.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (cause) {
    file?.close();
    const isBusy = cause instanceof Error && 'errcode' in cause && cause.errcode === SQLITE_BUSY;
    throw new ConfigError(
      isBusy
        ? 'option "journal.dir" names a directory that another process, or another cache, works on'
        : 'option "journal.dir" names a directory that can not be locked',
      { cause },
    );
  }
  return () => file.close();
}
