/**
 * How many clips a directory holds, and how many bytes: asked before every clip that is stored,
 * so it is counted along. What this process does is in the figures at once; what others on the
 * same directory do is found by looking again, at most about once a second, and less often where
 * looking takes long: it may cost a twentieth of the time.
 */
import type { Clock } from '@cache/core';
import type { ClipDirectory } from './clip-directory.ts';
import type { StoreUsage } from './store.ts';

const LOOK_AGAIN_MS = 1_000;
const REST_FACTOR = 20;
/** Files looked at at once. */
const AT_ONCE = 32;

export class DirectoryUsage {
  readonly #clock: Clock;
  #sizes = new Map<string, number>();
  #bytes = 0;
  /** Monotonic: when the figures are looked up again. */
  #nextLook = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;
  /** What was done while somebody looked: it may have been seen, or not. */
  #meanwhile: Map<string, number | undefined> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async current(directory: ClipDirectory): Promise<StoreUsage> {
    if (this.#looking === undefined && this.#clock.monotonic() >= this.#nextLook) {
      this.#looking = this.#look(directory).finally(() => {
        this.#looking = undefined;
      });
    }
    await this.#looking;
    return { entries: this.#sizes.size, bytes: this.#bytes };
  }

  /** What a clip occupies as far as is known here. */
  of(key: string): number {
    return this.#sizes.get(key) ?? 0;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** A clip is there now, or is not. */
  set(key: string, size: number | undefined): void {
    this.#meanwhile?.set(key, size);
    this.#bytes += (size ?? 0) - this.of(key);
    if (size === undefined) this.#sizes.delete(key);
    else this.#sizes.set(key, size);
  }

  async #look(directory: ClipDirectory): Promise<void> {
    const began = this.#clock.monotonic();
    const meanwhile = new Map<string, number | undefined>();
    this.#meanwhile = meanwhile;
    try {
      const seen = await sizesIn(directory);
      this.#sizes = seen;
      this.#bytes = 0;
      for (const size of seen.values()) this.#bytes += size;
      for (const [key, size] of [...meanwhile]) this.set(key, size);
    } finally {
      this.#meanwhile = undefined;
    }
    const ended = this.#clock.monotonic();
    this.#nextLook = ended + Math.max(LOOK_AGAIN_MS, (ended - began) * REST_FACTOR);
  }
}

async function sizesIn(directory: ClipDirectory): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  const keys = await directory.keys();
  for (let from = 0; from < keys.length; from += AT_ONCE) {
    const some = keys.slice(from, from + AT_ONCE);
    const found = await Promise.all(some.map((key) => directory.sizeOf(key)));
    for (const [i, key] of some.entries()) {
      const size = found[i];
      if (size !== undefined) sizes.set(key, size);
    }
  }
  return sizes;
}
