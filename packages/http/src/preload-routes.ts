/** Brings what a conversation will ask for into L1 and L2, before it asks. */
import { systemClock } from '@cache/core';
import { createRoute, z } from '@hono/zod-openapi';
import { ProblemError } from './problem.ts';
import { bearer, createRouter, problems, type Router } from './router.ts';
import type { Tokens } from './tokens.ts';

/** What a preload found. */
export interface Preloaded {
  /** Entries that L1 and L2 hold now. */
  readonly loaded: number;
  /** Keys that no tier knows. */
  readonly missing: number;
  /** Which tier each loaded entry came from. */
  readonly tiers: Readonly<Record<string, number>>;
}

/** Given by the application, which knows what belongs to an id. */
export type Preload = (id: string, options: { readonly signal: AbortSignal }) => Promise<Preloaded>;

const preloadedSchema = z
  .object({
    id: z.string(),
    loaded: z.int(),
    missing: z.int(),
    tiers: z.record(z.string(), z.int()),
    ms: z.number(),
  })
  .openapi('Preloaded');

const route = createRoute({
  method: 'post',
  path: '/cache/preload/{id}',
  summary: 'Bring all of a conversation into L1 and L2',
  description: 'Needs the API token where one is set. Other methods are 405.',
  tags: ['cache'],
  security: bearer,
  request: { params: z.object({ id: z.string().min(1).openapi({ example: 'call-1' }) }) },
  responses: {
    200: {
      description: 'What was loaded, and where from.',
      content: { 'application/json': { schema: preloadedSchema } },
    },
    400: problems[400],
    401: problems[401],
    404: problems[404],
    503: problems[503],
  },
});

export function preloadRouter(preload: Preload, tokens: Tokens): Router {
  const router = createRouter();
  router.post('/cache/preload/*', tokens.api);
  router.openapi(route, async (c) => {
    const { id } = c.req.valid('param');
    const start = systemClock.monotonic();
    const { loaded, missing, tiers } = await preload(id, { signal: c.req.raw.signal });
    if (loaded === 0) throw new ProblemError(404, 'No tier knows anything under this id.');
    const ms = Math.round((systemClock.monotonic() - start) * 1000) / 1000;
    return c.json({ id, loaded, missing, tiers: { ...tiers }, ms }, 200);
  });
  return router;
}
