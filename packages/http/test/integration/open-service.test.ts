/** A service is opened and closed as one, and its application's routes are closed by default. */
import { ConfigError, type Logger } from '@cache/core';
import { z } from '@hono/zod-openapi';
import { afterEach, expect, test } from 'vitest';
import {
  createRouter,
  json,
  type OpenServiceOptions,
  openService,
  routesOf,
  type Service,
  serviceApi,
} from '../../src/index.ts';

const quiet = () => {};
const logger: Logger = { debug: quiet, info: quiet, warn: quiet, error: quiet };
/** Nobody listens there: a Supabase that is away keeps no service from starting. */
const AWAY = { REDIS_URL: 'off', SUPABASE_URL: 'http://127.0.0.1:9', SUPABASE_SECRET_KEY: 'k' };
const opened: Service[] = [];
afterEach(async () => {
  for (const service of opened.splice(0)) await service.close();
});

const things = createRouter();
const route = routesOf('things', {});
things.openapi(
  route.get('/things/{id}', {
    summary: 'One',
    request: { params: z.object({ id: z.string() }) },
    responses: { 200: json('It.', z.object({ id: z.string() })) },
  }),
  (c) => c.json({ id: c.req.valid('param').id }, 200),
);
things.get('/loud', () => new Response(half(), { headers: { 'content-type': 'audio/wav' } }));
things.get('/text', () => new Response(half(), { headers: { 'content-type': 'text/plain' } }));

/** Fails after its first piece. */
function half(): ReadableStream<Uint8Array> {
  let pieces = 0;
  return new ReadableStream({
    pull(controller) {
      pieces += 1;
      if (pieces === 1) controller.enqueue(new Uint8Array(8));
      else controller.error(new Error('the voice broke'));
    },
  });
}

async function open(
  own: Record<string, string> = {},
  more: Partial<OpenServiceOptions<never>> = {},
) {
  const service = await openService({
    env: { ...AWAY, PORT: '0', ...own },
    logger,
    keeps: 'the things',
    open: (parts) => serviceApi({ ...parts, title: 'Things', version: '1', routers: [things] }),
    ...more,
  });
  opened.push(service);
  return service;
}

test('without a Supabase in the environment it says what that would keep', async () => {
  const opening = open({ SUPABASE_URL: '', SUPABASE_SECRET_KEY: '' });
  await expect(opening).rejects.toThrow(ConfigError);
  await expect(opening).rejects.toThrow(
    'SUPABASE_URL is not set: it takes the URL of the Supabase project that the things are kept in',
  );
});

test('G9: the routes of the application need the API token where one is set, whatever the method; health does not', async () => {
  const { url } = await open({ CACHE_API_TOKEN: 'user', CACHE_ADMIN_TOKEN: 'boss' });
  const status = async (path: string, token?: string, method = 'GET') => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    return (await fetch(`${url}${path}`, { headers, method })).status;
  };
  expect(await status('/things/a')).toBe(401);
  expect(await status('/things/a', undefined, 'DELETE')).toBe(401);
  expect(await status('/things/a', 'wrong')).toBe(401);
  expect(await status('/things/a', 'user')).toBe(200);
  expect(await status('/things/a', 'boss')).toBe(200);
  expect(await status('/admin/cache/sync', 'user')).toBe(401);
  expect(await status('/healthz')).toBe(200);
});

test('audio that fails halfway breaks the connection off', async () => {
  const { url } = await open();
  const loud = await fetch(`${url}/loud`);
  await expect(loud.arrayBuffer()).rejects.toThrow();
});

test('what the application opened is closed in its order, once, and before the cache', async () => {
  const closed: string[] = [];
  const part = (name: string, closing: () => unknown = () => undefined) => ({
    async close() {
      await closing();
      closed.push(name);
    },
  });
  const service = await openService({
    env: { ...AWAY, PORT: '0' },
    logger,
    keeps: 'the things',
    open: ({ cache }) => {
      const asking = () => cache.derived('d', { ttl: '1m' }).getOrSet('a', () => 1);
      const { fetch } = createRouter();
      return { fetch, closes: [part('first'), {}, part('second', asking)] };
    },
  });
  await Promise.all([service.close(), service.close()]);
  expect(closed).toEqual(['first', 'second']);
  await expect(service.cache.records('r').get('a')).rejects.toThrow('closed');
});

test('where the port is taken, what was opened is closed again', async () => {
  const { url } = await open();
  const closed: string[] = [];
  const opening = openService({
    env: { ...AWAY, PORT: new URL(url).port },
    logger,
    keeps: 'the things',
    open: () => ({ fetch: createRouter().fetch, closes: [{ close: () => closed.push('voice') }] }),
  });
  await expect(opening).rejects.toThrow(ConfigError);
  expect(closed).toEqual(['voice']);
});
