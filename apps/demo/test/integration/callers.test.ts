/**
 * The derived route: profiles by phone number, from two instances of the service over the same
 * servers. Every instance asks the same CRM, which counts, and is well, broken or hanging.
 */
import { type Cache, createCache, memory, redis, supabase } from '@cache/core';
import type { Router } from '@cache/http';
import { type Stack, startStack } from '@cache/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import {
  documentOf,
  RouteCoverage,
} from '../../../../packages/http/test/support/route-coverage.ts';
import { createApp } from '../../src/app.ts';
import { type Crm, SimulatedCrm } from '../../src/crm.ts';
import { MIGRATIONS } from '../../src/embedded.ts';
import { profileSchema } from '../../src/profiles.ts';
import { partOf } from '../support/documented-parts.ts';
import { lines } from '../support/lines.ts';

const auth = { adminToken: 'boss-token', apiToken: 'user-token' };
const user = { authorization: `Bearer ${auth.apiToken}` };
const admin = { authorization: `Bearer ${auth.adminToken}`, 'content-type': 'application/json' };

const well = new SimulatedCrm({ delayMs: 20, failureRate: 0 });
const broken = new SimulatedCrm({ delayMs: 0, failureRate: 1 });
const hanging = new SimulatedCrm({ delayMs: 60_000, failureRate: 0 });

const coverage = new RouteCoverage();
const log = lines();
const asked: string[] = [];
const opened: Cache[] = [];
let state: Crm = well;
let stack: Stack;
let here: Router;
let there: Router;
/** Its profiles are fresh for a millisecond. */
let brief: Router;
/** Its servers are not there at all. */
let lost: Router;

/** The same for every instance, as a real one would be. */
const crm: Crm = {
  byPhone(phone, options) {
    asked.push(phone);
    return state.byPhone(phone, options);
  },
};
const timesAsked = (phone: string): number => asked.filter((one) => one === phone).length;

let dialled = 0;
/** A number that no other test asks for. */
function aPhone(end = '1'): string {
  dialled += 1;
  return `+4930${1000 + dialled}9${end}`;
}

const profile = (app: Router, phone: string, headers: Record<string, string> = user) =>
  coverage.request(app, `/callers/${encodeURIComponent(phone)}`, { headers });

/** A busy machine is no failure. */
function until<T>(look: () => T | Promise<T>) {
  return vi.waitUntil(look, { timeout: 15_000 });
}

/** What was loaded is stored while the answer is on its way: now every tier has it. */
async function stored(phone: string): Promise<void> {
  const path = `/admin/cache/entries/profiles/${encodeURIComponent(phone)}`;
  await until(async () => {
    const answer: unknown = await (await here.request(path, { headers: admin })).json();
    const held = z.record(z.string(), z.unknown()).parse(answer);
    return ['l1', 'l2', 'l3'].every((tier) => tier in held);
  });
}

/** How a profile was answered: status, tier, freshness. */
async function seen(app: Router, phone: string): Promise<readonly unknown[]> {
  const { status, headers } = await profile(app, phone);
  return [status, headers.get('x-cache'), headers.get('x-cache-freshness')];
}

async function tierOf(app: Router, phone: string): Promise<string | null> {
  return (await profile(app, phone)).headers.get('x-cache');
}

/** The first stale one: until a loaded profile is stored, it is also given to who asks behind it. */
function staleAnswer(phone: string): Promise<{ readonly answer: Response; readonly ms: number }> {
  return until(async () => {
    const start = performance.now();
    const answer = await profile(brief, phone);
    const ms = performance.now() - start;
    return answer.headers.get('x-cache-freshness') === 'stale' && { answer, ms };
  });
}

async function ring(app: Router, caller: string): Promise<number> {
  const init = { method: 'POST', headers: { ...user, 'content-type': 'application/json' } };
  return (await app.request('/conversations', { ...init, body: JSON.stringify({ caller }) }))
    .status;
}

async function invalidate(app: Router, tag: string): Promise<void> {
  const init = { method: 'POST', headers: admin, body: JSON.stringify({ tags: [tag] }) };
  expect((await app.request('/admin/cache/invalidate', init)).status).toBe(200);
}

async function instance(profileTtl?: '1ms'): Promise<Router> {
  // Patient, so that a busy machine is not taken for a dead server.
  const cache = createCache({
    l1: memory(),
    l2: redis({ url: stack.redis.url, timeout: '2s' }),
    l3: supabase({ url: stack.supabase.url, key: stack.supabase.secretKey, timeout: '3s' }),
  });
  opened.push(cache);
  await cache.ready();
  await until(() => cache.stats().bus.connected);
  return createApp({ cache, auth, logger: log, crm, profileTtl });
}

