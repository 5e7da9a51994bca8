/** What the tests of the journal share: a process to be killed, and directories. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { countFault } from '@cache/testing';
import { LOCK_NAME } from '../../../src/write/journal/lock.ts';
import { until } from '../support.ts';

const WRITER = fileURLToPath(new URL('./writer.ts', import.meta.url));

type Said = Acknowledged | { readonly kind: 'ready' } | { readonly kind: 'done' };

export interface Acknowledged {
  readonly kind: 'record' | 'item';
  readonly key: string;
  readonly n: number;
  readonly held: readonly string[];
}

export interface WriterOptions {
  readonly redis: string;
  readonly url: string;
  readonly key: string;
  readonly journal: { readonly dir: string; readonly mode: 'fallback' | 'always' };
  readonly records: readonly string[];
  readonly log: string;
  readonly rounds: number;
}

/** An instance in a process of its own. */
export class Writer {
  readonly acknowledged: Acknowledged[] = [];
  readonly #child: ChildProcess;
  #isReady = false;
  #isDone = false;

  constructor(options: WriterOptions) {
    const child = spawn(
      process.execPath,
      ['--conditions=@cache/source', WRITER, JSON.stringify(options)],
      { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, NODE_OPTIONS: '' } },
    );
    if (child.stdout === null) throw new Error('no output');
    createInterface(child.stdout).on('line', (line) => {
      const said: Said = JSON.parse(line);
      if (said.kind === 'ready') this.#isReady = true;
      else if (said.kind === 'done') this.#isDone = true;
      else this.acknowledged.push(said);
    });
    this.#child = child;
  }

  async ready(): Promise<void> {
    // A process is started for this, on machines that others use too.
    await until(() => this.#isReady || this.#isGone, 'a writer that is ready', 120_000);
    if (this.#isGone) throw new Error('the writer ended before it was ready');
  }

  go(): void {
    this.#child.stdin?.write('go\n');
  }

  /** All its writes were acknowledged, or rejected. */
  async done(): Promise<void> {
    await until(() => this.#isDone, 'a writer that is done');
  }

  /** SIGKILL: nothing is drained. Resolves when it is gone, and what it said was heard. */
  async kill(): Promise<void> {
    if (this.#isGone) return;
    const gone = once(this.#child, 'close');
    countFault('kill');
    this.#child.kill('SIGKILL');
    await gone;
  }

  get #isGone(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }
}

/** Directories that are gone when the test is. */
export class Directories {
  readonly #all: string[] = [];

  make(): string {
    const dir = mkdtempSync(join(tmpdir(), 'cache-journal-'));
    this.#all.push(dir);
    return dir;
  }

  /** What a process that is killed at this moment leaves of its journal. */
  copyOf(dir: string): string {
    const copy = this.make();
    cpSync(dir, copy, { recursive: true, filter: (name) => !name.endsWith(LOCK_NAME) });
    return copy;
  }

  removeAll(): void {
    for (const dir of this.#all.splice(0)) rmSync(dir, { recursive: true, force: true });
  }
}

/** The segments in a directory, in their order. */
export function segmentsIn(dir: string): readonly string[] {
  if (!existsSync(dir)) return [];
  return readdirSync(dir)
    .filter((name) => name.endsWith('.journal'))
    .sort();
}

/** Whether any file of a journal holds this text. */
export function holdsText(dir: string, text: string): boolean {
  return readdirSync(dir).some((name) => readFileSync(join(dir, name)).includes(text));
}
