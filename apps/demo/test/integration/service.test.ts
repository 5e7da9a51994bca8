/** The service as a process: how it starts, refuses to start, waits, and ends. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createConnection, type Socket } from 'node:net';
import { ConfigError, createCache, memory, redis, supabase } from '@cache/core';
import { type Stack, startProxy, startStack } from '@cache/testing';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { createApp } from '../../src/app.ts';
import { MIGRATIONS } from '../../src/embedded.ts';
import { openDemo } from '../../src/service.ts';
import { StoredTurns } from '../../src/stored-turns.ts';
import { lines } from '../support/lines.ts';
import { runMain } from '../support/program.ts';
import { type ServiceProcess, startService } from '../support/service.ts';

let stack: Stack;
let env: Readonly<Record<string, string>>;
const started: ServiceProcess[] = [];

beforeAll(async () => {
  stack = await startStack({
    redis: { password: 'redis-secret' },
    supabase: { migrations: MIGRATIONS },
  });
  env = {
    REDIS_URL: `redis://127.0.0.1:${stack.redis.port}`,
    REDIS_PASSWORD: 'redis-secret',
    // Patient, so that a busy machine is not taken for a dead server.
    REDIS_TIMEOUT_MS: '1000',
    SUPABASE_URL: stack.supabase.url,
    SUPABASE_SECRET_KEY: stack.supabase.secretKey,
  };
});

afterEach(async () => {
  stack.supabase.thaw();
  for (const service of started.splice(0)) await service.stop();
});

afterAll(async () => {
  await stack?.close();
});

async function start(own: Readonly<Record<string, string>> = {}): Promise<ServiceProcess> {
  const service = await startService({ env: { ...env, ...own } });
  started.push(service);
  return service;
}

const post = (url: string, body: unknown): Promise<Response> =>
  fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });

async function begin(service: ServiceProcess, id: string): Promise<string> {
  expect((await post(`${service.url}/conversations`, { id })).status).toBe(201);
  return `${service.url}/conversations/${id}`;
}

describe('a configuration that can not be used stops the start with one line', () => {
  const cases: readonly (readonly [Readonly<Record<string, string>>, string])[] = [
    [{ SUPABASE_URL: '', SUPABASE_SECRET_KEY: '' }, 'SUPABASE_URL is not set'],
    [{ SUPABASE_SECRET_KEY: '' }, 'SUPABASE_SECRET_KEY is not set'],
    [{ SUPABASE_SECRET_KEY: 'sb_secret_wrong' }, 'SUPABASE_SECRET_KEY|key'],
    [{ REDIS_PASSWORD: 'wrong-secret' }, 'password'],
    [{ REDIS_TIMEOUT_MS: 'soon' }, 'REDIS_TIMEOUT_MS takes .*got "soon"'],
    [{ CRM_DELAY_MS: 'soon' }, 'CRM_DELAY_MS takes .*got "soon"'],
    [{ CRM_FAILURE_RATE: '2' }, 'CRM_FAILURE_RATE takes .*got "2"'],
    [{ PORT: '70000' }, 'PORT takes .*got "70000"'],
    [{ HOST: '0.0.0.0' }, 'HOST takes .*CACHE_ADMIN_TOKEN is not set'],
    [{ HOST: '0.0.0.0', CACHE_ADMIN_TOKEN: 'boss' }, 'HOST takes .*CACHE_API_TOKEN is not set'],
    [{ CACHE_ADMIN_TOKEN: 'not a secret' }, 'CACHE_ADMIN_TOKEN takes'],
  ];

  test.each(cases)('%o', async (own, why) => {
    const opening = openDemo({ env: { ...env, PORT: '0', ...own }, logger: lines() });
    const error: unknown = await opening.catch((thrown: unknown) => thrown);
    if (!(error instanceof ConfigError)) throw new Error('it should not have started');
    expect(error.message).toMatch(new RegExp(why));
    expect(error.message).not.toMatch(/\n|secret_wrong|wrong-secret|not a secret|redis-secret/);
  });

  test('a port that is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const address = other.address();
    const port = typeof address === 'object' ? String(address?.port) : '';
    const opening = openDemo({ env: { ...env, PORT: port }, logger: lines() });
    await expect(opening).rejects.toThrow(/^HOST and PORT take .*EADDRINUSE.*$/);
    other.close();
  });

  test('as a program: that line alone, and the code 1', async () => {
    const { code, stderr, stdout } = await runMain({ ...env, REDIS_PASSWORD: 'wrong' }).ended;
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(stderr).toContain('password');
    expect([code, stdout]).toEqual([1, expect.not.stringContaining('listening')]);
  });
});

describe('the start', () => {
  test('makes up an admin token where there is none, and shows it beside the log', async () => {
    const program = runMain(env);
    await program.wrote('"msg":"listening"');
    program.kill('SIGTERM');
    const { code, stderr, stdout } = await program.ended;
    const token = /admin token of this start: (\S+)/.exec(stderr)?.[1] ?? '';
    expect(token.length).toBeGreaterThan(20);
    expect(stdout).not.toContain(token);
    expect(code).toBe(0);
  });

  test('does not wait for a Supabase that is away', async () => {
    const service = await start({ SUPABASE_URL: 'http://127.0.0.1:1' });
    expect((await fetch(`${service.url}/healthz`)).status).toBe(200);
    expect((await fetch(`${service.url}/conversations/x`)).status).toBe(503);
    expect(service.output).toContain('starting without Supabase');
  });
});

describe('waiting', () => {
  test('G5: a Supabase that does not answer costs a reader at most the deadline', async () => {
    const service = await start();
    stack.supabase.freeze();
    const before = performance.now();
    const answer = await fetch(`${service.url}/conversations/unknown`);
    expect(answer.status).toBe(503);
    expect(performance.now() - before).toBeLessThan(3500);
  });

  test('G5: a client that hangs up ends its wait, and is no fault of the service', async () => {
    const service = await start();
    stack.supabase.freeze();
    const socket = await connected(service);
    socket.write('GET /conversations/unknown HTTP/1.1\r\nhost: x\r\n\r\n', () => socket.destroy());
    await vi.waitUntil(() => service.output.includes('"status":499'), { timeout: 1500 });
    expect(service.output).not.toContain('"msg":"error"');
  });

  test('G5: the wait ends at once, not with the tier that is asked', async () => {
    await using proxy = await startProxy(stack.supabase.port);
    const url = proxy.through(stack.supabase.url);
    const l3 = supabase({ url, key: stack.supabase.secretKey, timeout: '10s' });
    await using cache = createCache({ l1: memory(), l3 });
    await cache.ready();
    const app = createApp({ cache, logger: lines() });
    proxy.stall();
    const client = new AbortController();
    const asked = app.request(
      new Request('http://localhost/conversations/x', { signal: client.signal }),
    );
    const before = performance.now();
    client.abort();
    expect((await asked).status).toBe(499);
    expect(performance.now() - before).toBeLessThan(1000);
    proxy.heal();
  });
});

describe('cut off from Redis', () => {
  test('G3: a call that another instance may have begun is 503, not 404, and goes on', async () => {
    await using proxy = await startProxy(stack.redis.port);
    const breaker = { failures: 1, reset: '100ms', trial: 1 } as const;
    await using cache = createCache({
      l2: redis({ url: proxy.through(stack.redis.url), timeout: '1s', breaker }),
      l3: supabase({ url: stack.supabase.url, key: stack.supabase.secretKey }),
    });
    await cache.ready();
    const app = createApp({ cache, logger: lines() });
    const ask = (method: string, path: string, body?: object): Response | Promise<Response> =>
      app.request(path, {
        method,
        ...(body && {
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        }),
      });
    const other = await start();
    proxy.cut();
    await begin(other, 'elsewhere');
    for (const [method, body] of [['GET'], ['PATCH', { state: 'x' }]] as const) {
      const answer = await ask(method, '/conversations/elsewhere', body);
      expect([method, answer.status, answer.headers.get('retry-after')]).toEqual([
        method,
        503,
        '1',
      ]);
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
    }
    const turn = { id: 't', role: 'caller', text: 'hello?' };
    expect((await ask('POST', '/conversations/elsewhere/turns', turn)).status).toBe(201);
    proxy.heal();
    await vi.waitFor(
      async () => {
        const answer = await ask('GET', '/conversations/elsewhere');
        expect([answer.status, await answer.json()]).toMatchObject([200, { turns: [turn] }]);
        expect((await ask('GET', '/conversations/nobody')).status).toBe(404);
      },
      { timeout: 10_000 },
    );
  });
});

describe('the end', () => {
  test('G1: what is pending is brought to Supabase before the service ends', async () => {
    const service = await start();
    const path = await begin(service, 'drained');
    const texts = Array.from({ length: 30 }, (_, i) => `sentence ${i}`);
    for (const text of texts) {
      expect((await post(`${path}/turns`, { role: 'caller', text })).status).toBe(201);
    }
    await service.stop();
    const stored = new StoredTurns(stack.supabase.url, stack.supabase.secretKey);
    expect((await stored.of('drained')).map(({ text }) => text)).toEqual(texts);
  });

  test('a request under way is answered, a new one is not taken', async () => {
    const program = runMain(env);
    await program.wrote('"msg":"listening"');
    const url = /"url":"([^"]+)"/.exec(program.output)?.[1] ?? '';
    const socket = await connected({ url });
    const body = JSON.stringify({ id: 'slow-client' });
    const headers = `content-type: application/json\r\ncontent-length: ${body.length}`;
    socket.write(`POST /conversations HTTP/1.1\r\nhost: x\r\n${headers}\r\n\r\n${body[0]}`);
    // An answer on another connection: by now the first request is known of.
    await fetch(`${url}/healthz`);
    program.kill('SIGTERM');
    await program.wrote('"msg":"draining"');
    await vi.waitFor(() => expect(fetch(`${url}/healthz`)).rejects.toThrow());
    socket.write(body.slice(1));
    const [answer] = await once(socket, 'data');
    expect(String(answer)).toContain('HTTP/1.1 201');
    expect((await program.ended).code).toBe(0);
    socket.destroy();
  });

  test('a second signal ends at once', async () => {
    const program = runMain(env);
    await program.wrote('"msg":"listening"');
    const url = /"url":"([^"]+)"/.exec(program.output)?.[1] ?? '';
    expect((await post(`${url}/conversations`, { id: 'not-drained' })).status).toBe(201);
    stack.supabase.freeze();
    program.kill('SIGTERM');
    await program.wrote('"msg":"draining"');
    const before = performance.now();
    program.kill('SIGINT');
    expect((await program.ended).code).toBe(130);
    expect(performance.now() - before).toBeLessThan(1000);
  });
});

async function connected({ url }: { readonly url: string }): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = createConnection(Number(port), hostname);
  await once(socket, 'connect');
  return socket;
}
