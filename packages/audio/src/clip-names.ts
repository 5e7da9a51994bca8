/**
 * The names of the files in a clip directory. Only names that are made here are ever opened,
 * counted or removed: everything else in the directory is somebody else's.
 *
 *   <key>.clip                           a clip, whole
 *   <key>.<host>-<pid>-<token>.part      a clip on its way, of one process
 *   clean-up.lock                        see ./directory-lock.ts
 */
import { createHash, randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { StoreError } from './store.ts';

const KEY = /^[0-9a-f]{64}$/;
const CLIP = /^([0-9a-f]{64})\.clip$/;
const PART = /^[0-9a-f]{64}\.([0-9a-f]{8})-([1-9][0-9]{0,9})-([0-9a-f]{16})-[0-9a-f]{16}\.part$/;

/** Process numbers mean nothing to another machine, or container, on the same directory. */
const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);
/** A process number may be that of one that is gone; inside a container it nearly always is. */
const PROCESS = randomBytes(8).toString('hex');

/** A part of another host, or of a process number in use, is left behind when it is this old. */
export const PART_LIFE_MS = 600_000;

/** Throws `StoreError` for anything but 64 hexadecimal digits, in lower case. */
export function clipName(key: string): string {
  if (!KEY.test(key)) throw new StoreError('refused', 'a key of a clip is 64 hexadecimal digits');
  return `${key}.clip`;
}

/** The key of a clip's file; `undefined`: not a clip's name. */
export function keyOf(name: string): string | undefined {
  return CLIP.exec(name)?.[1];
}

/** A name that nobody else has. */
export function partName(key: string): string {
  const token = randomBytes(8).toString('hex');
  return `${key}.${HOST}-${process.pid}-${PROCESS}-${token}.part`;
}

/** `running`: its process may be at it still; `dead`: nobody will finish it. */
export function partState(name: string, ageMs: number): 'running' | 'dead' | 'no part' {
  const [, host, pid, owner] = PART.exec(name) ?? [];
  if (host === undefined) return 'no part';
  if (owner === PROCESS) return 'running';
  if (ageMs > PART_LIFE_MS) return 'dead';
  if (host !== HOST) return 'running';
  const number = Number(pid);
  return number !== process.pid && isRunning(number) ? 'running' : 'dead';
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Not allowed to signal it: it is there.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
