/**
 * A disk that is full, and one that may only be read: a tmpfs, mounted in a mount namespace of the
 * child's own, so that nobody else sees it and nothing has to be unmounted. Needs root or user
 * namespaces; where neither is to be had, `ulimit -f` makes files that may not grow, as on a full
 * disk, and the read-only directory is one of another owner's rights.
 */
import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { clip, keyOf, NOW, Shelves } from './support.ts';

const PROGRAM = fileURLToPath(new URL('./on-bad-disk.ts', import.meta.url));

interface Report {
  readonly outcomes: readonly string[];
  readonly served: readonly string[];
  readonly whileBad: {
    readonly usage: { readonly entries: number };
    readonly entries: number;
    readonly deleted: string;
    readonly locked: string;
    readonly parts: number;
  };
  readonly last: string;
}

const shelves = new Shelves();
afterEach(() => shelves.close());

function ownMounts(): readonly string[] | undefined {
  const dir = shelves.dir();
  const ways = [
    ['unshare', '-m'],
    ['unshare', '-r', '-m'],
  ];
  return ways.find(([command = '', ...args]) => {
    const tried = spawnSync(command, [...args, 'mount', '-t', 'tmpfs', 'tmpfs', dir]);
    return tried.status === 0;
  });
}

async function run(command: readonly string[], script: string, dir: string): Promise<Report> {
  const [first = 'sh', ...rest] = [...command, 'sh', '-c', script, 'sh', dir];
  const { stdout } = await promisify(execFile)(first, rest, {
    env: { ...process.env, NODE_OPTIONS: '' },
    timeout: 60_000,
  });
  return JSON.parse(stdout);
}

const NODE = `exec "${process.execPath}" --conditions=@cache/source "${PROGRAM}"`;

it('on a full disk clips are refused as full, none is there by half, and with room it goes on', async () => {
  const mounts = ownMounts();
  const dir = shelves.dir();
  const report =
    mounts === undefined
      ? await run([], `ulimit -f 100; mkdir "$1/clips"; ${NODE} "$1/clips" "$1/ballast"`, dir)
      : await run(
          mounts,
          `mount -t tmpfs -o size=700k tmpfs "$1" && mkdir "$1/clips" &&
           head -c 300000 /dev/zero > "$1/ballast" && ${NODE} "$1/clips" "$1/ballast"`,
          dir,
        );
  const stored = report.outcomes.filter((outcome) => outcome === 'done').length;
  if (mounts !== undefined) expect(stored).toBeGreaterThan(2);
  expect(stored).toBeLessThan(12);
  expect(new Set(report.outcomes)).toEqual(new Set(mounts ? ['done', 'full'] : ['full']));
  expect(report.served).toEqual(
    report.outcomes.flatMap((outcome, n) => (outcome === 'done' ? [`${n}`] : [])),
  );
  expect(report.whileBad).toMatchObject({
    usage: { entries: stored },
    entries: stored,
    deleted: 'done',
    locked: 'done',
    parts: 0,
  });
  if (mounts !== undefined) expect(report.last).toBe('done');
});

it('a directory that may only be read is served from; what would change it is refused', async () => {
  const mounts = ownMounts();
  const dir = shelves.dir();
  const clips = join(dir, 'clips');
  mkdirSync(clips);
  const lasting = { expiresAt: NOW + 1e12 };
  await shelves.open(clips).put(keyOf('3'), clip('3', 60_000, lasting));
  if (mounts === undefined) chmodSync(clips, 0o500);
  const script =
    mounts === undefined
      ? `${NODE} "$1/clips" "$1/ballast"`
      : `mount --bind -o ro "$1/clips" "$1/clips" && mount -o remount,ro,bind "$1/clips" && ${NODE} "$1/clips" "$1/ballast"`;
  const report = await run(mounts ?? [], script, dir);
  chmodSync(clips, 0o700);
  expect(new Set(report.outcomes)).toEqual(new Set(['refused']));
  expect(report.served).toEqual(['3']);
  expect(report.whileBad).toMatchObject({ usage: { entries: 1 }, entries: 1, locked: 'refused' });
  expect(report.whileBad.parts).toBe(0);
  expect(report.last).toBe('refused');
});
