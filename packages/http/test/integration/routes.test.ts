/**
 * Every route on a real cache over real servers, and at the end the question whether every
 * documented answer was seen. `lost` is a cache whose servers are not there at all.
 */
import { fileURLToPath } from 'node:url';
import {
  type Cache,
  createCache,
  type Logs,
  memory,
  metricNames,
  type Records,
  redis,
  supabase,
} from '@cache/core';
import { type Stack, startStack } from '@cache/testing';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  api,
  cacheRouters,
  cacheRoutes,
  createRouter,
  MAX_BODY_BYTES,
  type Router,
} from '../../src/index.ts';
import { documentOf, RouteCoverage } from '../support/route-coverage.ts';

const migrations = fileURLToPath(new URL('../../../../supabase/migrations', import.meta.url));
const auth = { adminToken: 'boss-token', apiToken: 'user-token', metricsToken: 'graph-token' };
const admin = { authorization: `Bearer ${auth.adminToken}` };
const user = { authorization: `Bearer ${auth.apiToken}` };
const jsonType = { 'content-type': 'application/json' };

interface Call {
  readonly state: string;
}
interface Turn {
  readonly id: string;
  readonly text: string;
}

const coverage = new RouteCoverage();
const failures: unknown[] = [];
let stack: Stack;
let cache: Cache;
let lost: Cache;
let app: Router;
let lostApp: Router;
let calls: Records<Call>;
let turns: Logs<Turn>;

function routesOf(served: Cache): Router {
  return cacheRoutes({
    cache: served,
    auth,
    preload: (id, { signal }) => served.scope('call', id).preload({ signal }),
    onError: (error) => failures.push(error),
  });
}

const ask = (path: string, init?: RequestInit): Promise<Response> =>
  coverage.request(app, path, init);
const askLost = (path: string, init?: RequestInit): Promise<Response> =>
  coverage.request(lostApp, path, init);

beforeAll(async () => {
  stack = await startStack({ supabase: { migrations } });
  cache = createCache({
    l1: memory(),
    l2: redis({ url: stack.redis.url, timeout: '5s' }),
    l3: supabase({ url: stack.supabase.url, key: stack.supabase.secretKey, timeout: '5s' }),
  });
  await cache.ready();
  const scope = (key: string): readonly [string, string] => ['call', key];
  calls = cache.records<Call>('calls', { scope });
  turns = cache.logs<Turn>('turns', { scope, id: (turn) => turn.id });
  lost = createCache({
    l2: redis({ url: 'redis://127.0.0.1:1' }),
    l3: supabase({ url: 'http://127.0.0.1:1', key: 'none', timeout: '200ms' }),
  });
  lost.records<Call>('calls', { scope });
  lost.derived<string, string>('words');
  // Until the bus is proven alive, L1 is not served.
  await vi.waitUntil(() => cache.stats().bus.connected, { timeout: 10_000 });
  app = routesOf(cache);
  lostApp = routesOf(lost);
});

afterAll(async () => {
  await Promise.all([cache?.close(), lost?.close({ deadline: 100 })]);
  await stack?.close();
});

async function written(id: string): Promise<void> {
  await calls.set(id, { state: 'ringing' });
  await turns.append(id, { id: 't1', text: 'hello' });
}

describe('health', () => {
  test('a living process says so', async () => {
    const answer = await ask('/healthz');
    expect([answer.status, await answer.json()]).toEqual([200, { status: 'ok' }]);
  });

  test('readiness is coarse, and says no where no tier answers', async () => {
    const ready = await ask('/readyz');
    expect([ready.status, await ready.json()]).toEqual([200, { status: 'ok' }]);
    const away = await askLost('/readyz');
    expect([away.status, await away.json()]).toEqual([503, { status: 'down' }]);
  });

  test('without the admin token health is coarse, with it each check is told', async () => {
    const coarse = await ask('/health', { headers: user });
    expect([coarse.status, await coarse.json()]).toEqual([200, { status: 'ok' }]);
    const answer = await ask('/health', { headers: admin });
    expect(await answer.json()).toMatchObject({
      status: 'ok',
      checks: {
        redis_cache: { connected: true, info: { maxmemoryPolicy: expect.any(String) } },
        supabase: { connected: true },
        breaker: { state: 'CLOSED' },
        sync: { pending: 0 },
      },
    });
    expect((await ask('/health', { headers: { authorization: 'Bearer x' } })).status).toBe(401);
    expect((await askLost('/health', { headers: admin })).status).toBe(503);
  });
});

