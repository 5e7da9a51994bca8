/** The routes of dead letters, on a cache whose Supabase refuses rows. */
import { fileURLToPath } from 'node:url';
import { type Cache, createCache, memory, redis, supabase } from '@cache/core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cacheRoutes, type Router } from '../../src/index.ts';
import { StrictStack, walkLetters } from '../support/letter-walk.ts';
import { documentOf, RouteCoverage } from '../support/route-coverage.ts';

const migrations = fileURLToPath(new URL('../../../../supabase/migrations', import.meta.url));
const auth = { adminToken: 'boss-token' };
const admin = { authorization: `Bearer ${auth.adminToken}` };

const coverage = new RouteCoverage();
let strict: StrictStack;
let cache: Cache;
let lost: Cache;
let app: Router;

beforeAll(async () => {
  strict = await StrictStack.start(migrations);
  const { stack } = strict;
  cache = createCache({
    l1: memory(),
    l2: redis({ url: stack.redis.url, timeout: '5s' }),
    l3: supabase({ url: stack.supabase.url, key: stack.supabase.secretKey, timeout: '5s' }),
  });
  await cache.ready();
  lost = createCache({
    l3: supabase({ url: 'http://127.0.0.1:1', key: 'none', timeout: '200ms' }),
  });
  app = cacheRoutes({ cache, auth });
}, 120_000);
afterAll(async () => {
  await Promise.all([cache?.close(), lost?.close({ deadline: 100 })]);
  await strict?.[Symbol.asyncDispose]();
});

test('G7: what Supabase refuses is listed, looked at, retried and dropped', async () => {
  const calls = cache.records<string>('calls');
  const turns = cache.logs<string>('turns');
  const lostApp = cacheRoutes({ cache: lost, auth });
  await walkLetters({
    strict,
    admin,
    ask: (path, init) => coverage.request(app, path, init),
    askLost: (path, init) => coverage.request(lostApp, path, init),
    write: async () => {
      await calls.set('one', 'poison');
      await calls.set('two', 'poison');
      await turns.append('log', 'hello', { durability: 'through' });
      await turns.delete('log');
    },
  });
}, 120_000);

test('every documented answer of these routes was produced above, and no other', async () => {
  const document = await documentOf(app);
  const paths = Object.entries(document.paths).filter(([path]) => path.includes('dead-letters'));
  const own = { ...document, paths: Object.fromEntries(paths) };
  expect(Object.keys(own.paths)).toEqual([
    '/admin/cache/dead-letters',
    '/admin/cache/dead-letters/{id}',
    '/admin/cache/dead-letters/{id}/retry',
  ]);
  expect(coverage.missing(own)).toEqual([]);
  expect(coverage.undocumented(own)).toEqual([]);
});
