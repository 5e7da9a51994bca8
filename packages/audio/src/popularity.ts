/**
 * Which books are popular, and their next segments made before somebody asks.
 *
 * A hearing counts 1, and half as much an hour later: what is popular now, not what once was.
 * One segment is made at a time, so that a listener who asks never waits behind many.
 */
import type { Clock } from '@cache/core';

/** What {@link Popularity} takes. */
export interface PopularityOptions {
  readonly clock: Clock;
  /** Hearings of the last hour or so that make a book popular. */
  readonly threshold: number;
  /** Makes one; rejects where there is no such segment. */
  readonly make: (one: Segment, signal: AbortSignal) => Promise<unknown>;
}

/** A segment of a book in a voice; a book is whatever is heard in order. */
export interface Segment {
  readonly book: string;
  readonly voice: string;
  readonly segment: number;
}

const HALF_LIFE_MS = 3_600_000;
const MOST_BOOKS = 1000;
const MOST_WAITING = 100;
const AHEAD = 3;

/**
 * Whether an answer is heard from its beginning: further ranges, HEAD and 304 are none, nor are the
 * first two bytes of a clip, with which players try whether there are ranges.
 */
export function isHearing({ method }: Request, { status, headers }: Response): boolean {
  if (method === 'HEAD') return false;
  const range = /^bytes 0-(\d+)\/(\d+|\*)$/.exec(headers.get('content-range') ?? '');
  const [last, size] = [Number(range?.[1]), Number(range?.[2])];
  return status === 200 || last > 1 || last + 1 === size;
}

/** Counts hearings, and has the next segments of popular books made. */
export class Popularity {
  readonly #options: PopularityOptions;
  readonly #scores = new Map<string, { score: number; at: number }>();
  readonly #waiting = new Map<string, Segment>();
  readonly #stop = new AbortController();
  #working: Promise<void> | undefined;

  constructor(options: PopularityOptions) {
    this.#options = options;
  }

  /** Somebody hears this segment. */
  heard({ book, voice, segment }: Segment): void {
    const score = this.scoreOf(book) + 1;
    this.#scores.delete(book);
    this.#scores.set(book, { score, at: this.#options.clock.monotonic() });
    // The one that nobody has heard for the longest time.
    for (const [oldest] of this.#scores) {
      if (this.#scores.size <= MOST_BOOKS) break;
      this.#scores.delete(oldest);
    }
    if (score < this.#options.threshold) return;
    for (let next = segment + 1; next <= segment + AHEAD; next += 1) {
      if (this.#waiting.size >= MOST_WAITING) break;
      this.#waiting.set(`${book}:${voice}:${next}`, { book, voice, segment: next });
    }
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  /** Hearings, each by its age. */
  scoreOf(book: string): number {
    const { score = 0, at = 0 } = this.#scores.get(book) ?? {};
    return score * 2 ** ((at - this.#options.clock.monotonic()) / HALF_LIFE_MS);
  }

  /** Resolves when nothing is waiting to be made. */
  async idle(): Promise<void> {
    await this.#working;
  }

  /** Resolves when nothing is being made any more. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#working;
  }

  async #work(): Promise<void> {
    for (const [key, wanted] of this.#waiting) {
      if (this.#stop.signal.aborted) return;
      this.#waiting.delete(key);
      // Nobody waits for it: whoever asks for it later is told what is wrong with it.
      await this.#options.make(wanted, this.#stop.signal).catch(() => undefined);
    }
  }
}
