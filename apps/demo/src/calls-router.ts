/**
 * How a call begins and ends. The record is what makes a conversation exist: it is created
 * first, so that of two that begin under one id, one is told.
 */
import { randomUUID } from 'node:crypto';
import {
  type Cache,
  type Clock,
  ConflictError,
  type ScopeFlushReport,
  TimeoutError,
} from '@cache/core';
import {
  bodyRefusals,
  createRouter,
  durableHeader,
  heldBy,
  isNoAnswer,
  json,
  ProblemError,
  problems,
  RequestBounds,
  type Router,
  refusals,
  routesOf,
} from '@cache/http';
import { z } from '@hono/zod-openapi';
import { CALL_SCOPE, type Conversations, metadataSchema } from './conversations.ts';
import { type Profiles, refreshOnRing } from './profiles.ts';
import { HANGUP_MS, WRITE_MS } from './request-bounds.ts';
import { answeredSchema, idSchema, isKnownAbsent, notFound } from './route-parts.ts';

const FIRST_STATE = 'active';
/** Between two attempts to flush a call. */
const AGAIN_MS = 100;

const newConversation = z
  .strictObject({
    id: idSchema.optional(),
    caller: z.string().nullable().optional().openapi({ example: '+49 30 1234567' }),
    metadata: metadataSchema.optional(),
  })
  .openapi('NewConversation');

const report = z
  .object({
    id: z.string(),
    flushed: z.int(),
    failed: z.int(),
    remaining: z.int(),
    unknown: z.boolean(),
    ms: z.number(),
  })
  .openapi('HangupReport');

const route = routesOf('conversations', { ...refusals, 503: problems[503] });

const create = route.post('/conversations', {
  summary: 'A call begins',
  description:
    "Also while Supabase is away. Without an id it is given one. The caller's profile is loaded anew meanwhile.",
  request: { body: { content: { 'application/json': { schema: newConversation } } } },
  responses: {
    201: json('It began.', answeredSchema, durableHeader),
    ...bodyRefusals,
    409: problems[409],
    422: problems[422],
  },
});

const hangup = route.post('/conversations/{id}/hangup', {
  summary: 'A barrier: everything of this call is in Supabase',
  request: { params: z.object({ id: idSchema }) },
  responses: {
    200: json('L3 has every write of this call.', report),
    404: problems[404],
    503: {
      ...problems[503],
      description: 'Not within five seconds, or L2 could not say: a problem with the report.',
    },
  },
});

export interface CallsParts {
  readonly cache: Cache;
  readonly conversations: Conversations;
  readonly profiles: Profiles;
  readonly clock: Clock;
}

export function callsRouter({ cache, conversations, profiles, clock }: CallsParts): Router {
  const { records, turns } = conversations;
  const router = createRouter();

  router.openapi(create, async (c) => {
    const { id = randomUUID(), caller = null, metadata = {} } = c.req.valid('json');
    const bounds = new RequestBounds(c, WRITE_MS, clock);
    const createdAt = new Date(clock.now()).toISOString();
    const conversation = { caller, metadata, state: FIRST_STATE, createdAt };
    const record = await records.create(id, conversation, bounds.options());
    refreshOnRing(profiles, caller);
    await begun(() => turns.create(id, [], bounds.options()));
    const headers = {
      // An empty log has nothing that could be lost.
      'x-cache-durable': heldBy(record),
      location: `/conversations/${encodeURIComponent(id)}`,
    };
    return c.json({ id, ...conversation }, 201, headers);
  });

  router.openapi(hangup, async (c) => {
    const { id } = c.req.valid('param');
    const bounds = new RequestBounds(c, HANGUP_MS, clock);
    const report = await flushed(cache, id, bounds, clock);
    if (report.unknown || report.remaining > 0) {
      const detail = report.unknown
        ? 'What of this call is still pending could not be found out in time.'
        : `${report.remaining} keys of this call are still pending.`;
      throw new ProblemError(503, detail, { id, ...report });
    }
    // Asked only now: what was deleted may still have been pending.
    if (report.flushed === 0 && (await isKnownAbsent(records, id, bounds))) throw notFound();
    return c.json({ id, ...report }, 200);
  });

  return router;
}

/**
 * The log is whole from its first turn on. One that is there is left from a request that failed
 * halfway, and is taken over; where no tier can say, it is whole when Supabase answers again.
 */
async function begun(create: () => Promise<unknown>): Promise<void> {
  try {
    await create();
  } catch (error) {
    if (!(error instanceof ConflictError || isNoAnswer(error))) throw error;
  }
}

/** Again, where something was said meanwhile, or Redis was slow once, and while there is time. */
async function flushed(
  cache: Cache,
  id: string,
  bounds: RequestBounds,
  clock: Clock,
): Promise<ScopeFlushReport> {
  const start = clock.monotonic();
  let rows = 0;
  for (;;) {
    const report = await flushedOnce(cache, id, bounds);
    rows += report.flushed;
    const isHealthy = cache.stats().tiers.l2.breaker.state === 'CLOSED';
    const mayHelp = report.unknown ? isHealthy : report.remaining > 0 && report.failed === 0;
    if (!mayHelp || bounds.left < AGAIN_MS * 2) {
      return { ...report, flushed: rows, ms: clock.monotonic() - start };
    }
    await new Promise<void>((resolve) => void clock.after(AGAIN_MS, resolve));
  }
}

async function flushedOnce(
  cache: Cache,
  id: string,
  bounds: RequestBounds,
): Promise<ScopeFlushReport> {
  const options = bounds.options();
  try {
    return await cache.scope(CALL_SCOPE, id).flush(options);
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
    return { flushed: 0, failed: 0, remaining: 0, unknown: true, ms: options.deadline };
  }
}