describe('metrics', () => {
  test('need their token where one is set, and the admin token opens them too', async () => {
    for (const path of ['/cache/metrics', '/metrics']) {
      expect((await ask(path)).status).toBe(401);
      expect((await ask(path, { headers: user })).status).toBe(401);
      expect((await ask(path, { headers: admin })).status).toBe(200);
    }
    const open = cacheRoutes({ cache });
    expect((await open.request('/metrics')).status).toBe(200);
  });

  test('the JSON counts what was asked', async () => {
    await written('counted');
    await calls.get('counted');
    const answer = await ask('/cache/metrics', { headers: admin });
    const { overall, tiers, sync } = cache.stats();
    expect(overall.hits).toBeGreaterThan(0);
    expect(await answer.json()).toMatchObject({
      overall,
      tiers: { l1: tiers.l1, l2: { hits: tiers.l2.hits }, l3: { misses: tiers.l3.misses } },
      sync: { pending: sync.pending },
    });
  });

  test('Prometheus is told every name, in its own format', async () => {
    const answer = await ask('/metrics', {
      headers: { authorization: `Bearer ${auth.metricsToken}` },
    });
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    const text = await answer.text();
    for (const name of metricNames) expect(text).toContain(`# TYPE ${name} `);
  });
});

describe('preload', () => {
  const preload = (id: string, headers: Record<string, string> = user): Promise<Response> =>
    ask(`/cache/preload/${id}`, { method: 'POST', headers });

  test('brings a conversation back into L1 after both copies are gone', async () => {
    await written('call-1');
    await cache.sync();
    await cache.forget('calls', 'call-1');
    await cache.forget('turns', 'call-1');
    const answer = await preload('call-1');
    expect(answer.status).toBe(200);
    expect(await answer.json()).toEqual({
      id: 'call-1',
      loaded: 2,
      missing: 0,
      tiers: { l2: 0, l3: 2, outbox: 0 },
      ms: expect.any(Number),
    });
    expect(await calls.lookup('call-1')).toMatchObject({ status: 'hit', tier: 'l1' });
  });

  test('an id that no tier knows is 404, with the token or not at all', async () => {
    expect((await preload('nobody')).status).toBe(404);
    expect((await preload('nobody', {})).status).toBe(401);
    expect((await preload('nobody', admin)).status).toBe(404);
  });

  test('where no tier can say, it is 503 and not 404', async () => {
    const answer = await askLost('/cache/preload/call-1', { method: 'POST', headers: user });
    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toBe('1');
    expect(await answer.json()).toMatchObject({ status: 503, code: 'UNAVAILABLE' });
  });

  test.each(['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'])(
    '%s is 405 and shows the right call',
    async (method) => {
      const answer = await ask('/cache/preload/call-1', { method });
      expect(answer.status).toBe(405);
      expect(answer.headers.get('allow')).toBe('POST');
      expect(await answer.json()).toMatchObject({
        status: 405,
        detail: `${method} is not what this path takes. Use: curl -X POST 'http://localhost/cache/preload/call-1'`,
      });
    },
  );

  test('G8: ids of any characters are one id each', async () => {
    for (const id of ['a/b', 'a%2Fb', 'a b', 'ä', '%', '..%2F', '?x=1', 'a+b']) {
      await written(id);
      const answer = await preload(encodeURIComponent(id));
      expect(answer.status).toBe(200);
      expect(await answer.json()).toMatchObject({ id, loaded: 2 });
    }
  });

  test.each(['%', '%zz', '%E0%A4%A', '%C0%AF', '%00', '%ED%A0%80', 'x'.repeat(2000)])(
    'the id %s is 400',
    async (id) => {
      const answer = await preload(id);
      expect(answer.status).toBe(400);
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
    },
  );
});

