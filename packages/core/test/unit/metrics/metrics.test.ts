import { Registry } from 'prom-client';
import { beforeEach, expect, test } from 'vitest';
import type { Clock } from '../../../src/clock.ts';
import { ConfigError } from '../../../src/errors.ts';
import { MAX_NAMESPACES, OTHER_NAMESPACES } from '../../../src/metrics/counters.ts';
import { RECENT_WINDOW_MS } from '../../../src/metrics/durations.ts';
import { Metrics } from '../../../src/metrics/metrics.ts';
import { metricNames } from '../../../src/metrics/prometheus.ts';

/** Stands still until it is told otherwise. */
class StillClock implements Clock {
  ms = 0;
  now(): number {
    return Date.UTC(2026, 0, 1) + this.ms;
  }
  monotonic(): number {
    return this.ms;
  }
  after(): () => void {
    return () => undefined;
  }
  random53(): number {
    return 1;
  }
}

let clock: StillClock;
let metrics: Metrics;
beforeEach(() => {
  clock = new StillClock();
  metrics = new Metrics(clock);
});

test('a fresh cache answers with the whole shape, in zeros', () => {
  const none = { p50: 0, p95: 0, p99: 0 };
  expect(metrics.snapshot()).toEqual({
    uptimeSeconds: 0,
    overall: { requests: 0, hits: 0, misses: 0, hitRatio: 0, outboxHits: 0 },
    tiers: {
      l1: {
        hits: 0,
        misses: 0,
        hitRatio: 0,
        entries: 0,
        maxEntries: 0,
        bytes: 0,
        evictions: 0,
        latencyMs: none,
      },
      l2: {
        hits: 0,
        misses: 0,
        hitRatio: 0,
        errors: 0,
        timeouts: 0,
        latencyMs: none,
        memoryBytes: 0,
        breaker: { state: 'CLOSED', consecutiveFailures: 0, opened: 0 },
      },
      l3: { hits: 0, misses: 0, hitRatio: 0, errors: 0, latencyMs: none },
    },
    compression: { compressed: 0, skipped: 0, bytesIn: 0, bytesOut: 0, ratio: 1 },
    sync: {
      pending: 0,
      oldestPendingSeconds: 0,
      inFlight: 0,
      flushed: 0,
      failed: 0,
      deadLetters: 0,
      runs: 0,
      runsPerHour: 0,
      lastRunAt: null,
      lastDurationMs: 0,
      intervalSeconds: 0,
      batchSize: 0,
    },
    bus: { connected: false, gaps: 0, received: 0, published: 0 },
    derived: {
      loads: 0,
      failures: 0,
      leases: { granted: 0, waited: 0, lost: 0 },
      stale: 0,
      discarded: 0,
      inFlight: 0,
    },
  });
});

test('what derived values count is added up over their namespaces', () => {
  for (const [index, outcome] of (
    ['loaded', 'kept', 'skipped', 'failed', 'timeout', 'aborted'] as const
  ).entries()) {
    metrics.load(index % 2 === 0 ? 'profiles' : 'speech', outcome, 1);
  }
  for (const name of ['profiles', 'speech']) {
    const { leases, stale, discarded } = metrics.derivedOf(name);
    for (const counts of [leases, stale, discarded]) {
      Object.assign(
        counts,
        Object.fromEntries(Object.keys(counts).map((what, n) => [what, n + 1])),
      );
    }
  }
  metrics.connect({ derived: () => ({ inFlight: 7 }) });
  expect(metrics.snapshot().derived).toEqual({
    loads: 6,
    failures: 2,
    leases: { granted: 2, waited: 4, lost: 6 },
    stale: 20,
    discarded: 30,
    inFlight: 7,
  });
});

test('a cold lookup that L3 answers is a miss at L1 and L2 and a hit at L3 and overall', () => {
  const calls = metrics.namespace('calls');
  calls.l1.miss++;
  calls.l2.miss++;
  calls.l3.hit++;
  calls.overall.hit++;
  metrics.request('turns', 'outbox', 'hit');
  metrics.request('turns', 'overall', 'hit');
  metrics.request('turns', 'l2', 'timeout');
  metrics.request('turns', 'overall', 'error');
  const { tiers, overall } = metrics.snapshot();
  expect(tiers.l1).toMatchObject({ hits: 0, misses: 1, hitRatio: 0 });
  expect(tiers.l2).toMatchObject({ hits: 0, misses: 1, timeouts: 1, errors: 0 });
  expect(tiers.l3).toMatchObject({ hits: 1, misses: 0, hitRatio: 1 });
  expect(overall).toEqual({ requests: 3, hits: 2, misses: 0, hitRatio: 1, outboxHits: 1 });
});

