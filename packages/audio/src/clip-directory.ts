/**
 * The files of a clip store: what is done to them, one at a time. Knows no limits, no time and no
 * other process, except through the one rule that makes them safe: a clip is written under a name
 * of its own, synced, and only then renamed to what readers open. Whoever opened the older file
 * goes on reading it, whole.
 *
 * Symbolic links, directories, pipes and devices are never followed, opened for writing or
 * removed, whatever they are called.
 */
import { constants, fstatSync, type Stats } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  addedUse,
  type ClipHead,
  decodeHead,
  decodeUse,
  encodeUse,
  headBytes,
  isBody,
  PREAMBLE_BYTES,
  USE_AT,
  USE_BYTES,
  type Use,
} from './clip-file.ts';
import { clipName, keyOf, partName, partState } from './clip-names.ts';
import { codeOf, isMissing } from './file-failures.ts';
import { StoreError } from './store.ts';

/** Files longer than this are no clips: they are not read to find out. */
export const MAX_CLIP_BYTES: number = 64 * 1024 * 1024;

export interface StoredClip {
  readonly head: ClipHead;
  readonly body: Buffer;
}

/** What lies under a clip's name: `foreign` is not a regular file, and stays. */
type Found<T> =
  | { readonly kind: 'clip'; readonly clip: T; readonly stats: Stats }
  | { readonly kind: 'missing' | 'foreign' }
  | { readonly kind: 'corrupt'; readonly stats: Stats };

// Neither through a link, nor waiting for somebody to open the other end of a pipe.
const TO_READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const TO_UPDATE = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** Readable and writable for its owner alone: speech may say anything. */
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

export class ClipDirectory {
  readonly path: string;
  /** Files that are being closed: nobody waits for that but the end. */
  readonly #closing = new Set<Promise<void>>();

  constructor(path: string) {
    this.path = path;
  }

  /** Makes the directory where there is none. */
  async make(): Promise<void> {
    const there = await stat(this.path).catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
    if (there === undefined) await mkdir(this.path, { recursive: true, mode: DIRECTORY_MODE });
    else if (!there.isDirectory()) {
      throw new StoreError('refused', 'what should be the clip directory is a file');
    }
  }

  async exists(): Promise<boolean> {
    const there = await stat(this.path).catch(() => undefined);
    return there?.isDirectory() === true;
  }

