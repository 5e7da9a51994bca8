/**
 * The options of `createCache`: their types, their defaults, and what they resolve to. They are
 * checked and resolved once; everything below works with the frozen {@link ResolvedOptions} and
 * never sees a default or a duration in words again.
 */
import type { Registry } from 'prom-client';
import { type Clock, systemClock } from './clock.ts';
import type { Cipher } from './codec/encryption.ts';
import { ConfigError } from './errors.ts';
import type { Logger } from './events.ts';
import { type JournalOptions, type ResolvedJournal, resolveJournal } from './journal-options.ts';
import { type Duration, parseDuration } from './model/duration.ts';
import { checkOptions, type LimitedOption } from './option-rules.ts';
import { type RedisPlace, type RedisSource, redisSource } from './redis-options.ts';
import { type EncryptionOptions, resolveEncryption } from './security-options.ts';

/** L1: this process's memory. */
export interface MemoryOptions {
  /** Entries, the least recently used go first. Default 100. */
  readonly max?: number | undefined;
  /** Bytes of all entries together, as they were encoded. Default 64 MiB. */
  readonly maxBytes?: number | undefined;
  /** How long an entry is served from memory. Default `'5m'`. */
  readonly ttl?: Duration | undefined;
}

export interface BreakerOptions {
  /** Consecutive failures that open it. Default 5. */
  readonly failures?: number | undefined;
  /** How long it stays open before it is tried again. Default `'10s'`. */
  readonly reset?: Duration | undefined;
  /** Probes that have to succeed, one after the other, before it closes. Default 3. */
  readonly trial?: number | undefined;
}

/** L2: a Redis that all instances share. */
export interface RedisOptions extends RedisPlace {
  /** How long a copy of what L3 has is kept. Pending entries have no TTL. Default `'1h'`. */
  readonly ttl?: Duration | undefined;
  /** What one call may cost a caller. Default `'50ms'`. */
  readonly timeout?: Duration | undefined;
  readonly breaker?: BreakerOptions | undefined;
  /** Fixed for all instances, for ever; L3 remembers it. Default 16. */
  readonly shards?: number | undefined;
}

/** What is used of a client of supabase-js that the caller owns. */
export interface SupabaseClient {
  rpc(name: string, args?: object): SupabaseCall;
}

export interface SupabaseCall extends PromiseLike<SupabaseAnswer> {
  abortSignal(signal: AbortSignal): PromiseLike<SupabaseAnswer>;
}

export interface SupabaseAnswer {
  readonly data: unknown;
  readonly error: {
    readonly message: string;
    readonly code?: string | undefined;
    readonly details?: string | null | undefined;
    readonly hint?: string | null | undefined;
  } | null;
  readonly status: number;
}

/** L3: Supabase, the truth. */
export interface SupabaseOptions {
  /** `https://project.supabase.co`. With `key`, or `client`. */
  readonly url?: string | undefined;
  /** The service-side secret key, never the publishable one. */
  readonly key?: string | undefined;
  /** A client that the caller owns; `close()` leaves it open. */
  readonly client?: SupabaseClient | undefined;
  /** What one call may cost a caller. Default `'2s'`. */
  readonly timeout?: Duration | undefined;
}

/** How writes reach L3 behind their acknowledgement. */
export interface SyncOptions {
  /** How often everything pending is flushed. Default `'5m'`. */
  readonly interval?: Duration | undefined;
  /** Rows in one batch to L3. Default 10. */
  readonly batchSize?: number | undefined;
  /** Keys that this process may hold pending; beyond it, writes go through to L3. Default 10,000. */
  readonly maxPending?: number | undefined;
  /** Bytes of the same; beyond it, writes go through to L3. Default 64 MiB. */
  readonly maxBytes?: number | undefined;
  /** Batches under way at once. Default 4. */
  readonly concurrency?: number | undefined;
  /** When a pending entry is flushed by whoever finds it. Default `'10m'`, twice the interval. */
  readonly adoptAfter?: Duration | undefined;
}

export interface BusOptions {
  /** Without proof that invalidations arrive, L1 is served no longer than this. Default `'5s'`. */
  readonly gapTtl?: Duration | undefined;
}

/** Of what goes to L2, and of what is encrypted. */
export interface CompressionOptions {
  /** `auto`: zstd where the runtime has it, else zlib. Default `'auto'`. */
  readonly algorithm?: 'auto' | 'zstd' | 'zlib' | 'off' | undefined;
  /** Bytes below which nothing is compressed. Default 1,024. */
  readonly threshold?: number | undefined;
  /** The part that has to be saved, or the value is stored as it is. Default 0.1. */
  readonly minSaving?: number | undefined;
}

