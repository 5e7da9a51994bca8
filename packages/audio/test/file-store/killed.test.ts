/**
 * kill -9 in the middle of storing. `AUDIO_KILLS` (default 6) processes, two at a time on the same
 * directory: every other one is killed while a file of its own is half written, the rest at moments
 * drawn from a seed. Each has stored a clip of its own before, however slow the machine is: that one
 * has to be there in the end. How far it came beyond that depends on speed, and nothing here does.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import { watch } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as after } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { bodyOf, entriesOf, filesIn, keyOf, realClock, Shelves } from './support.ts';

const KILLS = Number(process.env.AUDIO_KILLS ?? 6);
/** A process is started for each, on machines that others use too. */
const TIMEOUT_MS = 60_000 + KILLS * 3_000;

const shelves = new Shelves();
afterEach(() => shelves.close());

class Program {
  readonly #child: ChildProcess;
  readonly #gone: Promise<unknown>;
  readonly #spoke: Promise<unknown>;

  constructor(name: string, ...args: readonly string[]) {
    const file = fileURLToPath(new URL(name, import.meta.url));
    const command = ['--conditions=@cache/source', file, ...args];
    const env = { ...process.env, NODE_OPTIONS: '' };
    const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'inherit'], env });
    this.#child = child;
    this.#gone = once(child, 'close');
    this.#spoke = child.stdout === null ? this.#gone : once(child.stdout, 'data');
  }

  async going(): Promise<void> {
    const said = await Promise.race([this.#spoke.then(() => 'going'), this.#gone]);
    if (said !== 'going') throw new Error('the program ended before it was going');
  }

  /** Stopped where a file of its is half written, so that the kill is sure to come in the middle. */
  async stopInTheMiddle(dir: string): Promise<void> {
    const isOwn = (name: string) => name.endsWith('.part') && name.includes(`-${this.#child.pid}-`);
    for await (const { filename } of watch(dir)) {
      if (filename === null || !isOwn(filename)) continue;
      this.#child.kill('SIGSTOP');
      if (readdirSync(dir).some(isOwn)) return;
      this.#child.kill('SIGCONT');
    }
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#gone;
  }
}

/** A seeded number below `below`. */
function draw(seed: number, below: number): number {
  let x = Math.imul(seed + 1, 0x9e3779b1) >>> 0;
  x = Math.imul(x ^ (x >>> 15), 0x85ebca6b) >>> 0;
  return ((x ^ (x >>> 13)) >>> 0) % below;
}

it(
  `after ${KILLS} kills in the middle of storing: no corrupt clip, no orphan, true figures`,
  async () => {
    const dir = shelves.dir();
    let partsSeen = 0;
    let next = new Program('./storing-forever.ts', dir, 'first');
    for (let n = 0; n < KILLS; n += 1) {
      const victim = next;
      next = new Program('./storing-forever.ts', dir, `${n}`);
      await victim.going();
      if (n % 2 === 0) await victim.stopInTheMiddle(dir);
      else await after(draw(n, 40));
      await victim.kill();
      partsSeen += readdirSync(dir).filter((name) => name.endsWith('.part')).length;
    }
    await next.going();
    await next.kill();

    const store = shelves.open(dir, { clock: realClock });
    const entries = await entriesOf(store);
    const names = ['first', ...Array.from({ length: KILLS }, (_, n) => `${n}`)];
    const own = names.map((name) => keyOf(`own ${name}`));
    expect(entries.map(({ key }) => key)).toEqual(expect.arrayContaining(own));
    // Nothing is left but the clips that it speaks of, in their true size.
    expect(filesIn(dir)).toEqual(entries.map(({ key }) => `${key}.clip`));
    const sizes = filesIn(dir).map((name) => statSync(join(dir, name)).size);
    expect(entries.map(({ storedBytes }) => storedBytes)).toEqual(sizes);
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    expect(await store.usage()).toEqual({ entries: entries.length, bytes });
    for (const { key } of entries) {
      const found = await store.get(key);
      const preview = found?.metadata.preview ?? '';
      const length = found?.bytes.byteLength ?? 1;
      expect(Buffer.compare(bodyOf(preview, length), found?.bytes ?? Buffer.alloc(0))).toBe(0);
    }
    // A kill costs no clip: nothing was found corrupt, what was half written had another name.
    expect(store.counts.corruptRemoved).toBe(0);
    expect(partsSeen).toBeGreaterThan(0);
  },
  TIMEOUT_MS,
);

it(
  'the clean-up runs in one process at a time, and one that is killed stops nobody',
  async () => {
    const dir = shelves.dir();
    const store = shelves.open(dir);
    const other = shelves.open(dir);
    const ran: boolean[] = [];
    const outer = await store.exclusively(async () => {
      ran.push(await other.exclusively(async () => {}), await store.exclusively(async () => {}));
    });
    expect([outer, ...ran]).toEqual([true, false, false]);
    await expect(store.exclusively(() => Promise.reject(new Error('no')))).rejects.toThrow('no');

    const holder = new Program('./lock-holder.ts', dir);
    await holder.going();
    expect(await store.exclusively(async () => {})).toBe(false);
    await holder.kill();
    expect(await store.exclusively(async () => {})).toBe(true);
    // The file that bears the lock is no clip.
    expect(await store.usage()).toEqual({ entries: 0, bytes: 0 });
  },
  TIMEOUT_MS,
);
