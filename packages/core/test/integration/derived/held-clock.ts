/** Clocks for tests: one that stands still until it is told to go on, and one that counts. */
import { type Clock, systemClock } from '../../../src/clock.ts';

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

/** Time passes by {@link pass} alone; chance is real unless {@link chance} says otherwise. */
export class HeldClock implements Clock {
  /** The least or the greatest there is, as long as it is set; no two draws are the same. */
  chance: 'least' | 'greatest' | undefined;
  readonly #timers = new Set<Timer>();
  readonly #began = Date.now();
  #now = 0;
  #drawn = 0;

  now(): number {
    return this.#began + this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + Math.max(0, ms), run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  random53(): number {
    if (this.chance === undefined) return systemClock.random53();
    this.#drawn += 1;
    return this.chance === 'least' ? this.#drawn : Number.MAX_SAFE_INTEGER - this.#drawn;
  }

  /** What takes its time, within a loader. */
  spend(ms: number): void {
    this.#now += ms;
  }

  /** So much time passes, timer by timer; in between, all promises that can go on do. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settled();
      const [next] = [...this.#timers].sort((a, b) => a.at - b.at);
      if (next === undefined || next.at > end) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
    }
    this.#now = end;
    await settled();
  }
}

/** The system's clock, which knows how many of its timers are still to come. */
export class CountingClock implements Clock {
  pending = 0;

  now(): number {
    return systemClock.now();
  }

  monotonic(): number {
    return systemClock.monotonic();
  }

  random53(): number {
    return systemClock.random53();
  }

  after(ms: number, run: () => void): () => void {
    this.pending += 1;
    let isPending = true;
    const end = () => {
      if (isPending) this.pending -= 1;
      isPending = false;
    };
    const cancel = systemClock.after(ms, () => {
      end();
      run();
    });
    return () => {
      end();
      cancel();
    };
  }
}

/** Every promise that can go on has gone on; what waits for one more turn of the loop has had it. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 4; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