/** Guards L3 while L2 is away, or the outbox full. */
export interface BulkheadOptions {
  /** Reads of L3 under way at once, and as many reads and swaps of each kind by writers. Default 16. */
  readonly concurrency?: number | undefined;
  /** Keys that may wait to be read, and writes to be sent; beyond it they are rejected as overloaded. Default 1,000. */
  readonly queue?: number | undefined;
}

/** What {@link memory} returns. */
export interface MemoryTierOptions extends MemoryOptions {
  readonly kind: 'memory';
}
/** What {@link redis} returns. */
export interface RedisTierOptions extends RedisOptions {
  readonly kind: 'redis';
}
/** What {@link supabase} returns. */
export interface SupabaseTierOptions extends SupabaseOptions {
  readonly kind: 'supabase';
}

/** Each tier may be left out, not all of them. Records and logs need L3. */
export interface CacheOptions {
  readonly l1?: MemoryTierOptions | undefined;
  readonly l2?: RedisTierOptions | undefined;
  readonly l3?: SupabaseTierOptions | undefined;
  readonly sync?: SyncOptions | undefined;
  readonly bus?: BusOptions | undefined;
  readonly compression?: CompressionOptions | undefined;
  readonly bulkhead?: BulkheadOptions | undefined;
  /** Without one, what neither L2 nor L3 can hold is rejected. Needs `l3`. */
  readonly journal?: JournalOptions | undefined;
  /** Encryption at rest. Without it nothing is encrypted. */
  readonly encryption?: EncryptionOptions | undefined;
  /** For calls that name none. Default `'5s'`. */
  readonly deadline?: Duration | undefined;
  /** A registry of prom-client to put the metrics on. Without one the cache has its own. */
  readonly registry?: Registry | undefined;
  /** pino, or anything of its shape. Without one nothing is logged. */
  readonly logger?: Logger | undefined;
  /** For tests that hold time still. */
  readonly clock?: Clock | undefined;
}

/** L1 in this process's memory. */
export function memory(options: MemoryOptions = {}): MemoryTierOptions {
  return Object.freeze({ ...options, kind: 'memory' });
}

/** L2 in Redis. */
export function redis(options: RedisOptions): RedisTierOptions {
  return Object.freeze({ ...options, kind: 'redis' });
}

/** L3 in Supabase. */
export function supabase(options: SupabaseOptions): SupabaseTierOptions {
  return Object.freeze({ ...options, kind: 'supabase' });
}

/** Every default there is. */
const DEFAULTS = {
  l1: { max: 100, maxBytes: 64 * 1024 * 1024, ttl: '5m' },
  l2: { ttl: '1h', timeout: '50ms', shards: 16 },
  breaker: { failures: 5, reset: '10s', trial: 3 },
  l3: { timeout: '2s' },
  sync: {
    interval: '5m',
    batchSize: 10,
    maxPending: 10_000,
    maxBytes: 64 * 1024 * 1024,
    concurrency: 4,
    adoptAfter: '10m',
  },
  bus: { gapTtl: '5s' },
  compression: { algorithm: 'auto', threshold: 1024, minSaving: 0.1 },
  bulkhead: { concurrency: 16, queue: 1000 },
  deadline: '5s',
} as const satisfies Omit<CacheOptions, 'l1' | 'l2' | 'l3' | 'encryption' | 'journal'> & {
  readonly l1: MemoryOptions;
  readonly l2: RedisOptions;
  readonly breaker: BreakerOptions;
  readonly l3: SupabaseOptions;
};

export interface ResolvedMemory {
  readonly max: number;
  readonly maxBytes: number;
  readonly ttlMs: number;
}

export interface ResolvedRedis {
  readonly source: RedisSource;
  readonly ttlMs: number;
  readonly timeoutMs: number;
  readonly shards: number;
  readonly breaker: { readonly failures: number; readonly resetMs: number; readonly trial: number };
}

export type SupabaseSource =
  | { readonly client: SupabaseClient }
  | { readonly url: string; readonly key: string };

export interface ResolvedSupabase {
  readonly source: SupabaseSource;
  readonly timeoutMs: number;
}

export interface ResolvedSync {
  readonly intervalMs: number;
  readonly batchSize: number;
  readonly maxPending: number;
  readonly maxBytes: number;
  readonly concurrency: number;
  readonly adoptAfterMs: number;
}

export interface ResolvedOptions {
  readonly l1: ResolvedMemory | undefined;
  readonly l2: ResolvedRedis | undefined;
  readonly l3: ResolvedSupabase | undefined;
  readonly sync: ResolvedSync;
  readonly bus: { readonly gapTtlMs: number };
  readonly compression: {
    readonly algorithm: 'auto' | 'zstd' | 'zlib' | 'off';
    readonly threshold: number;
    readonly minSaving: number;
  };
  readonly bulkhead: { readonly concurrency: number; readonly queue: number };
  readonly journal: ResolvedJournal | undefined;
  readonly cipher: Cipher | undefined;
  readonly deadlineMs: number;
  readonly registry: Registry | undefined;
  readonly logger: Logger | undefined;
  readonly clock: Clock;
}