describe('administration', () => {
  test('G9: every route of it answers 401 without the admin token, the unknown ones too', async () => {
    for (const headers of [{}, user, { authorization: 'Bearer boss-token2' }]) {
      for (const [method, path] of [
        ['POST', '/admin/cache/sync'],
        ['GET', '/admin/cache/sync'],
        ['GET', '/admin/cache/entries/calls/a'],
        ['DELETE', '/admin/cache/entries/calls/a'],
        ['POST', '/admin/cache/invalidate'],
        ['DELETE', '/admin/cache/scopes/call/a'],
        ['GET', '/admin/nothing'],
        ['PUT', '/admin/cache/sync'],
      ] as const) {
        const answer = await ask(path, { method, headers });
        expect([method, path, answer.status]).toEqual([method, path, 401]);
      }
    }
  });

  test('a forced sync leaves nothing pending', async () => {
    await written('synced');
    expect(cache.stats().sync.pending).toBeGreaterThanOrEqual(2);
    const before = await ask('/admin/cache/sync', { headers: admin });
    expect(await before.json()).toMatchObject({ pending: cache.stats().sync.pending });
    const answer = await ask('/admin/cache/sync', { method: 'POST', headers: admin });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ failed: 0, remaining: 0, unknown: false });
    const after = await ask('/admin/cache/sync', { headers: admin });
    expect(await after.json()).toEqual({
      pending: 0,
      oldestPendingSeconds: 0,
      inFlight: 0,
      deadLetters: 0,
      lastRun: { at: expect.any(String), ms: expect.any(Number) },
    });
  });

  test('a sync that can not be sure is 503, with its report', async () => {
    const answer = await askLost('/admin/cache/sync', { method: 'POST', headers: admin });
    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toBe('1');
    expect(await answer.json()).toMatchObject({ status: 503, flushed: 0, unknown: true });
  });

  test('an entry is shown tier by tier, its value only where it is asked for', async () => {
    await calls.set('in/spected', { state: 'secret-state' });
    const path = `/admin/cache/entries/calls/${encodeURIComponent('in/spected')}`;
    const text = await (await ask(path, { headers: admin })).text();
    expect(text).not.toContain('secret-state');
    expect(JSON.parse(text)).toMatchObject({
      namespace: 'calls',
      key: 'in/spected',
      kind: 'value',
      l2: { pending: true, codec: 'json' },
    });
    const withValue = await ask(`${path}?value=1`, { headers: admin });
    expect(await withValue.json()).toMatchObject({ l2: { value: { state: 'secret-state' } } });
  });

  test('forgetting an entry takes the copies and leaves what L3 has', async () => {
    await written('forgotten');
    await cache.sync();
    const path = '/admin/cache/entries/calls/forgotten';
    const answer = await ask(path, { method: 'DELETE', headers: admin });
    expect([answer.status, await answer.text()]).toEqual([204, '']);
    const held = await (await ask(path, { headers: admin })).json();
    expect(held).not.toHaveProperty('l1');
    expect(held).not.toHaveProperty('l2');
    expect(held).toMatchObject({ l3: { deleted: false } });
  });

  test('a derived value that can not be removed everywhere is 503', async () => {
    const path = '/admin/cache/entries/words/hello';
    const answer = await askLost(path, { method: 'DELETE', headers: admin });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await answer.json()).toMatchObject({ code: 'UNAVAILABLE', outcome: expect.any(String) });
  });

  test('a namespace that is not open here is 404, a bad name or key 400', async () => {
    for (const method of ['GET', 'DELETE']) {
      const status = async (path: string): Promise<number> =>
        (await ask(`/admin/cache/entries/${path}`, { method, headers: admin })).status;
      expect(await status('unheard/a')).toBe(404);
      expect(await status(`calls/${'x'.repeat(1025)}`)).toBe(400);
      expect(await status('calls/%00')).toBe(400);
    }
    const answer = await ask('/admin/cache/entries/calls/a?value=yes', { headers: admin });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ errors: [{ path: 'query.value' }] });
  });

  test('a scope is erased from every tier', async () => {
    await written('erased');
    await cache.sync();
    const path = '/admin/cache/scopes/call/erased';
    const answer = await ask(path, { method: 'DELETE', headers: admin });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ records: 1, items: 1, unknown: false });
    expect(await calls.get('erased')).toBeUndefined();
    const bad = await ask('/admin/cache/scopes/CALL/erased', { method: 'DELETE', headers: admin });
    expect(bad.status).toBe(400);
    const away = await askLost(path, { method: 'DELETE', headers: admin });
    expect(away.status).toBe(503);
    expect(await away.json()).toMatchObject({ outcome: 'none' });
  });
});

