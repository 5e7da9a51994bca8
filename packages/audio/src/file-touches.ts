/**
 * Which clips were heard, until it is written down: in batches, about once a second, because a
 * write for every hearing would cost more than the hearing; and one clip at a time, because each
 * takes a thread of the few by which clips are read. What a process that is killed had not written
 * yet is lost: hearings of about a second, never a clip.
 */
import type { Clock } from '@cache/core';
import type { ClipDirectory } from './clip-directory.ts';
import { addedUse, type Use } from './clip-file.ts';

const EVERY_MS = 1_000;
/** More clips than this are not remembered between two batches: the rest counts next time. */
const MAX_REMEMBERED = 10_000;

export class FileTouches {
  readonly #clock: Clock;
  readonly #flush: () => void;
  #pending = new Map<string, Use>();
  /** What is being written down. */
  #batch: ReadonlyMap<string, Use> = new Map();
  #cancel: (() => void) | undefined;
  /** One batch after the other: figures are read, added to, and written. */
  #writing: Promise<void> = Promise.resolve();

  /** `flush` is called when it is time to write down what is pending. */
  constructor(clock: Clock, flush: () => void) {
    this.#clock = clock;
    this.#flush = flush;
  }

  /** `expiresAt`: to when its life is prolonged by that, or 0. */
  add(key: string, at: number, expiresAt: number): void {
    const before = this.#pending.get(key);
    if (before === undefined && this.#pending.size >= MAX_REMEMBERED) return;
    this.#pending.set(key, addedUse(before, { lastAccessedAt: at, accessCount: 1, expiresAt }));
    this.#cancel ??= this.#clock.after(EVERY_MS, () => {
      this.#cancel = undefined;
      this.#flush();
    });
  }

  /** To when a clip was prolonged, as far as it is not written down yet, or 0. */
  prolongedTo(key: string): number {
    const times = [this.#pending, this.#batch].map((uses) => uses.get(key)?.expiresAt ?? 0);
    return Math.max(...times);
  }

  /** Never rejects: what can't be written is not worth a failure. */
  writeTo(directory: ClipDirectory): Promise<void> {
    this.#writing = this.#writing.then(() => this.#write(directory));
    return this.#writing;
  }

  /** Nothing is written by itself any more. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  async #write(directory: ClipDirectory): Promise<void> {
    this.#batch = this.#pending;
    this.#pending = new Map();
    for (const [key, use] of this.#batch) await directory.addUse(key, use).catch(() => {});
    this.#batch = new Map();
  }
}
