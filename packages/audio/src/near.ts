/**
 * L1: the clips of this process, in memory, bounded by bytes. A clip is here only together with a
 * store that has it, or that is about to; it goes when it is voided anywhere in the fleet.
 */
import type { Clock } from '@cache/core';
import { LRUCache } from 'lru-cache';
import type { Clip } from './store.ts';

interface Held {
  readonly clip: Clip;
  readonly until: number;
  expiresAt: number;
}

/** What metadata and bookkeeping weigh beside the bytes. */
const OVERHEAD = 1024;

export class Near {
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #held: LRUCache<string, Held> | undefined;

  /** `maxBytes` of 0: nothing is kept. */
  constructor(clock: Clock, maxBytes: number, ttlMs: number) {
    this.#clock = clock;
    this.#ttlMs = ttlMs;
    this.#held =
      maxBytes === 0
        ? undefined
        : new LRUCache<string, Held>({
            maxSize: maxBytes,
            sizeCalculation: ({ clip }) => clip.bytes.byteLength + OVERHEAD,
          });
  }

  get entries(): number {
    return this.#held?.size ?? 0;
  }

  get bytes(): number {
    return this.#held?.calculatedSize ?? 0;
  }

  /** What is the answer now: never what is stale. */
  get(key: string): Clip | undefined {
    const held = this.#held?.get(key);
    if (held === undefined) return undefined;
    if (this.#clock.monotonic() < held.until && this.#clock.now() < held.expiresAt)
      return held.clip;
    this.#held?.delete(key);
    return undefined;
  }

  set(key: string, clip: Clip): void {
    const until = this.#clock.monotonic() + this.#ttlMs;
    this.#held?.set(key, { clip, until, expiresAt: clip.metadata.expiresAt });
  }

  /** Its life slides. */
  prolong(key: string, expiresAt: number): void {
    const held = this.#held?.peek(key);
    if (held !== undefined) held.expiresAt = Math.max(held.expiresAt, expiresAt);
  }

  delete(key: string): boolean {
    return this.#held?.delete(key) ?? false;
  }

  /** Those that `which` names; all where it is left out. */
  clear(which?: (clip: Clip) => boolean): void {
    if (which === undefined) {
      this.#held?.clear();
      return;
    }
    for (const [key, { clip }] of this.#held?.entries() ?? []) {
      if (which(clip)) this.#held?.delete(key);
    }
  }
}
