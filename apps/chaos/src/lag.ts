/** How late this process's timers are: what a deadline can't be held to. */
import { performance } from 'node:perf_hooks';

const EVERY_MS = 20;
const KEPT = 3000;

export class Lag {
  readonly #late: { readonly at: number; readonly ms: number }[] = [];
  #last: number = performance.now();

  constructor() {
    setInterval(() => {
      this.#look();
    }, EVERY_MS).unref();
  }

  /** The sum of what the timers were late by since then; never more than the time that has passed. */
  since(start: number): number {
    this.#look();
    let sum = 0;
    for (let index = this.#late.length - 1; index >= 0; index -= 1) {
      const one = this.#late[index];
      if (one === undefined || one.at < start) break;
      sum += Math.min(one.ms, one.at - start);
    }
    return sum;
  }

  #look(): void {
    const now = performance.now();
    const ms = now - this.#last - EVERY_MS;
    this.#last = now;
    if (ms < 1) return;
    this.#late.push({ at: now, ms });
    if (this.#late.length > KEPT) this.#late.shift();
  }
}