test('states come from their sources at the moment of asking', () => {
  let pending = 3;
  metrics.connect({
    sync: () => ({
      pending,
      oldestPendingSeconds: 2,
      deadLetters: 1,
      intervalSeconds: 300,
      batchSize: 10,
    }),
    breaker: () => ({ state: 'OPEN', consecutiveFailures: 5 }),
  });
  metrics.connect({ l2: () => ({ memoryBytes: 77 }) });
  pending = 4;
  metrics.breakerTransitions.OPEN++;
  const { sync, tiers } = metrics.snapshot();
  expect(sync).toMatchObject({ pending: 4, deadLetters: 1, intervalSeconds: 300, batchSize: 10 });
  expect(tiers.l2.breaker).toEqual({ state: 'OPEN', consecutiveFailures: 5, opened: 1 });
  expect(tiers.l2.memoryBytes).toBe(77);
});

test('runs of the sync and their rows are counted, per hour over the last hour', () => {
  metrics.syncRan(12);
  clock.ms += 30 * 60_000;
  metrics.syncRan(7);
  metrics.rows.applied += 5;
  metrics.rows.superseded += 1;
  metrics.rows.refused += 2;
  expect(metrics.snapshot().sync).toMatchObject({
    runs: 2,
    runsPerHour: 2,
    lastDurationMs: 7,
    lastRunAt: '2026-01-01T00:30:00.000Z',
    flushed: 6,
    failed: 2,
  });
  clock.ms += 31 * 60_000;
  expect(metrics.snapshot().sync).toMatchObject({ runs: 2, runsPerHour: 1 });
  clock.ms += 600 * 60_000;
  expect(metrics.snapshot().sync.runsPerHour).toBe(0);
});

test('latencies are percentiles of recent reads: writes and the distant past are not in them', () => {
  for (let ms = 1; ms <= 100; ms++) metrics.observe('l2', 'read', ms);
  metrics.observe('l2', 'put', 5000);
  const { p50, p95, p99 } = metrics.snapshot().tiers.l2.latencyMs;
  expect(Math.abs(p50 - 50)).toBeLessThan(1);
  expect(Math.abs(p95 - 95)).toBeLessThan(2);
  expect(Math.abs(p99 - 99)).toBeLessThan(2);
  clock.ms += RECENT_WINDOW_MS;
  metrics.observe('l2', 'read', 1);
  expect(metrics.snapshot().tiers.l2.latencyMs.p50).toBeGreaterThan(40);
  clock.ms += RECENT_WINDOW_MS;
  expect(metrics.snapshot().tiers.l2.latencyMs.p50).toBeLessThan(2);
  clock.ms += 5 * RECENT_WINDOW_MS;
  expect(metrics.snapshot().tiers.l2.latencyMs).toEqual({ p50: 0, p95: 0, p99: 0 });
});

test('durations that can not be are taken as the nearest that can', () => {
  metrics.observe('l3', 'read', -5);
  metrics.observe('l3', 'read', 0);
  metrics.observe('l3', 'read', 1e12);
  expect(metrics.snapshot().tiers.l3.latencyMs.p99).toBeGreaterThan(100_000);
});

test('L1 reads are sampled: the first, then one in 256', () => {
  const sampled = Array.from({ length: 600 }, (_, at) => (metrics.sampleL1() ? at : -1));
  expect(sampled.filter((at) => at >= 0)).toEqual([0, 256, 512]);
});

test('G6: however many namespaces are opened, the number of labels is bounded', async () => {
  for (let n = 0; n < MAX_NAMESPACES + 50; n++) metrics.request(`n${n}`, 'l1', 'hit');
  expect(metrics.namespace('n140')).toBe(metrics.namespace('n149'));
  expect(metrics.snapshot().tiers.l1.hits).toBe(MAX_NAMESPACES + 50);
  metrics.load('n149', 'loaded', 3);
  const text = await scrape();
  expect(text).toContain(
    `cache_requests_total{namespace="${OTHER_NAMESPACES}",tier="l1",result="hit"} 50`,
  );
  expect(text).toContain(`namespace="${OTHER_NAMESPACES}",outcome="loaded"`);
  expect(text).not.toContain('n149');
});

