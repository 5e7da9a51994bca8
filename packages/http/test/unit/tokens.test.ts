import { Hono } from 'hono';
import { expect, test } from 'vitest';
import { problemOf } from '../../src/problem.ts';
import { type AuthOptions, Tokens } from '../../src/tokens.ts';

const all: AuthOptions = { adminToken: 'boss', apiToken: 'user', metricsToken: 'graph' };

function served(auth: AuthOptions): Hono {
  const tokens = new Tokens(auth);
  const app = new Hono();
  app.get('/admin', tokens.admin, (c) => c.text('in'));
  app.get('/api', tokens.api, (c) => c.text('in'));
  app.get('/metrics', tokens.metrics, (c) => c.text('in'));
  app.onError((error) => problemOf(error).response());
  return app;
}

async function statuses(auth: AuthOptions, authorization?: string): Promise<number[]> {
  const app = served(auth);
  const headers = new Headers(authorization === undefined ? {} : { authorization });
  const answers = await Promise.all(
    ['/admin', '/api', '/metrics'].map((path) => app.request(path, { headers })),
  );
  return answers.map((answer) => answer.status);
}

test('the admin token opens everything, the others only their own', async () => {
  expect(await statuses(all, 'Bearer boss')).toEqual([200, 200, 200]);
  expect(await statuses(all, 'Bearer user')).toEqual([401, 200, 401]);
  expect(await statuses(all, 'Bearer graph')).toEqual([401, 401, 200]);
  expect(await statuses(all)).toEqual([401, 401, 401]);
});

test('G9: without tokens the application is open and the administration closed', async () => {
  expect(await statuses({})).toEqual([401, 200, 200]);
  for (const authorization of ['Bearer ', 'Bearer undefined', 'Bearer', '']) {
    expect(await statuses({}, authorization)).toEqual([401, 200, 200]);
    expect(await statuses({ adminToken: '' }, authorization)).toEqual([401, 200, 200]);
  }
});

test.each([
  'Bearer bos',
  'Bearer boss2',
  'Bearer BOSS',
  'Bearer boss user',
  'Bearer boss, Bearer boss',
  'Basic boss',
  'boss',
  'Bearerboss',
])('%s is nobody', async (authorization) => {
  expect(await statuses(all, authorization)).toEqual([401, 401, 401]);
});

test('the scheme is read in any case, as the standard has it', async () => {
  expect(await statuses(all, 'bearer boss')).toEqual([200, 200, 200]);
});

test('the refusal says what is needed, and whether there was a token at all', async () => {
  const app = served(all);
  const without = await app.request('/api');
  expect(without.headers.get('www-authenticate')).toBe('Bearer');
  expect(await without.json()).toMatchObject({
    status: 401,
    detail: 'This needs the api token: send it as "Authorization: Bearer <token>".',
  });
  const wrong = await app.request('/api', { headers: { authorization: 'Bearer hunter2' } });
  expect(wrong.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"');
  expect(await wrong.text()).not.toContain('hunter2');
});
