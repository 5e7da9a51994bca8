/** Who is calling, from the cache where it knows, from the CRM where it does not. */
import type { Clock } from '@cache/core';
import {
  createRouter,
  derivedHeaders,
  json,
  ProblemError,
  problems,
  RequestBounds,
  type Router,
  refusals,
  routesOf,
} from '@cache/http';
import { z } from '@hono/zod-openapi';
import { type Profiles, phoneOf, profileSchema } from './profiles.ts';
import { READ_MS } from './request-bounds.ts';

const show = routesOf('callers', refusals).get('/callers/{phone}', {
  summary: 'The profile of a caller',
  description:
    'Loaded from the CRM once for all instances; past its time it is served for an hour more where the CRM is slow or fails.',
  request: {
    params: z.object({
      phone: z.string().openapi({
        description: 'As in E.164, with or without spaces, dots, dashes and brackets.',
        example: '+49 30 1234567',
      }),
    }),
  },
  responses: {
    200: json('What the CRM knows.', profileSchema, derivedHeaders),
    404: { ...problems[404], headers: derivedHeaders },
    502: problems[502],
    503: {
      ...problems[503],
      description: 'The CRM did not answer in time, and nothing older is at hand: try again.',
    },
  },
});

export function callersRouter(profiles: Profiles, clock: Clock): Router {
  const router = createRouter();
  router.openapi(show, async (c) => {
    const phone = phoneOf(c.req.valid('param').phone);
    if (phone === undefined) {
      throw new ProblemError(400, 'A phone number is a plus and 7 to 15 digits: +49 30 1234567.');
    }
    const bounds = new RequestBounds(c, READ_MS, clock);
    const { value, tier, freshness } = await profiles.lookup(phone, bounds.options());
    const headers = { 'x-cache': tier, 'x-cache-freshness': freshness };
    if (value === undefined) {
      throw new ProblemError(404, 'The CRM knows nobody by this number.', {}, headers);
    }
    return c.json(value, 200, headers);
  });
  return router;
}
