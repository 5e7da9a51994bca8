/**
 * One thread that speaks, renewed as it gets used up.
 *
 *   none → busy   a job came: the thread is started
 *   busy → idle   the queue is empty: it keeps no process alive, and waits
 *   idle → busy   a job came
 *   any  → none   after `renewAfter` jobs, when it fails, when a job takes too long; what waits
 *                 goes to the next one, and only the job at fault fails
 *   any  → closed what waits is told so
 *
 * One job runs at a time: there is no more to win, and the program is not made for it.
 */
import { Worker } from 'node:worker_threads';
import { ProviderError } from '@cache/audio';
import type { Clock } from '@cache/core';
import type { Job, JobDone } from './job.ts';

export interface VoiceThreadOptions {
  readonly renewAfter: number;
  readonly maxQueue: number;
  readonly jobMs: number;
  readonly clock: Clock;
}

interface Waiting {
  readonly job: Job;
  readonly resolve: (done: JobDone) => void;
  readonly reject: (error: unknown) => void;
}

/** Under `dist` the sources are JavaScript. */
const ADDRESS = new URL(
  import.meta.url.endsWith('.ts') ? './voice-worker.ts' : './voice-worker.js',
  import.meta.url,
);

export class VoiceThread {
  readonly #options: VoiceThreadOptions;
  readonly #queue: Waiting[] = [];
  #worker: Worker | undefined;
  #current: Waiting | undefined;
  #cancelTimer: (() => void) | undefined;
  #jobs = 0;
  #lastId = 0;
  /** Threads that were started, also to be counted. */
  #started = 0;
  #isClosed = false;
  readonly #ending = new Set<Promise<unknown>>();

  constructor(options: VoiceThreadOptions) {
    this.#options = options;
  }

  get started(): number {
    return this.#started;
  }

  /** Throws `ProviderError`; what the signal says where the caller gives up. */
  async run(
    args: readonly string[],
    text: string | undefined,
    signal?: AbortSignal,
  ): Promise<JobDone> {
    signal?.throwIfAborted();
    if (this.#isClosed) throw closed();
    if (this.#queue.length >= this.#options.maxQueue) {
      throw new ProviderError('busy', 'too many texts wait for the embedded voice');
    }
    const { promise, resolve, reject } = Promise.withResolvers<JobDone>();
    this.#lastId += 1;
    const waiting: Waiting = { job: { id: this.#lastId, args, text }, resolve, reject };
    const giveUp = () => {
      const at = this.#queue.indexOf(waiting);
      if (at !== -1) this.#queue.splice(at, 1);
      // What is being spoken is spoken to its end: a new thread would cost more.
      reject(signal?.reason);
    };
    signal?.addEventListener('abort', giveUp, { once: true });
    this.#queue.push(waiting);
    this.#next();
    try {
      return await promise;
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { reject } of this.#queue.splice(0)) reject(closed());
    this.#current?.reject(closed());
    this.#endThread();
    await Promise.all(this.#ending);
  }

  #next(): void {
    if (this.#current !== undefined || this.#isClosed) return;
    const next = this.#queue.shift();
    if (next === undefined) {
      this.#worker?.unref();
      return;
    }
    this.#current = next;
    const worker = this.#worker ?? this.#start();
    worker.ref();
    worker.postMessage(next.job);
    this.#cancelTimer = this.#options.clock.after(this.#options.jobMs, () => {
      this.#fail(new ProviderError('broken', 'the embedded voice took too long'));
    });
  }

  #start(): Worker {
    const worker = new Worker(ADDRESS, { execArgv: [], env: {}, stdout: true, stderr: true });
    this.#worker = worker;
    this.#started += 1;
    this.#jobs = 0;
    worker.on('message', (done: JobDone) => this.#finish(worker, done));
    worker.on('error', (cause) => {
      if (worker !== this.#worker) return;
      this.#fail(new ProviderError('broken', 'the embedded voice failed', { cause }));
    });
    worker.on('exit', () => {
      if (worker !== this.#worker) return;
      this.#fail(new ProviderError('broken', 'the embedded voice ended'));
    });
    return worker;
  }

  #finish(worker: Worker, done: JobDone): void {
    const { job, resolve } = this.#current ?? {};
    if (worker !== this.#worker || job?.id !== done.id) return;
    this.#cancelTimer?.();
    this.#current = undefined;
    this.#jobs += 1;
    resolve?.(done);
    if (this.#jobs >= this.#options.renewAfter) this.#endThread();
    this.#next();
  }

  #fail(error: ProviderError): void {
    this.#current?.reject(error);
    this.#endThread();
    this.#next();
  }

  #endThread(): void {
    this.#cancelTimer?.();
    this.#current = undefined;
    const worker = this.#worker;
    this.#worker = undefined;
    if (worker === undefined) return;
    const ending: Promise<unknown> = worker.terminate().finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }
}

function closed(): ProviderError {
  return new ProviderError('unavailable', 'the embedded voice was closed');
}
