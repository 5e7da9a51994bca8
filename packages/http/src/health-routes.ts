/** Whether the service lives, can answer, and how its parts are. */
import type { Health } from '@cache/core';
import { createRoute, z } from '@hono/zod-openapi';
import { createRouter, json, problems, type Router } from './router.ts';
import type { ServedCache } from './served-cache.ts';
import { type Tokens, unauthorized } from './tokens.ts';

const statusSchema = z.enum(['ok', 'degraded', 'down']);

const livenessSchema = z.object({ status: z.literal('ok') }).openapi('Liveness');
const readinessSchema = z.object({ status: statusSchema }).openapi('Readiness');
const checksSchema = z
  .object({
    redis_cache: z
      .object({ connected: z.boolean(), dbSize: z.int(), info: z.looseObject({}).optional() })
      .optional(),
    supabase: z.object({ connected: z.boolean(), ms: z.number() }).optional(),
    breaker: z.object({
      state: z.enum(['CLOSED', 'OPEN', 'HALF_OPEN']),
      consecutiveFailures: z.int(),
      opened: z.int(),
    }),
    journal: z
      .object({
        mode: z.enum(['fallback', 'always']),
        bytes: z.int(),
        maxBytes: z.int(),
        records: z.int(),
        writable: z.boolean(),
      })
      .optional(),
    sync: z.looseObject({ pending: z.int() }),
    bus: z.looseObject({ connected: z.boolean() }),
  })
  .openapi('HealthChecks');
const healthSchema = z
  .object({
    status: statusSchema,
    checks: checksSchema.optional().openapi({ description: 'Only with the admin token.' }),
  })
  .openapi('Health');

const healthz = createRoute({
  method: 'get',
  path: '/healthz',
  summary: 'The process is alive',
  tags: ['health'],
  responses: { 200: json('It is.', livenessSchema) },
});

const readyz = createRoute({
  method: 'get',
  path: '/readyz',
  summary: 'Calls can be answered',
  description: 'Also without L2, or without L3 while L2 is there.',
  tags: ['health'],
  responses: {
    200: json('They can.', readinessSchema),
    503: json('They can not: no tier answers.', readinessSchema),
  },
});

const healthRoute = createRoute({
  method: 'get',
  path: '/health',
  summary: 'How the parts are',
  description: 'Without the admin token coarse, with it each check in detail.',
  tags: ['health'],
  responses: {
    200: json('Calls can be answered.', healthSchema),
    401: problems[401],
    503: json('No tier answers.', healthSchema),
  },
});

export function healthRouter(cache: ServedCache, tokens: Tokens): Router {
  const router = createRouter();
  let asking: Promise<Health> | undefined;
  // Anybody may ask, so all who ask at once share one round of checks.
  const ask = (): Promise<Health> => {
    asking ??= cache.health().finally(() => {
      asking = undefined;
    });
    return asking;
  };
  router.openapi(healthz, (c) => c.json({ status: 'ok' as const }, 200));
  router.openapi(readyz, async (c) => {
    const { status } = await ask();
    return status === 'down' ? c.json({ status }, 503) : c.json({ status }, 200);
  });
  router.openapi(healthRoute, async (c) => {
    const caller = tokens.callerOf(c.req.header('authorization'));
    if (caller === 'stranger') throw unauthorized('admin', caller);
    const { status, ...checks } = await ask();
    const body = caller === 'admin' ? { status, checks } : { status };
    return status === 'down' ? c.json(body, 503) : c.json(body, 200);
  });
  return router;
}