beforeAll(async () => {
  stack = await startStack({ supabase: { migrations: MIGRATIONS } });
  [here, there, brief] = await Promise.all([instance(), instance(), instance('1ms')]);
  const away = createCache({
    l2: redis({ url: 'redis://127.0.0.1:1' }),
    l3: supabase({ url: 'http://127.0.0.1:1', key: 'none', timeout: '200ms' }),
  });
  opened.push(away);
  lost = createApp({ cache: away, auth, logger: log, crm });
});

beforeEach(() => {
  state = well;
});

afterAll(async () => {
  await Promise.all(opened.map((cache) => cache.close({ deadline: 1000 })));
  await stack?.close();
});

describe('a profile', () => {
  test('is what the CRM knows, by a number in any spelling', async () => {
    const answer = await profile(here, '+49 (30) 123-45.67');
    expect(answer.status).toBe(200);
    const { signal } = new AbortController();
    expect(profileSchema.parse(await answer.json())).toEqual({
      ...(await well.byPhone('+49301234567', { signal })),
      phone: '+49301234567',
      loadedAt: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    await profile(here, '+49301234567');
    expect(timesAsked('+49301234567')).toBe(1);
  });

  test('says where it came from: loaded, from Redis, from memory', async () => {
    const phone = aPhone();
    expect(await seen(here, phone)).toEqual([200, 'load', 'fresh']);
    await stored(phone);
    expect(await seen(there, phone)).toEqual([200, 'l2', 'fresh']);
    expect(await seen(there, phone)).toEqual([200, 'l1', 'fresh']);
    expect(timesAsked(phone)).toBe(1);
  });

  test('G11: two hundred who ask two instances at once cost the CRM one question', async () => {
    const phone = aPhone();
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) => profile(index % 2 === 0 ? here : there, phone)),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    const bodies = await Promise.all(answers.map((answer) => answer.text()));
    expect([new Set(bodies).size, timesAsked(phone)]).toEqual([1, 1]);
  });

  test('that there is none is 404, and remembered', async () => {
    const phone = aPhone('00');
    expect(await seen(here, phone)).toEqual([404, 'load', 'fresh']);
    await stored(phone);
    expect(await seen(there, phone)).toEqual([404, 'l2', 'fresh']);
    expect(timesAsked(phone)).toBe(1);
  });

  test('a number that is none is 400, and the CRM is not asked', async () => {
    const before = asked.length;
    for (const text of ['anonymous', '030123', '+49', `+${'1'.repeat(16)}`, '1', '%', 'a\0b']) {
      const answer = await profile(here, text);
      expect([text, answer.status]).toEqual([text, 400]);
      expect(await answer.json()).toMatchObject({ detail: expect.stringContaining('+49 30 123') });
    }
    expect((await coverage.request(here, '/callers/%ff', { headers: user })).status).toBe(400);
    expect(asked.length).toBe(before);
  });

  test('G9: without the token it is 401, and no log line bears a number', async () => {
    const phone = aPhone();
    expect((await profile(here, phone, {})).status).toBe(401);
    expect((await profile(here, phone, { authorization: 'Bearer wrong' })).status).toBe(401);
    state = broken;
    expect((await profile(here, phone)).status).toBe(502);
    expect(timesAsked(phone)).toBe(1);
    expect(log.lines.join('\n')).toContain('/callers/:phone');
    expect(log.lines.join('\n')).not.toContain('+4930');
  });
});