/** Checks, fills in the defaults and freezes. Throws `ConfigError`, naming the option at fault. */
export function resolveOptions(options: CacheOptions): ResolvedOptions {
  checkOptions(options);
  if (options.l1 === undefined && options.l2 === undefined && options.l3 === undefined) {
    throw new ConfigError('createCache takes at least one of the options l1, l2 and l3');
  }
  const compression = options.compression ?? {};
  const bulkhead = options.bulkhead ?? {};
  return Object.freeze({
    l1: options.l1 === undefined ? undefined : resolveMemory(options.l1),
    l2: options.l2 === undefined ? undefined : resolveRedis(options.l2),
    l3: options.l3 === undefined ? undefined : resolveSupabase(options.l3),
    sync: resolveSync(options.sync ?? {}),
    bus: Object.freeze({ gapTtlMs: ms('bus.gapTtl', options.bus?.gapTtl, DEFAULTS.bus.gapTtl) }),
    compression: Object.freeze({
      algorithm: compression.algorithm ?? DEFAULTS.compression.algorithm,
      threshold: compression.threshold ?? DEFAULTS.compression.threshold,
      minSaving: compression.minSaving ?? DEFAULTS.compression.minSaving,
    }),
    bulkhead: Object.freeze({
      concurrency: bulkhead.concurrency ?? DEFAULTS.bulkhead.concurrency,
      queue: bulkhead.queue ?? DEFAULTS.bulkhead.queue,
    }),
    cipher: resolveEncryption(options.encryption),
    journal: resolveJournal(options.journal, options.l3 !== undefined),
    deadlineMs: ms('deadline', options.deadline, DEFAULTS.deadline),
    registry: options.registry,
    logger: options.logger,
    clock: options.clock ?? systemClock,
  });
}

function ms(option: LimitedOption, given: Duration | undefined, fallback: Duration): number {
  return parseDuration(option, given ?? fallback);
}

function resolveMemory(options: MemoryOptions): ResolvedMemory {
  return Object.freeze({
    max: options.max ?? DEFAULTS.l1.max,
    maxBytes: options.maxBytes ?? DEFAULTS.l1.maxBytes,
    ttlMs: ms('l1.ttl', options.ttl, DEFAULTS.l1.ttl),
  });
}

function resolveRedis(options: RedisOptions): ResolvedRedis {
  const breaker = options.breaker ?? {};
  return Object.freeze({
    source: Object.freeze(redisSource(options)),
    ttlMs: ms('l2.ttl', options.ttl, DEFAULTS.l2.ttl),
    timeoutMs: ms('l2.timeout', options.timeout, DEFAULTS.l2.timeout),
    shards: options.shards ?? DEFAULTS.l2.shards,
    breaker: Object.freeze({
      failures: breaker.failures ?? DEFAULTS.breaker.failures,
      resetMs: ms('l2.breaker.reset', breaker.reset, DEFAULTS.breaker.reset),
      trial: breaker.trial ?? DEFAULTS.breaker.trial,
    }),
  });
}

function resolveSupabase(options: SupabaseOptions): ResolvedSupabase {
  return Object.freeze({
    source: Object.freeze(supabaseSource(options)),
    timeoutMs: ms('l3.timeout', options.timeout, DEFAULTS.l3.timeout),
  });
}

function supabaseSource(options: SupabaseOptions): SupabaseSource {
  const { url, key, client } = options;
  if (client !== undefined) {
    if (url !== undefined || key !== undefined) {
      throw new ConfigError('supabase() takes either a client, or a url and a key, not both');
    }
    return { client };
  }
  if (url === undefined || key === undefined) {
    throw new ConfigError(
      `option "l3.${url === undefined ? 'url' : 'key'}" is missing: supabase() takes a url and a key, or a client`,
    );
  }
  return { url, key };
}

function resolveSync(options: SyncOptions): ResolvedSync {
  return Object.freeze({
    intervalMs: ms('sync.interval', options.interval, DEFAULTS.sync.interval),
    batchSize: options.batchSize ?? DEFAULTS.sync.batchSize,
    maxPending: options.maxPending ?? DEFAULTS.sync.maxPending,
    maxBytes: options.maxBytes ?? DEFAULTS.sync.maxBytes,
    concurrency: options.concurrency ?? DEFAULTS.sync.concurrency,
    adoptAfterMs: ms('sync.adoptAfter', options.adoptAfter, DEFAULTS.sync.adoptAfter),
  });
}
