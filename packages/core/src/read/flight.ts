/**
 * One load that many wait for.
 *
 *   under way → answered   there is an answer for whoever waits; storing it may go on
 *   under way → failed     whoever waits is told, or is given what is stale
 *   under way → dropped    nobody waits any more: the load is aborted
 *   answered  → ended      what had to be stored is stored
 *
 * Who waits, waits for himself: a deadline, an abort or a soft timeout ends that wait. When the
 * last one aborts, nobody wants the value, and the load is aborted. A deadline is something else:
 * who could not wait for the value still wants it to be there the next time, so the load goes on,
 * bounded by its own timeout.
 */
import type { Clock } from '../clock.ts';
import type { Watch } from '../coherence/watches.ts';
import { TimeoutError } from '../errors.ts';
import type { StaleReason } from '../metrics/counts.ts';
import type { TagId } from '../model/tags.ts';

/** A value, where it came from, and what it can be invalidated by. */
export interface Answer {
  /** As its codec holds it, frozen; `undefined`: there is nothing. */
  readonly value: unknown;
  readonly source: 'l1' | 'l2' | 'l3' | 'load';
  readonly freshness: 'fresh' | 'stale';
  readonly tagIds: readonly TagId[];
  /** The number of the heard tags when it was begun. */
  readonly seen: number;
  /** Its grace ends then, by the monotonic clock. Absent: it has only just been loaded. */
  readonly goneAt?: number | undefined;
}

export interface Waited {
  readonly answer: Answer;
  readonly stale: StaleReason | undefined;
}

export interface WaitOptions {
  readonly signal: AbortSignal | undefined;
  /** What is left of it. */
  readonly deadlineMs: number;
  /** What the caller said. */
  readonly givenMs: number;
  /** When to be content with what is stale; `undefined`: not before the load has ended. */
  readonly softMs: number | undefined;
  /** Whether what is stale will do at all. */
  readonly isStaleWelcome: boolean;
  readonly what: string;
}

export class Flight {
  readonly #clock: Clock;
  readonly #controller = new AbortController();
  readonly #isStaleValid: (stale: Answer) => boolean;
  readonly #answered = Promise.withResolvers<Answer>();
  readonly #staleListeners = new Set<() => void>();
  #waiting = 0;
  #isWanted: boolean;
  #stale: Answer | undefined;
  #freshUntil = Number.POSITIVE_INFINITY;
  #watch: Watch | undefined;

  /** By the monotonic clock, in milliseconds. */
  readonly beganAt: number;

  /** `isWanted`: by itself, whether somebody waits or not. */
  constructor(clock: Clock, isWanted: boolean, isStaleValid: (stale: Answer) => boolean) {
    this.#clock = clock;
    this.beganAt = clock.monotonic();
    this.#isWanted = isWanted;
    this.#isStaleValid = isStaleValid;
    this.#answered.promise.catch(() => {});
  }

  /** Aborted when nobody wants the value any more. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  /** `freshMs`: so long it may be given to who asks from now on, while storing it goes on. */
  answer(answer: Answer, freshMs: number): void {
    this.#freshUntil = this.#clock.monotonic() + freshMs;
    this.#answered.resolve(answer);
  }

  /** Its answer is not fresh any more, or was for those alone who waited: nobody joins it. */
  get isOver(): boolean {
    return this.#clock.monotonic() >= this.#freshUntil;
  }

  fail(error: unknown): void {
    this.#answered.reject(error);
  }

  /** It asks, or asks again: only what happens to the key from now on makes it old. */
  begin(watch: Watch): void {
    if (this.isOld) this.#stale = undefined;
    this.#watch = watch;
  }

  /** The key moved: who asks from now on must not be given this one's answer. */
  get isOld(): boolean {
    return this.#watch?.isMoved === true;
  }

  /** What may be given out instead, as long as nothing makes it invalid. */
  get stale(): Answer | undefined {
    if (this.#stale === undefined || this.isOld) return undefined;
    const { goneAt = Number.POSITIVE_INFINITY } = this.#stale;
    if (this.#clock.monotonic() >= goneAt) return undefined;
    return this.#isStaleValid(this.#stale) ? this.#stale : undefined;
  }

  offerStale(stale: Answer): void {
    this.#stale = stale;
    for (const listener of this.#staleListeners) listener();
  }

  wait(options: WaitOptions): Promise<Waited> {
    const { signal, deadlineMs, givenMs, softMs, what } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    this.#waiting += 1;
    return new Promise<Waited>((resolve, reject) => {
      let isSoft = false;
      let isOver = false;
      const timers: (() => void)[] = [];
      const end = (settle: () => void) => {
        if (isOver) return;
        isOver = true;
        for (const cancel of timers) cancel();
        signal?.removeEventListener('abort', onAbort);
        this.#staleListeners.delete(onStale);
        this.#waiting -= 1;
        if (this.#waiting === 0 && !this.#isWanted) this.#controller.abort(signal?.reason);
        settle();
      };
      const contentWith = (reason: StaleReason): boolean => {
        const stale = options.isStaleWelcome ? this.stale : undefined;
        if (stale === undefined) return false;
        end(() => resolve({ answer: stale, stale: reason }));
        return true;
      };
      const onAbort = () => end(() => reject(signal?.reason));
      const onStale = () => {
        const stale = isOver ? undefined : this.stale;
        if (stale === undefined) return;
        // What is refreshed before its time is over is an answer like any other.
        if (stale.freshness === 'fresh' && options.isStaleWelcome) {
          this.#isWanted = true;
          return end(() => resolve({ answer: stale, stale: undefined }));
        }
        if (!isSoft) return;
        this.#isWanted = true;
        contentWith('soft');
      };
      const onDeadline = () => {
        if (isOver) return;
        this.#isWanted = true;
        const late = new TimeoutError(`${what} took longer than its ${givenMs} ms`);
        if (!contentWith('deadline')) end(() => reject(late));
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#staleListeners.add(onStale);
      onStale();
      if (isOver) return;
      // One more turn of the loop: an answer that has already arrived counts.
      timers.push(this.#clock.after(deadlineMs, () => setImmediate(onDeadline)));
      if (softMs !== undefined && options.isStaleWelcome) {
        timers.push(
          this.#clock.after(softMs, () => {
            isSoft = true;
            onStale();
          }),
        );
      }
      this.#answered.promise.then(
        (answer) => {
          this.#isWanted = true;
          end(() => resolve({ answer, stale: undefined }));
        },
        (error: unknown) => {
          const reason = error instanceof TimeoutError ? 'timeout' : 'failed';
          if (!isOver && !contentWith(reason)) end(() => reject(error));
        },
      );
    });
  }
}