describe('invalidation', () => {
  const post = (body: string, headers: Record<string, string> = jsonType): Promise<Response> =>
    ask('/admin/cache/invalidate', { method: 'POST', headers: { ...admin, ...headers }, body });
  const send = (body: unknown): Promise<Response> => post(JSON.stringify(body));

  test('by tag and by key', async () => {
    await calls.set('tagged', { state: 'a' }, { tags: ['vip'] });
    await cache.sync();
    const byTag = await send({ tags: ['vip'] });
    expect([byTag.status, await byTag.json()]).toEqual([200, { forgotten: 1 }]);
    expect(await calls.lookup('tagged')).toMatchObject({ tier: 'l3' });
    const byKey = await send({ namespace: 'calls', keys: ['tagged', 'nobody'] });
    expect([byKey.status, await byKey.json()]).toEqual([200, { forgotten: 2 }]);
    expect(await calls.lookup('tagged')).toMatchObject({ tier: 'l3' });
  });

  test.each([
    ['{', 'Malformed JSON'],
    ['', 'Malformed JSON'],
    ['[]', 'body: '],
    ['"tags"', 'body: '],
    ['{}', 'Give tags, or keys with their namespace'],
    ['{"tags":[]}', 'body.tags: '],
    ['{"tags":"vip"}', 'body.tags: '],
    ['{"tags":[1]}', 'body.tags[0]: '],
    ['{"tags":[""]}', 'body.tags[0]: '],
    ['{"keys":["a"]}', 'body.namespace: '],
    ['{"namespace":"calls"}', 'body: '],
    ['{"tags":["a"],"all":true}', 'Unrecognized key'],
    [JSON.stringify({ tags: Array.from({ length: 1001 }, String) }), 'body.tags: '],
    [JSON.stringify({ tags: ['x'.repeat(1025)] }), 'tag must have at most 1024 bytes'],
  ])('the body %# is 400 and says why', async (body, why) => {
    const answer = await post(body);
    expect(answer.status).toBe(400);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(await answer.json()).toMatchObject({ detail: expect.stringContaining(why) });
  });

  test('a body that is not JSON is 415', async () => {
    expect((await post('{}', { 'content-type': 'text/plain' })).status).toBe(415);
    expect((await post('{}', { 'content-type': 'application/jsonx' })).status).toBe(415);
  });

  test('a body over the limit is 413, whether it says its length or not', async () => {
    const large = 'x'.repeat(MAX_BODY_BYTES + 1);
    const length = { 'content-length': String(large.length) };
    expect((await post(large, { ...jsonType, ...length })).status).toBe(413);
    const endless = new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(65_536)),
    });
    const request = new Request('http://localhost/admin/cache/invalidate', {
      method: 'POST',
      headers: { ...admin, ...jsonType },
      body: endless,
      duplex: 'half',
    });
    expect((await app.request(request)).status).toBe(413);
  });

  test('a namespace that is not open here is 404, and an L3 that is away 503', async () => {
    expect((await send({ namespace: 'unheard', keys: ['a'] })).status).toBe(404);
    const away = await askLost('/admin/cache/invalidate', {
      method: 'POST',
      headers: { ...admin, ...jsonType },
      body: '{"tags":["vip"]}',
    });
    expect(away.status).toBe(503);
  });
});

