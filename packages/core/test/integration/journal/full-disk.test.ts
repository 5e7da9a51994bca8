/**
 * A disk that is full. Two honest ways to have one:
 *   tmpfs   one megabyte, mounted in a mount namespace of the child's own, so that nobody else
 *           sees it and nothing has to be unmounted. Needs root, or user namespaces.
 *   limit   `ulimit -f`: the system refuses to let a file of this process grow, after it has taken
 *           a part of the write, as a full disk does. Works everywhere, for everybody.
 */
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { Directories } from './support.ts';

const FILLING = fileURLToPath(new URL('./filling.ts', import.meta.url));

interface Report {
  readonly outcomes: Readonly<Record<string, string>>;
  readonly whileFull: { readonly writable: boolean } | undefined;
  readonly last: string;
  readonly found: readonly string[];
}

const directories = new Directories();
afterEach(() => directories.removeAll());

/** The command that gives what follows a mount namespace of its own; `undefined`: not allowed here. */
function ownMounts(): readonly string[] | undefined {
  const dir = directories.make();
  const ways = [
    ['unshare', '-m'],
    ['unshare', '-r', '-m'],
  ];
  return ways.find(([command = '', ...args]) => {
    const tried = spawnSync(command, [...args, 'mount', '-t', 'tmpfs', 'tmpfs', dir]);
    return tried.status === 0;
  });
}

async function run(command: readonly string[], script: string, args: readonly string[]) {
  const [first = 'sh', ...rest] = [...command, 'sh', '-c', script, 'sh', ...args];
  const { stdout } = await promisify(execFile)(first, rest, {
    env: { ...process.env, NODE_OPTIONS: '' },
    timeout: 60_000,
  });
  const report: Report = JSON.parse(stdout);
  const held = Object.keys(report.outcomes).filter((key) => report.outcomes[key] === 'journal');
  const rejected = Object.values(report.outcomes).filter((outcome) => outcome !== 'journal');
  return { ...report, held, rejected };
}

const NODE = `exec "${process.execPath}" --conditions=@cache/source "${FILLING}"`;

it('G1: on a full disk writes are rejected as without effect, what was acknowledged is kept whole, and with room it goes on', async () => {
  const mounts = ownMounts();
  const dir = directories.make();
  // Where nothing may be mounted, the limit below is what there is: see the next test.
  const [command, script] =
    mounts === undefined
      ? [[], `ulimit -f 500; mkdir "$1/journal"; ${NODE} "$1/journal" "$1/ballast"`]
      : [
          mounts,
          `mount -t tmpfs -o size=1m tmpfs "$1" && mkdir "$1/journal" &&
           head -c 300000 /dev/zero > "$1/ballast" && ${NODE} "$1/journal" "$1/ballast"`,
        ];
  const { held, rejected, whileFull, last, found } = await run(command, script, [dir]);
  expect(held.length).toBeGreaterThan(4);
  expect(rejected.length).toBeGreaterThan(0);
  for (const outcome of rejected) expect(outcome).toBe('OVERLOADED none');
  if (mounts !== undefined) expect(whileFull).toMatchObject({ writable: false });
  expect(last).toBe('journal');
  expect(found).toEqual([...held, 'last']);
});

it('G1: a file that may not grow is a full disk for one batch: rejected, cut off, and the next file takes over', async () => {
  const dir = directories.make();
  mkdirSync(join(dir, 'journal'));
  const script = `ulimit -f 500; ${NODE} "$1/journal" "$1/ballast"`;
  const { held, rejected, last, found } = await run([], script, [dir]);
  expect(held.length).toBeGreaterThan(20);
  expect(rejected.length).toBeGreaterThan(0);
  for (const outcome of rejected) expect(outcome).toBe('OVERLOADED none');
  expect(last).toBe('journal');
  expect(found).toEqual([...held, 'last']);
});
