/**
 * What the routes say of derived values, and do with them: two instances over the same servers,
 * of which `newer` expects another shape. Which statuses are documented is `routes.test.ts`'s.
 */
import { fileURLToPath } from 'node:url';
import { type Cache, createCache, type Derived, memory, redis, supabase } from '@cache/core';
import { type Stack, startStack } from '@cache/testing';
import { z } from '@hono/zod-openapi';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { cacheRoutes, type Router } from '../../src/index.ts';

const migrations = fileURLToPath(new URL('../../../../supabase/migrations', import.meta.url));
const auth = { adminToken: 'boss-token' };
const admin = { authorization: `Bearer ${auth.adminToken}` };

interface Profile {
  readonly name: string;
}
type Profiles = Derived<string, Profile | undefined>;

const loaded: (string | number)[] = [];
const timesLoaded = (key: string | number): number => loaded.filter((one) => one === key).length;
const opened: Cache[] = [];
let stack: Stack;
let cache: Cache;
let other: Cache;
let app: Router;
let newer: Router;
let profiles: Profiles;
let elsewhere: Profiles;
let numbers: Derived<number, string>;

async function open(): Promise<Cache> {
  const one = createCache({
    l1: memory(),
    l2: redis({ url: stack.redis.url, timeout: '5s' }),
    l3: supabase({ url: stack.supabase.url, key: stack.supabase.secretKey, timeout: '5s' }),
  });
  opened.push(one);
  await one.ready();
  await until(() => one.stats().bus.connected);
  return one;
}

function profilesOf(of: Cache, schema?: z.ZodType<Profile | undefined>): Profiles {
  return of.derived('profiles', {
    load: async (key: string): Promise<Profile | undefined> => {
      loaded.push(key);
      return key.startsWith('nobody') ? undefined : { name: `the name of ${key}` };
    },
    ttl: '10m',
    grace: '1h',
    jitter: 0,
    negativeTtl: '1m',
    persist: true,
    tags: (key) => ['all', `key-${key}`],
    scope: (key) => ['caller', key],
    ...(schema === undefined ? {} : { schema }),
  });
}

beforeAll(async () => {
  stack = await startStack({ supabase: { migrations } });
  [cache, other] = await Promise.all([open(), open()]);
  profiles = profilesOf(cache);
  elsewhere = profilesOf(other, z.object({ name: z.string(), tier: z.string() }).optional());
  numbers = cache.derived('numbers', {
    load: (key: number) => {
      loaded.push(key);
      return String(key);
    },
    ttl: '10m',
  });
  app = cacheRoutes({
    cache,
    auth,
    preload: (id, { signal }) => cache.scope('caller', id).preload({ signal }),
  });
  newer = cacheRoutes({ cache: other, auth });
});

afterAll(async () => {
  await Promise.all(opened.map((one) => one.close()));
  await stack?.close();
});

/** A busy machine is no failure. */
async function until(look: () => boolean | Promise<boolean>): Promise<void> {
  await vi.waitUntil(look, { timeout: 15_000 });
}

/** Loaded, and stored in every tier. */
async function kept(key: string): Promise<void> {
  await profiles.refresh(key);
}

async function entry(of: Router, path: string): Promise<Record<string, unknown>> {
  const answer = await of.request(`/admin/cache/entries/${path}`, { headers: admin });
  expect(answer.status).toBe(200);
  return z.record(z.string(), z.unknown()).parse(await answer.json());
}

function invalidate(body: unknown): Promise<Response> {
  const headers = { ...admin, 'content-type': 'application/json' };
  const init = { method: 'POST', headers, body: JSON.stringify(body) };
  return Promise.resolve(app.request('/admin/cache/invalidate', init));
}

describe('an entry', () => {
  test('is shown tier by tier, with what is left of its life and without its value', async () => {
    await kept('shown');
    const copy = {
      version: expect.any(Number),
      bytes: expect.any(Number),
      codec: 'json',
      deleted: false,
      freshMs: expect.any(Number),
      lifeMs: expect.any(Number),
    };
    const shown = await entry(app, 'profiles/shown');
    expect(shown).toEqual({
      namespace: 'profiles',
      key: 'shown',
      kind: 'derived',
      l1: { version: copy.version, bytes: copy.bytes },
      l2: copy,
      l3: copy,
    });
    for (const tier of [shown.l2, shown.l3]) {
      const { freshMs, lifeMs } = z.object({ freshMs: z.int(), lifeMs: z.int() }).parse(tier);
      expect(freshMs).toBeGreaterThan(500_000);
      expect(freshMs).toBeLessThanOrEqual(600_000);
      expect(lifeMs - freshMs).toBe(3_600_000);
    }
  });

  test('shows its value where that is asked for', async () => {
    await kept('whole');
    const value = { name: 'the name of whole' };
    expect(await entry(app, 'profiles/whole?value=1')).toMatchObject({
      l2: { value },
      l3: { value },
    });
  });

  test('looking at it loads nothing, and "there is nothing" is an entry too', async () => {
    expect(await entry(app, 'profiles/unseen')).toEqual({
      namespace: 'profiles',
      key: 'unseen',
      kind: 'derived',
    });
    expect(timesLoaded('unseen')).toBe(0);
    await kept('nobody');
    const shown = await entry(app, 'profiles/nobody?value=1');
    expect(shown).toMatchObject({ l2: { bytes: 0 }, l3: { bytes: 0 } });
    expect(JSON.stringify(shown)).not.toContain('value"');
  });

  test('that does not fit the schema here says so, where its value is asked for', async () => {
    await kept('older');
    expect(await entry(newer, 'profiles/older')).toMatchObject({ l2: { codec: 'json' } });
    const shown = await entry(newer, 'profiles/older?value=1');
    expect([shown.l2, shown.l3]).toEqual(['unreadable', 'unreadable']);
    await expect(elsewhere.peek('older')).resolves.toBeUndefined();
  });

  test('that is forgotten goes from every tier, and is loaded anew', async () => {
    await kept('gone');
    const path = '/admin/cache/entries/profiles/gone';
    expect((await app.request(path, { method: 'DELETE', headers: admin })).status).toBe(204);
    const { l1, l2, l3 } = await entry(app, 'profiles/gone');
    expect([l1, l2, l3]).toEqual([undefined, undefined, undefined]);
    await profiles.get('gone');
    expect(timesLoaded('gone')).toBe(2);
  });

  test('under a number is found by the text of its key', async () => {
    await numbers.refresh(7);
    expect(await entry(app, 'numbers/%237?value=1')).toMatchObject({ l2: { value: '7' } });
    const path = '/admin/cache/entries/numbers/%237';
    expect((await app.request(path, { method: 'DELETE', headers: admin })).status).toBe(204);
    await numbers.get(7);
    expect(timesLoaded(7)).toBe(2);
  });
});

