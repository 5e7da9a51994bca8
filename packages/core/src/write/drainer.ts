/**
 * When the outbox is drained: at the interval, when it is half full, at once when the breaker
 * opens or the epoch changes, when somebody asks, and at close. One drain at a time; a request
 * that arrives during a drain starts another one after it, because what it is about may not be
 * in the running one. What L3 refused goes along at the interval and when somebody asks, because
 * whoever mended the cause, or dropped the write, may not have been able to say so.
 *
 * While L3 does not answer, the next attempt follows sooner than the interval, and later each
 * time: 0.25 s doubling up to 5 s.
 */
import type { Clock } from '../clock.ts';
import type { AddressId } from '../model/key.ts';
import { type Flusher, type FlushReport, type FlushVia, NOTHING_FLUSHED } from './flusher.ts';
import type { Outbox } from './outbox.ts';

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 5000;

export interface DrainerParts {
  readonly clock: Clock;
  readonly outbox: Outbox;
  readonly flusher: Pick<Flusher, 'flush'>;
  readonly intervalMs: number;
  /** How L2 is to be told at this moment. */
  readonly via: (patience: 'foreground' | 'background') => FlushVia;
  /** Something else than the outbox fills up with what L3 lacks. */
  readonly isPressed?: () => boolean;
  readonly onRun: (ms: number) => void;
}

export class Drainer {
  readonly #parts: DrainerParts;
  #running: Promise<FlushReport> | undefined;
  #next: Promise<FlushReport> | undefined;
  #retryMs = FIRST_RETRY_MS;
  #isRetrying = false;
  /** The next drain takes along what L3 refused. */
  #isAll = false;
  #cancel: (() => void) | undefined;
  #closed = false;

  constructor(parts: DrainerParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#schedule(this.#parts.intervalMs);
  }

  /** Something was put into the outbox. */
  nudge(): void {
    if (this.#running !== undefined || this.#isRetrying) return;
    const { outbox, isPressed } = this.#parts;
    if (outbox.filling || isPressed?.() === true) void this.drain();
  }

  /** {@link drain}, with what L3 refused before: also what a drain under way is being refused. */
  drainAll(): Promise<FlushReport> {
    this.#isAll = true;
    return this.drain();
  }

  /** Flushes everything that is unsynced when it begins; once closed, nothing. Never rejects. */
  drain(): Promise<FlushReport> {
    if (this.#closed) {
      const failed = this.#parts.outbox.unsynced().length;
      return Promise.resolve({ ...NOTHING_FLUSHED, failed });
    }
    if (this.#running === undefined) {
      this.#running = this.#run();
      return this.#running;
    }
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      return this.drain();
    });
    return this.#next;
  }

  /** These keys now, for somebody who waits. */
  flush(ids: readonly AddressId[], adopt: boolean): Promise<FlushReport> {
    return this.#parts.flusher.flush(ids, this.#parts.via('foreground'), adopt);
  }

  /** Resolves when no drain runs, and none will. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel?.();
    await this.#running;
  }

  async #run(): Promise<FlushReport> {
    const { clock, outbox, flusher, via, onRun } = this.#parts;
    const start = clock.monotonic();
    this.#isRetrying = true;
    if (this.#isAll) outbox.unpark();
    this.#isAll = false;
    try {
      const report = await flusher.flush(outbox.unsynced(), via('background'));
      onRun(clock.monotonic() - start);
      this.#isRetrying = report.failed > 0;
      return report;
    } finally {
      this.#schedule(this.#isRetrying ? this.#retryMs : this.#parts.intervalMs);
      this.#retryMs = this.#isRetrying
        ? Math.min(this.#retryMs * 2, LAST_RETRY_MS)
        : FIRST_RETRY_MS;
      this.#running = undefined;
    }
  }

  #schedule(ms: number): void {
    this.#cancel?.();
    if (this.#closed) return;
    const again = this.#isRetrying ? () => this.drain() : () => this.drainAll();
    this.#cancel = this.#parts.clock.after(ms, () => void again());
  }
}
