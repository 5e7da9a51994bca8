/** The answer of `GET /cache/metrics`: one plain object of numbers, its shape a contract. */
import type { BreakerState } from '../events.ts';
import type { Counts, LeaseOutcome } from './counts.ts';
import type { Percentiles } from './durations.ts';

interface Ratio {
  readonly hits: number;
  readonly misses: number;
  /** hits / (hits + misses); 0 where there was neither. */
  readonly hitRatio: number;
}

/**
 * A cold lookup that L3 answers counts a miss at L1 and L2 and a hit at L3 and overall. Latencies
 * are those of reads, in milliseconds, over the last five to ten minutes; L1's are sampled.
 */
export interface CacheStats {
  readonly uptimeSeconds: number;
  /** What callers got. `requests` includes those that were answered with an error. */
  readonly overall: Ratio & { readonly requests: number; readonly outboxHits: number };
  readonly tiers: {
    readonly l1: Ratio & {
      readonly entries: number;
      readonly maxEntries: number;
      readonly bytes: number;
      readonly evictions: number;
      readonly latencyMs: Percentiles;
    };
    readonly l2: Ratio & {
      readonly errors: number;
      readonly timeouts: number;
      readonly latencyMs: Percentiles;
      /** What Redis last said that it uses, of everyone's data. */
      readonly memoryBytes: number;
      readonly breaker: {
        readonly state: BreakerState;
        readonly consecutiveFailures: number;
        readonly opened: number;
      };
    };
    readonly l3: Ratio & { readonly errors: number; readonly latencyMs: Percentiles };
  };
  readonly compression: {
    readonly compressed: number;
    /** Left as they were: below the threshold, or not worth it. */
    readonly skipped: number;
    readonly bytesIn: number;
    readonly bytesOut: number;
    /** bytesIn / bytesOut; 1 where nothing was compressed. */
    readonly ratio: number;
  };
  readonly sync: {
    /** Keys that L3 lacks something of. */
    readonly pending: number;
    readonly oldestPendingSeconds: number;
    /** Keys that are on their way to L3 at this moment. */
    readonly inFlight: number;
    /** Rows that L3 has now, or that it has something newer for. */
    readonly flushed: number;
    /** Rows that L3 refused, and attempts that it did not answer. */
    readonly failed: number;
    readonly deadLetters: number;
    readonly runs: number;
    /** Of the last hour. */
    readonly runsPerHour: number;
    /** ISO 8601. */
    readonly lastRunAt: string | null;
    readonly lastDurationMs: number;
    readonly intervalSeconds: number;
    readonly batchSize: number;
  };
  readonly bus: {
    readonly connected: boolean;
    readonly gaps: number;
    readonly received: number;
    readonly published: number;
  };
  /** Over all namespaces of derived values. */
  readonly derived: {
    /** Loaders that ran, however they ended. */
    readonly loads: number;
    /** Of these: that failed, or took too long. */
    readonly failures: number;
    /** `waited`: another process had it. `lost`: it was over before its load was. */
    readonly leases: Readonly<Record<LeaseOutcome, number>>;
    /** Answers whose time was over, because their load was slow or failed. */
    readonly stale: number;
    /** Loaded values that were not stored. */
    readonly discarded: number;
    /** Keys that are being loaded, waited for or stored at this moment. */
    readonly inFlight: number;
  };
}

export function compressionRatio(metrics: Counts): number {
  const { bytesIn, bytesOut } = metrics.compression;
  return bytesOut === 0 ? 1 : bytesIn / bytesOut;
}

export function takeSnapshot(metrics: Counts): CacheStats {
  return {
    uptimeSeconds: metrics.uptimeSeconds,
    overall: overallOf(metrics),
    tiers: tiersOf(metrics),
    compression: { ...metrics.compression, ratio: compressionRatio(metrics) },
    sync: syncOf(metrics),
    bus: { connected: metrics.sources.bus().connected, ...metrics.bus },
    derived: derivedOf(metrics),
  };
}

function ratioOf(metrics: Counts, where: 'overall' | 'l1' | 'l2' | 'l3'): Ratio {
  const hits = metrics.requests.total(where, 'hit');
  const misses = metrics.requests.total(where, 'miss');
  return { hits, misses, hitRatio: hits + misses === 0 ? 0 : hits / (hits + misses) };
}

function overallOf(metrics: Counts): CacheStats['overall'] {
  const { requests } = metrics;
  const ratio = ratioOf(metrics, 'overall');
  const failed = requests.total('overall', 'error') + requests.total('overall', 'timeout');
  return {
    requests: ratio.hits + ratio.misses + failed,
    ...ratio,
    outboxHits: requests.total('outbox', 'hit'),
  };
}

function tiersOf(metrics: Counts): CacheStats['tiers'] {
  const { requests, sources, evictions, recentReads } = metrics;
  return {
    l1: {
      ...ratioOf(metrics, 'l1'),
      ...sources.l1(),
      evictions: sum(evictions),
      latencyMs: recentReads.l1.percentiles(),
    },
    l2: {
      ...ratioOf(metrics, 'l2'),
      errors: requests.total('l2', 'error'),
      timeouts: requests.total('l2', 'timeout'),
      latencyMs: recentReads.l2.percentiles(),
      ...sources.l2(),
      breaker: { ...sources.breaker(), opened: metrics.breakerTransitions.OPEN },
    },
    l3: {
      ...ratioOf(metrics, 'l3'),
      errors: requests.total('l3', 'error') + requests.total('l3', 'timeout'),
      latencyMs: recentReads.l3.percentiles(),
    },
  };
}

function syncOf(metrics: Counts): CacheStats['sync'] {
  const { rows, syncRuns } = metrics;
  const source = metrics.sources.sync();
  return {
    pending: source.pending,
    oldestPendingSeconds: source.oldestPendingSeconds,
    inFlight: source.inFlight ?? 0,
    flushed: rows.applied + rows.superseded + rows.erased,
    failed: rows.refused + rows.expired + rows.failed,
    deadLetters: source.deadLetters,
    runs: syncRuns.count,
    runsPerHour: syncRuns.lastHour.count,
    lastRunAt: syncRuns.lastAt === undefined ? null : new Date(syncRuns.lastAt).toISOString(),
    lastDurationMs: syncRuns.lastMs,
    intervalSeconds: source.intervalSeconds,
    batchSize: source.batchSize,
  };
}

function derivedOf({ derived, loads, sources }: Counts): CacheStats['derived'] {
  const leases = { granted: 0, waited: 0, lost: 0 };
  let stale = 0;
  let discarded = 0;
  for (const counts of derived.values()) {
    leases.granted += counts.leases.granted;
    leases.waited += counts.leases.waited;
    leases.lost += counts.leases.lost;
    stale += sum(counts.stale);
    discarded += sum(counts.discarded);
  }
  let ran = 0;
  let failures = 0;
  for (const outcomes of loads.values()) {
    for (const [outcome, { count }] of outcomes) {
      ran += count;
      if (outcome === 'failed' || outcome === 'timeout') failures += count;
    }
  }
  const { inFlight } = sources.derived();
  return { loads: ran, failures, leases, stale, discarded, inFlight };
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
