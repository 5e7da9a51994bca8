/**
 * What a clip waits for before its first byte. Between two turns in the pool of threads it waits for
 * whoever is in front of it there, and for the event loop: figures that grow with the load, while
 * the number of turns does not.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { Shelves } from './support.ts';

const PROGRAM = fileURLToPath(new URL('./pool-turns.ts', import.meta.url));

const shelves = new Shelves();
afterEach(() => shelves.close());

it('a clip of 1 MB is read and unpacked in a handful of turns, and hearings that are written down are one job at a time', async () => {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--conditions=@cache/source', PROGRAM, shelves.dir()],
    { env: { ...process.env, NODE_OPTIONS: '', UV_THREADPOOL_SIZE: '1' } },
  );
  const turns: unknown = JSON.parse(stdout);
  const isFew = (most: number) => expect.toSatisfy((n: number) => n > 0 && n <= most);
  // In steps of 16 KB it would be sixty, and with eight hearings at once, forty.
  expect(turns).toEqual({ unpacking: isFew(4), reading: isFew(8), beside: isFew(16) });
}, 60_000);
