/**
 * Clips as files in one directory: what is stored survives a restart, and several processes may
 * work on the same directory.
 *
 * Invariants:
 *  - a file that is named like a clip is one clip, whole, or it is removed when it is found out;
 *  - what a process that was killed left half written is removed when the next one opens;
 *  - nothing outside of the directory, and nothing in it that is not named as in ./clip-names.ts,
 *    is opened, counted or removed;
 *  - a clip past its time is not given out, and is removed where it is met;
 *  - never more than `maxBytes`: what would go beyond is refused as `full`. Which clips make room
 *    is decided above.
 *
 * Lost where a process is killed: the hearings of about the last second. Two processes that write
 * down the hearings of the same clip in the same instant may lose those of one of them.
 */
import type { Stats } from 'node:fs';
import type { Clock } from '@cache/core';
import { ClipCompression } from './clip-compression.ts';
import { ClipDirectory, MAX_CLIP_BYTES } from './clip-directory.ts';
import { encodeClip } from './clip-file.ts';
import { keptUntil, prolonged } from './clip-metadata.ts';
import { clipName } from './clip-names.ts';
import { lockDirectory } from './directory-lock.ts';
import { DirectoryUsage } from './directory-usage.ts';
import { isMissing, storeError } from './file-failures.ts';
import { FileTouches } from './file-touches.ts';
import {
  type Clip,
  type ClipEntry,
  type ClipStore,
  mustHaveRoom,
  type PutCall,
  type StoreCall,
  StoreError,
  type StoreUsage,
} from './store.ts';

export interface FileStoreOptions {
  /** Made where it is missing, readable for its owner alone. May be a link to a directory. */
  readonly dir: string;
  /** Bytes of all clips together at most. Default 1 GB (1,073,741,824). */
  readonly maxBytes?: number | undefined;
  /** Default: clips are stored as they come. */
  readonly compression?: ClipCompression | undefined;
  readonly clock: Clock;
}

/** What was cleared away since the start. */
export interface FileStoreCounts {
  /** Clips that were truncated, damaged or not what their name says. */
  readonly corruptRemoved: number;
  /** What processes that are gone had left half written. */
  readonly partsRemoved: number;
}

/** 1 GB. */
export const DEFAULT_FILE_STORE_BYTES: number = 1_073_741_824;

/** Heads read at once while the clips are listed. */
const AT_ONCE = 16;

export class FileStore implements ClipStore {
  readonly name = 'file';
  readonly maxBytes: number;
  readonly #directory: ClipDirectory;
  readonly #compression: ClipCompression;
  readonly #clock: Clock;
  readonly #usage: DirectoryUsage;
  readonly #touches: FileTouches;
  readonly #running = new Set<Promise<unknown>>();
  /** The last change of a clip, so that changes of one clip are made one after the other. */
  readonly #changing = new Map<string, Promise<unknown>>();
  #opening: Promise<void> | undefined;
  /** Bytes of clips that are being written. */
  #reserved = 0;
  #corruptRemoved = 0;
  #partsRemoved = 0;
  #isClosed = false;

  /** Touches no file: the directory is opened by the first call, and by the next one if it fails. */
  constructor({ dir, maxBytes = DEFAULT_FILE_STORE_BYTES, compression, clock }: FileStoreOptions) {
    if (dir === '' || dir.includes('\0')) throw new RangeError('option "dir" takes a directory');
    if (!(maxBytes > 0)) throw new RangeError('option "maxBytes" takes a number of bytes');
    this.maxBytes = maxBytes;
    this.#directory = new ClipDirectory(dir);
    this.#compression = compression ?? new ClipCompression({ enabled: false });
    this.#clock = clock;
    this.#usage = new DirectoryUsage(clock);
    this.#touches = new FileTouches(clock, () => void this.#flush().catch(() => {}));
  }

