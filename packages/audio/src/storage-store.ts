/**
 * Clips in a bucket of Supabase Storage: what outlives Redis and the disks. Slower than both, so it
 * is made for `durable`, where it is asked last.
 *
 * A clip is one object, so that it is there whole or not at all: the length of its metadata in four
 * bytes, the metadata as JSON, the audio. Its name is its key, in the folder `clips`; beside it, in
 * the folder `clean-up`, is who cleans up.
 * Hearings are not noted: an entry was last heard when it was made. What is over its time goes when
 * somebody comes across it.
 *
 * Seen with the storage of @supabase/lite and supabase-js. Not tried: a hosted project, its limits
 * and its speed. supabase-js gives a caller no way to abort what is under way: who can't wait stops
 * waiting, and the request runs on.
 */
import { type Clock, systemClock } from '@cache/core';
import { isClipMetadata, keptUntil } from './clip-metadata.ts';
import { isKey } from './request.ts';
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

/** What is used of a bucket of supabase-js. */
export interface StorageBucket {
  upload(
    path: string,
    body: Uint8Array,
    options: { readonly upsert: boolean; readonly contentType: string },
  ): PromiseLike<StorageAnswer<unknown>>;
  download(path: string): PromiseLike<StorageAnswer<{ arrayBuffer(): Promise<ArrayBuffer> }>>;
  remove(paths: string[]): PromiseLike<StorageAnswer<readonly unknown[]>>;
  list(
    folder: string,
    options: { readonly limit: number; readonly offset: number },
  ): PromiseLike<StorageAnswer<readonly StorageObject[]>>;
}

export interface StorageAnswer<T> {
  readonly data: T | null;
  readonly error: unknown;
}

export interface StorageObject {
  readonly name: string;
  readonly metadata: Readonly<Record<string, unknown>> | null;
}

/** A client of supabase-js, or what looks like one. */
export interface StorageClient {
  readonly storage: { from(bucket: string): StorageBucket };
}

export interface StorageStoreOptions {
  readonly client: StorageClient;
  /** Private, and nobody else's. */
  readonly bucket: string;
  readonly clock?: Clock | undefined;
}

const PAGE = 100;
const FOLDER = 'clips';
const LOCKS = 'clean-up';
const LOCK_MS = 60_000;
/** What a lock says whose holder is done with it. */
const FREE = 'free';
const HEAD = 4;

/** Clips in Supabase Storage. See {@link ClipStore}. */
export function storageStore(options: StorageStoreOptions): ClipStore {
  return new StorageStore(options);
}

class StorageStore implements ClipStore {
  readonly name = 'storage';
  readonly #bucket: StorageBucket;
  readonly #clock: Clock;

  constructor({ client, bucket, clock = systemClock }: StorageStoreOptions) {
    this.#bucket = client.storage.from(bucket);
    this.#clock = clock;
  }

