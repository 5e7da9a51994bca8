/**
 * Processes that share a Redis, and the source that all of them load from. The source is in this
 * process: it outlives every one of them and counts each load, in the order in which they began.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { countFault } from '@cache/testing';
import type { z } from 'zod';
import {
  type CallAnswer,
  type FromWorker,
  fromWorkerSchema,
  type lookSchema,
  type Settings,
} from './worker.ts';

const WORKER = fileURLToPath(new URL('./worker.ts', import.meta.url));

/** A load that a process began. */
export interface Load {
  readonly worker: Worker;
  readonly key: string;
  /** From 1, over all processes. */
  readonly nth: number;
}

/** Answers the loads of all processes, each with its number. */
export class Source {
  readonly loads: Load[] = [];
  /** How long one takes. */
  readonly ms: number;
  /** Loads that are never answered. */
  isStuck: (load: Load) => boolean = () => false;
  readonly #listeners = new Set<() => void>();

  constructor(ms: number) {
    this.ms = ms;
  }

  async load(worker: Worker, key: string): Promise<unknown> {
    const load = { worker, key, nth: this.loads.length + 1 };
    this.loads.push(load);
    for (const listener of this.#listeners) listener();
    if (this.isStuck(load)) await new Promise(() => {});
    await delay(this.ms);
    return { nth: load.nth };
  }

  /** Resolves when so many loads have begun, with the last of them. */
  async begun(count: number): Promise<Load> {
    for (;;) {
      const load = this.loads[count - 1];
      if (load !== undefined) return load;
      await new Promise<void>((resolve) => {
        const listener = () => {
          this.#listeners.delete(listener);
          resolve();
        };
        this.#listeners.add(listener);
      });
    }
  }

  /** Which process began each load. */
  get loaders(): readonly string[] {
    return this.loads.map(({ worker }) => worker.name);
  }
}

type Answered = Extract<FromWorker, { readonly id: number }>;
type Asked =
  | { readonly do: 'burst'; readonly key: string; readonly count: number }
  | { readonly do: 'invalidate'; readonly tag: string }
  | { readonly do: 'look' }
  | { readonly do: 'close' };

export class Worker implements AsyncDisposable {
  readonly name: string;
  /** Resolves when its cache is ready. */
  readonly ready: Promise<void>;
  readonly #process: ChildProcess;
  readonly #source: Source;
  readonly #asked = new Map<number, PromiseWithResolvers<Answered>>();
  readonly #isReady = Promise.withResolvers<void>();
  #questions = 0;

  constructor(name: string, source: Source, settings: Settings) {
    this.name = name;
    this.#source = source;
    this.ready = this.#isReady.promise;
    this.#process = fork(WORKER, [JSON.stringify(settings)], {
      execArgv: ['--conditions=@cache/source'],
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    this.#process.on('message', (message) => this.#hear(fromWorkerSchema.parse(message)));
    this.#process.once('exit', () => this.#gone());
  }

  /** So many callers ask for one key in the same turn of the loop. */
  async burst(key: string, count: number): Promise<readonly CallAnswer[]> {
    const answered = await this.#ask({ do: 'burst', key, count });
    if ('answers' in answered) return answered.answers;
    throw new Error(`${this.name} answered something else`);
  }

  async look(): Promise<z.infer<typeof lookSchema>> {
    const answered = await this.#ask({ do: 'look' });
    if ('look' in answered) return answered.look;
    throw new Error(`${this.name} answered something else`);
  }

  async invalidate(tag: string): Promise<void> {
    await this.#ask({ do: 'invalidate', tag });
  }

  /** SIGKILL: nothing is given back. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = once(this.#process, 'exit');
    countFault('kill');
    this.#process.kill('SIGKILL');
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #ask(asked: Asked): Promise<Answered> {
    this.#questions += 1;
    const id = this.#questions;
    const answer = Promise.withResolvers<Answered>();
    this.#asked.set(id, answer);
    this.#process.send({ id, ...asked });
    return answer.promise;
  }

  #hear(message: FromWorker): void {
    if ('ready' in message) this.#isReady.resolve();
    else if ('load' in message) void this.#load(message.load, message.key);
    else this.#asked.get(message.id)?.resolve(message);
  }

  async #load(load: number, key: string): Promise<void> {
    const value = await this.#source.load(this, key);
    if (this.#process.connected) this.#process.send({ load, value });
  }

  #gone(): void {
    const gone = new Error(`${this.name} ended`);
    this.#isReady.reject(gone);
    this.#isReady.promise.catch(() => {});
    for (const { promise, reject } of this.#asked.values()) {
      promise.catch(() => {});
      reject(gone);
    }
  }
}

/** Starts processes at once; they are killed when `stack` is disposed of. */
export async function startWorkers(
  stack: AsyncDisposableStack,
  source: Source,
  settings: Readonly<Record<string, Settings>>,
): Promise<readonly Worker[]> {
  const workers = Object.entries(settings).map(([name, own]) =>
    stack.use(new Worker(name, source, own)),
  );
  await Promise.all(workers.map(({ ready }) => ready));
  return workers;
}
