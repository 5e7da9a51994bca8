/**
 * One conversation: read, changed, deleted. Its record is deleted last, so that a repeated
 * request finishes what a failed one began.
 */
import type { Clock } from '@cache/core';
import {
  bodyRefusals,
  cacheHeader,
  createRouter,
  durableHeader,
  heldBy,
  json,
  jsonBody,
  ProblemError,
  problems,
  RequestBounds,
  type Router,
  refusals,
  routesOf,
} from '@cache/http';
import { z } from '@hono/zod-openapi';
import {
  type Conversations,
  metadataSchema,
  NotANumberError,
  patched,
  turnSchema,
} from './conversations.ts';
import { READ_MS, WRITE_MS } from './request-bounds.ts';
import { absent, answeredSchema, idSchema, isKnownAbsent, notFound } from './route-parts.ts';

const TIERS = ['l1', 'outbox', 'l2', 'l3'] as const;

const path = '/conversations/{id}';
const params = z.object({ id: idSchema });

const heardSchema = z
  .intersection(answeredSchema, z.object({ turns: z.array(turnSchema) }))
  .openapi('ConversationWithTurns');

const patchSchema = z
  .strictObject({
    metadata: metadataSchema.optional().openapi({
      description: 'Merged into what is there (RFC 7396): null removes a member.',
    }),
    state: z.string().min(1).max(64).optional().openapi({ example: 'on-hold' }),
    increment: z
      .record(z.string(), z.number())
      .optional()
      .openapi({ description: 'Added to members of metadata, exactly.', example: { retries: 1 } }),
  })
  .refine((patch) => Object.keys(patch).length > 0, {
    message: 'Give metadata, state or increment',
  })
  .openapi('ConversationPatch');

const route = routesOf('conversations', {
  ...refusals,
  404: problems[404],
  503: problems[503],
});

const show = route.get(path, {
  summary: 'What was said so far',
  request: { params },
  responses: {
    200: json('With all turns, in their order.', heardSchema, cacheHeader),
  },
});

const change = route.patch(path, {
  summary: 'Change state and metadata, exactly',
  description: 'Of concurrent changes none is lost. Needs Supabase.',
  request: {
    params,
    body: jsonBody(patchSchema),
  },
  responses: {
    200: json('As it is now.', answeredSchema, durableHeader),
    ...bodyRefusals,
    409: problems[409],
    422: problems[422],
  },
});

const remove = route.delete(path, {
  summary: 'Delete the conversation and its turns',
  request: { params },
  responses: {
    204: { description: 'It is gone.', headers: durableHeader },
  },
});

export function conversationRouter({ records, turns }: Conversations, clock: Clock): Router {
  const router = createRouter();

  router.openapi(show, async (c) => {
    const { id } = c.req.valid('param');
    const options = new RequestBounds(c, READ_MS, clock).options();
    const [record, log] = await Promise.all([
      records.lookup(id, options),
      turns.snapshot(id, options),
    ]);
    if (record.status === 'miss') throw absent(record);
    const tier = TIERS[Math.max(TIERS.indexOf(record.tier), TIERS.indexOf(log.tier))] ?? 'l3';
    const said = log.items.map(({ value }) => value);
    return c.json({ id, ...record.value, turns: said }, 200, { 'x-cache': tier });
  });

  router.openapi(change, async (c) => {
    const { id } = c.req.valid('param');
    const patch = c.req.valid('json');
    const bounds = new RequestBounds(c, WRITE_MS, clock);
    try {
      const { value, held } = await records.update(
        id,
        (current) => (current === undefined ? undefined : patched(current, patch)),
        bounds.options(),
      );
      if (value === undefined) throw await missing(id, bounds);
      return c.json({ id, ...value }, 200, { 'x-cache-durable': heldBy({ held }) });
    } catch (error) {
      if (error instanceof NotANumberError) throw new ProblemError(409, error.message);
      throw error;
    }
  });

  router.openapi(remove, async (c) => {
    const { id } = c.req.valid('param');
    const bounds = new RequestBounds(c, WRITE_MS, clock);
    if (await isKnownAbsent(records, id, bounds)) throw notFound();
    const log = await turns.delete(id, bounds.options());
    const record = await records.delete(id, bounds.options());
    return c.body(null, 204, { 'x-cache-durable': heldBy(log, record) });
  });

  /** Supabase has none to be changed. Whether there is none at all, Redis has to say. */
  async function missing(id: string, bounds: RequestBounds): Promise<ProblemError> {
    const record = await records.lookup(id, bounds.options());
    return absent({ isSure: record.status === 'miss' && record.isSure });
  }

  return router;
}
