/** For operators: force a sync, look at an entry, forget, erase. All of it needs the admin token. */
import { ConfigError } from '@cache/core';
import { createRoute, z } from '@hono/zod-openapi';
import { ProblemError } from './problem.ts';
import { bearer, createRouter, json, problems, type Router } from './router.ts';
import type { ServedCache } from './served-cache.ts';
import type { Tokens } from './tokens.ts';

/** A forced sync may take longer than a call that somebody is on the line for. */
const SYNC_DEADLINE_MS = 30_000;
/** Keys and tags in one invalidation. */
const MAX_INVALIDATED = 1000;

const reportSchema = z
  .object({
    flushed: z.int(),
    adopted: z.int(),
    failed: z.int(),
    remaining: z.int(),
    unknown: z.boolean(),
    ms: z.number(),
  })
  .openapi('SyncReport');

const syncStateSchema = z
  .object({
    pending: z.int(),
    oldestPendingSeconds: z.number(),
    inFlight: z.int(),
    deadLetters: z.int(),
    lastRun: z.object({ at: z.string(), ms: z.number() }).nullable(),
  })
  .openapi('SyncState');

const entryParams = z.object({
  namespace: z.string().min(1).openapi({ example: 'calls' }),
  key: z.string().min(1).openapi({
    description: 'Of a derived value: the text that its key has in the tiers. A number is #1.',
    example: 'call-1',
  }),
});

const copySchema = z
  .object({
    version: z.int(),
    bytes: z.int(),
    codec: z.string().optional(),
    items: z.int().optional().openapi({ description: 'Of a log.' }),
    expiresAt: z.string().optional(),
    deleted: z.boolean(),
    pending: z.boolean().optional().openapi({ description: 'L3 lacks something of it.' }),
    freshMs: z.number().optional().openapi({
      description: 'Of a derived value: how long it is fresh; 0 where it is stale.',
    }),
    lifeMs: z
      .number()
      .optional()
      .openapi({ description: 'Of a derived value: how long it lives, the grace included.' }),
    value: z.unknown().optional().openapi({ description: 'Only where asked for.' }),
  })
  .openapi('HeldCopy');
const tierSchema = z.union([copySchema, z.enum(['unavailable', 'unreadable'])]).optional();

const inspectionSchema = z
  .object({
    namespace: z.string(),
    key: z.string(),
    kind: z.enum(['value', 'log', 'derived']),
    l1: z.object({ version: z.int(), bytes: z.int() }).optional(),
    outbox: tierSchema,
    l2: tierSchema,
    l3: tierSchema,
  })
  .openapi('Inspection');

const erasureSchema = z
  .object({
    records: z.int(),
    items: z.int(),
    deadLetters: z.int(),
    derived: z
      .int()
      .openapi({ description: 'Derived values that were removed, counted in each of L2 and L3.' }),
    copies: z.int(),
    unknown: z
      .boolean()
      .openapi({ description: 'L2 did not confirm: its copies go when it is back.' }),
    ms: z.number(),
  })
  .openapi('Erasure');

const names = z.array(z.string().min(1)).min(1).max(MAX_INVALIDATED);
const invalidationSchema = z
  .strictObject({
    tags: names.optional(),
    namespace: z.string().min(1).optional(),
    keys: names.optional(),
  })
  .refine((body) => body.tags !== undefined || body.keys !== undefined, {
    message: 'Give tags, or keys with their namespace',
  })
  .refine((body) => (body.keys === undefined) === (body.namespace === undefined), {
    message: 'keys and namespace go together',
    path: ['namespace'],
  })
  .openapi('Invalidation');
const invalidatedSchema = z.object({ forgotten: z.int() }).openapi('Invalidated');

const admin = { tags: ['admin'], security: bearer };

const forceSync = createRoute({
  ...admin,
  method: 'post',
  path: '/admin/cache/sync',
  summary: 'Flush everything that L3 lacks, of every instance',
  responses: {
    200: json('L3 has everything.', reportSchema),
    401: problems[401],
    503: {
      ...problems[503],
      description:
        'Something remains, or L2 could not say what there is: a problem document with the report.',
    },
  },
});

const syncState = createRoute({
  ...admin,
  method: 'get',
  path: '/admin/cache/sync',
  summary: 'What waits to be flushed',
  responses: { 200: json('As far as this instance knows.', syncStateSchema), 401: problems[401] },
});