describe('an invalidation', () => {
  test('by tag makes the values that bear it misses, and no others', async () => {
    await Promise.all([kept('tag-1'), kept('tag-2')]);
    const answer = await invalidate({ tags: ['key-tag-1'] });
    expect([answer.status, await answer.json()]).toEqual([200, { forgotten: 0 }]);
    await Promise.all([profiles.get('tag-1'), profiles.get('tag-2')]);
    expect([timesLoaded('tag-1'), timesLoaded('tag-2')]).toEqual([2, 1]);
  });

  test('by key removes exactly these', async () => {
    await Promise.all([kept('key-1'), kept('key-2')]);
    const answer = await invalidate({ namespace: 'profiles', keys: ['key-1'] });
    expect([answer.status, await answer.json()]).toEqual([200, { forgotten: 1 }]);
    await Promise.all([profiles.get('key-1'), profiles.get('key-2')]);
    expect([timesLoaded('key-1'), timesLoaded('key-2')]).toEqual([2, 1]);
  });
});

describe('a scope', () => {
  test('G8: that is erased takes its derived values along, and says how many went from L2 and L3', async () => {
    await Promise.all([kept('erased'), kept('neighbour')]);
    const fitting = { name: 'kept elsewhere', tier: 'vip' };
    await elsewhere.set('erased', fitting);
    // What was set is also heard over the bus, which takes a copy that came before.
    await until(async () => {
      await Promise.all([profiles.get('erased'), elsewhere.get('erased')]);
      const entries = await Promise.all([app, newer].map((of) => entry(of, 'profiles/erased')));
      return entries.every(({ l1 }) => l1 !== undefined);
    });
    const path = '/admin/cache/scopes/caller/erased';
    const answer = await app.request(path, { method: 'DELETE', headers: admin });
    expect(await answer.json()).toMatchObject({ records: 0, derived: 2, unknown: false });
    const { l1, l2, l3 } = await entry(app, 'profiles/erased');
    expect([l1, l2, l3]).toEqual([undefined, undefined, undefined]);
    // Erased, not merely never answered: other instances let go of it when they hear of it.
    await until(async () => (await entry(newer, 'profiles/erased')).l1 === undefined);
    expect(await entry(app, 'profiles/neighbour')).toMatchObject({ l2: { deleted: false } });
  });

  test('is preloaded without its derived values: those are refreshed by their own name', async () => {
    const records = cache.records<string>('notes', { scope: (key) => ['caller', key] });
    await records.set('both', 'a note');
    await kept('both');
    const answer = await app.request('/cache/preload/both', { method: 'POST', headers: admin });
    expect(await answer.json()).toMatchObject({ loaded: 1, missing: 0 });
    await kept('alone');
    const alone = await app.request('/cache/preload/alone', { method: 'POST', headers: admin });
    expect(alone.status).toBe(404);
  });
});

test('the JSON of the metrics counts loads and leases', async () => {
  const metrics = z.object({
    derived: z.strictObject({
      loads: z.int(),
      failures: z.int(),
      leases: z.strictObject({ granted: z.int(), waited: z.int(), lost: z.int() }),
      stale: z.int(),
      discarded: z.int(),
      inFlight: z.int(),
    }),
  });
  const counted = async () => {
    const answer = await app.request('/cache/metrics');
    return metrics.parse(await answer.json()).derived;
  };
  // Who waits is answered before what a load leaves behind is cleared away.
  const idle = () => cache.stats().derived.inFlight === 0;
  await until(idle);
  const before = await counted();
  await kept('counted');
  const failing = cache.derived<string, string>('failing');
  const load = () => Promise.reject(new Error('no'));
  await expect(failing.getOrSet('key', load)).rejects.toMatchObject({ code: 'LOAD' });
  await until(idle);
  const after = await counted();
  expect(after).toEqual({
    ...before,
    loads: before.loads + 2,
    failures: before.failures + 1,
    leases: { ...before.leases, granted: before.leases.granted + 2 },
  });
});
