/**
 * How the larger parts of a cache are made from its options. No life of their own here: who
 * starts, stops and reacts is `assembly.ts`.
 */
import PQueue from 'p-queue';
import { Compression } from './codec/compression.ts';
import type { Copies } from './coherence/copies.ts';
import type { EventHub } from './events.ts';
import type { EvictionReason } from './metrics/counts.ts';
import type { Metrics } from './metrics/metrics.ts';
import type { Floor, Known } from './model/known.ts';
import type { ResolvedOptions } from './options.ts';
import { Coalescer } from './read/coalesce.ts';
import { Lookup } from './read/lookup.ts';
import { GuardedTier } from './tiers/guarded.ts';
import { type EvictReason, MemoryTier } from './tiers/memory.ts';
import { RedisTier } from './tiers/redis/redis.ts';
import type { Packing } from './tiers/sealed.ts';
import type { DurableLog, DurableTier, SharedTier } from './tiers/tier.ts';

export interface AssemblyInput {
  readonly packing: Packing;
  readonly options: ResolvedOptions;
  readonly events: EventHub;
  readonly metrics: Metrics;
  readonly instance: string;
  readonly isClosed: () => boolean;
}

/** L2 with everything around it. */
export interface SharedSide {
  readonly tier: RedisTier;
  readonly guard: GuardedTier;
}

/** What L2 tells, and what it asks for. */
export interface SharedHooks {
  readonly floor: () => Promise<number>;
  readonly lastVersion: () => number;
  readonly onEpoch: () => void;
  readonly onConnection: (up: boolean) => void;
  readonly onMessage: (message: string) => void;
  readonly onSubscribed: () => void;
  readonly onOpen: () => void;
  readonly recover: (shared: SharedTier) => Promise<void>;
}

/** What an operator calls it when L1 lets go of an entry; `undefined` where somebody asked it to. */
const COUNTED_EVICTIONS = {
  evict: 'capacity',
  expire: 'expired',
  oversized: 'oversized',
  clear: 'cleared',
  delete: undefined,
  set: undefined,
} as const satisfies Record<EvictReason, EvictionReason | undefined>;

/** Larger values live in L3 alone. */
const MAX_L2_VALUE_BYTES = 8 * 1024 * 1024;
const MAX_READ_BATCH = 500;
/** Reads that may wait for L3, for each key that may: many may ask for the same one. */
const READERS_PER_KEY = 10;
/** Reads of L2 that may wait for one turn of the event loop. */
const MAX_READS_A_TURN = 100_000;

export function makeNear({ options, metrics }: AssemblyInput): MemoryTier | undefined {
  if (options.l1 === undefined) return undefined;
  return new MemoryTier(options.l1, options.clock, (reason: EvictReason) => {
    const counted = COUNTED_EVICTIONS[reason];
    if (counted !== undefined) metrics.evictions[counted] += 1;
  });
}

/** One for L2, L3 and the journal: what compresses badly does so everywhere. */
export function makePacking({ compression, cipher }: ResolvedOptions, metrics: Metrics): Packing {
  const compressors = new Compression(compression, {
    compressed: (bytesIn, bytesOut) => metrics.compressed(bytesIn, bytesOut),
    skipped: () => {
      metrics.compression.skipped += 1;
    },
  });
  return { cipher, compressor: (namespace) => compressors.for(namespace) };
}

export function makeShared(input: AssemblyInput, hooks: SharedHooks): SharedSide | undefined {
  const { options, events, metrics, packing } = input;
  const { l2, clock } = options;
  if (l2 === undefined) return undefined;
  const tier = new RedisTier({
    ...l2.source,
    ...hooks,
    ttlMs: l2.ttlMs,
    shards: l2.shards,
    clock,
    ...packing,
    maxValueBytes: MAX_L2_VALUE_BYTES,
  });
  const guard = new GuardedTier(tier, {
    ...l2.breaker,
    timeoutMs: l2.timeoutMs,
    clock,
    onTransition: (to, reason) => {
      metrics.breakerTransitions[to] += 1;
      events.emit({ type: 'breaker', to, reason });
      if (to === 'OPEN') hooks.onOpen();
    },
    onLane: (node, state, reason) => {
      events.emit({ type: 'redis-node', node, state, reason });
      if (state === 'away') hooks.onOpen();
    },
    onCall: (operation, ms) => metrics.observe('l2', operation, ms),
    recover: hooks.recover,
  });
  return { tier, guard };
}

export interface LookupNeeds {
  readonly copies: Copies;
  readonly outbox: Floor;
  readonly observe: (version: number) => void;
  readonly durable: DurableTier;
  readonly isDurableAway: () => boolean;
  readonly foreground: SharedTier | undefined;
  /** A read was turned away. */
  readonly onFull: () => void;
}

export function makeLookup(input: AssemblyInput, needs: LookupNeeds): Lookup {
  const { options, events, metrics } = input;
  const { copies, outbox, observe, durable, isDurableAway, foreground, onFull } = needs;
  const { concurrency, queue } = options.bulkhead;
  const bulkhead = new PQueue({ concurrency });
  const admit = (run: () => Promise<void>) => void bulkhead.add(run);
  const bounds = {
    maxWaiting: queue,
    maxReaders: queue * READERS_PER_KEY,
    maxBatch: MAX_READ_BATCH,
    admit,
    onFull,
  };
  const values = new Coalescer({ ...bounds, read: (addresses) => durable.read(addresses) });
  const logs = new Coalescer({
    ...bounds,
    read: async (addresses) => (await durable.readLogs(addresses)).map(knownLog),
  });
  const shared =
    foreground &&
    new Coalescer({
      read: (addresses) => foreground.read(addresses),
      maxWaiting: MAX_READS_A_TURN,
      onFull,
      maxBatch: MAX_READ_BATCH,
      partOf: foreground.partOf,
    });
  return new Lookup({
    clock: options.clock,
    copies,
    floor: outbox,
    isDurableAway,
    shared: shared && ((address) => shared.read(address)),
    backfill: async (fill) => foreground?.backfill([fill]),
    forget: async (address) => foreground?.forget([address]),
    durable: (address, kind): Promise<Known | undefined> =>
      kind === 'value' ? values.read(address) : logs.read(address),
    observe,
    unreadable: (namespace, tier, pending, reason) => {
      metrics.unreadable[pending ? 'pending' : 'settled'] += 1;
      events.emit({ type: 'unreadable', tier, namespace, pending, reason });
    },
  });
}

function knownLog(log: DurableLog | undefined): Known | undefined {
  return log === undefined ? undefined : { kind: 'log', ...log };
}
