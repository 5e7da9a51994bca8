/** Two processes and one directory. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, expect, it } from 'vitest';
import { ConfigError } from '../../../src/errors.ts';
import { lockDirectory } from '../../../src/write/journal/lock.ts';
import { Directories } from './support.ts';

const LOCK = new URL('../../../src/write/journal/lock.ts', import.meta.url).href;
const HOLDER = `
  const { lockDirectory } = await import(${JSON.stringify(LOCK)});
  lockDirectory(process.argv[1]);
  process.stdout.write('locked');
  setInterval(() => {}, 1000);
`;

const directories = new Directories();
let child: ChildProcess | undefined;
afterEach(async () => {
  if (child?.exitCode === null && child.signalCode === null) await kill(child);
  directories.removeAll();
});

async function kill(one: ChildProcess): Promise<void> {
  const gone = once(one, 'exit');
  one.kill('SIGKILL');
  await gone;
}

async function holder(dir: string): Promise<ChildProcess> {
  const args = ['--conditions=@cache/source', '--input-type=module', '-e', HOLDER, dir];
  child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  if (child.stdout === null) throw new Error('no output');
  await once(child.stdout, 'data');
  return child;
}

it('a directory is locked against a second process, and free at once when the first was killed', async () => {
  const dir = directories.make();
  const first = await holder(dir);
  expect(() => lockDirectory(dir)).toThrow(ConfigError);
  // A process that stands still is not dead: its lock holds.
  first.kill('SIGSTOP');
  expect(() => lockDirectory(dir)).toThrow(/another process/);
  await kill(first);
  const release = lockDirectory(dir);
  release();
});

it('a directory is locked against a second cache of the same process, until the first is closed', () => {
  const dir = directories.make();
  const release = lockDirectory(dir);
  expect(() => lockDirectory(dir)).toThrow(/another process, or another cache/);
  release();
  lockDirectory(dir)();
});
