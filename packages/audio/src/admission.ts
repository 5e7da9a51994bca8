/**
 * Whether a clip is worth storing. Most sentences of a call are spoken once and never again; where
 * room is short, one that was asked for twice within a window is kept, and one that was not, is
 * not. Uses are counted in the fleet where there is one, and in this process in any case.
 */
import type { Clock } from '@cache/core';
import { LRUCache } from 'lru-cache';
import type { Fleet } from './fleet.ts';

/** Keys whose last use is remembered here. */
const REMEMBERED = 100_000;
/** What asking the fleet may take: nobody waits for it, but it is not to wait for ever. */
const ASK_MS = 1000;

export class Admission {
  readonly #clock: Clock;
  readonly #fleet: Fleet | undefined;
  readonly #seenAt = new LRUCache<string, number>({ max: REMEMBERED });

  constructor(clock: Clock, fleet: Fleet | undefined) {
    this.#clock = clock;
    this.#fleet = fleet;
  }

  /** Notes a use of a clip that is not stored; whether there was one within the window before. */
  async isSecondUse(key: string, windowMs: number): Promise<boolean> {
    const now = this.#clock.monotonic();
    const before = this.#seenAt.get(key);
    this.#seenAt.set(key, now);
    const seenHere = before !== undefined && now - before < windowMs;
    if (this.#fleet === undefined) return seenHere;
    const late = new AbortController();
    const cancel = this.#clock.after(ASK_MS, () => late.abort());
    try {
      return (await this.#fleet.isSecondUse(key, windowMs, late.signal)) || seenHere;
    } catch {
      return seenHere;
    } finally {
      cancel();
    }
  }
}
