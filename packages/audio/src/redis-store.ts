/**
 * Clips in Redis. Each is one hash, so that it is there whole or not at all, and goes by itself
 * when nobody may hear it any more; bytes are raw. Beside them an index, for what derived values of
 * `@cache/core` can't say: how many there are, how large, and when each was heard.
 *
 * Sixteen shards, by the first digit of the key; what a script touches is in one of them:
 *
 *   {prefix}{<digit>}c:<key>   hash: b bytes, f encoding, r size unpacked, m metadata, n stored size,
 *                              e end of its time, s how much longer it may be stale, a last heard,
 *                              c how often
 *   {prefix}{<digit>}ends      sorted set of the keys, by when they go
 *   {prefix}{<digit>}sizes     hash of their stored sizes
 *   {prefix}{<digit>}total     the sum of these
 *   {prefix}clean-up           who is cleaning up
 */
import { type Clock, type Duration, parseDuration, systemClock } from '@cache/core';
import { ClipCompression, type Encoding } from './clip-compression.ts';
import { isClipMetadata } from './clip-metadata.ts';
import { type Argument, RedisLink, type Script, script } from './redis/link.ts';
import { Touches } from './redis/touches.ts';
import {
  type Clip,
  type ClipEntry,
  type ClipMetadata,
  type ClipStore,
  mustHaveRoom,
  type PutCall,
  type StoreCall,
  StoreError,
  type StoreUsage,
} from './store.ts';

export interface RedisStoreOptions {
  readonly url: string;
  /** Of every key. Default `'speech:'`. */
  readonly prefix?: string | undefined;
  /** What a read may take. Default `'50ms'`. */
  readonly timeout?: Duration | undefined;
  /** Default: none. */
  readonly compression?: ClipCompression | undefined;
  readonly clock?: Clock | undefined;
}

const SHARDS = '0123456789abcdef';
const WRITE_MS = 5000;
const PAGE = 100;
const LOCK_MS = 15_000;
const EXTEND_MS = 5_000;
/** Who cleans up for longer is no longer alone. */
const MOST_EXTENSIONS = 9;

const scripts = {
  put: withIndex('store-put'),
  delete: withIndex('store-delete'),
  clear: withIndex('store-clear'),
  usage: withIndex('store-usage'),
  touch: withIndex('store-touch'),
};

/** Clips in Redis. See {@link ClipStore}. */
export function redisStore(options: RedisStoreOptions): ClipStore & { ready(): Promise<void> } {
  return new RedisStore(options);
}

class RedisStore implements ClipStore {
  readonly name = 'l2';
  readonly #clock: Clock;
  readonly #prefix: string;
  readonly #link: RedisLink;
  readonly #compression: ClipCompression;
  readonly #touches: Touches;

