/** What the cache counted, as JSON and for Prometheus. */
import type { CacheStats } from '@cache/core';
import { createRoute, z } from '@hono/zod-openapi';
import { bearer, createRouter, problems, type Router } from './router.ts';
import type { ServedCache } from './served-cache.ts';
import type { Tokens } from './tokens.ts';

const latency = z.object({ p50: z.number(), p95: z.number(), p99: z.number() });
const ratio = { hits: z.int(), misses: z.int(), hitRatio: z.number() };

const statsSchema: z.ZodType<CacheStats> = z
  .object({
    uptimeSeconds: z.number(),
    overall: z.object({ requests: z.int(), ...ratio, outboxHits: z.int() }),
    tiers: z.object({
      l1: z.object({
        ...ratio,
        entries: z.int(),
        maxEntries: z.int(),
        bytes: z.int(),
        evictions: z.int(),
        latencyMs: latency,
      }),
      l2: z.object({
        ...ratio,
        errors: z.int(),
        timeouts: z.int(),
        latencyMs: latency,
        memoryBytes: z.number(),
        breaker: z.object({
          state: z.enum(['CLOSED', 'OPEN', 'HALF_OPEN']),
          consecutiveFailures: z.int(),
          opened: z.int(),
        }),
      }),
      l3: z.object({ ...ratio, errors: z.int(), latencyMs: latency }),
    }),
    compression: z.object({
      compressed: z.int(),
      skipped: z.int(),
      bytesIn: z.int(),
      bytesOut: z.int(),
      ratio: z.number(),
    }),
    sync: z.object({
      pending: z.int(),
      oldestPendingSeconds: z.number(),
      inFlight: z.int(),
      flushed: z.int(),
      failed: z.int(),
      deadLetters: z.int(),
      runs: z.int(),
      runsPerHour: z.number(),
      lastRunAt: z.string().nullable(),
      lastDurationMs: z.number(),
      intervalSeconds: z.number(),
      batchSize: z.int(),
    }),
    bus: z.object({
      connected: z.boolean(),
      gaps: z.int(),
      received: z.int(),
      published: z.int(),
    }),
    derived: z.object({
      loads: z.int(),
      failures: z.int(),
      leases: z.object({ granted: z.int(), waited: z.int(), lost: z.int() }),
      stale: z.int(),
      discarded: z.int(),
      inFlight: z.int(),
    }),
  })
  .openapi('CacheStats');

const stats = createRoute({
  method: 'get',
  path: '/cache/metrics',
  summary: 'Hits, latencies, compression, sync, bus and derived values, as JSON',
  description: 'Needs the metrics token where one is set.',
  tags: ['metrics'],
  security: bearer,
  responses: {
    200: {
      description: 'Latencies are of reads, in milliseconds, over the last five to ten minutes.',
      content: { 'application/json': { schema: statsSchema } },
    },
    401: problems[401],
  },
});

const prometheus = createRoute({
  method: 'get',
  path: '/metrics',
  summary: 'The same for Prometheus',
  description: 'Needs the metrics token where one is set.',
  tags: ['metrics'],
  security: bearer,
  responses: {
    200: {
      description: 'Text exposition format 0.0.4.',
      content: { 'text/plain': { schema: z.string() } },
    },
    401: problems[401],
  },
});

export function metricsRouter(cache: ServedCache, tokens: Tokens): Router {
  const router = createRouter();
  router.use('/cache/metrics', tokens.metrics);
  router.use('/metrics', tokens.metrics);
  router.openapi(stats, (c) => c.json(cache.stats(), 200));
  router.openapi(prometheus, async (c) => {
    const text = await cache.registry.metrics();
    return c.text(text, 200, { 'content-type': cache.registry.contentType });
  });
  return router;
}
