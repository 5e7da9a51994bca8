/**
 * What the journal needs of a directory. A port, because what a crash of the machine takes away
 * can only be tried with a directory that forgets what was not synced.
 *
 * While a journal is opened everything is synchronous: nothing may be served before it was read.
 * Afterwards nothing is: a sync takes milliseconds.
 */
import {
  accessSync,
  closeSync,
  constants,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { type FileHandle, open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError } from '../../errors.ts';

export interface Disk {
  /** The names of the files there are. */
  names(): readonly string[];
  readNow(name: string): Buffer;
  /** A new file with these bytes, which is there whatever happens next. */
  putNow(name: string, bytes: Buffer): void;
  /** Has happened whatever happens next. */
  renameNow(from: string, to: string): void;
  /** A new, empty file; its name is not safe before {@link syncNames}. */
  create(name: string): Promise<DiskFile>;
  read(name: string): Promise<Buffer>;
  remove(name: string): Promise<void>;
  syncNames(): Promise<void>;
}

export interface DiskFile {
  /** Writes all of it, or rejects. */
  write(bytes: Buffer, at: number): Promise<void>;
  /** The file ends there. */
  cut(size: number): Promise<void>;
  /** What was written, and how long the file is, is there whatever happens next. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Readable and writable for its owner alone: a journal holds values. */
const FILE_MODE = 0o600;

/** Throws `ConfigError` where there is no such directory, or one that can't be written to. */
export function checkDirectory(dir: string): void {
  const there = statSync(dir, { throwIfNoEntry: false });
  if (there === undefined)
    throw new ConfigError('option "journal.dir" names no directory there is');
  if (!there.isDirectory()) throw new ConfigError('option "journal.dir" takes a directory');
  try {
    accessSync(dir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (cause) {
    throw new ConfigError('option "journal.dir" names a directory that can not be written to', {
      cause,
    });
  }
}

/** A directory of the file system. */
export class Directory implements Disk {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  names(): readonly string[] {
    return readdirSync(this.#dir);
  }

  readNow(name: string): Buffer {
    return readFileSync(this.#path(name));
  }

  putNow(name: string, bytes: Buffer): void {
    const file = openSync(this.#path(name), 'wx', FILE_MODE);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
      fsyncSync(file);
    } catch (error) {
      rmSync(this.#path(name), { force: true });
      throw error;
    } finally {
      closeSync(file);
    }
    this.#syncNamesNow();
  }

  renameNow(from: string, to: string): void {
    renameSync(this.#path(from), this.#path(to));
    this.#syncNamesNow();
  }

  async create(name: string): Promise<DiskFile> {
    return new DirectoryFile(await open(this.#path(name), 'wx', FILE_MODE));
  }

  read(name: string): Promise<Buffer> {
    return readFile(this.#path(name));
  }

  remove(name: string): Promise<void> {
    return rm(this.#path(name), { force: true });
  }

  async syncNames(): Promise<void> {
    // Windows has no handle of a directory to sync; its file system logs names by itself.
    if (process.platform === 'win32') return;
    const directory = await open(this.#dir, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }

  #syncNamesNow(): void {
    if (process.platform === 'win32') return;
    const directory = openSync(this.#dir, 'r');
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  }

  #path(name: string): string {
    return join(this.#dir, name);
  }
}

class DirectoryFile implements DiskFile {
  readonly #file: FileHandle;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async write(bytes: Buffer, at: number): Promise<void> {
    // A disk that fills up takes a part, and refuses the rest.
    for (let done = 0; done < bytes.length; ) {
      const left = bytes.length - done;
      done += (await this.#file.write(bytes, done, left, at + done)).bytesWritten;
    }
  }

  cut(size: number): Promise<void> {
    return this.#file.truncate(size);
  }

  sync(): Promise<void> {
    return this.#file.datasync();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
