/** Routes declared in a line each: what they take is checked, and what they may answer documented. */
import { z } from '@hono/zod-openapi';
import { expect, test } from 'vitest';
import {
  api,
  createRouter,
  json,
  jsonBody,
  readRefusals,
  routesOf,
  writeRefusals,
} from '../../src/index.ts';

const counted = z.object({ count: z.int() });
const header = { description: 'Which.', schema: { type: 'string' as const } };
const router = createRouter();
router.openapi(
  routesOf('things', readRefusals).get('/things/{id}', {
    summary: 'One',
    request: { params: z.object({ id: z.string().max(3) }) },
    responses: { 200: json('It.', counted, { 'x-which': header }) },
  }),
  (c) => c.json({ count: c.req.valid('param').id.length }, 200),
);
router.openapi(
  routesOf('things', writeRefusals).put('/things', {
    summary: 'Put',
    request: { body: jsonBody(counted) },
    responses: { 200: json('It.', counted) },
  }),
  (c) => c.json(c.req.valid('json'), 200),
);
const app = api({ title: 'Things', version: '1', routers: [router] });

test('parts of a request are checked before the handler, and typed in it', async () => {
  expect(await (await app.request('/things/ab')).json()).toEqual({ count: 2 });
  expect((await app.request('/things/abcd')).status).toBe(400);
});

test('a body is needed, as JSON, and has to fit', async () => {
  const put = async (body?: string) => {
    const headers = { 'content-type': 'application/json' };
    return (await app.request('/things', { method: 'PUT', ...(body && { body, headers }) })).status;
  };
  expect(await put('{"count":1}')).toBe(200);
  expect(await put('{"count":"1"}')).toBe(400);
  expect(await put('')).toBe(400);
});

test('tag, token, headers and the refusals that all have are in the document', async () => {
  expect(await (await app.request('/openapi.json')).json()).toMatchObject({
    paths: {
      '/things/{id}': {
        get: {
          tags: ['things'],
          security: [{ bearer: [] }],
          responses: { 200: { headers: { 'x-which': header } }, 404: {}, 503: {} },
        },
      },
      '/things': { put: { requestBody: { required: true }, responses: { 413: {}, 422: {} } } },
    },
  });
});
