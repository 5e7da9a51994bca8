/**
 * Every route of the service on a real cache over real servers, bad input included; at the end
 * the question whether every documented answer was seen. `lost` is the same service whose
 * servers are not there at all.
 */
import { type Cache, createCache, memory, metricNames, redis, supabase } from '@cache/core';
import type { Router } from '@cache/http';
import { type Stack, startStack } from '@cache/testing';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { z } from 'zod';
import {
  documentOf,
  RouteCoverage,
} from '../../../../packages/http/test/support/route-coverage.ts';
import { createApp } from '../../src/app.ts';
import { turnSchema } from '../../src/conversations.ts';
import { MIGRATIONS } from '../../src/embedded.ts';
import { partOf } from '../support/documented-parts.ts';
import { lines } from '../support/lines.ts';

const auth = { adminToken: 'boss-token', apiToken: 'user-token', metricsToken: 'graph-token' };
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const user = bearer(auth.apiToken);
const admin = bearer(auth.adminToken);
const jsonType = { 'content-type': 'application/json' };
const TOO_LONG = 'x'.repeat(1025);
const TOO_LARGE = JSON.stringify({ text: 'x'.repeat(1_000_001), role: 'caller' });

const coverage = new RouteCoverage();
const log = lines();
let stack: Stack;
let cache: Cache;
let lost: Cache;
let app: Router;
let lostApp: Router;

