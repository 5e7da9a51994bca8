/**
 * Writes and updates that have begun and not ended. One may be acknowledged at any moment, and
 * only then is it in the outbox: an orderly end waits for them before it drains for the last time.
 */
export class Underway {
  readonly #works = new Set<Promise<unknown>>();

  get size(): number {
    return this.#works.size;
  }

  async follow<T>(work: Promise<T>): Promise<T> {
    this.#works.add(work);
    try {
      return await work;
    } finally {
      this.#works.delete(work);
    }
  }

  /** Resolves when nothing is under way. */
  async ended(): Promise<void> {
    while (this.#works.size > 0) await Promise.allSettled(this.#works);
  }
}
