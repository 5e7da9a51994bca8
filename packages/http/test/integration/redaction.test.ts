/**
 * G9: every kind of error, event, log line, metric, problem document and page is made while
 * canaries are everywhere that they must not come out of, and searched for them.
 */
import { randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import {
  type Cache,
  type CacheErrorCode,
  type CacheOptions,
  createCache,
  type Logger,
  memory,
  optionsFromEnv,
  redis,
  supabase,
} from '@cache/core';
import { type Stack, startStack } from '@cache/testing';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { cacheRoutes, problemOf, type Router } from '../../src/index.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 240_000 });

const migrations = fileURLToPath(new URL('../../../../supabase/migrations', import.meta.url));

const VALUE = 'canary-of-a-value';
const PASSWORD = 'canary-of-a-password';
const TOKENS = {
  adminToken: 'canary-of-the-admin-token',
  apiToken: 'canary-of-the-api-token',
  metricsToken: 'canary-of-the-metrics-token',
};
const KEY = randomBytes(32);
const encryption = { keys: { k1: KEY.toString('base64') }, current: 'k1' };

/** Everything that was said, by whom; searched after every test. */
const said: { readonly by: string; readonly text: string }[] = [];
const codes = new Set<CacheErrorCode>();
const caches: Cache[] = [];
let stack: Stack;

function heard(by: string, what: unknown): void {
  // Hidden properties, causes and stacks too.
  const text = typeof what === 'string' ? what : inspect(what, { depth: 20, showHidden: true });
  said.push({ by, text });
}

/** The error that work ends with: itself is heard, and what a client would be told of it. */
async function failing(work: () => unknown): Promise<string> {
  const error: unknown = await Promise.resolve()
    .then(work)
    .catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(Error);
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  for (const known of ALL_CODES) if (known === code) codes.add(known);
  heard(`an error ${code}`, error);
  heard(`an error ${code} as JSON`, JSON.stringify(error));
  heard(`the problem of ${code}`, await problemOf(error).response().text());
  return code;
}

const ALL_CODES: readonly CacheErrorCode[] = [
  'CONFIG',
  'CLOSED',
  'KEY',
  'CODEC',
  'SCHEMA',
  'TIER',
  'UNAVAILABLE',
  'OVERLOADED',
  'CONFLICT',
  'LOAD',
  'TIMEOUT',
];

const logger: Logger = {
  debug: (...line) => heard('the log', line),
  info: (...line) => heard('the log', line),
  warn: (...line) => heard('the log', line),
  error: (...line) => heard('the log', line),
};

function opened(options: Partial<CacheOptions> = {}): Cache {
  const cache = createCache({
    l1: memory(),
    l2: redis({ url: stack.redis.url, timeout: '1s', breaker: { failures: 2, reset: '100ms' } }),
    l3: supabase({ url: stack.supabase.url, key: stack.supabase.secretKey, timeout: '1s' }),
    encryption,
    logger,
    ...options,
  });
  cache.subscribe((event) => heard(`the event ${event.type}`, event));
  caches.push(cache);
  return cache;
}

/** A busy machine may be late for the short timeouts that these caches have. */
async function readied(cache: Cache): Promise<void> {
  const isReady = () =>
    cache.ready().then(
      () => true,
      () => false,
    );
  await vi.waitUntil(isReady, { timeout: 100_000, interval: 100 });
}

function routesOf(cache: Cache): Router {
  return cacheRoutes({
    cache,
    auth: TOKENS,
    preload: (id, { signal }) => cache.scope('call', id).preload({ signal }),
    onError: (error) => heard('the service', error),
  });
}

beforeAll(async () => {
  stack = await startStack({ redis: { password: PASSWORD }, supabase: { migrations } });
});
afterAll(() => stack.close());

afterEach(async () => {
  stack.redis.thaw();
  stack.supabase.thaw();
  for (const cache of caches.splice(0)) {
    heard('the metrics', await cache.registry.metrics());
    heard('the statistics', cache.stats());
    heard('the health', await cache.health());
    heard('the cache itself', cache);
    await cache.close({ deadline: 500 });
  }
  const canaries = new Map([
    ['a value', VALUE],
    ['the password', PASSWORD],
    ['the secret key of Supabase', stack.supabase.secretKey],
    ['an encryption key in base64', KEY.toString('base64')],
    ['an encryption key in hex', KEY.toString('hex')],
    ['an encryption key as bytes', KEY.subarray(0, 8).join(', ')],
    [
      'an encryption key as a buffer',
      KEY.subarray(0, 8)
        .toString('hex')
        .replace(/..(?=.)/g, '$& '),
    ],
    ...Object.entries(TOKENS),
  ]);
  const heardNow = said.splice(0);
  for (const [name, canary] of canaries) {
    const loud = heardNow.find(({ text }) => text.includes(canary));
    expect(loud && `${loud.by}: ${loud.text.slice(0, 2000)}`, `${name} is told`).toBeUndefined();
  }
});

describe('G9: values and secrets are never told', () => {
  test('of configurations that are wrong', async () => {
    const { url } = stack.redis;
    const bare = `redis://127.0.0.1:${stack.redis.port}`;
    const wrong: Partial<CacheOptions>[] = [
      { l2: redis({ url: bare, password: `${PASSWORD}-wrong` }) },
      { l2: redis({ url: bare.replace('//', `//user:${PASSWORD}-wrong@`) }) },
      { l3: supabase({ url: stack.supabase.url, key: `${stack.supabase.secretKey}-wrong` }) },
    ];
    for (const options of wrong) {
      await failing(() => opened(options).ready());
    }
    await failing(() => createCache({ l2: redis({ url: `${url}/%%`, tls: { key: PASSWORD } }) }));
    await failing(() => createCache({ l2: redis({ url: PASSWORD }) }));
    const base64 = KEY.toString('base64');
    const hex = KEY.toString('hex');
    for (const keys of [{ k1: hex }, { [base64]: 'k1' }, { [hex]: base64 }, { 'k 1': base64 }]) {
      await failing(() => createCache({ l1: memory(), encryption: { keys, current: 'k1' } }));
    }
    await failing(() =>
      createCache({ l1: memory(), encryption: { keys: { k1: KEY }, current: base64 } }),
    );
    for (const text of [base64, `${base64}:k1`, `k1:${hex}`, `k1:${base64},${base64}`, hex]) {
      await failing(() => optionsFromEnv({ CACHE_ENCRYPTION_KEYS: text }));
    }
    await failing(() => optionsFromEnv({ REDIS_URL: `http://:${PASSWORD}@host` }));
    await failing(() => optionsFromEnv({ SUPABASE_URL: PASSWORD, SUPABASE_SECRET_KEY: PASSWORD }));
    expect([...codes]).toContain('CONFIG');
  });

  test('of values that can not be stored', async () => {
    const cache = opened();
    await readied(cache);
    const schema = z.strictObject({ state: z.enum(['ringing', 'over']), n: z.number().max(3) });
    const strict = cache.records('strict', { schema });
    const values = cache.records<unknown>('values');
    const structured = cache.records<unknown>('structured', { codec: 'structured' });
    const bytes = cache.records<unknown>('bytes', { codec: 'bytes' });
    await failing(() => strict.set('a', JSON.parse(`{"state":"${VALUE}","n":4}`)));
    await failing(() => strict.set('a', JSON.parse(`"${VALUE}"`)));
    const broken = [new Map([[VALUE, 1]]), () => VALUE, Symbol(VALUE), new Error(VALUE), 1n];
    for (const value of broken) {
      await failing(() => values.set('a', { part: [value] }));
      await failing(() => bytes.set('a', value));
    }
    await failing(() => structured.set('a', { part: () => VALUE }));
    await failing(() => structured.set('a', { part: Promise.resolve(VALUE) }));
    await failing(() => values.set('', VALUE));
    await failing(() => values.set('key\0', VALUE));
    await values.create('there', VALUE);
    await failing(() => values.create('there', VALUE));
    await failing(() => values.set('there', VALUE, { ifVersion: 1 }));
    await failing(() =>
      values.update('there', () => {
        throw new Error('of the caller, who may say what he likes');
      }),
    );
    expect([...codes]).toEqual(expect.arrayContaining(['SCHEMA', 'CODEC', 'KEY', 'CONFLICT']));
  });

  test('of a source that fails with values in its message', async () => {
    const cache = opened();
    await readied(cache);
    const load = () => Promise.reject(new Error(`the source said ${VALUE}`));
    const derived = cache.derived<string, string>('profiles', { load, ttl: '1s', grace: '1h' });
    const error: unknown = await derived.get('a').catch((reason: unknown) => reason);
    if (!(error instanceof Error)) throw new Error('a load that fails is an error');
    codes.add('LOAD');
    // The cause is the source's own error, for the caller alone: everything else is ours.
    expect(error.cause).toMatchObject({ message: `the source said ${VALUE}` });
    heard('the message', error.message);
    heard('the problem', await problemOf(error).response().text());
  });

  test('of servers that are away, frozen, full of garbage, and back again', async () => {
    const cache = opened({ sync: { interval: '1h' }, bulkhead: { concurrency: 1, queue: 0 } });
    await readied(cache);
    const values = cache.records<unknown>('values', { scope: () => ['call', 'one'] });
    const logs = cache.logs<{ id: string; text: string }>('turns', { id: ({ id }) => id });
    await values.set('kept', { text: VALUE });
    await logs.append('kept', { id: 'a', text: VALUE });

    const plain = new Redis(stack.redis.url);
    const planted = await plain.keys('*:e:values/kept');
    const entry = (await plain.getBuffer(planted[0] ?? '')) ?? Buffer.alloc(0);
    const other = opened({ l1: undefined });
    await readied(other);
    const theirs = other.records<unknown>('values');
    const clear = Buffer.concat([entry.subarray(0, 46), Buffer.from(`{"text":"${VALUE}"`)]);
    await plain.set(planted[0] ?? '', clear);
    await failing(() => theirs.get('kept'));
    await plain.set(planted[0] ?? '', entry);

    // A command that is refused comes back with its arguments: here they are in the clear.
    const unsealed = opened({ encryption: undefined, l1: undefined });
    await readied(unsealed);
    await plain.config('SET', 'maxmemory', '1');
    stack.supabase.freeze();
    const inClear = unsealed.records<unknown>('clear');
    await failing(() => inClear.set('full', { text: VALUE }, { deadline: '3s' }));
    await failing(() => inClear.create('full', { text: VALUE }, { deadline: '3s' }));
    stack.supabase.thaw();
    await plain.config('SET', 'maxmemory', '0');
    await plain.quit();

    stack.redis.freeze();
    stack.supabase.freeze();
    const late = { deadline: '50ms' } as const;
    await failing(() => values.set('late', { text: VALUE }, late));
    const crowd = await Promise.allSettled(
      Array.from({ length: 40 }, (_, n) => values.set(`crowd-${n}`, { text: VALUE })),
    );
    for (const outcome of crowd) {
      if (outcome.status === 'rejected') await failing(() => Promise.reject(outcome.reason));
    }
    const reads = await Promise.allSettled(
      Array.from({ length: 40 }, (_, n) => theirs.get(`crowd-${n}`)),
    );
    for (const outcome of reads) {
      if (outcome.status === 'rejected') await failing(() => Promise.reject(outcome.reason));
    }
    await failing(() => values.update('late', () => ({ text: VALUE }), late));
    await failing(() => logs.append('late', { id: 'b', text: VALUE }, { durability: 'through' }));
    heard('the inspection', await cache.inspect('values', 'kept').catch((error: unknown) => error));
    stack.redis.thaw();
    stack.supabase.thaw();
    heard('the sync', await cache.sync({ deadline: '10s' }).catch((error: unknown) => error));
    await cache.close({ deadline: 500 });
    await failing(() => values.set('a', { text: VALUE }));
    expect([...codes]).toEqual(
      expect.arrayContaining(['TIMEOUT', 'UNAVAILABLE', 'OVERLOADED', 'CLOSED']),
    );
  });

  test('over HTTP', async () => {
    const cache = opened();
    await readied(cache);
    const values = cache.records<unknown>('values', { scope: () => ['call', 'one'] });
    await values.set('a', { text: VALUE });
    const app = routesOf(cache);
    const paths = [
      ['GET', '/healthz'],
      ['GET', '/readyz'],
      ['GET', '/health'],
      ['GET', '/cache/metrics'],
      ['GET', '/metrics'],
      ['POST', '/cache/preload/one'],
      ['GET', '/cache/preload/one'],
      ['POST', '/admin/cache/sync'],
      ['GET', '/admin/cache/sync'],
      ['GET', '/admin/cache/dead-letters'],
      ['GET', '/admin/cache/entries/values/a'],
      ['GET', '/admin/cache/entries/none/a'],
      ['POST', '/admin/cache/invalidate'],
      ['GET', '/openapi.json'],
      ['GET', '/nowhere'],
    ] as const;
    const given = [...Object.values(TOKENS), `${TOKENS.adminToken}-wrong`, undefined];
    for (const [method, path] of paths) {
      for (const token of given) {
        const body = method === 'POST' ? { body: `{"text":"${VALUE}"` } : {};
        const headers = {
          'content-type': 'application/json',
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        };
        const answer = await app.request(path, { method, headers, ...body });
        heard(`${method} ${path} ${answer.status}`, await answer.text());
        heard(`the headers of ${method} ${path}`, [...answer.headers]);
      }
    }
  });

  test('by any class of error: all of them were met', () => {
    // A tier's own error reaches callers as a cause only; those were searched along with the rest.
    expect(ALL_CODES.filter((code) => code !== 'TIER' && !codes.has(code))).toEqual([]);
  });
});