interface Sent {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** With the API token and, where there is a body, as JSON; a text is sent as it is. */
function initOf(method: string, { body, headers }: Sent): RequestInit {
  if (body === undefined) return { method, headers: { ...user, ...headers } };
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { method, headers: { ...user, ...jsonType, ...headers }, body: text };
}

const ask = (method: string, path: string, sent: Sent = {}): Promise<Response> =>
  coverage.request(app, path, initOf(method, sent));
const askLost = (method: string, path: string, sent: Sent = {}): Promise<Response> =>
  coverage.request(lostApp, path, initOf(method, sent));

async function statusOf(method: string, path: string, sent: Sent = {}): Promise<number> {
  return (await ask(method, path, sent)).status;
}

const heardSchema = z.looseObject({ id: z.string(), turns: z.array(turnSchema).default([]) });

/** A conversation out of an answer. */
async function heard(answer: Response): Promise<z.infer<typeof heardSchema>> {
  return heardSchema.parse(await answer.json());
}

async function begun(id: string, ...texts: readonly string[]): Promise<void> {
  expect(await statusOf('POST', '/conversations', { body: { id } })).toBe(201);
  for (const [index, text] of texts.entries()) {
    const body = { id: `t${index + 1}`, role: 'caller', text, at: index };
    expect(await statusOf('POST', `/conversations/${id}/turns`, { body })).toBe(201);
  }
}

beforeAll(async () => {
  stack = await startStack({ supabase: { migrations: MIGRATIONS } });
  // Patient, so that a busy machine is not taken for a dead server.
  cache = createCache({
    l1: memory(),
    l2: redis({ url: stack.redis.url, timeout: '2s' }),
    l3: supabase({ url: stack.supabase.url, key: stack.supabase.secretKey, timeout: '3s' }),
  });
  lost = createCache({
    l2: redis({ url: 'redis://127.0.0.1:1' }),
    l3: supabase({ url: 'http://127.0.0.1:1', key: 'none', timeout: '200ms' }),
  });
  await cache.ready();
  app = createApp({ cache, auth, logger: log });
  lostApp = createApp({ cache: lost, auth, logger: log });
});

afterAll(async () => {
  await Promise.all([cache?.close(), lost?.close({ deadline: 100 })]);
  await stack?.close();
});

describe('a call begins', () => {
  test('under the id that it is given, and is answered as it is stored', async () => {
    const body = { id: 'begin-1', caller: '+49 30 1', metadata: { room: 12, vip: null } };
    const answer = await ask('POST', '/conversations', { body });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('x-cache-durable')).toBe('l2');
    expect(answer.headers.get('location')).toBe('/conversations/begin-1');
    const created: unknown = await answer.json();
    expect(created).toEqual({ ...body, state: 'active', createdAt: expect.any(String) });
    const read = await ask('GET', '/conversations/begin-1');
    expect(await read.json()).toEqual({ ...Object(created), turns: [] });
  });

  test('without a body or an id it is given one', async () => {
    for (const sent of [{}, { body: {} }]) {
      const answer = await ask('POST', '/conversations', sent);
      expect(answer.status).toBe(201);
      const created = await heard(answer);
      expect(created).toMatchObject({ id: expect.any(String), caller: null, metadata: {} });
      expect(await statusOf('GET', `/conversations/${created.id}`)).toBe(200);
    }
  });

  test('a second time is 409, before and after it is in Supabase', async () => {
    await begun('twice');
    expect(await statusOf('POST', '/conversations', { body: { id: 'twice' } })).toBe(409);
    expect(await statusOf('POST', '/conversations/twice/hangup')).toBe(200);
    expect(await statusOf('POST', '/conversations', { body: { id: 'twice' } })).toBe(409);
  });

  test('ids of any text lead nowhere else', async () => {
    for (const id of ['a/b', '../admin', 'ä 😀', 'x?y#z', '%2F', '...', '%2E']) {
      const path = `/conversations/${encodeURIComponent(id)}`;
      expect(await statusOf('POST', '/conversations', { body: { id } })).toBe(201);
      const read = await ask('GET', path);
      expect([id, read.status, (await heard(read)).id]).toEqual([id, 200, id]);
    }
  });

  test.each(['.', '..'])('an id that every URL loses is refused: %s', async (id) => {
    expect(await statusOf('POST', '/conversations', { body: { id } })).toBe(400);
    await begun('dots');
    const say = (sent: Sent) => statusOf('POST', '/conversations/dots/turns', sent);
    const body = { role: 'caller', text: 'Hello?' };
    expect(await say({ body: { ...body, id } })).toBe(400);
    expect(await say({ body, headers: { 'idempotency-key': id } })).toBe(400);
    expect(await statusOf('DELETE', '/conversations/dots')).toBe(204);
  });

  test.each([
    ['{', 'Malformed JSON'],
    ['', 'Malformed JSON'],
    ['[]', 'body: '],
    ['null', 'body: '],
    ['{"id":""}', 'body.id: '],
    ['{"id":7}', 'body.id: '],
    ['{"caller":{}}', 'body.caller: '],
    ['{"metadata":"x"}', 'body.metadata: '],
    ['{"metadata":[]}', 'body.metadata: '],
    ['{"state":"x"}', 'Unrecognized key'],
    [JSON.stringify({ id: TOO_LONG }), 'key must have at most 1024 bytes'],
    ['{"id":"a\\u0000"}', 'key must be well-formed text'],
    ['{"id":"\\ud800"}', 'key must be well-formed text'],
  ])('the body %# is 400 and says why', async (body, why) => {
    const answer = await ask('POST', '/conversations', { body });
    expect(answer.status).toBe(400);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(await answer.json()).toMatchObject({ detail: expect.stringContaining(why) });
  });

  test('a value that would not come back the same is 422', async () => {
    const body = '{"metadata":{"large":1e999}}';
    expect(await statusOf('POST', '/conversations', { body })).toBe(422);
  });
});