  constructor({
    url,
    prefix = 'speech:',
    timeout = '50ms',
    compression = new ClipCompression({ enabled: false }),
    clock = systemClock,
  }: RedisStoreOptions) {
    this.#clock = clock;
    this.#prefix = prefix;
    this.#compression = compression;
    const timeoutMs = parseDuration('option "timeout"', timeout);
    this.#link = new RedisLink({ url, clock, timeoutMs });
    this.#touches = new Touches(clock, (key, { count, at, expiresAt }) =>
      this.#script(scripts.touch, key, [key, count, at, expiresAt]),
    );
  }

  ready(): Promise<void> {
    return this.#link.ready();
  }

  async get(key: string, { signal }: StoreCall = {}): Promise<Clip | undefined> {
    const fields = await this.#link.run(
      (client) => client.hmgetBuffer(this.#clipName(key), 'b', 'f', 'r', 'm', 'e', 's'),
      { signal },
    );
    const [bytes, encoding, rawBytes, , ends, stale] = fields;
    const metadata = metadataOf(fields[3], ends, stale);
    if (metadata === undefined || !bytes || !encoding || !rawBytes) return undefined;
    const unpacked = await this.#compression.unpack({
      encoding: encodingOf(encoding.toString()),
      rawBytes: Number(rawBytes.toString()),
      bytes,
    });
    // What is not what it says it was is as good as gone, and is not found a second time.
    if (unpacked === undefined) {
      await this.delete(key, { signal }).catch(() => false);
      return undefined;
    }
    return { bytes: new Uint8Array(unpacked), metadata };
  }

  async put(key: string, { bytes, metadata }: Clip, call: PutCall = {}): Promise<void> {
    const now = this.#clock.now();
    const { expiresAt, staleUntil = expiresAt } = metadata;
    const keptMs = Math.ceil(Math.max(expiresAt, staleUntil) - now);
    if (keptMs <= 0) return;
    const packed = await this.#compression.pack(bytes, metadata.format);
    const told = JSON.stringify(metadata);
    const size = packed.bytes.byteLength + Buffer.byteLength(told);
    await mustHaveRoom(size, call);
    const fields: Argument[] = ['b', asBuffer(packed.bytes), 'f', packed.encoding];
    fields.push('r', packed.rawBytes, 'm', told, 'n', size, 'e', expiresAt);
    fields.push('s', Math.max(0, staleUntil - expiresAt), 'a', now, 'c', 0);
    await this.#script(scripts.put, key, [key, keptMs, size, ...fields], call);
  }

  async delete(key: string, { signal }: StoreCall = {}): Promise<boolean> {
    this.#touches.forget(key);
    return (await this.#script(scripts.delete, key, [key], { signal })) === 1;
  }

  async clear({ signal }: StoreCall = {}): Promise<number> {
    let count = 0;
    for (const shard of SHARDS) {
      for (;;) {
        const gone = await this.#script(scripts.clear, shard, [], { signal });
        if (typeof gone !== 'number' || gone === 0) break;
        count += gone;
      }
    }
    return count;
  }

  touch(key: string, at: number, expiresAt = 0): void {
    this.#touches.add(key, at, expiresAt);
  }

  async *entries({ signal }: StoreCall = {}): AsyncIterable<ClipEntry> {
    await this.#touches.flush();
    for (const shard of SHARDS) {
      const ends = `${this.#shardName(shard)}ends`;
      await this.#script(scripts.usage, shard, [], { signal });
      const options = { signal, ms: WRITE_MS };
      const keys = await this.#link.run((client) => client.zrange(ends, '0', '-1'), options);
      for (let at = 0; at < keys.length; at += PAGE) {
        yield* await this.#page(keys.slice(at, at + PAGE), signal);
      }
    }
  }

  async usage({ signal }: StoreCall = {}): Promise<StoreUsage> {
    const replies = await Promise.all(
      [...SHARDS].map((shard) => this.#script(scripts.usage, shard, [], { signal })),
    );
    let entries = 0;
    let bytes = 0;
    for (const reply of replies) {
      if (!Array.isArray(reply)) continue;
      entries += Number(reply[0]);
      bytes += Number(reply[1]);
    }
    return { entries, bytes };
  }

  async exclusively(work: () => Promise<void>): Promise<boolean> {
    const lock = `${this.#prefix}clean-up`;
    const token = `${this.#clock.random53()}`;
    const options = { ms: WRITE_MS };
    const taken = await this.#link.run((c) => c.set(lock, token, 'PX', LOCK_MS, 'NX'), options);
    if (taken === null) return false;
    let extensions = 0;
    let cancel = () => {};
    const extendLater = () => {
      cancel = this.#clock.after(EXTEND_MS, () => {
        extensions += 1;
        if (extensions > MOST_EXTENSIONS) return;
        this.#link.run((c) => c.pexpire(lock, LOCK_MS), options).catch(() => {});
        extendLater();
      });
    };
    extendLater();
    try {
      await work();
    } finally {
      cancel();
      await this.#link
        .run(async (c) => ((await c.get(lock)) === token ? c.del(lock) : 0), options)
        .catch(() => {});
    }
    return true;
  }

  async close(): Promise<void> {
    await this.#touches.close();
    await this.#link.close();
  }

  async #page(keys: readonly string[], signal: AbortSignal | undefined): Promise<ClipEntry[]> {
    const replies = await this.#link.run(
      (client) => {
        const pipeline = client.pipeline();
        for (const key of keys) pipeline.hmget(this.#clipName(key), 'm', 'e', 's', 'n', 'a', 'c');
        return pipeline.exec();
      },
      { signal, ms: WRITE_MS },
    );
    const entries: ClipEntry[] = [];
    for (const [index, key] of keys.entries()) {
      const fields = replies?.[index]?.[1];
      const [told, ends, stale, size, at, count] = Array.isArray(fields) ? fields : [];
      const metadata = metadataOf(told, ends, stale);
      if (metadata === undefined) {
        // Evicted under the index, or foreign: it is not there, and is not counted.
        await this.delete(key, { signal });
        continue;
      }
      entries.push({
        key,
        metadata,
        storedBytes: Number(size),
        lastAccessedAt: Number(at),
        accessCount: Number(count),
      });
    }
    return entries;
  }

  #script(
    what: Script,
    key: string,
    args: readonly Argument[],
    { signal }: StoreCall = {},
  ): Promise<unknown> {
    const shard = this.#shardName(key.charAt(0));
    const keys = [`${shard}ends`, `${shard}sizes`, `${shard}total`];
    return this.#link.script(what, keys, [`${shard}c:`, ...args], { signal, ms: WRITE_MS });
  }

  #shardName(digit: string): string {
    return `${this.#prefix}{${digit}}`;
  }

  #clipName(key: string): string {
    if (!/^[0-9a-f]{64}$/.test(key)) {
      throw new StoreError('refused', 'a key of a clip is 64 hexadecimal digits');
    }
    return `${this.#shardName(key.charAt(0))}c:${key}`;
  }
}

function withIndex(name: string): Script {
  return script(name, 'store-lib');
}

type Field = Buffer | string | null | undefined;

function metadataOf(told: Field, ends: Field, stale: Field): ClipMetadata | undefined {
  if (!told || !ends) return undefined;
  let metadata: unknown;
  try {
    metadata = JSON.parse(told.toString());
  } catch {
    return undefined;
  }
  if (!isClipMetadata(metadata)) return undefined;
  const expiresAt = Number(ends.toString());
  if (metadata.staleUntil === undefined) return { ...metadata, expiresAt };
  return { ...metadata, expiresAt, staleUntil: expiresAt + Number(stale?.toString() ?? 0) };
}

function encodingOf(text: string): Encoding {
  return text === 'zlib' || text === 'zstd' ? text : 'plain';
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
