/** Dead letters of the whole service: conversations that a rule in Supabase refuses. */
import { type Cache, createCache, memory, redis, supabase } from '@cache/core';
import type { Router } from '@cache/http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { StrictStack, walkLetters } from '../../../../packages/http/test/support/letter-walk.ts';
import {
  documentOf,
  RouteCoverage,
} from '../../../../packages/http/test/support/route-coverage.ts';
import { createApp } from '../../src/app.ts';
import { SimulatedCrm } from '../../src/crm.ts';
import { MIGRATIONS } from '../../src/embedded.ts';
import { partOf } from '../support/documented-parts.ts';
import { lines } from '../support/lines.ts';

const auth = { adminToken: 'boss-token', apiToken: 'user-token' };
const admin = { authorization: `Bearer ${auth.adminToken}` };

const coverage = new RouteCoverage();
let strict: StrictStack;
let cache: Cache;
let lost: Cache;
let app: Router;
let lostApp: Router;

beforeAll(async () => {
  strict = await StrictStack.start(MIGRATIONS);
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
  const crm = new SimulatedCrm({ delayMs: 0, failureRate: 0 });
  const log = lines();
  app = createApp({ cache, auth, logger: log, crm });
  lostApp = createApp({ cache: lost, auth, logger: log, crm });
}, 120_000);
afterAll(async () => {
  await Promise.all([cache?.close(), lost?.close({ deadline: 100 })]);
  await strict?.[Symbol.asyncDispose]();
});

test('G7: conversations that Supabase refuses are listed, retried and dropped', async () => {
  const send = (method: string, path: string, body?: object) =>
    app.request(path, {
      method,
      headers: { ...admin, 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    });
  await walkLetters({
    strict,
    admin,
    ask: (path, init) => coverage.request(app, path, init),
    askLost: (path, init) => coverage.request(lostApp, path, init),
    write: async () => {
      for (const id of ['one', 'two']) {
        const metadata = { note: 'poison' };
        expect((await send('POST', '/conversations', { id, metadata })).status).toBe(201);
      }
      await strict.rule(false);
      expect((await send('POST', '/conversations', { id: 'ended' })).status).toBe(201);
      const turn = { role: 'caller', text: 'hello' };
      expect((await send('POST', '/conversations/ended/turns', turn)).status).toBe(201);
      expect((await send('POST', '/conversations/ended/hangup')).status).toBe(200);
      await strict.rule(true);
      expect((await send('DELETE', '/conversations/ended')).status).toBe(204);
    },
  });
}, 120_000);

test('every documented answer of these routes was produced above, and no other', async () => {
  const document = partOf(await documentOf(app), 'dead-letters.test.ts');
  expect(coverage.missing(document)).toEqual([]);
  expect(coverage.undocumented(document)).toEqual([]);
});