describe('something is said', () => {
  test('and is read in the order in which it was said', async () => {
    await begun('order', 'one', 'two', 'three');
    const answer = await ask('GET', '/conversations/order');
    expect(answer.headers.get('x-cache')).toMatch(/^(l1|outbox|l2)$/);
    const { turns } = await heard(answer);
    expect(turns.map((turn) => turn.text)).toEqual(['one', 'two', 'three']);
  });

  test('G12: the same again adds nothing, and is answered with what is stored', async () => {
    await begun('again');
    const body = { role: 'agent', text: 'hello' };
    const headers = { 'idempotency-key': 'k1' };
    const first = await ask('POST', '/conversations/again/turns', { body, headers });
    const stored = await first.json();
    expect(stored).toEqual({ id: 'k1', ...body, at: expect.any(Number) });
    const second = await ask('POST', '/conversations/again/turns', { body, headers });
    expect([second.status, await second.json()]).toEqual([201, stored]);
    const third = await ask('POST', '/conversations/again/turns', { body: { id: 'k1', ...body } });
    expect([third.status, await third.json()]).toEqual([201, stored]);
    const read = await ask('GET', '/conversations/again');
    expect((await heard(read)).turns).toEqual([stored]);
  });

  test('G12: the same again, when only Supabase has it, is answered with what is stored, and other words are 409', async () => {
    await begun('cold');
    const body = { id: 'k1', role: 'agent', text: 'hello' };
    const stored = await (await ask('POST', '/conversations/cold/turns', { body })).json();
    await ask('POST', '/conversations/cold/hangup');
    const forgotten = () =>
      Promise.all(['conversations', 'turns'].map((name) => cache.forget(name, 'cold')));
    await forgotten();
    const again = await ask('POST', '/conversations/cold/turns', { body });
    expect([again.status, await again.json()]).toEqual([201, stored]);
    await ask('POST', '/conversations/cold/hangup');
    await forgotten();
    const other = { body: { ...body, text: 'other' } };
    expect(await statusOf('POST', '/conversations/cold/turns', other)).toBe(409);
    await ask('POST', '/conversations/cold/hangup');
    const read = await ask('GET', '/conversations/cold');
    expect((await heard(read)).turns).toEqual([stored]);
  });

  test('what the caller says is not to be spoken: 422', async () => {
    await begun('spoken');
    const body = { role: 'caller', text: 'Hello?', speak: true };
    expect(await statusOf('POST', '/conversations/spoken/turns', { body })).toBe(422);
  });

  test('other words under an id that is taken are 409, and change nothing', async () => {
    await begun('other', 'first');
    // Versions count milliseconds: within one of them, either could be the first.
    const said = Date.now();
    await vi.waitUntil(() => Date.now() > said);
    const body = { id: 't1', role: 'caller', text: 'second' };
    expect(await statusOf('POST', '/conversations/other/turns', { body })).toBe(409);
    const read = await ask('GET', '/conversations/other');
    expect((await heard(read)).turns).toEqual([{ id: 't1', role: 'caller', text: 'first', at: 0 }]);
  });

  test('G12: a hundred at once are all there, none twice', async () => {
    await begun('crowd');
    const said = Array.from({ length: 100 }, (_, i) => ({
      id: `c${i}`,
      role: 'tool',
      text: `${i}`,
    }));
    const statuses = await Promise.all(
      said.map((body) => statusOf('POST', '/conversations/crowd/turns', { body })),
    );
    expect(new Set(statuses)).toEqual(new Set([201]));
    const { turns } = await heard(await ask('GET', '/conversations/crowd'));
    const ids = turns.map((turn) => turn.id);
    expect([ids.length, new Set(ids).size]).toEqual([100, 100]);
  });

  test('in a conversation that does not exist is 404', async () => {
    const body = { role: 'caller', text: 'x' };
    expect(await statusOf('POST', '/conversations/nobody/turns', { body })).toBe(404);
  });

  test.each([
    ['{', 'Malformed JSON'],
    ['{}', 'body.role: '],
    ['{"role":"robot","text":"x"}', 'body.role: '],
    ['{"role":"agent"}', 'body.text: '],
    ['{"role":"agent","text":1}', 'body.text: '],
    ['{"role":"agent","text":"x","at":"now"}', 'body.at: '],
    ['{"role":"agent","text":"x","at":-1}', 'body.at: '],
    ['{"role":"agent","text":"x","at":1.5}', 'body.at: '],
    ['{"role":"agent","text":"x","id":""}', 'body.id: '],
    ['{"role":"agent","text":"x","more":1}', 'Unrecognized key'],
    [`{"role":"agent","text":"x","id":"${TOO_LONG}"}`, 'item id must have at most 1024 bytes'],
  ])('the body %# is 400 and says why', async (body, why) => {
    const answer = await ask('POST', '/conversations/begin-1/turns', { body });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ detail: expect.stringContaining(why) });
  });

  test('G10: text with U+0000, or half a character, is read as it was said', async () => {
    await begun('text');
    const post = (text: string) =>
      statusOf('POST', '/conversations/text/turns', { body: `{"role":"caller","text":"${text}"}` });
    expect([await post('a\\u0000b'), await post('\\ud800')]).toEqual([201, 201]);
    await ask('POST', '/conversations/text/hangup');
    await cache.forget('turns', 'text');
    const answer = await ask('GET', '/conversations/text');
    expect(answer.headers.get('x-cache')).toBe('l3');
    expect((await heard(answer)).turns.map((turn) => turn.text)).toEqual(['a\u0000b', '\ud800']);
  });
});