const inspectEntry = createRoute({
  ...admin,
  method: 'get',
  path: '/admin/cache/entries/{namespace}/{key}',
  summary: 'Which tiers hold a key, under which version, and how large',
  request: {
    params: entryParams,
    query: z.object({
      value: z.enum(['0', '1']).optional().openapi({ description: '1: the value as well.' }),
    }),
  },
  responses: {
    200: json('Tier by tier.', inspectionSchema),
    400: problems[400],
    401: problems[401],
    404: problems[404],
  },
});

const forgetEntry = createRoute({
  ...admin,
  method: 'delete',
  path: '/admin/cache/entries/{namespace}/{key}',
  summary: 'Forget the copies in L1 and L2; what L3 lacks, and what it has, stays',
  description: 'A derived value goes from every tier: it can be computed again.',
  request: { params: entryParams },
  responses: {
    204: { description: 'The copies are gone, or there were none.' },
    400: problems[400],
    401: problems[401],
    404: problems[404],
    503: problems[503],
  },
});

const invalidate = createRoute({
  ...admin,
  method: 'post',
  path: '/admin/cache/invalidate',
  summary: 'Forget copies by tag or by key; what L3 lacks, and what it has, stays',
  description:
    'Derived values that bear one of the tags are loaded anew, on every instance. They are not counted: nobody looks at them.',
  request: {
    body: { required: true, content: { 'application/json': { schema: invalidationSchema } } },
  },
  responses: {
    200: json('How many keys were forgotten.', invalidatedSchema),
    400: problems[400],
    401: problems[401],
    404: problems[404],
    413: problems[413],
    415: problems[415],
    503: problems[503],
  },
});

const eraseScope = createRoute({
  ...admin,
  method: 'delete',
  path: '/admin/cache/scopes/{kind}/{id}',
  summary: 'Erase everything of one call, caller or tenant, from every tier, for good',
  request: {
    params: z.object({
      kind: z.string().min(1).openapi({ example: 'call' }),
      id: z.string().min(1).openapi({ example: 'call-1' }),
    }),
  },
  responses: {
    200: json('What was erased.', erasureSchema),
    400: problems[400],
    401: problems[401],
    503: problems[503],
  },
});

export function adminRouter(cache: ServedCache, tokens: Tokens): Router {
  const router = createRouter();
  router.use('/admin/*', tokens.admin);
  router.openapi(forceSync, async (c) => {
    const report = await cache.sync({ signal: c.req.raw.signal, deadline: SYNC_DEADLINE_MS });
    if (report.remaining === 0 && !report.unknown) return c.json(report, 200);
    const detail = report.unknown
      ? 'What other instances have pending could not be found out.'
      : `${report.remaining} keys are still pending.`;
    throw new ProblemError(503, detail, { ...report });
  });
  router.openapi(syncState, (c) => {
    const { pending, oldestPendingSeconds, inFlight, deadLetters, lastRunAt, lastDurationMs } =
      cache.stats().sync;
    const lastRun = lastRunAt === null ? null : { at: lastRunAt, ms: lastDurationMs };
    return c.json({ pending, oldestPendingSeconds, inFlight, deadLetters, lastRun }, 200);
  });
  router.openapi(inspectEntry, async (c) => {
    const { namespace, key } = c.req.valid('param');
    const value = c.req.valid('query').value === '1';
    const inspection = await opened(() => cache.inspect(namespace, key, { value }));
    return c.json(inspection, 200);
  });
  router.openapi(forgetEntry, async (c) => {
    const { namespace, key } = c.req.valid('param');
    await opened(() => cache.forget(namespace, key));
    return c.body(null, 204);
  });
  router.openapi(invalidate, async (c) => {
    const { tags, namespace, keys } = c.req.valid('json');
    const byTag = tags === undefined ? 0 : (await cache.invalidateTags(tags)).forgotten;
    if (namespace === undefined || keys === undefined) return c.json({ forgotten: byTag }, 200);
    await opened(() => Promise.all(keys.map((key) => cache.forget(namespace, key))));
    return c.json({ forgotten: byTag + keys.length }, 200);
  });
  router.openapi(eraseScope, async (c) => {
    const { kind, id } = c.req.valid('param');
    return c.json(await cache.scope(kind, id).erase({ deadline: SYNC_DEADLINE_MS }), 200);
  });
  return router;
}

/** A namespace that this service has not opened is not here, which is no fault of its configuration. */
async function opened<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ConfigError) throw new ProblemError(404, error.message);
    throw error;
  }
}