async function scrape(): Promise<string> {
  const registry = new Registry();
  const unregister = metrics.register(registry);
  const text = await registry.metrics();
  unregister();
  return text;
}

test('every metric of the contract is exported, with its type', async () => {
  metrics.request('calls', 'l1', 'hit');
  const text = await scrape();
  const types = new Map(
    [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map((match) => [match[1], match[2]]),
  );
  expect(Object.fromEntries(types)).toMatchObject({
    cache_requests_total: 'counter',
    cache_operation_duration_seconds: 'histogram',
    cache_entries: 'gauge',
    cache_bytes: 'gauge',
    cache_evictions_total: 'counter',
    cache_compression_bytes_total: 'counter',
    cache_compression_ratio: 'gauge',
    cache_breaker_state: 'gauge',
    cache_breaker_transitions_total: 'counter',
    cache_sync_pending: 'gauge',
    cache_sync_oldest_pending_seconds: 'gauge',
    cache_sync_rows_total: 'counter',
    cache_sync_runs_total: 'counter',
    cache_sync_duration_seconds: 'histogram',
    cache_dead_letters: 'gauge',
    cache_bus_gaps_total: 'counter',
    cache_load_duration_seconds: 'histogram',
  });
  expect([...types.keys()]).toEqual(metricNames);
});

test('counters and states have the values of the moment of the scrape, and scraping twice adds nothing', async () => {
  metrics.connect({
    l1: () => ({ entries: 7, maxEntries: 100, bytes: 70 }),
    breaker: () => ({ state: 'HALF_OPEN', consecutiveFailures: 0 }),
  });
  const registry = new Registry();
  metrics.register(registry);
  metrics.request('calls', 'l3', 'hit');
  metrics.evictions.capacity = 2;
  metrics.compressed(100, 25);
  await registry.metrics();
  metrics.request('calls', 'l3', 'hit');
  const text = await registry.metrics();
  for (const line of [
    'cache_requests_total{namespace="calls",tier="l3",result="hit"} 2',
    'cache_evictions_total{reason="capacity"} 2',
    'cache_compression_bytes_total{stage="in"} 100',
    'cache_compression_bytes_total{stage="out"} 25',
    'cache_compression_ratio 4',
    'cache_entries{tier="l1"} 7',
    'cache_bytes{tier="l1"} 70',
    'cache_breaker_state 1',
    'cache_breaker_transitions_total{to="OPEN"} 0',
  ]) {
    expect(text.split('\n')).toContain(line);
  }
});

test('histograms are cumulative, in seconds, and a value on a bound belongs to its bucket', async () => {
  metrics.observe('l2', 'read', 1);
  metrics.observe('l2', 'read', 3);
  metrics.observe('l2', 'read', 60_000);
  const lines = (await scrape()).split('\n');
  const of = (suffix: string): string | undefined =>
    lines.find((line) => line.startsWith(`cache_operation_duration_seconds_${suffix}`));
  const bucket = 'bucket{tier="l2",operation="read",le=';
  expect(of(`${bucket}"0.0005"}`)).toMatch(/ 0$/);
  expect(of(`${bucket}"0.001"}`)).toMatch(/ 1$/);
  expect(of(`${bucket}"0.005"}`)).toMatch(/ 2$/);
  expect(of(`${bucket}"10"}`)).toMatch(/ 2$/);
  expect(of(`${bucket}"+Inf"}`)).toMatch(/ 3$/);
  expect(of('sum')).toMatch(/ 60\.004$/);
  expect(of('count')).toMatch(/ 3$/);
});

test('a registry that has one of the names is refused before anything is put on it', async () => {
  const registry = new Registry();
  const unregister = metrics.register(registry);
  expect(() => new Metrics(clock).register(registry)).toThrow(ConfigError);
  unregister();
  expect(await registry.metrics()).toBe('\n');
  new Metrics(clock).register(registry);
});

test('the JSON of a registry has the histograms too', async () => {
  metrics.syncRan(20);
  const registry = new Registry();
  metrics.register(registry);
  const found = (await registry.getMetricsAsJSON()).find(
    (metric) => metric.name === 'cache_sync_duration_seconds',
  );
  expect(found?.values.at(-1)).toMatchObject({ value: 1 });
});