describe('a conversation changes', () => {
  test('metadata are merged, members that are null go', async () => {
    const body = { id: 'merge', metadata: { a: 1, b: { c: 1, d: 1 }, gone: 1 } };
    await ask('POST', '/conversations', { body });
    const patch = { state: 'on-hold', metadata: { b: { c: 2 }, gone: null } };
    const answer = await ask('PATCH', '/conversations/merge', { body: patch });
    expect([answer.status, answer.headers.get('x-cache-durable')]).toEqual([200, 'l2,l3']);
    const metadata = { a: 1, b: { c: 2, d: 1 } };
    expect(await answer.json()).toMatchObject({ id: 'merge', state: 'on-hold', metadata });
    expect(await (await ask('GET', '/conversations/merge')).json()).toMatchObject({ metadata });
  });

  test('G12: of fifty increments at once none is lost', async () => {
    await begun('count');
    const body = { increment: { n: 1 } };
    const all = Array.from({ length: 50 }, () =>
      statusOf('PATCH', '/conversations/count', { body }),
    );
    expect(new Set(await Promise.all(all))).toEqual(new Set([200]));
    expect(await (await ask('GET', '/conversations/count')).json()).toMatchObject({
      metadata: { n: 50 },
    });
  });

  test('what is not a number can not be incremented: 409', async () => {
    await ask('POST', '/conversations', { body: { id: 'word', metadata: { n: 'x' } } });
    expect(await statusOf('PATCH', '/conversations/word', { body: { increment: { n: 1 } } })).toBe(
      409,
    );
  });

  test('one that does not exist is 404', async () => {
    expect(await statusOf('PATCH', '/conversations/nobody', { body: { state: 'x' } })).toBe(404);
  });

  test.each([
    ['{', 'Malformed JSON'],
    ['{}', 'Give metadata, state or increment'],
    ['{"state":""}', 'body.state: '],
    ['{"state":1}', 'body.state: '],
    ['{"metadata":1}', 'body.metadata: '],
    ['{"increment":{"n":"1"}}', 'body.increment.n: '],
    ['{"increment":{"n":1e999}}', 'body.increment.n: '],
    ['{"caller":"x"}', 'Unrecognized key'],
  ])('the body %# is 400 and says why', async (body, why) => {
    const answer = await ask('PATCH', '/conversations/begin-1', { body });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ detail: expect.stringContaining(why) });
  });

  test('a value that would not come back the same is 422', async () => {
    const body = '{"metadata":{"large":1e999}}';
    expect(await statusOf('PATCH', '/conversations/begin-1', { body })).toBe(422);
  });

  test.each([600, 20_000])(
    'metadata that are nested %i deep are 422, as when a call begins',
    async (depth) => {
      const metadata = `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
      const path = '/conversations';
      expect(await statusOf('POST', path, { body: `{"metadata":${metadata}}` })).toBe(422);
      await begun(`deep-${depth}`);
      const changed = await ask('PATCH', `${path}/deep-${depth}`, {
        body: `{"metadata":${metadata}}`,
      });
      expect([changed.status, await changed.json()]).toMatchObject([422, { code: 'CODEC' }]);
    },
  );
});

describe('a call ends', () => {
  test('hanging up is a barrier: then Supabase has everything', async () => {
    await begun('bye', 'one', 'two');
    const answer = await ask('POST', '/conversations/bye/hangup');
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ id: 'bye', remaining: 0, unknown: false });
    const { l3 } = await cache.inspect('turns', 'bye');
    expect(l3).toMatchObject({ items: 2 });
    expect(await statusOf('POST', '/conversations/bye/hangup')).toBe(200);
  });

  test('of a call that never was is 404', async () => {
    expect(await statusOf('POST', '/conversations/nobody/hangup')).toBe(404);
  });

  test('deleted it is gone with its turns, also from Supabase, and may begin anew', async () => {
    await begun('gone', 'one');
    await ask('POST', '/conversations/gone/hangup');
    expect(await statusOf('DELETE', '/conversations/gone')).toBe(204);
    expect(await statusOf('GET', '/conversations/gone')).toBe(404);
    expect(await statusOf('DELETE', '/conversations/gone')).toBe(404);
    await begun('gone', 'anew');
    const { turns } = await heard(await ask('GET', '/conversations/gone'));
    expect(turns.map((turn) => turn.text)).toEqual(['anew']);
    expect(await statusOf('POST', '/conversations/gone/hangup')).toBe(200);
    await cache.forget('turns', 'gone');
    const again = await ask('GET', '/conversations/gone');
    expect(again.headers.get('x-cache')).toBe('l3');
    expect((await heard(again)).turns).toHaveLength(1);
  });

  test('one that never was can not be read', async () => {
    expect(await statusOf('GET', '/conversations/nobody')).toBe(404);
  });
});

describe('preloading', () => {
  test('a call that no copy is left of is answered from memory afterwards', async () => {
    await begun('warm', 'one');
    await ask('POST', '/conversations/warm/hangup');
    const { received } = cache.stats().bus;
    for (const namespace of ['conversations', 'turns']) {
      expect(
        await statusOf('DELETE', `/admin/cache/entries/${namespace}/warm`, { headers: admin }),
      ).toBe(204);
    }
    // Both are also heard over the bus, in order: a heartbeat behind them says that they were.
    await vi.waitUntil(() => cache.stats().bus.received >= received + 4, { timeout: 10_000 });
    const answer = await ask('POST', '/cache/preload/warm');
    expect(await answer.json()).toMatchObject({ id: 'warm', loaded: 2, tiers: { l3: 2 } });
    expect((await ask('GET', '/conversations/warm')).headers.get('x-cache')).toBe('l1');
    expect(await statusOf('POST', '/cache/preload/nobody')).toBe(404);
    expect(await statusOf('POST', `/cache/preload/${TOO_LONG}`)).toBe(400);
    expect(await statusOf('GET', '/cache/preload/warm')).toBe(405);
  });
});

describe('what is refused alike', () => {
  const bodied = [
    ['POST', '/conversations'],
    ['POST', '/conversations/begin-1/turns'],
    ['PATCH', '/conversations/begin-1'],
  ] as const;
  const routes = [
    ...bodied,
    ['GET', '/conversations/begin-1'],
    ['DELETE', '/conversations/begin-1'],
    ['POST', '/conversations/begin-1/hangup'],
    ['POST', '/cache/preload/begin-1'],
  ] as const;

  test.each(routes)(
    '%s %s without the token, or with a wrong one, is 401',
    async (method, path) => {
      const statuses = [];
      for (const authorization of [
        '',
        'Bearer',
        'Bearer wrong',
        'Basic dTpw',
        user.authorization,
      ]) {
        const headers = { authorization: authorization.replace('user-token', 'user-toke') };
        statuses.push(await statusOf(method, path, { headers }));
      }
      statuses.push(await statusOf(method, path, { headers: bearer(auth.metricsToken) }));
      expect(new Set(statuses)).toEqual(new Set([401]));
    },
  );

  test.each(bodied)('%s %s with a body over 1 MB is 413', async (method, path) => {
    const headers = { 'content-length': String(TOO_LARGE.length) };
    expect(await statusOf(method, path, { body: TOO_LARGE, headers })).toBe(413);
    expect(await statusOf(method, path, { body: TOO_LARGE })).toBe(413);
  });

  test.each(bodied)('%s %s with a body that is not JSON is 415', async (method, path) => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
      expect(await statusOf(method, path, { body: 'a=b', headers: { 'content-type': type } })).toBe(
        415,
      );
    }
  });

  test('an id that is too long, or not UTF-8, is 400', async () => {
    for (const id of [TOO_LONG, '%ff', 'a%00b']) {
      const path = `/conversations/${id}`;
      const turn = { role: 'caller', text: 'x' };
      expect([
        await statusOf('GET', path),
        await statusOf('PATCH', path, { body: { state: 'x' } }),
        await statusOf('DELETE', path),
        await statusOf('POST', `${path}/hangup`),
        await statusOf('POST', `${path}/turns`, { body: turn }),
      ]).toEqual([400, 400, 400, 400, 400]);
    }
  });

  test('another method is 405 and says which are taken', async () => {
    const allowed = async (method: string, path: string) => {
      const answer = await ask(method, path);
      return [answer.status, answer.headers.get('allow')];
    };
    expect(await allowed('GET', '/conversations')).toEqual([405, 'POST']);
    const all = 'GET, DELETE, PATCH, HEAD';
    expect(await allowed('PUT', '/conversations/begin-1')).toEqual([405, all]);
    expect(await allowed('GET', '/conversations/begin-1/turns')).toEqual([405, 'POST']);
    expect(await allowed('DELETE', '/conversations/begin-1/hangup')).toEqual([405, 'POST']);
    expect(await statusOf('GET', '/nothing/here')).toBe(404);
  });
});

describe('while no tier answers', () => {
  test('writes are 503 with Retry-After, and say that nothing happened', async () => {
    const turn = { role: 'caller', text: 'x' };
    const answers = await Promise.all([
      askLost('POST', '/conversations', { body: { id: 'c' } }),
      askLost('POST', '/conversations/c/turns', { body: turn }),
      askLost('PATCH', '/conversations/c', { body: { state: 'x' } }),
      askLost('DELETE', '/conversations/c'),
    ]);
    for (const answer of answers) {
      expect(answer.status).toBe(503);
      expect(answer.headers.get('retry-after')).toBe('1');
      expect(await answer.json()).toMatchObject({ outcome: expect.stringMatching(/none|unknown/) });
    }
  });

  test('reads are 503, never "not found", and a hangup says that it does not know', async () => {
    for (const answer of [
      await askLost('GET', '/conversations/c'),
      await askLost('POST', '/cache/preload/c'),
    ]) {
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    }
    const answer = await askLost('POST', '/conversations/c/hangup');
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await answer.json()).toMatchObject({ id: 'c', unknown: true, remaining: 0 });
  });
});

describe('what operators ask', () => {
  test('who is not one is told so', async () => {
    for (const [method, path] of [
      ['POST', '/admin/cache/sync'],
      ['GET', '/admin/cache/sync'],
      ['GET', '/admin/cache/entries/turns/a'],
      ['DELETE', '/admin/cache/entries/turns/a'],
      ['POST', '/admin/cache/invalidate'],
      ['DELETE', '/admin/cache/scopes/call/a'],
      ['GET', '/cache/metrics'],
      ['GET', '/metrics'],
    ] as const) {
      expect([path, await statusOf(method, path)]).toEqual([path, 401]);
    }
    expect(await statusOf('GET', '/health', { headers: bearer('wrong') })).toBe(401);
  });

  test('a forced sync leaves nothing pending, and says where it can not know', async () => {
    await begun('sync', 'one');
    const answer = await ask('POST', '/admin/cache/sync', { headers: admin });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ remaining: 0, unknown: false });
    const state = await ask('GET', '/admin/cache/sync', { headers: admin });
    expect(await state.json()).toMatchObject({ pending: 0 });
    const away = await askLost('POST', '/admin/cache/sync', { headers: admin });
    expect(away.status).toBe(503);
  });

  test('an entry can be looked at, and its copies forgotten', async () => {
    await begun('look', 'secret words');
    const path = '/admin/cache/entries/turns/look';
    const shown = await ask('GET', path, { headers: admin });
    expect(shown.status).toBe(200);
    expect(await shown.text()).not.toContain('secret words');
    expect(await statusOf('DELETE', path, { headers: admin })).toBe(204);
    for (const method of ['GET', 'DELETE']) {
      const entries = '/admin/cache/entries';
      expect(await statusOf(method, `${entries}/other/look`, { headers: admin })).toBe(404);
      expect(await statusOf(method, `${entries}/turns/%ff`, { headers: admin })).toBe(400);
    }
  });

  test('copies are forgotten by key', async () => {
    const post = (body: unknown, headers = {}) =>
      statusOf('POST', '/admin/cache/invalidate', { body, headers: { ...admin, ...headers } });
    expect(await post({ namespace: 'turns', keys: ['look'] })).toBe(200);
    expect(await post({})).toBe(400);
    expect(await post({ namespace: 'other', keys: ['look'] })).toBe(404);
    expect(await post(TOO_LARGE)).toBe(413);
    expect(await post('a', { 'content-type': 'text/plain' })).toBe(415);
    const away = await askLost('POST', '/admin/cache/invalidate', {
      body: { tags: ['vip'] },
      headers: admin,
    });
    expect(away.status).toBe(503);
    const path = '/admin/cache/entries/profiles/+49301234567';
    expect((await askLost('DELETE', path, { headers: admin })).status).toBe(503);
  });

  test('G8: a call that is erased is gone from every tier', async () => {
    await begun('erase', 'one');
    await ask('POST', '/conversations/erase/hangup');
    const erase = (app: typeof ask, id: string) =>
      app('DELETE', `/admin/cache/scopes/call/${id}`, { headers: admin });
    const answer = await erase(ask, 'erase');
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ records: 1, items: 1 });
    expect(await statusOf('GET', '/conversations/erase')).toBe(404);
    expect((await erase(ask, TOO_LONG)).status).toBe(400);
    expect((await erase(askLost, 'erase')).status).toBe(503);
  });

  test('health and readiness', async () => {
    expect(await statusOf('GET', '/healthz')).toBe(200);
    expect(await statusOf('GET', '/readyz')).toBe(200);
    expect(await statusOf('GET', '/health')).toBe(200);
    expect((await askLost('GET', '/readyz')).status).toBe(503);
    expect((await askLost('GET', '/health')).status).toBe(503);
  });

  test('the metrics need their own token', async () => {
    const headers = bearer(auth.metricsToken);
    expect(await statusOf('GET', '/cache/metrics', { headers })).toBe(200);
    const text = await (await ask('GET', '/metrics', { headers })).text();
    for (const name of metricNames) expect(text).toContain(`# TYPE ${name} `);
    // Names of namespaces and tiers, never a key.
    expect(text).toContain('namespace="conversations"');
    expect(text).not.toMatch(/begin-1|crowd|nobody/);
  });
});