describe('while the CRM does not do what it should', () => {
  test('it fails: the older profile is served as stale, within its grace', async () => {
    const phone = aPhone();
    const loaded = await profile(brief, phone);
    expect(loaded.headers.get('x-cache-freshness')).toBe('fresh');
    const text = await loaded.text();
    state = broken;
    const { answer } = await staleAnswer(phone);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-cache')).toMatch(/^(l1|l2|l3)$/);
    expect(await answer.text()).toBe(text);
    state = well;
    await until(async () => (await tierOf(brief, phone)) === 'load');
  });

  test('it hangs: the older profile is served long before the CRM gives up', async () => {
    const phone = aPhone();
    await profile(brief, phone);
    state = hanging;
    const { answer, ms } = await staleAnswer(phone);
    expect(answer.status).toBe(200);
    // The soft timeout is 80 ms and the hard one two seconds.
    expect(ms).toBeLessThan(1900);
  });

  test('it fails and there is nothing older: 502, to be tried again', async () => {
    state = broken;
    for (const app of [here, lost]) {
      const answer = await profile(app, aPhone());
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([502, '1']);
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
      expect(await answer.json()).toMatchObject({ code: 'LOAD' });
    }
  });

  test('it hangs and there is nothing older: 503 at the hard timeout, to be tried again', async () => {
    state = hanging;
    const answer = await profile(here, aPhone());
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    // Not at the deadline of the request, which is a second later.
    const detail = 'the loader of profiles took longer than its 2000 ms';
    expect(await answer.json()).toMatchObject({ code: 'TIMEOUT', detail });
  });

  test('while neither Redis nor Supabase answers, the CRM alone is enough', async () => {
    expect(await seen(lost, aPhone())).toEqual([200, 'load', 'fresh']);
  });
});

describe('an operator', () => {
  test('G3: who invalidates the tag of the CRM on one instance has it loaded anew on every one', async () => {
    const phone = aPhone();
    await profile(here, phone);
    await stored(phone);
    await profile(there, phone);
    expect(await tierOf(there, phone)).toBe('l1');
    const before = await (await profile(there, phone)).text();
    await invalidate(here, 'crm');
    const renewed = await until(async () => {
      const answer = await profile(there, phone);
      return answer.headers.get('x-cache') !== 'l1' && answer;
    });
    expect(renewed.headers.get('x-cache')).toBe('load');
    const after = await renewed.text();
    expect(after).not.toBe(before);
    await until(async () => (await (await profile(here, phone)).text()) === after);
    expect(timesAsked(phone)).toBe(2);
  });

  test('can do the same for the customers of one tier', async () => {
    const [one, other] = [aPhone(), aPhone()];
    const { tier } = profileSchema.parse(await (await profile(here, one)).json());
    const { tier: another } = profileSchema.parse(await (await profile(here, other)).json());
    await invalidate(here, `tier-${tier}`);
    await Promise.all([profile(here, one), profile(here, other)]);
    expect(timesAsked(one)).toBe(2);
    expect(timesAsked(other)).toBe(tier === another ? 2 : 1);
  });

  test('G8: who erases a caller removes the profile', async () => {
    const phone = aPhone();
    await profile(here, phone);
    await stored(phone);
    const path = `/admin/cache/scopes/caller/${encodeURIComponent(phone)}`;
    const answer = await here.request(path, { method: 'DELETE', headers: admin });
    expect(await answer.json()).toMatchObject({ derived: 2, unknown: false });
    expect(await seen(here, phone)).toEqual([200, 'load', 'fresh']);
  });
});

describe('when the phone rings', () => {
  test('the profile is loaded before anybody asks for it, and anew with every call', async () => {
    const phone = aPhone();
    for (const times of [1, 2]) {
      expect(await ring(here, phone)).toBe(201);
      await until(() => timesAsked(phone) === times);
      await stored(phone);
    }
    expect(timesAsked(phone)).toBe(2);
  });

  test('the call does not wait for a CRM that hangs, nor fail with one that fails', async () => {
    for (const ill of [hanging, broken]) {
      state = ill;
      const phone = aPhone();
      const start = performance.now();
      expect(await ring(here, phone)).toBe(201);
      expect(performance.now() - start).toBeLessThan(1900);
      await until(() => timesAsked(phone) === 1);
    }
  });

  test('a caller without a number costs the CRM nothing', async () => {
    const before = asked.length;
    expect(await ring(here, 'anonymous')).toBe(201);
    expect(asked.length).toBe(before);
  });
});

test('after Redis was emptied, Supabase answers and not the CRM', async () => {
  const phone = aPhone();
  await profile(here, phone);
  await stored(phone);
  await stack.redis.empty();
  const first = await until(async () => {
    const answer = await seen(here, phone);
    return answer[1] !== 'l1' && answer;
  });
  expect(first).toEqual([200, 'l3', 'fresh']);
  expect(timesAsked(phone)).toBe(1);
});

test('every documented answer of these routes was produced above, and no other', async () => {
  const document = partOf(await documentOf(here), 'callers.test.ts');
  expect(Object.keys(document.paths)).toEqual(['/callers/{phone}']);
  expect(coverage.missing(document)).toEqual([]);
  expect(coverage.undocumented(document)).toEqual([]);
});
