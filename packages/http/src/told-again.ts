/**
 * Invalidations of a service that goes on without Redis: this instance knows at once, the others
 * and Redis as soon as it is back. What could not be told is told again each AGAIN_MS, all of it
 * together, until it is heard or the service ends.
 */
import { type Cache, type Clock, systemClock } from '@cache/core';
import { isNoAnswer } from './answer-parts.ts';

const AGAIN_MS = 1000;

/** Invalidates tags, now or as soon as it can be. */
export class Invalidations {
  readonly #cache: Pick<Cache, 'invalidateTags'>;
  readonly #clock: Clock;
  readonly #owed = new Set<string>();
  #cancel: (() => void) | undefined;
  #isClosed = false;

  constructor(cache: Pick<Cache, 'invalidateTags'>, clock: Clock = systemClock) {
    this.#cache = cache;
    this.#clock = clock;
  }

  /** Resolves when this instance knows: to true where all tiers do, to false where they are told later. */
  async invalidate(tags: readonly string[]): Promise<boolean> {
    try {
      await this.#cache.invalidateTags(tags);
      for (const tag of tags) this.#owed.delete(tag);
      return true;
    } catch (error) {
      if (!isNoAnswer(error)) throw error;
      for (const tag of tags) this.#owed.add(tag);
      this.#tellLater();
      return false;
    }
  }

  /** Nothing is told any more. */
  close(): void {
    this.#isClosed = true;
    this.#cancel?.();
  }

  #tellLater(): void {
    if (this.#isClosed) return;
    this.#cancel?.();
    this.#cancel = this.#clock.after(AGAIN_MS, () => {
      this.invalidate([...this.#owed]).catch(() => undefined);
    });
  }
}
