/** Dead letters, for operators: what L3 refuses, sent again or dropped. The admin token guards them. */
import type { DeadLetter } from '@cache/core';
import { createRoute, z } from '@hono/zod-openapi';
import { ProblemError } from './problem.ts';
import { bearer, createRouter, json, problems, type Router } from './router.ts';
import type { ServedCache } from './served-cache.ts';
import type { Tokens } from './tokens.ts';

const MAX_PAGE = 1000;
const DEFAULT_PAGE = 100;

const letterSchema = z
  .object({
    id: z.int(),
    namespace: z.string(),
    key: z.string(),
    kind: z.enum(['value', 'log']),
    version: z.int(),
    items: z
      .array(z.string())
      .optional()
      .openapi({ description: 'Of a log: the ids of its items.' }),
    reason: z
      .string()
      .openapi({ description: 'What PostgreSQL said. It may quote a part of the value.' }),
    attempts: z.int(),
    bytes: z.int(),
    isKept: z.boolean().openapi({
      description: 'Whether L3 has the bytes. What could not even be sent is pending in L2 alone.',
    }),
    createdAt: z.string(),
    updatedAt: z.string(),
    scope: z.array(z.string()).optional(),
    codec: z.string().optional(),
    payload: z.string().optional().openapi({ description: 'Only where asked for.' }),
  })
  .openapi('DeadLetter');

const pageSchema = z
  .object({
    letters: z.array(letterSchema),
    next: z
      .int()
      .nullable()
      .openapi({ description: '`after` of the next page; null: the last one.' }),
  })
  .openapi('DeadLetters');

const retriedSchema = z
  .object({ id: z.int(), outcome: z.enum(['applied', 'superseded', 'erased']) })
  .openapi('RetriedDeadLetter');

const whole = z.string().regex(/^\d{1,15}$/, 'Give a whole number');
const params = z.object({ id: whole.openapi({ example: '17' }) });

const admin = { tags: ['admin'], security: bearer };

const listLetters = createRoute({
  ...admin,
  method: 'get',
  path: '/admin/cache/dead-letters',
  summary: 'Acknowledged writes that L3 refuses, without their values',
  request: {
    query: z.object({
      namespace: z.string().min(1).optional(),
      limit: z.coerce.number().int().min(1).max(MAX_PAGE).optional(),
      after: whole.optional().openapi({ description: 'The id of the last one that was seen.' }),
      order: z.enum(['oldest', 'newest']).optional(),
    }),
  },
  responses: {
    200: json('A page of them.', pageSchema),
    400: problems[400],
    401: problems[401],
    503: problems[503],
  },
});

const showLetter = createRoute({
  ...admin,
  method: 'get',
  path: '/admin/cache/dead-letters/{id}',
  summary: 'One of them',
  request: {
    params,
    query: z.object({
      value: z.enum(['0', '1']).optional().openapi({ description: '1: the payload as well.' }),
    }),
  },
  responses: {
    200: json('What is known of it.', letterSchema),
    400: problems[400],
    401: problems[401],
    404: problems[404],
    503: problems[503],
  },
});

const retryLetter = createRoute({
  ...admin,
  method: 'post',
  path: '/admin/cache/dead-letters/{id}/retry',
  summary: 'Send the write again, with its own version',
  request: { params },
  responses: {
    200: json('It is resolved.', retriedSchema),
    400: problems[400],
    401: problems[401],
    404: problems[404],
    409: { ...problems[409], description: 'Supabase refuses it still; the letter stays.' },
    503: problems[503],
  },
});

const dropLetter = createRoute({
  ...admin,
  method: 'delete',
  path: '/admin/cache/dead-letters/{id}',
  summary: 'Forget it and its write, in every tier, for good',
  request: { params },
  responses: {
    204: { description: 'It is gone, and will not come back.' },
    400: problems[400],
    401: problems[401],
    404: problems[404],
    409: {
      ...problems[409],
      description: 'It is the deletion of a log, which can only be retried.',
    },
    503: problems[503],
  },
});

export function letterRouter({ deadLetters }: ServedCache, tokens: Tokens): Router {
  const router = createRouter();
  router.use('/admin/*', tokens.admin);
  router.openapi(listLetters, async (c) => {
    const { namespace, limit = DEFAULT_PAGE, after, order } = c.req.valid('query');
    const { signal } = c.req.raw;
    const from = after === undefined ? undefined : Number(after);
    const letters = await deadLetters.list({ namespace, limit, after: from, order, signal });
    const next = letters.length < limit ? null : (letters.at(-1)?.id ?? null);
    return c.json({ letters: letters.map(shown), next }, 200);
  });
  router.openapi(showLetter, async (c) => {
    const id = Number(c.req.valid('param').id);
    const payload = c.req.valid('query').value === '1';
    const letter = await deadLetters.get(id, { payload, signal: c.req.raw.signal });
    if (letter === undefined) throw unknownLetter(id);
    return c.json(shown(letter), 200);
  });
  router.openapi(retryLetter, async (c) => {
    const id = Number(c.req.valid('param').id);
    const outcome = await deadLetters.retry(id);
    switch (outcome) {
      case 'unknown':
        throw unknownLetter(id);
      case 'refused':
        throw new ProblemError(409, 'Supabase refuses it still: mend the cause first.', {
          outcome,
        });
      case 'expired':
        throw new ProblemError(409, 'It is too old to be placed: drop it, or write it anew.', {
          outcome,
        });
      default:
        return c.json({ id, outcome }, 200);
    }
  });
  router.openapi(dropLetter, async (c) => {
    const id = Number(c.req.valid('param').id);
    if (!(await deadLetters.drop(id))) throw unknownLetter(id);
    return c.body(null, 204);
  });
  return router;
}

function unknownLetter(id: number): ProblemError {
  return new ProblemError(404, `There is no dead letter ${id}. It may be resolved by now.`);
}

function shown(letter: DeadLetter) {
  const { items, scope, ...rest } = letter;
  return { ...rest, ...(items && { items: [...items] }), ...(scope && { scope: [...scope] }) };
}
