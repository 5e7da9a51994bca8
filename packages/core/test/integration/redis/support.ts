/** A tier on a real server with a clock that stands still, and a look behind its back. */
import { Redis } from 'ioredis';
import { type Clock, systemClock } from '../../../src/clock.ts';
import { decodeEntry, decodeHeader } from '../../../src/codec/envelope.ts';
import { splitFrames } from '../../../src/codec/frames.ts';
import { unpackPayload } from '../../../src/codec/payload.ts';
import type { LogWrite, Payload, ValueWrite } from '../../../src/model/entry.ts';
import { type Address, address } from '../../../src/model/key.ts';
import { decodeMeta } from '../../../src/tiers/redis/handshake.ts';
import { RedisTier, type RedisTierOptions } from '../../../src/tiers/redis/redis.ts';
import type { SharedDump } from '../../model/shared-server.ts';
import { type DumpedEntry, dumpPayload, dumpScope } from '../../model/stored.ts';

export { until } from '@cache/testing';

export const TTL_MS = 3_600_000;

/** The system's clock, but what time it is and what it draws is the test's. */
export class StillClock implements Clock {
  time: number;
  readonly #random: () => number;

  constructor(time: number = Date.now(), random: () => number = Math.random) {
    this.time = time;
    this.#random = random;
  }

  now(): number {
    return this.time;
  }

  monotonic(): number {
    return systemClock.monotonic();
  }

  after(ms: number, run: () => void): () => void {
    return systemClock.after(ms, run);
  }

