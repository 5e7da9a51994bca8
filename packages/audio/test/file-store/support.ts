/** What the tests of the file store share. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '@cache/core';
import { FileStore, type FileStoreOptions } from '../../src/file-store.ts';
import type { Clip, ClipEntry, ClipMetadata, ClipStore } from '../../src/store.ts';

export const NOW: number = Date.UTC(2026, 0, 1);
const DAY_MS = 86_400_000;

/** Time that moves when it is told to. */
export class HeldClock implements Clock {
  #now: number = NOW;
  #timers: { readonly at: number; readonly run: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + ms, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  random53(): number {
    return 4;
  }

  advance(ms: number): void {
    this.#now += ms;
    const due = this.#timers.filter(({ at }) => at <= this.#now);
    this.#timers = this.#timers.filter(({ at }) => at > this.#now);
    for (const { run } of due) run();
  }
}

/** The system's time, without all of @cache/core: for programs that are started often. */
export const realClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    timer.unref();
    return () => clearTimeout(timer);
  },
  random53: () => 4,
};

export function keyOf(name: string): string {
  return createHash('sha256').update(name).digest('hex');
}

export function metadata(more: Partial<ClipMetadata> = {}): ClipMetadata {
  return {
    mediaType: 'audio/wav',
    contentType: 'welcome_message',
    tenant: 'hotel',
    provider: 'espeak',
    model: 'klatt',
    voice: 'anna',
    format: 'wav',
    characters: 12,
    createdAt: NOW,
    expiresAt: NOW + DAY_MS,
    ...more,
  };
}

/** Bytes that say which clip they are of, wherever one looks. */
export function bodyOf(seed: string, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += 32) {
    createHash('sha256').update(`${seed} ${at}`).digest().copy(bytes, at);
  }
  return bytes;
}

export function clip(seed: string, length = 5_000, more: Partial<ClipMetadata> = {}): Clip {
  return { bytes: bodyOf(seed, length), metadata: metadata({ preview: seed, ...more }) };
}

/** Directories and stores that are gone when the test is. */
export class Shelves {
  readonly #dirs: string[] = [];
  readonly #stores: ClipStore[] = [];

  dir(): string {
    const dir = mkdtempSync(join(tmpdir(), 'cache-clips-'));
    this.#dirs.push(dir);
    return dir;
  }

  open(dir: string, more: Partial<FileStoreOptions> = {}): FileStore {
    const store = new FileStore({ dir, clock: new HeldClock(), ...more });
    this.#stores.push(store);
    return store;
  }

  async close(): Promise<void> {
    await Promise.all(this.#stores.splice(0).map((store) => store.close()));
    for (const dir of this.#dirs.splice(0)) rmSync(dir, { recursive: true, force: true });
  }
}

export async function entriesOf(store: ClipStore): Promise<readonly ClipEntry[]> {
  const entries: ClipEntry[] = [];
  for await (const entry of store.entries()) entries.push(entry);
  return entries.sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** The files of a directory, without the one that bears the lock. */
export function filesIn(dir: string): readonly string[] {
  return readdirSync(dir)
    .filter((name) => name !== 'clean-up.lock')
    .sort();
}