describe('everything else', () => {
  test('an unknown path is 404, a known one with another method 405 with what it takes', async () => {
    for (const path of ['/', '/nothing', '/cache', '/cache/preload', '/cache/preload/a/b']) {
      const answer = await ask(path);
      expect([path, answer.status]).toEqual([path, 404]);
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
    }
    const allowed = async (path: string): Promise<string | null> => {
      const answer = await ask(path, { method: 'PATCH', headers: admin });
      expect([path, answer.status]).toEqual([path, 405]);
      return answer.headers.get('allow');
    };
    expect(await allowed('/health')).toBe('GET, HEAD');
    expect(await allowed('/cache/metrics')).toBe('GET, HEAD');
    expect(await allowed('/admin/cache/sync')).toBe('GET, POST, HEAD');
    expect(await allowed('/admin/cache/entries/calls/a')).toBe('GET, DELETE, HEAD');
    expect(await allowed('/openapi.json')).toBe('GET, HEAD');
  });

  test('the call that is shown can be pasted into a shell, whatever the path', async () => {
    const answer = await ask("/cache/preload/$(id)';reboot;'", { method: 'GET' });
    expect(await answer.json()).toMatchObject({
      detail: expect.stringContaining(
        "curl -X POST 'http://localhost/cache/preload/$(id)%27;reboot;%27'",
      ),
    });
  });

  test('nobody on the way may keep an answer, be it good or bad', async () => {
    for (const path of ['/health', '/nothing', '/cache/metrics', '/openapi.json']) {
      expect((await ask(path)).headers.get('cache-control')).toBe('no-store');
    }
  });

  test('JSON ends with a newline, that of a problem too; other texts are as they are', async () => {
    for (const path of ['/healthz', '/nowhere', '/admin/cache/sync', '/openapi.json']) {
      const answer = await ask(path);
      const text = await answer.text();
      expect([path, text.endsWith('}\n'), typeof JSON.parse(text)]).toEqual([path, true, 'object']);
      expect(answer.headers.get('content-length') ?? `${text.length}`).toBe(`${text.length}`);
    }
    const metrics = await (await ask('/metrics', { headers: admin })).text();
    expect(metrics).toMatch(/[^\n]\n$/);
  });

  test('HEAD is GET without a body', async () => {
    const answer = await ask('/healthz', { method: 'HEAD' });
    expect([answer.status, await answer.text()]).toEqual([200, '']);
  });

  test('an error that nobody planned for is a 500 without a trace, and the operator hears of it', async () => {
    const broken = cacheRoutes({
      cache,
      preload: () => Promise.reject(new Error('hunter2')),
      onError: (error, request) => failures.push([error, request]),
    });
    failures.length = 0;
    const answer = await broken.request('/cache/preload/hunter3', { method: 'POST' });
    expect(answer.status).toBe(500);
    expect(await answer.text()).not.toMatch(/hunter|\.ts|at /);
    expect(failures).toEqual([
      [expect.any(Error), { method: 'POST', route: '/cache/preload/:id', status: 500 }],
    ]);
  });

  test('without a preload there is no such route', async () => {
    const without = cacheRoutes({ cache });
    expect((await without.request('/cache/preload/a', { method: 'POST' })).status).toBe(404);
  });
});

describe('documentation', () => {
  test('the page loads nothing from elsewhere', async () => {
    const page = await ask('/docs');
    const html = await page.text();
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(html).not.toMatch(/https?:\/\//);
    const assets = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1]);
    expect(assets).toHaveLength(4);
    for (const asset of assets) {
      const answer = await ask(`/${asset}`);
      expect([asset, answer.status]).toEqual([asset, 200]);
      expect((await answer.arrayBuffer()).byteLength).toBeGreaterThan(100);
    }
  });

  test('and serves no other file of the package', async () => {
    for (const name of ['package.json', '..%2Fpackage.json', 'swagger-ui.js', 'constructor']) {
      expect((await ask(`/docs/${name}`)).status).toBe(404);
    }
  });

  test('an application adds its own routes to the same document', async () => {
    const own = createRouter();
    own.openapi(
      { method: 'get', path: '/own', responses: { 200: { description: 'Its own.' } } },
      (c) => c.body(null, 200),
    );
    const whole = api({ title: 'Mine', version: '2', routers: [...cacheRouters({ cache }), own] });
    const document = await documentOf(whole);
    expect(document.info).toEqual({ title: 'Mine', version: '2' });
    expect(Object.keys(document.paths)).toEqual(expect.arrayContaining(['/own', '/cache/metrics']));
  });
});

test('every documented answer was produced by a test, and no other', async () => {
  const document = await documentOf(app);
  expect(document.openapi).toBe('3.1.0');
  expect(Object.keys(document.paths).sort()).toEqual([
    '/admin/cache/dead-letters',
    '/admin/cache/dead-letters/{id}',
    '/admin/cache/dead-letters/{id}/retry',
    '/admin/cache/entries/{namespace}/{key}',
    '/admin/cache/invalidate',
    '/admin/cache/scopes/{kind}/{id}',
    '/admin/cache/sync',
    '/cache/metrics',
    '/cache/preload/{id}',
    '/health',
    '/healthz',
    '/metrics',
    '/readyz',
  ]);
  // Dead letters have a file of their own, because they need a Supabase that refuses rows.
  const paths = Object.entries(document.paths).filter(([path]) => !path.includes('dead-letters'));
  const own = { ...document, paths: Object.fromEntries(paths) };
  expect(coverage.missing(own)).toEqual([]);
  expect(coverage.undocumented(own)).toEqual([]);
});