  async get(key: string, call: StoreCall = {}): Promise<Clip | undefined> {
    const bytes = await this.#download(pathOf(key), call);
    const clip = bytes && unpacked(bytes);
    if (clip === undefined) return undefined;
    if (this.#clock.now() < keptUntil(clip.metadata)) return clip;
    await this.delete(key, call).catch(() => false);
    return undefined;
  }

  async put(key: string, clip: Clip, call: PutCall = {}): Promise<void> {
    const options = { upsert: true, contentType: 'application/octet-stream' };
    const bytes = packed(clip);
    await mustHaveRoom(bytes.byteLength, call);
    await this.#ask(call, () => this.#bucket.upload(pathOf(key), bytes, options));
  }

  async delete(key: string, call: StoreCall = {}): Promise<boolean> {
    const gone = await this.#ask(call, () => this.#bucket.remove([pathOf(key)]));
    return (gone ?? []).length > 0;
  }

  async clear(call: StoreCall = {}): Promise<number> {
    let count = 0;
    const paths: string[] = [];
    for await (const { key } of this.#objects(call)) paths.push(pathOf(key));
    for (let at = 0; at < paths.length; at += PAGE) {
      const page = paths.slice(at, at + PAGE);
      count += ((await this.#ask(call, () => this.#bucket.remove(page))) ?? []).length;
    }
    return count;
  }

  touch(): void {
    // A write for each hearing would cost more than it tells.
  }

  async *entries(call: StoreCall = {}): AsyncIterable<ClipEntry> {
    for await (const { key, size } of this.#objects(call)) {
      const clip = await this.get(key, call);
      if (clip === undefined) continue;
      const { metadata } = clip;
      yield {
        key,
        metadata,
        storedBytes: size,
        lastAccessedAt: metadata.createdAt,
        accessCount: 0,
      };
    }
  }

  async usage(call: StoreCall = {}): Promise<StoreUsage> {
    let entries = 0;
    let bytes = 0;
    for await (const { size } of this.#objects(call)) {
      entries += 1;
      bytes += size;
    }
    return { entries, bytes };
  }

  async exclusively(work: () => Promise<void>): Promise<boolean> {
    const mine = await this.#lock();
    if (mine === undefined) return false;
    try {
      await work();
    } finally {
      await this.#ask({}, () => this.#write(lockOf(mine), FREE, true)).catch(() => null);
    }
    return true;
  }

  async close(): Promise<void> {
    // The client is the caller's.
  }

  /**
   * Locks are numbered, and the highest counts. Whoever finds it free, or its holder dead, makes the
   * next one: of two who do, one does, because an object that is there is not made a second time. The
   * highest is never removed, so that who was slow finds that somebody is ahead. Which number is
   * held; `undefined`: somebody else is at it.
   */
  async #lock(): Promise<number | undefined> {
    const last = (await this.#locks()).at(-1) ?? 0;
    if (last > 0 && (await this.#isHeld(last))) return undefined;
    const mine = last + 1;
    const { error } = await this.#write(lockOf(mine), `${this.#clock.now()}`, false);
    const locks = await this.#locks();
    // That nobody may write, or that it failed, is no other one who cleans up.
    if (error !== null && !locks.includes(mine)) throw refusal(error);
    if (error !== null || locks.at(-1) !== mine) return undefined;
    const over = locks.slice(0, -1).map(lockOf);
    if (over.length > 0) await this.#ask({}, () => this.#bucket.remove(over)).catch(() => null);
    return mine;
  }

  async #isHeld(lock: number): Promise<boolean> {
    const said = new TextDecoder().decode((await this.#download(lockOf(lock), {})) ?? undefined);
    return said !== FREE && this.#clock.now() - Number(said) < LOCK_MS;
  }

  /** From the lowest to the highest. */
  async #locks(): Promise<readonly number[]> {
    const locks: number[] = [];
    for await (const { name } of this.#listed(LOCKS, {})) {
      if (/^\d{12}$/.test(name)) locks.push(Number(name));
    }
    return locks.sort((a, b) => a - b);
  }

  #write(path: string, text: string, upsert: boolean): PromiseLike<StorageAnswer<unknown>> {
    const options = { upsert, contentType: 'application/octet-stream' };
    return this.#bucket.upload(path, new TextEncoder().encode(text), options);
  }

  async *#objects(call: StoreCall): AsyncIterable<{ readonly key: string; readonly size: number }> {
    for await (const { name, size } of this.#listed(FOLDER, call)) {
      if (isKey(name)) yield { key: name, size };
    }
  }

  async *#listed(
    folder: string,
    call: StoreCall,
  ): AsyncIterable<{ readonly name: string; readonly size: number }> {
    for (let offset = 0; ; offset += PAGE) {
      const options = { limit: PAGE, offset };
      const page = (await this.#ask(call, () => this.#bucket.list(folder, options))) ?? [];
      for (const { name, metadata } of page) {
        // Within the folder, or with it: servers differ.
        const own = name.slice(name.lastIndexOf('/') + 1);
        yield { name: own, size: Number(metadata?.size ?? 0) };
      }
      if (page.length < PAGE) return;
    }
  }

  async #download(path: string, call: StoreCall): Promise<Uint8Array | undefined> {
    const found = await this.#ask(call, () => this.#bucket.download(path), true);
    return found === null ? undefined : new Uint8Array(await found.arrayBuffer());
  }

  /** supabase-js answers with errors; `mayMiss`: that there is nothing is no error. */
  async #ask<T>(
    { signal }: StoreCall,
    ask: () => PromiseLike<StorageAnswer<T>>,
    mayMiss = false,
  ): Promise<T | null> {
    signal?.throwIfAborted();
    const { data, error } = await ask();
    if (error === null || error === undefined) return data;
    if (mayMiss && isMissing(error)) return null;
    throw refusal(error);
  }
}

function refusal(cause: unknown): StoreError {
  return new StoreError('unavailable', 'Supabase Storage did not do what it was asked', { cause });
}

function pathOf(key: string): string {
  if (!isKey(key)) {
    throw new StoreError('refused', 'a key of a clip is 64 hexadecimal digits');
  }
  return `${FOLDER}/${key}`;
}

function lockOf(lock: number): string {
  return `${LOCKS}/${String(lock).padStart(12, '0')}`;
}

/** An object that is not there; not a bucket, nor a right to it, which are said in the same way. */
function isMissing(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false;
  const { status, statusCode = status, message } = Object.fromEntries(Object.entries(error));
  const text = error instanceof Error ? error.message : `${message}`;
  return `${statusCode}` === '404' && !/bucket/i.test(text);
}

function packed({ bytes, metadata }: Clip): Uint8Array {
  const told = new TextEncoder().encode(JSON.stringify(metadata));
  const whole = new Uint8Array(HEAD + told.byteLength + bytes.byteLength);
  new DataView(whole.buffer).setUint32(0, told.byteLength);
  whole.set(told, HEAD);
  whole.set(bytes, HEAD + told.byteLength);
  return whole;
}

/** `undefined`: none of ours. */
function unpacked(whole: Uint8Array): Clip | undefined {
  if (whole.byteLength < HEAD) return undefined;
  const length = new DataView(whole.buffer, whole.byteOffset).getUint32(0);
  if (HEAD + length > whole.byteLength) return undefined;
  try {
    const told = new TextDecoder().decode(whole.subarray(HEAD, HEAD + length));
    const metadata: unknown = JSON.parse(told);
    if (!isClipMetadata(metadata)) return undefined;
    return { bytes: whole.subarray(HEAD + length), metadata };
  } catch {
    return undefined;
  }
}
