/** What routes answer alike, where a tier says nothing or a loader fails. */
import { LoadError, TimeoutError, UnavailableError } from '@cache/core';
import { expect, test } from 'vitest';
import { found, noSuch, orUnknown, ProblemError, problemOf } from '../../src/index.ts';

test('what is there is found, and what is not is 404 by its name', () => {
  expect(found(0, 'book')).toBe(0);
  const missing = () => found(undefined, 'book');
  expect(missing).toThrow(ProblemError);
  expect(missing).toThrow('There is no such book.');
});

test('G3: what nobody knows of is 404 only where that is sure, and 503 with a time to try again where it is not', () => {
  expect(noSuch('call').problem.status).toBe(404);
  const unsure = noSuch('call', { isSure: false });
  expect([unsure.problem.status, unsure.headers]).toEqual([503, { 'retry-after': '1' }]);
});

test('a question that nobody answers is unknown, and any other fault is thrown', async () => {
  expect(await orUnknown(Promise.resolve(undefined))).toBeUndefined();
  const silences = [new UnavailableError('a'), new TimeoutError('b'), new LoadError('c')];
  for (const error of silences) expect(await orUnknown(Promise.reject(error))).toBe('unknown');
  await expect(orUnknown(Promise.reject(new RangeError('bug')))).rejects.toThrow(RangeError);
});

test('a loader that knows what to answer is heard, any other failed one is 502', () => {
  const busy = new ProblemError(503, 'busy');
  expect(problemOf(new LoadError('a load', { cause: busy }))).toBe(busy);
  expect(problemOf(new LoadError('a load', { cause: new Error('x') })).problem.status).toBe(502);
});
