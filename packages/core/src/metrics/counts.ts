/**
 * What the cache counts. Knows nothing of the parts that it measures: they increment, and what
 * is a state rather than a count is read on demand through {@link MetricSources}.
 *
 * Invariants: nothing here grows with traffic (labels are closed unions, namespaces are
 * bounded); nothing here waits, throws or allocates on the path of a request.
 */
import type { Clock } from '../clock.ts';
import type { BoundName, BreakerState } from '../events.ts';
import {
  type NamespaceCounters,
  RequestCounters,
  type RequestResult,
  type RequestTier,
} from './counters.ts';
import { BucketCounts, HourlyCount, RecentDurations } from './durations.ts';

export type TierName = 'l1' | 'l2' | 'l3';

/**
 * What is timed at a tier: a method of its interface, as `read`, `read_logs` or `put_settled`. A
 * name from the code, never one made from input.
 */
export type TierOperation = string;

/** Why L1 let an entry go that nobody asked it to. `oversized`: it never went in. */
export type EvictionReason = 'capacity' | 'expired' | 'oversized' | 'cleared';

/** What became of a row that was flushed to L3. `failed`: L3 did not answer; it is tried again. */
export type RowOutcome = 'applied' | 'superseded' | 'refused' | 'erased' | 'expired' | 'failed';

export type LoadOutcome = 'loaded' | 'kept' | 'skipped' | 'failed' | 'timeout' | 'aborted';

/** What became of the leases that loads of derived values asked for. */
export type LeaseOutcome = 'granted' | 'waited' | 'lost';
/** Why a stale derived value was given out. */
export type StaleReason = 'soft' | 'deadline' | 'failed' | 'timeout';
/** Why a loaded value was not stored. */
export type DiscardReason = 'voided' | 'full' | 'epoch' | 'error' | 'alone';

/** What one namespace of derived values counts besides its requests and loads. */
export class DerivedCounts {
  readonly leases: Record<LeaseOutcome, number> = { granted: 0, waited: 0, lost: 0 };
  readonly stale: Record<StaleReason, number> = { soft: 0, deadline: 0, failed: 0, timeout: 0 };
  readonly discarded: Record<DiscardReason, number> = {
    voided: 0,
    full: 0,
    epoch: 0,
    error: 0,
    alone: 0,
  };
  mismatches = 0;
}

/** What became of a record that was to be appended to the journal. `full`: the bound, or the disk. */
export type JournalOutcome = 'synced' | 'full' | 'failed';

/** What the journal counts. */
export interface JournalCounts {
  readonly appends: Record<JournalOutcome, number>;
  /** Writes that were in it at the start. */
  replayed: number;
  /** Files of it that were damaged. */
  corrupt: number;
}

/** States, asked for when someone looks. Each answers at once with what is known. */
export interface MetricSources {
  l1(): { readonly entries: number; readonly maxEntries: number; readonly bytes: number };
  /** What Redis last said that it uses. */
  l2(): { readonly memoryBytes: number };
  outbox(): { readonly entries: number; readonly bytes: number };
  breaker(): { readonly state: BreakerState; readonly consecutiveFailures: number };
  sync(): {
    readonly pending: number;
    readonly oldestPendingSeconds: number;
    readonly deadLetters: number;
    /** Keys that are on their way to L3 at this moment. */
    readonly inFlight?: number | undefined;
    readonly intervalSeconds: number;
    readonly batchSize: number;
  };
  bus(): { readonly connected: boolean };
  journal(): { readonly bytes: number };
  /** Derived values that are being loaded, waited for or stored. */
  derived(): { readonly inFlight: number };
}

const NOTHING: MetricSources = Object.freeze({
  l1: () => ({ entries: 0, maxEntries: 0, bytes: 0 }),
  l2: () => ({ memoryBytes: 0 }),
  outbox: () => ({ entries: 0, bytes: 0 }),
  breaker: () => ({ state: 'CLOSED', consecutiveFailures: 0 }) as const,
  sync: () => ({
    pending: 0,
    oldestPendingSeconds: 0,
    deadLetters: 0,
    intervalSeconds: 0,
    batchSize: 0,
  }),
  bus: () => ({ connected: false }),
  journal: () => ({ bytes: 0 }),
  derived: () => ({ inFlight: 0 }),
});

/** One in so many L1 hits is timed: reading the clock twice costs more than the hit. */
const L1_SAMPLE = 256;

