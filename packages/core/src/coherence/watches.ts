/**
 * Keys that somebody in this process is loading, or waits for: what is said about them on the bus
 * wakes the waiting, and tells whether a load began before the key was set or removed.
 *
 * Bounded by the loads under way; nothing is kept for a key that nobody watches.
 */
import type { AddressId } from '../model/key.ts';

export interface Watch {
  /** Set or removed, or nobody knows: what was begun before may be older. */
  readonly isMoved: boolean;
  /** Resolves at the next message about the key, or where one came since {@link Watches.watch} or the last call. */
  next(): Promise<void>;
  end(): void;
}

class Watching implements Watch {
  isMoved = false;
  #hasNews = false;
  #wake: (() => void) | undefined;
  readonly #onEnd: (watching: Watching) => void;

  constructor(onEnd: (watching: Watching) => void) {
    this.#onEnd = onEnd;
  }

  tell(isMoved: boolean): void {
    if (isMoved) this.isMoved = true;
    this.#hasNews = true;
    this.#wake?.();
  }

  async next(): Promise<void> {
    if (!this.#hasNews) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#wake = undefined;
    this.#hasNews = false;
  }

  end(): void {
    this.#onEnd(this);
    this.#wake?.();
  }
}

export class Watches {
  readonly #watches = new Map<AddressId, Set<Watching>>();

  watch(id: AddressId): Watch {
    const all = this.#watches.get(id) ?? new Set<Watching>();
    this.#watches.set(id, all);
    const watching = new Watching((ended) => {
      all.delete(ended);
      if (all.size === 0 && this.#watches.get(id) === all) this.#watches.delete(id);
    });
    all.add(watching);
    return watching;
  }

  /** `isMoved`: set or removed; else somebody stored what it had loaded, or gave up. */
  heard(id: AddressId, isMoved: boolean): void {
    for (const watching of this.#watches.get(id) ?? []) watching.tell(isMoved);
  }

  /** Messages may have been missed. */
  empty(): void {
    for (const all of this.#watches.values()) for (const watching of all) watching.tell(true);
  }

  get size(): number {
    return this.#watches.size;
  }
}
