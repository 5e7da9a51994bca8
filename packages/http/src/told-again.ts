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
      return true;
    } catch (error) {
      if (!isNoAnswer(error)) throw error;
      for (const tag of tags) this.#owed.add(tag);
      this.#tellLater();
      return false;
    }
  }

  /** What is owed is told once more, while the cache is still open; then nothing is told any more. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancel?.();
    await this.#tell();
  }

  #tellLater(): void {
    if (this.#isClosed) return;
    this.#cancel?.();
    this.#cancel = this.#clock.after(AGAIN_MS, () => void this.#tell());
  }

  /** Not owed from before it is told: who fails with the same tag meanwhile owes it anew. */
  async #tell(): Promise<void> {
    const tags = [...this.#owed];
    this.#owed.clear();
    if (tags.length > 0) await this.invalidate(tags).catch(() => undefined);
  }
}