describe('beside the answers', () => {
  test('every answer has a request id, and keeps one that it was given', async () => {
    const given = await ask('GET', '/healthz', { headers: { 'x-request-id': 'given-1' } });
    expect(given.headers.get('x-request-id')).toBe('given-1');
    const made = await ask('GET', '/conversations/nobody');
    expect(made.headers.get('x-request-id')).toMatch(/^[\w-]{8,}$/);
  });

  test('G9: the log has one line for each request, with its route and without anything said', async () => {
    const before = log.lines.length;
    await begun('quiet-id', 'quiet words');
    await ask('GET', '/conversations/quiet-id?quiet=query', { headers: { cookie: 'quiet' } });
    await ask('GET', '/conversations/quiet-id', { headers: bearer('quiet-token') });
    await askLost('GET', '/conversations/quiet-id');
    await ask('GET', '/quiet-path');
    const written = log.lines.slice(before);
    expect(written.join('\n')).not.toContain('quiet');
    const requests = written
      .map((line) => JSON.parse(line))
      .filter(({ message }) => message === 'request');
    expect(requests.map(({ method, route, status }) => `${method} ${route} ${status}`)).toEqual([
      'POST /conversations 201',
      'POST /conversations/:id/turns 201',
      'GET /conversations/:id 200',
      'GET /conversations/:id 401',
      'GET /conversations/:id 503',
      'GET unmatched 404',
    ]);
    expect(requests[2]).toMatchObject({ tier: expect.any(String), ms: expect.any(Number) });
  });

  test('one OpenAPI document speaks of the whole service, and a page shows it offline', async () => {
    const document = await documentOf(app);
    expect(Object.keys(document.paths)).toEqual(
      expect.arrayContaining(['/conversations/{id}/turns', '/cache/metrics', '/admin/cache/sync']),
    );
    const page = await ask('GET', '/docs');
    expect([page.status, page.headers.get('content-type')]).toEqual([
      200,
      expect.stringContaining('text/html'),
    ]);
    expect(await page.text()).not.toMatch(/https?:\/\//);
  });
});

describe('completeness', () => {
  test('every documented answer that no other file answers for was produced above, and no other', async () => {
    const document = partOf(await documentOf(app), 'http.test.ts');
    expect(coverage.missing(document)).toEqual([]);
    const others = coverage.undocumented(document).filter((one) => !one.endsWith(' 405'));
    expect(others).toEqual([]);
  });

  test('the check fails for an answer that no test produced', async () => {
    const document = partOf(await documentOf(app), 'http.test.ts');
    const paths = { ...document.paths, '/teapots': { get: { responses: { 200: {} } } } };
    expect(coverage.missing({ ...document, paths })).toEqual(['GET /teapots 200']);
  });
});