  random53(): number {
    return Math.floor(this.#random() * Number.MAX_SAFE_INTEGER);
  }
}

/** Numbers that are the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** What the tier told its owner. */
export interface Heard {
  epochs: number;
  readonly connection: boolean[];
  readonly messages: string[];
  subscriptions: number;
}

export interface Opened {
  readonly tier: RedisTier;
  readonly heard: Heard;
}

export function openTier(url: string, options: Partial<RedisTierOptions> = {}): Opened {
  const heard: Heard = { epochs: 0, connection: [], messages: [], subscriptions: 0 };
  const tier = new RedisTier({
    url,
    ttlMs: TTL_MS,
    shards: 2,
    clock: systemClock,
    maxValueBytes: 1_000_000,
    floor: () => Promise.resolve(0),
    onEpoch: () => {
      heard.epochs += 1;
    },
    onConnection: (up) => {
      heard.connection.push(up);
    },
    onMessage: (message) => {
      heard.messages.push(message);
    },
    onSubscribed: () => {
      heard.subscriptions += 1;
    },
    ...options,
  });
  return { tier, heard };
}

/** A plain connection, for looking and for planting. */
export function plainClient(url: string): Redis {
  const client = new Redis(url, { maxRetriesPerRequest: null });
  client.on('error', () => {});
  return client;
}

export function json(value: unknown): Payload {
  return { codec: 'json', bytes: Buffer.from(JSON.stringify(value)) };
}

export function writeOf(
  of: Address,
  version: number,
  intent: number,
  more: Partial<ValueWrite> = {},
): ValueWrite {
  return {
    kind: 'value',
    address: of,
    version,
    intent,
    payload: json({ version, intent }),
    expiresAt: 0,
    scope: undefined,
    tags: [],
    ...more,
  };
}

export function logOf(
  of: Address,
  items: readonly (readonly [id: string, version: number])[],
  more: Partial<LogWrite> = {},
): LogWrite {
  return {
    kind: 'log',
    address: of,
    items: items.map(([id, version]) => ({ id, version, payload: json({ id }) })),
    erasedTo: 0,
    scope: undefined,
    ...more,
  };
}

const ENTRY = /^c:\{\d\d\}:e:(?<namespace>[^/]+)\/(?<key>.*)$/s;

/** The server's content in the words of the model. */
export async function dumpServer(client: Redis, shards: number): Promise<SharedDump> {
  const numbers = Array.from({ length: shards }, (_, shard) => String(shard).padStart(2, '0'));
  const keys = (await client.keys('c:{*}:e:*')).sort();
  const pipeline = client.pipeline();
  for (const shard of numbers) pipeline.getBuffer(`c:{${shard}}:m`);
  for (const shard of numbers) pipeline.zrange(`c:{${shard}}:p`, '0', '-1');
  for (const key of keys) pipeline.getBuffer(key);
  for (const key of keys) pipeline.pttl(key);
  const answers = ((await pipeline.exec()) ?? []).map(([, answer]) => answer);
  const metas = answers.slice(0, shards).map(decodeMeta);
  const pending = answers
    .slice(shards, shards * 2)
    .flatMap((ids) => (Array.isArray(ids) ? ids : []));
  const epochs = new Set(metas.map((meta) => meta?.epoch));
  const entries: [string, DumpedEntry][] = [];
  for (const [i, key] of keys.entries()) {
    const bytes = answers[shards * 2 + i];
    const ttl = answers[shards * 2 + keys.length + i];
    const { namespace = '', key: name = '' } = ENTRY.exec(key)?.groups ?? {};
    const of = address(namespace, name);
    const entry = await dumpEntry(
      Buffer.isBuffer(bytes) ? bytes : Buffer.alloc(0),
      of,
      Number(ttl),
    );
    if (entry.kind === 'garbage' || entry.pending || epochs.has(entry.epoch)) {
      entries.push([of.id, entry]);
    }
  }
  return {
    metas,
    entries: Object.fromEntries(entries),
    pending: pending.map(String).sort(),
  };
}

async function dumpEntry(bytes: Buffer, of: Address, ttl: number): Promise<DumpedEntry> {
  const header = decodeHeader(bytes);
  const none: DumpedEntry = {
    kind: 'garbage',
    pending: false,
    ttl: false,
    version: 0,
    intent: 0,
    epoch: 0,
    tombstone: false,
    partial: false,
    unproven: false,
    erasureUnsynced: false,
    expiresAt: 0,
    erasedTo: 0,
    payload: undefined,
    frames: [],
    scope: undefined,
    tags: [],
  };
  if (header === undefined) return none;
  const { version, intent, epoch, expiresAt, erasedTo } = header;
  const pending = (header.flags & 1) !== 0;
  const plain = { ...none, pending, version, intent, epoch, ttl: ttl > 0 };
  if (header.format !== 1) return { ...plain, kind: 'foreign', ttl: !pending };
  const entry = await decodeEntry(bytes, of, epoch);
  if (entry.kind === 'unreadable') throw new Error(`${of.id}: ${entry.reason}`);
  if (entry.kind === 'value') {
    return {
      ...plain,
      kind: 'value',
      expiresAt,
      tombstone: entry.write.payload === undefined,
      unproven: entry.unproven,
      payload: dumpPayload(entry.write.payload),
      scope: dumpScope(entry.write.scope),
      tags: entry.write.tags,
    };
  }
  const body = bytes.subarray(46 + bytes.readUInt16BE(44));
  const frames = splitFrames(body).map((frame) => {
    const payload = unpackPayload(frame.packed);
    if (payload instanceof Promise) throw new Error('a payload of a test is small');
    return `${frame.id}@${frame.version}${frame.synced ? '' : '!'} ${dumpPayload(payload)}`;
  });
  return {
    ...plain,
    kind: 'log',
    erasedTo,
    frames,
    tombstone: entry.tombstone,
    partial: entry.partial,
    unproven: entry.unproven,
    erasureUnsynced: !entry.erasureSynced,
    scope: dumpScope(entry.scope),
  };
}

/** Everything on the server, to be put back later. */
export async function copyServer(client: Redis): Promise<() => Promise<void>> {
  const keys = await client.keys('c:*');
  const copies = await Promise.all(
    keys.map(async (key) => [key, await client.dumpBuffer(key), await client.pttl(key)] as const),
  );
  return async () => {
    await client.flushall();
    for (const [key, dump, ttl] of copies) {
      if (dump !== null) await client.restore(key, Math.max(0, ttl), dump);
    }
  };
}
