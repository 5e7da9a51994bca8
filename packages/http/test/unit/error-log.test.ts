import type { Logger } from '@cache/core';
import { expect, it } from 'vitest';
import { ProblemError } from '../../src/problem.ts';
import { errorLog } from '../../src/request-log.ts';

type Line = readonly [level: 'warn' | 'error', details: object, text: string | undefined];

function logged(error: unknown, status: number): Line | undefined {
  const lines: Line[] = [];
  const at = (level: 'warn' | 'error') => (details: object, text?: string) =>
    void lines.push([level, details, text]);
  const silent = () => {};
  const logger: Logger = { info: silent, debug: silent, warn: at('warn'), error: at('error') };
  errorLog(logger)(error, { method: 'GET', route: '/', status });
  return lines[0];
}

it('G9: a problem that was thrown on purpose is told without frames, and without its words', () => {
  const cause = new Error('the voice said +49 30 1234');
  const line = logged(new ProblemError(502, 'The voice did not answer: hello', {}, {}), 502);
  expect(line).toEqual([
    'warn',
    { method: 'GET', status: 502, error: { name: 'ProblemError' } },
    'unavailable',
  ]);
  expect(JSON.stringify(logged(cause, 503))).not.toMatch(/1234|frames/);
});

it('what nobody planned is told with where it comes from, and without its words', () => {
  const line = logged(new TypeError('secret is undefined'), 500);
  expect(line).toMatchObject(['error', { error: { name: 'TypeError' } }, 'error']);
  expect(JSON.stringify(line)).toMatch(/frames/);
  expect(JSON.stringify(line)).not.toMatch(/secret/);
});