  get counts(): FileStoreCounts {
    return { corruptRemoved: this.#corruptRemoved, partsRemoved: this.#partsRemoved };
  }

  async get(key: string, call?: StoreCall): Promise<Clip | undefined> {
    clipName(key);
    return await this.#run('read a clip', call, async () => {
      const found = await this.#directory.read(key);
      if (found.kind === 'clip') {
        const { head, body } = found.clip;
        const metadata = prolonged(head.metadata, this.#touches.prolongedTo(key));
        if (keptUntil(metadata) <= this.#clock.now()) {
          await this.#removeIfStill(key, found.stats);
          return undefined;
        }
        const bytes = await this.#compression.unpack({ ...head, bytes: body });
        return bytes === undefined ? undefined : { bytes, metadata };
      }
      if (found.kind === 'corrupt') await this.#removeCorrupt(key, found.stats);
      // A directory that is gone says nothing about what was in it.
      if (found.kind === 'missing' && !(await this.#directory.exists())) throw this.#lost();
      return undefined;
    });
  }

  async put(key: string, clip: Clip, call?: PutCall): Promise<void> {
    clipName(key);
    const packed = await this.#compression.pack(clip.bytes, clip.metadata.format);
    const pieces = encodeClip(key, { ...packed, metadata: clip.metadata });
    const fileBytes = pieces[0].byteLength + pieces[1].byteLength;
    if (fileBytes > MAX_CLIP_BYTES) {
      throw new StoreError('refused', `a clip takes at most ${MAX_CLIP_BYTES} bytes`);
    }
    await mustHaveRoom(fileBytes, call);
    await this.#run('store a clip', call, () =>
      this.#changeOf(key, async () => {
        const release = await this.#reserve(key, fileBytes);
        try {
          await this.#place(key, pieces, call);
          this.#usage.set(key, fileBytes);
        } finally {
          release();
        }
      }),
    );
  }

  async delete(key: string, call?: StoreCall): Promise<boolean> {
    clipName(key);
    return await this.#run('delete a clip', call, async () => {
      const wasThere = await this.#changeOf(key, () => this.#remove(key));
      if (wasThere) await this.#directory.syncNames();
      return wasThere;
    });
  }

  async clear(call?: StoreCall): Promise<number> {
    return await this.#run('be cleared', call, async () => {
      let removed = 0;
      for (const key of await this.#directory.keys()) {
        call?.signal?.throwIfAborted();
        if (await this.#changeOf(key, () => this.#remove(key))) removed += 1;
      }
      if (removed > 0) await this.#directory.syncNames();
      return removed;
    });
  }

  touch(key: string, at: number, expiresAt = 0): void {
    if (!this.#isClosed) this.#touches.add(key, at, expiresAt);
  }

  /** Clips past their time, truncated, or with a damaged head are removed on the way. */
  async *entries(call?: StoreCall): AsyncIterable<ClipEntry> {
    const keys = await this.#run('be listed', call, async () => {
      await this.#touches.writeTo(this.#directory);
      return await this.#directory.keys();
    });
    for (let from = 0; from < keys.length; from += AT_ONCE) {
      const some = keys.slice(from, from + AT_ONCE);
      const found = await this.#run('be listed', call, () =>
        Promise.all(some.map((key) => this.#entryOf(key))),
      );
      for (const entry of found) if (entry !== undefined) yield entry;
    }
  }

  /** What this process did is in it at once, what others did after about a second. */
  async usage(call?: StoreCall): Promise<StoreUsage> {
    return await this.#run('be measured', call, () => this.#usage.current(this.#directory));
  }

  /** The lock is the operating system's: a process that dies in the middle stops nobody. */
  async exclusively(work: () => Promise<void>): Promise<boolean> {
    const unlock = await this.#run('be locked', undefined, async () =>
      lockDirectory(this.#directory.path),
    );
    if (unlock === undefined) return false;
    try {
      await work();
      return true;
    } finally {
      unlock();
    }
  }

  /** Writes down what was heard, and waits for what is under way. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    const flushed = this.#flush().catch(() => {});
    this.#isClosed = true;
    this.#touches.stop();
    await flushed;
    await Promise.allSettled([...this.#running]);
    await this.#directory.closed();
  }

  /** Everything that touches the directory: opened before, in the words of a store, and bounded. */
  async #run<T>(step: string, call: StoreCall | undefined, work: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw new StoreError('unavailable', 'the clip directory was closed');
    const signal = call?.signal;
    const run = async (): Promise<T> => {
      try {
        signal?.throwIfAborted();
        await this.#open();
        return await work();
      } catch (error) {
        throw storeError(step, error);
      }
    };
    const running = run();
    this.#running.add(running);
    const forget = () => this.#running.delete(running);
    running.then(forget, forget);
    return await untilAborted(running, signal, step);
  }

  #open(): Promise<void> {
    this.#opening ??= this.#prepare().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#opening;
  }

  async #prepare(): Promise<void> {
    await this.#directory.make();
    // A directory that may only be read can be served from all the same.
    const removed = this.#directory.removeDeadParts(this.#clock.now()).catch(() => 0);
    this.#partsRemoved += await removed;
  }

  #lost(): StoreError {
    this.#opening = undefined;
    return new StoreError('unavailable', 'the clip directory is gone');
  }

  async #place(key: string, pieces: readonly Uint8Array[], call?: StoreCall): Promise<void> {
    const isWanted = () => call?.signal?.throwIfAborted();
    try {
      await this.#directory.place(key, pieces, isWanted);
    } catch (error) {
      if (!isMissing(error)) throw error;
      // The directory went, or somebody took the half written file for one left behind: once more.
      this.#opening = undefined;
      await this.#open();
      await this.#directory.place(key, pieces, isWanted);
    }
  }

  async #reserve(key: string, fileBytes: number): Promise<() => void> {
    await this.#usage.current(this.#directory);
    const more = fileBytes - this.#usage.of(key);
    if (this.#usage.bytes + this.#reserved + more > this.maxBytes) {
      throw new StoreError('full', `the clips would take more than ${this.maxBytes} bytes`);
    }
    this.#reserved += more;
    return () => {
      this.#reserved -= more;
    };
  }

  async #remove(key: string): Promise<boolean> {
    const wasThere = await this.#directory.remove(key);
    this.#usage.set(key, undefined);
    return wasThere;
  }

  async #removeCorrupt(key: string, found: Stats): Promise<void> {
    if (await this.#removeIfStill(key, found)) this.#corruptRemoved += 1;
  }

  /** Not what has taken its place since. That it can't be removed is no reason not to go on. */
  #removeIfStill(key: string, found: Stats): Promise<boolean> {
    return this.#changeOf(key, async () => {
      const wasRemoved = await this.#directory.remove(key, found);
      if (wasRemoved) this.#usage.set(key, undefined);
      return wasRemoved;
    }).catch(() => false);
  }

  async #entryOf(key: string): Promise<ClipEntry | undefined> {
    const found = await this.#directory.readHead(key);
    if (found.kind === 'corrupt') await this.#removeCorrupt(key, found.stats);
    if (found.kind !== 'clip') return undefined;
    const { metadata, use } = found.clip;
    if (keptUntil(metadata) > this.#clock.now()) {
      const { lastAccessedAt, accessCount } = use;
      return { key, metadata, storedBytes: found.stats.size, lastAccessedAt, accessCount };
    }
    await this.#removeIfStill(key, found.stats);
    return undefined;
  }

  /** Runs `change` when the changes of this clip that came before are made. */
  async #changeOf<T>(key: string, change: () => Promise<T>): Promise<T> {
    const before = this.#changing.get(key) ?? Promise.resolve();
    const mine = before.then(change, change);
    this.#changing.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#changing.get(key) === mine) this.#changing.delete(key);
    }
  }

  async #flush(): Promise<void> {
    await this.#run('write down what was heard', undefined, () =>
      this.#touches.writeTo(this.#directory),
    );
  }
}

/** The work goes on where a caller gives up; nobody waits for it but `close`. */
async function untilAborted<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  step: string,
): Promise<T> {
  if (signal === undefined) return await work;
  const { promise, reject } = Promise.withResolvers<never>();
  const giveUp = () => {
    const cause: unknown = signal.reason;
    reject(new StoreError('unavailable', `no time left to ${step}`, { cause }));
  };
  if (signal.aborted) giveUp();
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}
