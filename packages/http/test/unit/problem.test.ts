import {
  ClosedError,
  CodecError,
  ConfigError,
  ConflictError,
  KeyError,
  LoadError,
  OverloadedError,
  SchemaError,
  TierError,
  TimeoutError,
  UnavailableError,
} from '@cache/core';
import { HTTPException } from 'hono/http-exception';
import { expect, test } from 'vitest';
import { problem, problemOf } from '../../src/problem.ts';

test.each([
  [new KeyError('key must not be empty'), 400],
  [new CodecError('value.at: a function'), 422],
  [new ConflictError('the key exists'), 409],
  [new UnavailableError('no tier could say'), 503],
  [new OverloadedError('the outbox is full'), 503],
  [new TimeoutError('5 s have passed'), 503],
  [new TierError('Redis is away', 'unreachable'), 503],
  [new ClosedError('the cache is closed'), 503],
  [new LoadError('the loader failed'), 502],
])('%s', async (error, status) => {
  const response = problemOf(error).response();
  expect(response.status).toBe(status);
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  expect(response.headers.get('retry-after')).toBe(status === 502 || status === 503 ? '1' : null);
  expect(await response.json()).toMatchObject({
    type: 'about:blank',
    status,
    detail: error.message,
    code: error.code,
  });
});

test('a rejected write says whether it may have taken effect', () => {
  const { problem } = problemOf(new UnavailableError('no tier', { outcome: 'unknown' }));
  expect(problem.outcome).toBe('unknown');
  expect(problemOf(new UnavailableError('no tier')).problem).not.toHaveProperty('outcome');
});

test('a value that its schema refuses is told part by part', () => {
  const issues = [{ path: '$.state', message: 'expected a string' }];
  const { problem } = problemOf(new SchemaError('does not fit', issues));
  expect(problem).toMatchObject({ status: 422, errors: issues });
});

test('an error that nobody planned for, or of the configuration, shows nothing of itself', async () => {
  const cause = new Error('password hunter2 at /srv/secret.ts');
  for (const error of [cause, 'hunter2', null, new ConfigError('hunter2', { cause })]) {
    const response = problemOf(error).response();
    const text = await response.text();
    expect(response.status).toBe(500);
    expect(text).not.toMatch(/hunter2|secret|stack|at /);
  }
});

test('the causes of an error stay inside', async () => {
  const error = new UnavailableError('no tier could say', { cause: new Error('hunter2') });
  expect(await problemOf(error).response().text()).not.toContain('hunter2');
});

test('what the framework refuses has the same shape', async () => {
  const { problem } = problemOf(new HTTPException(415, { message: 'Unsupported Media Type' }));
  expect(problem).toEqual({
    type: 'about:blank',
    title: 'Unsupported Media Type',
    status: 415,
    detail: 'Unsupported Media Type',
  });
});

test('a report travels along, and can not pose as the status', async () => {
  const response = problem(503, 'Something remains.', { remaining: 3, status: 200 });
  expect(response.status).toBe(503);
  expect(await response.json()).toMatchObject({ status: 503, remaining: 3 });
});