export class Counts {
  readonly requests: RequestCounters = new RequestCounters();
  readonly durations: Readonly<Record<TierName, Map<TierOperation, BucketCounts>>> = {
    l1: new Map(),
    l2: new Map(),
    l3: new Map(),
  };
  /** Of reads alone. */
  readonly recentReads: Readonly<Record<TierName, RecentDurations>>;
  readonly evictions: Record<EvictionReason, number> = {
    capacity: 0,
    expired: 0,
    oversized: 0,
    cleared: 0,
  };
  readonly compression: Record<'compressed' | 'skipped' | 'bytesIn' | 'bytesOut', number> = {
    compressed: 0,
    skipped: 0,
    bytesIn: 0,
    bytesOut: 0,
  };
  readonly breakerTransitions: Record<BreakerState, number> = { CLOSED: 0, OPEN: 0, HALF_OPEN: 0 };
  readonly rows: Record<RowOutcome, number> = {
    applied: 0,
    superseded: 0,
    refused: 0,
    erased: 0,
    expired: 0,
    failed: 0,
  };
  readonly bus: Record<'gaps' | 'received' | 'published', number> = {
    gaps: 0,
    received: 0,
    published: 0,
  };
  /** Entries in L2 or L3 that could not be decoded. */
  readonly unreadable: Record<'settled' | 'pending', number> = { settled: 0, pending: 0 };
  /** Versions from clocks that run ahead. */
  readonly clockAhead: Record<'warned' | 'refused', number> = { warned: 0, refused: 0 };
  readonly overloaded: Record<BoundName, number> = {
    outbox: 0,
    'outbox-bytes': 0,
    bulkhead: 0,
    through: 0,
    'in-flight': 0,
    journal: 0,
  };
  readonly journal: JournalCounts = {
    appends: { synced: 0, full: 0, failed: 0 },
    replayed: 0,
    corrupt: 0,
  };
  readonly syncRuns: {
    count: number;
    lastAt: number | undefined;
    lastMs: number;
    readonly lastHour: HourlyCount;
    readonly durations: BucketCounts;
  };
  readonly loads: Map<string, Map<LoadOutcome, BucketCounts>> = new Map();
  readonly derived: Map<string, DerivedCounts> = new Map();
  readonly #clock: Clock;
  readonly #startedAt: number;
  #sources: MetricSources = NOTHING;
  #tick = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startedAt = clock.monotonic();
    this.recentReads = {
      l1: new RecentDurations(clock),
      l2: new RecentDurations(clock),
      l3: new RecentDurations(clock),
    };
    this.syncRuns = {
      count: 0,
      lastAt: undefined,
      lastMs: 0,
      lastHour: new HourlyCount(clock),
      durations: new BucketCounts(),
    };
  }

  /** Where states are read from. What is not given stays at zero. */
  connect(sources: Partial<MetricSources>): void {
    this.#sources = { ...this.#sources, ...sources };
  }

  get sources(): MetricSources {
    return this.#sources;
  }

  /** Whole lifetime of the cache, by the monotonic clock. */
  get uptimeSeconds(): number {
    return (this.#clock.monotonic() - this.#startedAt) / 1000;
  }

  /** Ask once, when the namespace is opened; then `counters.l1.hit++`. */
  namespace(name: string): NamespaceCounters {
    return this.requests.namespace(name);
  }

  /** The same for places that are not hot. */
  request(namespace: string, tier: RequestTier | 'overall', result: RequestResult): void {
    this.requests.namespace(namespace)[tier][result]++;
  }

  /** Whether this L1 read is one of those to be timed. */
  sampleL1(): boolean {
    this.#tick = (this.#tick + 1) % L1_SAMPLE;
    return this.#tick === 1;
  }

  observe(tier: TierName, operation: TierOperation, ms: number): void {
    let buckets = this.durations[tier].get(operation);
    if (buckets === undefined) {
      buckets = new BucketCounts();
      this.durations[tier].set(operation, buckets);
    }
    buckets.observe(ms);
    if (operation === 'read' || operation === 'read_logs') this.recentReads[tier].observe(ms);
  }

  /** A loader of derived values ran. */
  load(namespace: string, outcome: LoadOutcome, ms: number): void {
    const label = this.requests.labelOf(namespace);
    const outcomes = this.loads.get(label) ?? new Map<LoadOutcome, BucketCounts>();
    this.loads.set(label, outcomes);
    const buckets = outcomes.get(outcome) ?? new BucketCounts();
    outcomes.set(outcome, buckets);
    buckets.observe(ms);
  }

  /** The counters of a namespace of derived values. */
  derivedOf(namespace: string): DerivedCounts {
    const label = this.requests.labelOf(namespace);
    const counts = this.derived.get(label) ?? new DerivedCounts();
    this.derived.set(label, counts);
    return counts;
  }

  compressed(bytesIn: number, bytesOut: number): void {
    this.compression.compressed++;
    this.compression.bytesIn += bytesIn;
    this.compression.bytesOut += bytesOut;
  }

  /** One run of the sync: an interval's, a threshold's or a forced one. */
  syncRan(ms: number): void {
    this.syncRuns.count++;
    this.syncRuns.lastAt = this.#clock.now();
    this.syncRuns.lastMs = ms;
    this.syncRuns.lastHour.add();
    this.syncRuns.durations.observe(ms);
  }
}
