/**
 * The counters in Prometheus' words. Nothing is exported until a registry is scraped: each
 * metric reads the plain counters in `collect`. Names are a contract, in base units.
 *
 * Histograms keep their own buckets, so they override the one method that a registry reads them
 * with; prom-client's own way would be to observe every request through it.
 */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { ConfigError } from '../errors.ts';
import type { BreakerState } from '../events.ts';
import { REQUEST_RESULTS, REQUEST_TIERS } from './counters.ts';
import type { Counts, DerivedCounts } from './counts.ts';
import { type BucketCounts, DURATION_BUCKETS } from './durations.ts';
import { compressionRatio } from './snapshot.ts';

type Labels = Readonly<Record<string, string>>;
/** Says one value: `say(3, {tier: 'l1'})`. */
type Say<T> = (value: T, labels: Labels) => void;

interface Described<T> {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  read(metrics: Counts, say: Say<T>): void;
}

const STATES = { CLOSED: 0, HALF_OPEN: 1, OPEN: 2 } as const satisfies Record<BreakerState, number>;

/** A counter with one label, from an object with a field for each of its values. */
function byLabel(
  name: string,
  label: string,
  help: string,
  counts: (metrics: Counts) => Readonly<Record<string, number>>,
): Described<number> {
  return {
    name,
    help,
    labels: [label],
    read(metrics, say) {
      for (const [value, count] of Object.entries(counts(metrics))) say(count, { [label]: value });
    },
  };
}

function single(name: string, help: string, value: (metrics: Counts) => number): Described<number> {
  return { name, help, labels: [], read: (metrics, say) => say(value(metrics), {}) };
}

const COUNTERS: readonly Described<number>[] = [
  {
    name: 'cache_requests_total',
    help: 'Lookups by namespace, tier asked and result.',
    labels: ['namespace', 'tier', 'result'],
    read(metrics, say) {
      for (const [namespace, counters] of metrics.requests.entries()) {
        for (const tier of REQUEST_TIERS) {
          for (const result of REQUEST_RESULTS) {
            say(counters[tier][result], { namespace, tier, result });
          }
        }
      }
    },
  },
  byLabel(
    'cache_evictions_total',
    'reason',
    'Entries that L1 let go, or never took, by reason.',
    (metrics) => metrics.evictions,
  ),
  byLabel(
    'cache_compression_bytes_total',
    'stage',
    'Bytes that went into compression and came out of it.',
    ({ compression }) => ({ in: compression.bytesIn, out: compression.bytesOut }),
  ),
  byLabel(
    'cache_breaker_transitions_total',
    'to',
    "Changes of the L2 breaker's state, by the new state.",
    (metrics) => metrics.breakerTransitions,
  ),
  byLabel(
    'cache_sync_rows_total',
    'outcome',
    'Rows flushed to L3, by what L3 said; failed: it said nothing.',
    (metrics) => metrics.rows,
  ),
  single('cache_sync_runs_total', 'Runs of the sync to L3.', (metrics) => metrics.syncRuns.count),
  single(
    'cache_bus_gaps_total',
    'Times that the bus could not be proven alive.',
    (metrics) => metrics.bus.gaps,
  ),
  byLabel(
    'cache_bus_messages_total',
    'direction',
    'Messages on the bus between instances.',
    ({ bus }) => ({ received: bus.received, published: bus.published }),
  ),
  byLabel(
    'cache_unreadable_entries_total',
    'kind',
    'Entries that this build could not decode; pending ones are left alone.',
    (metrics) => metrics.unreadable,
  ),
  byLabel(
    'cache_clock_ahead_total',
    'action',
    'Versions from a clock over 500 ms ahead (warned) or over an hour ahead (refused).',
    (metrics) => metrics.clockAhead,
  ),
  byLabel(
    'cache_overloaded_total',
    'bound',
    'Times that a bound was reached.',
    (metrics) => metrics.overloaded,
  ),
  byLabel(
    'cache_journal_appends_total',
    'outcome',
    'Records appended to the journal: synced, refused because it or its disk is full, failed.',
    ({ journal }) => journal.appends,
  ),
  single(
    'cache_journal_replayed_total',
    'Writes that were in the journal at the start.',
    ({ journal }) => journal.replayed,
  ),
  single(
    'cache_journal_corrupt_segments_total',
    'Damaged files of the journal, set aside at the start.',
    ({ journal }) => journal.corrupt,
  ),
  ofDerived(
    'cache_leases_total',
    'outcome',
    'Leases to load derived values: granted, held by another process and waited for, lost.',
    (counts) => counts.leases,
  ),
  ofDerived(
    'cache_stale_answers_total',
    'reason',
    'Derived values served stale, because the load was slow (soft, deadline, timeout) or failed.',
    (counts) => counts.stale,
  ),
  ofDerived(
    'cache_discarded_fills_total',
    'reason',
    'Loaded values that were not stored: voided by a write or an invalidation, or L2 not there.',
    (counts) => counts.discarded,
  ),
  {
    name: 'cache_schema_mismatches_total',
    help: 'Derived values in L2 or L3 that do not fit the schema of their namespace any more.',
    labels: ['namespace'],
    read({ derived }, say) {
      for (const [namespace, { mismatches }] of derived) say(mismatches, { namespace });
    },
  },
];

function ofDerived(
  name: string,
  label: string,
  help: string,
  read: (counts: DerivedCounts) => Readonly<Record<string, number>>,
): Described<number> {
  return {
    name,
    help,
    labels: ['namespace', label],
    read({ derived }, say) {
      for (const [namespace, counts] of derived) {
        for (const [value, count] of Object.entries(read(counts))) {
          say(count, { namespace, [label]: value });
        }
      }
    },
  };
}

