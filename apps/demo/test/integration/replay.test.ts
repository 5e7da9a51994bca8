/** `npm run replay` as a program. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runProgram } from '../support/program.ts';

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cache-replay-'));
});

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

test('G1: the example is played without an error, and Supabase has every turn of it', async () => {
  const { code, stdout, stderr } = await runProgram('replay', []).ended;
  expect(stdout).toMatch(/20 calls, 161 turns in [\d.]+ s: 0 errors/);
  for (const tier of ['l1', 'l2', 'l3']) expect(stdout).toMatch(new RegExp(`read +│ ${tier} `));
  expect(stdout).toContain('20 calls, 161 turns: every turn of every call, once and in order.');
  expect([code, stderr]).toEqual([0, '']);
}, 60_000);

test('a bad line is named, and nothing is played', async () => {
  const file = join(directory, 'bad.jsonl');
  await writeFile(file, '{"id":"a","turns":[]}\n{"id":"b"}\n');
  const { code, stdout, stderr } = await runProgram('replay', [file]).ended;
  expect(stderr).toMatch(/bad\.jsonl, line 2: turns: /);
  expect([code, stdout]).toEqual([1, '']);
});

test('an option that can not be used says what it takes', async () => {
  const { code, stderr } = await runProgram('replay', ['--concurrency', '0']).ended;
  expect(stderr).toContain('It takes a whole number from 1 to 256.');
  expect(code).toBe(1);
});
