/**
 * One process at a time cleans a directory up. The lock is the operating system's own, on a file
 * in the directory, and so it is gone with the process that held it, however that ended: there is
 * no stale lock to be judged, nothing to be taken over, and no race between two who would.
 *
 * Node has no call for such locks, but it brings SQLite, which takes one on its database: here an
 * empty one, in which nothing is ever written.
 */
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { storeError } from './file-failures.ts';
import { StoreError } from './store.ts';

/** The file that bears the lock. It stays, empty. */
export const LOCK_NAME = 'clean-up.lock';

const SQLITE_BUSY = 5;
const SQLITE_READONLY = 8;
const SQLITE_CANTOPEN = 14;

/** Returns what releases it; `undefined`: somebody else has it. Throws `StoreError`. */
export function lockDirectory(dir: string): (() => void) | undefined {
  const sqlite = process.getBuiltinModule('node:sqlite');
  if (sqlite === undefined) throw new StoreError('refused', 'this runtime lacks node:sqlite');
  let file: DatabaseSync | undefined;
  try {
    const held = new sqlite.DatabaseSync(join(dir, LOCK_NAME), { timeout: 0 });
    file = held;
    held.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    return () => held.close();
  } catch (cause) {
    file?.close();
    const code = cause instanceof Error && 'errcode' in cause ? cause.errcode : undefined;
    if (code === SQLITE_BUSY) return undefined;
    if (code === SQLITE_READONLY || code === SQLITE_CANTOPEN) {
      throw new StoreError('refused', 'the clip directory can not be locked', { cause });
    }
    throw storeError('be locked', cause);
  }
}
