/** Hearings of clips, gathered, and written together every second. Lost with the process. */
import type { Clock } from '@cache/core';

export interface Touch {
  readonly count: number;
  /** Epoch milliseconds. */
  readonly at: number;
  /** 0: its life does not slide. */
  readonly expiresAt: number;
}

const FLUSH_MS = 1000;
/** Beyond it a hearing is not counted: the clip is popular enough without. */
const MOST = 10_000;

export class Touches {
  readonly #clock: Clock;
  readonly #write: (key: string, touch: Touch) => Promise<unknown>;
  #gathered = new Map<string, Touch>();
  #cancel: (() => void) | undefined;
  #isClosed = false;

  constructor(clock: Clock, write: (key: string, touch: Touch) => Promise<unknown>) {
    this.#clock = clock;
    this.#write = write;
  }

  add(key: string, at: number, expiresAt: number): void {
    const so = this.#gathered.get(key);
    if (this.#isClosed || (so === undefined && this.#gathered.size >= MOST)) return;
    this.#gathered.set(key, {
      count: (so?.count ?? 0) + 1,
      at: Math.max(so?.at ?? 0, at),
      expiresAt: Math.max(so?.expiresAt ?? 0, expiresAt),
    });
    this.#cancel ??= this.#clock.after(FLUSH_MS, () => void this.flush());
  }

  forget(key: string): void {
    this.#gathered.delete(key);
  }

  /** Never rejects: what can't be written is forgotten. */
  async flush(): Promise<void> {
    this.#cancel?.();
    this.#cancel = undefined;
    const gathered = this.#gathered;
    this.#gathered = new Map();
    await Promise.allSettled([...gathered].map(([key, touch]) => this.#write(key, touch)));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.flush();
  }
}
