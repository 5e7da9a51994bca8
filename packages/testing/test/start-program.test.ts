/** A program for a first look: its servers, its service, its text, and its end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

const PROGRAM = fileURLToPath(new URL('./started/program.ts', import.meta.url));
let folder: string;
let migrations: readonly string[];
let child: ChildProcess | undefined;

afterEach(() => void child?.kill('SIGKILL'));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'start-program-'));
  migrations = await Promise.all(
    ['first', 'second'].map(async (name, nth) => {
      const own = join(folder, name);
      await mkdir(own);
      await writeFile(join(own, `2026010${nth + 1}000000_${name}.sql`), `create table ${name} ();`);
      return own;
    }),
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs it until it wrote this, if it does, then asks it to end. */
async function run(until: string, env: Readonly<Record<string, string>>) {
  const args = ['--conditions=@cache/source', PROGRAM, join(folder, 'data'), ...migrations];
  const inherited = { PATH: process.env.PATH ?? '', HOME: folder, REDIS_URL: 'off' };
  const own = spawn(process.execPath, args, { env: { ...inherited, ...env }, cwd: folder });
  child = own;
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    own[name].setEncoding('utf8').on('data', (text: string) => {
      const isNew = !output.stdout.includes(until);
      output[name] += text;
      if (isNew && output.stdout.includes(until)) own.kill('SIGTERM');
    });
  }
  const [code, signal] = await once(own, 'close');
  return { code: code ?? signal, ...output };
}

test('several folders of migrations, defaults where nothing is set, and what to paste', async () => {
  const { code, stdout, stderr } = await run('Ctrl-C', { GIVEN: 'by its user', MADE_UP: ' ' });
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toContain(
    '{"GIVEN":"by its user","MADE_UP":"by default","first":200,"second":200}',
  );
  expect(stdout).toMatch(/^Redis {8}off$/m);
  expect(stdout).toMatch(/^Data {9}data$/m);
  expect(stdout).toMatch(/^ {2}curl -s http:\/\/127\.0\.0\.1:\d+\/things$/m);
  // The service is closed before its servers are.
  expect(stdout).toMatch(/SIGTERM: draining\..*\nclosed\nStopped\.\n$/s);
}, 240_000);

test('a fault that its user can mend is told in one line, with code 1, and nothing stays', async () => {
  const { code, stderr } = await run('Ctrl-C', { GIVEN: 'wrong' });
  expect([code, stderr]).toEqual([1, 'GIVEN takes a word, got "wrong"\n']);
  // Its servers and its lock are gone: the next one starts.
  expect((await run('Ctrl-C', {})).code).toBe(0);
}, 240_000);
