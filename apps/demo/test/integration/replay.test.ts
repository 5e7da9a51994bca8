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

test('what the agent says is spoken and accounted for; played again, nothing is synthesised', async () => {
  const turns = [
    { role: 'caller', text: 'Hello?', at: 1 },
    { role: 'agent', text: 'Welcome to the hotel.', at: 2 },
    { role: 'agent', text: 'How can I help?', at: 3 },
    { role: 'agent', text: 'Welcome to the hotel.', at: 4 },
  ];
  const file = join(directory, 'spoken.jsonl');
  await writeFile(file, JSON.stringify({ id: 'spoken', turns }));
  const audio = join(directory, 'audio');
  const args = [file, '--speak', '--audio', audio, '--price', '100', '--instances', '1'];
  const first = await runProgram('replay', args).ended;
  expect(first.stdout).toContain(
    '3 sentences were heard, 1 of them from the cache (33.3 %); 2 were',
  );
  // 21 characters twice and 15 once, at a tenth of a dollar each.
  expect(first.stdout).toContain('would have cost 5.70 USD; it did cost 3.60 USD: 2.10 USD saved.');
  expect([first.code, first.stderr]).toEqual([0, '']);
  const second = await runProgram('replay', args).ended;
  expect(second.stdout).toContain('3 of them from the cache (100.0 %); 0 were synthesised.');
  expect(second.stdout).toContain('it did cost 0.00 USD: 5.70 USD saved.');
  expect(second.stdout).toMatch(/ file +│ +2 /);
}, 90_000);

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