  async read(key: string): Promise<Found<StoredClip>> {
    return await this.#open(key, async (file, stats) => {
      if (stats.size > MAX_CLIP_BYTES) return undefined;
      const whole = await readAt(file, 0, stats.size);
      const head = decodeHead(key, whole, stats.size);
      if (head === undefined) return undefined;
      const body = whole.subarray(head.bodyAt);
      return isBody(head, body) ? { head, body } : undefined;
    });
  }

  /** Without the bytes, which may be corrupt. */
  async readHead(key: string): Promise<Found<ClipHead>> {
    return await this.#open(key, async (file, stats) => {
      const preamble = await readAt(file, 0, Math.min(PREAMBLE_BYTES, stats.size));
      const length = headBytes(preamble);
      if (length === undefined || length > stats.size) return undefined;
      return decodeHead(key, await readAt(file, 0, length), stats.size);
    });
  }

  /** Length of a clip's file; `undefined`: there is none. */
  async sizeOf(key: string): Promise<number | undefined> {
    const stats = await this.#statsOf(key);
    return stats?.isFile() === true ? stats.size : undefined;
  }

  /** Puts a clip in its place, whole. `isWanted` is asked at the last moment, and may throw. */
  async place(key: string, pieces: readonly Uint8Array[], isWanted: () => void): Promise<void> {
    const there = await this.#statsOf(key);
    if (there !== undefined && !there.isFile()) {
      throw new StoreError('refused', 'the place of a clip is taken by what is no file');
    }
    const part = join(this.path, partName(key));
    try {
      const file = await open(part, 'wx', FILE_MODE);
      try {
        for (const piece of pieces) await writeAll(file, piece);
        await file.sync();
      } finally {
        await file.close();
      }
      isWanted();
      await rename(part, this.#pathOf(key));
    } catch (error) {
      await rm(part, { force: true }).catch(() => {});
      throw error;
    }
    await this.syncNames();
  }

  /** Whether there was one. With `only`, it stays where another file has taken its place since. */
  async remove(key: string, only?: Stats): Promise<boolean> {
    const there = await this.#statsOf(key);
    if (there?.isFile() !== true) return false;
    if (only !== undefined && (there.ino !== only.ino || there.dev !== only.dev)) return false;
    try {
      // Not `force`: of two who remove it, one did.
      await rm(this.#pathOf(key));
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  /** Adds to the figures of use of a clip, in place. One that is gone or foreign is left alone. */
  async addUse(key: string, more: Use): Promise<void> {
    const file = await open(this.#pathOf(key), TO_UPDATE);
    try {
      const stats = statsOf(file);
      if (!stats.isFile() || stats.size < PREAMBLE_BYTES) return;
      const preamble = await readAt(file, 0, PREAMBLE_BYTES);
      if (headBytes(preamble) === undefined) return;
      const before = decodeUse(preamble.subarray(USE_AT, USE_AT + USE_BYTES));
      const use = addedUse(before, more);
      await writeAll(file, encodeUse(use), USE_AT);
    } finally {
      await file.close();
    }
  }

  /** The keys of all that is named like a clip. */
  async keys(): Promise<readonly string[]> {
    const names = await readdir(this.path);
    return names.map(keyOf).filter((key) => key !== undefined);
  }

  /** Removes what processes that are gone left behind; how many. */
  async removeDeadParts(now: number): Promise<number> {
    let removed = 0;
    for (const name of await readdir(this.path)) {
      if (partState(name, 0) === 'no part') continue;
      const path = join(this.path, name);
      const there = await lstat(path).catch(() => undefined);
      if (there?.isFile() !== true || partState(name, now - there.mtimeMs) !== 'dead') continue;
      await rm(path, { force: true });
      removed += 1;
    }
    return removed;
  }

  /** What was renamed or removed stays so, although the machine loses its power. */
  async syncNames(): Promise<void> {
    // Windows has no handle of a directory to sync; its file system logs names by itself.
    if (process.platform === 'win32') return;
    const directory = await open(this.path, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }

  async #open<T>(
    key: string,
    read: (file: FileHandle, stats: Stats) => Promise<T | undefined>,
  ): Promise<Found<T>> {
    const file = await open(this.#pathOf(key), TO_READ).catch((error: unknown) => {
      if (isMissing(error)) return 'missing';
      // A symbolic link, or a socket.
      if (codeOf(error) === 'ELOOP' || codeOf(error) === 'ENXIO') return 'foreign';
      throw error;
    });
    if (file === 'missing' || file === 'foreign') return { kind: file };
    try {
      const stats = statsOf(file);
      if (!stats.isFile()) return { kind: 'foreign' };
      const clip = await read(file, stats);
      if (clip === undefined) return { kind: 'corrupt', stats };
      return { kind: 'clip', clip, stats };
    } finally {
      this.#close(file);
    }
  }

  /** Resolves when no file is open that was read. */
  async closed(): Promise<void> {
    await Promise.all(this.#closing);
  }

  /** Of a file that was only read: there is nothing in it that could still fail to be written. */
  #close(file: FileHandle): void {
    const closing = file.close().catch(() => {});
    this.#closing.add(closing);
    void closing.then(() => this.#closing.delete(closing));
  }

  async #statsOf(key: string): Promise<Stats | undefined> {
    try {
      return await lstat(this.#pathOf(key));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  #pathOf(key: string): string {
    return join(this.path, clipName(key));
  }
}

/**
 * In this thread: of a file that was opened just now the system has it at hand, while a turn in the
 * thread pool costs whoever listens a turn of the event loop too. It would be wrong before `open`.
 */
function statsOf(file: FileHandle): Stats {
  return fstatSync(file.fd);
}

/** Fewer bytes where the file ends before. */
async function readAt(file: FileHandle, from: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, from + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return bytes.subarray(0, done);
}

/** A disk that fills up takes a part, and refuses the rest. `at`: default where it ended. */
async function writeAll(file: FileHandle, bytes: Uint8Array, at?: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    const position = at === undefined ? null : at + done;
    const { bytesWritten } = await file.write(bytes, done, bytes.byteLength - done, position);
    done += bytesWritten;
  }
}