const GAUGES: readonly Described<number>[] = [
  byLabel('cache_entries', 'tier', 'Entries held by this process.', ({ sources }) => ({
    l1: sources.l1().entries,
    outbox: sources.outbox().entries,
  })),
  byLabel(
    'cache_bytes',
    'tier',
    "Bytes held by this process, and the memory that L2's server last reported.",
    ({ sources }) => ({
      l1: sources.l1().bytes,
      outbox: sources.outbox().bytes,
      l2: sources.l2().memoryBytes,
    }),
  ),
  single(
    'cache_compression_ratio',
    'Bytes in by bytes out; 1 where nothing was compressed.',
    compressionRatio,
  ),
  single(
    'cache_breaker_state',
    'The L2 breaker: 0 closed, 1 half-open, 2 open.',
    ({ sources }) => STATES[sources.breaker().state],
  ),
  single(
    'cache_journal_bytes',
    'Bytes of the journal on disk.',
    ({ sources }) => sources.journal().bytes,
  ),
  single(
    'cache_sync_pending',
    'Keys that L3 lacks something of.',
    ({ sources }) => sources.sync().pending,
  ),
  single(
    'cache_sync_oldest_pending_seconds',
    'How long the oldest pending key has been so.',
    ({ sources }) => sources.sync().oldestPendingSeconds,
  ),
  single(
    'cache_dead_letters',
    'Rows that L3 refused and that wait for an operator.',
    ({ sources }) => sources.sync().deadLetters,
  ),
];

const HISTOGRAMS: readonly Described<BucketCounts>[] = [
  {
    name: 'cache_operation_duration_seconds',
    help: 'Duration of operations at a tier. L1 reads are sampled, one in 256.',
    labels: ['tier', 'operation'],
    read({ durations }, say) {
      for (const [tier, operations] of Object.entries(durations)) {
        for (const [operation, buckets] of operations) say(buckets, { tier, operation });
      }
    },
  },
  {
    name: 'cache_sync_duration_seconds',
    help: 'Duration of runs of the sync to L3.',
    labels: [],
    read: ({ syncRuns }, say) => say(syncRuns.durations, {}),
  },
  {
    name: 'cache_load_duration_seconds',
    help: 'Duration of loaders of derived values.',
    labels: ['namespace', 'outcome'],
    read({ loads }, say) {
      for (const [namespace, outcomes] of loads) {
        for (const [outcome, buckets] of outcomes) say(buckets, { namespace, outcome });
      }
    },
  },
];

/** Every metric name, as Prometheus sees it. */
export const metricNames: readonly string[] = Object.freeze(
  [...COUNTERS, ...GAUGES, ...HISTOGRAMS].map((described) => described.name),
);

export function exportTo(metrics: Counts, registry: Registry): () => void {
  const taken = metricNames.find((name) => registry.getSingleMetric(name) !== undefined);
  if (taken !== undefined) {
    throw new ConfigError(
      `option "registry" already has a metric "${taken}": give each cache a registry of its own`,
    );
  }
  for (const described of COUNTERS) exportCounter(metrics, registry, described);
  for (const described of GAUGES) exportGauge(metrics, registry, described);
  for (const described of HISTOGRAMS) {
    registry.registerMetric(new CountedHistogram(metrics, described));
  }
  return () => {
    for (const name of metricNames) registry.removeSingleMetric(name);
  };
}

function exportCounter(metrics: Counts, registry: Registry, described: Described<number>): void {
  new Counter({
    name: described.name,
    help: described.help,
    labelNames: described.labels,
    registers: [registry],
    collect() {
      this.reset();
      described.read(metrics, (value, labels) => this.inc(labels, value));
    },
  });
}

function exportGauge(metrics: Counts, registry: Registry, described: Described<number>): void {
  new Gauge({
    name: described.name,
    help: described.help,
    labelNames: described.labels,
    registers: [registry],
    collect() {
      described.read(metrics, (value, labels) => this.set(labels, value));
    },
  });
}

type Exposed = Awaited<ReturnType<Histogram['get']>>;

class CountedHistogram extends Histogram {
  readonly #counts: Counts;
  readonly #described: Described<BucketCounts>;
  /** Never observed: it knows how prom-client describes a histogram. */
  readonly #blank: Histogram;

  constructor(counts: Counts, described: Described<BucketCounts>) {
    const shape = {
      name: described.name,
      help: described.help,
      labelNames: described.labels,
      buckets: [...DURATION_BUCKETS],
      registers: [],
    };
    super(shape);
    this.#counts = counts;
    this.#described = described;
    this.#blank = new Histogram(shape);
  }

  override async get(): Promise<Exposed> {
    const values: Exposed['values'] = [];
    this.#described.read(this.#counts, (buckets, labels) => {
      values.push(...samplesOf(this.#described.name, buckets, labels));
    });
    return { ...(await this.#blank.get()), values };
  }

  /** What a registry asks for where a metric has it, instead of `get`. */
  getForPromString(): Promise<Exposed> {
    return this.get();
  }
}

function samplesOf(name: string, buckets: BucketCounts, labels: Labels): Exposed['values'] {
  let below = 0;
  const samples: Exposed['values'] = DURATION_BUCKETS.map((le, slot) => {
    below += buckets.counts[slot] ?? 0;
    return { metricName: `${name}_bucket`, value: below, labels: { ...labels, le } };
  });
  samples.push(
    { metricName: `${name}_bucket`, value: buckets.count, labels: { ...labels, le: '+Inf' } },
    { metricName: `${name}_sum`, value: buckets.sum, labels },
    { metricName: `${name}_count`, value: buckets.count, labels },
  );
  return samples;
}
