/**
 * The audio of one synthesis, in memory: pieces, appended by one speaker, read by any number of
 * listeners from the first one on. Listeners share the pieces; each has its own place.
 *
 *   open  → whole    the speaker ended cleanly
 *   open  → failed   it did not: readers who have begun get what there is, then the error
 *
 * Up to the limit everything is kept, so that whoever comes late hears it from the beginning, and
 * the speaker never waits. Past it what every reader has heard is let go, nobody can join any
 * more, and the speaker waits for the slowest reader as soon as `limit` bytes wait for him. Who
 * stands still while the others wait is let go.
 */
import type { Clock } from '@cache/core';
import { SynthesisError } from './errors.ts';

/** One listener's place. */
interface Place {
  next: number;
  dropped: boolean;
}

export interface LogReader {
  /** The next piece, not to be written to; `undefined` at the end. Throws what the speaker died of. */
  next(): Promise<Uint8Array | undefined>;
  leave(): void;
}

/** How long the others wait for a reader who stands still. */
const STANDSTILL_MS = 10_000;

export class ChunkLog {
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #places = new Set<Place>();
  #pieces: Uint8Array[] = [];
  /** How many pieces have been let go. */
  #gone = 0;
  #bytes = 0;
  #kept = 0;
  #state: 'open' | 'whole' | 'failed' = 'open';
  #error: unknown;
  /** Resolves at the next change: a piece, an end, a reader who moved on or left. */
  #change = Promise.withResolvers<void>();

  constructor(clock: Clock, limit: number) {
    this.#clock = clock;
    this.#limit = limit;
  }

  /** Of all that was appended. */
  get bytes(): number {
    return this.#bytes;
  }

  get state(): 'open' | 'whole' | 'failed' {
    return this.#state;
  }

  /** Longer than may be stored. */
  get isOver(): boolean {
    return this.#bytes > this.#limit;
  }

  append(piece: Uint8Array): void {
    if (this.#state !== 'open') return;
    this.#pieces.push(piece);
    this.#bytes += piece.byteLength;
    this.#kept += piece.byteLength;
    this.#release();
    this.#changed();
  }

  end(): void {
    if (this.#state !== 'open') return;
    this.#state = 'whole';
    this.#changed();
  }

  fail(error: unknown): void {
    if (this.#state !== 'open') return;
    this.#state = 'failed';
    this.#error = error;
    this.#changed();
  }

  /** Resolves when the speaker may go on. */
  async room(signal: AbortSignal): Promise<void> {
    while (this.isOver && this.#kept > this.#limit && this.#state === 'open' && !signal.aborted) {
      const slowest = this.#slowest();
      const before = slowest?.next;
      const isLate = Promise.withResolvers<'late'>();
      const cancel = this.#clock.after(STANDSTILL_MS, () => isLate.resolve('late'));
      const stop = () => isLate.resolve('late');
      signal.addEventListener('abort', stop, { once: true });
      const said = await Promise.race([this.#moved(slowest, before), isLate.promise]);
      signal.removeEventListener('abort', stop);
      cancel();
      if (said === 'late' && slowest !== undefined && !signal.aborted) {
        slowest.dropped = true;
        this.#places.delete(slowest);
        this.#release();
        this.#changed();
      }
    }
  }

  /** A place at the first piece; `undefined` where that has been let go. */
  join(): LogReader | undefined {
    if (this.#gone > 0) return undefined;
    const place: Place = { next: 0, dropped: false };
    this.#places.add(place);
    return {
      next: () => this.#next(place),
      leave: () => {
        if (this.#places.delete(place)) this.#moveOn();
      },
    };
  }

  /** All of it in one; `undefined` where some has been let go. */
  whole(): Uint8Array | undefined {
    if (this.#gone > 0 || this.#state === 'failed') return undefined;
    return this.#joined();
  }

  /** What there is so far, or `undefined` where some has been let go. */
  soFar(): Uint8Array | undefined {
    return this.#gone > 0 ? undefined : this.#joined();
  }

  #joined(): Uint8Array {
    const bytes = new Uint8Array(this.#kept);
    let at = 0;
    for (const piece of this.#pieces) {
      bytes.set(piece, at);
      at += piece.byteLength;
    }
    return bytes;
  }

  async #next(place: Place): Promise<Uint8Array | undefined> {
    for (;;) {
      if (place.dropped) {
        throw new SynthesisError('too-slow', 'this listener stood still while the others waited');
      }
      // Who has heard nothing of it need not hear a part: he may be given another.
      if (this.#state === 'failed' && place.next === 0) throw this.#error;
      const piece = this.#pieces[place.next - this.#gone];
      if (piece !== undefined) {
        place.next += 1;
        this.#moveOn();
        return piece;
      }
      if (this.#state === 'whole') return undefined;
      if (this.#state === 'failed') throw this.#error;
      await this.#change.promise;
    }
  }

  async #moved(slowest: Place | undefined, before: number | undefined): Promise<'moved'> {
    while (slowest !== undefined && this.#places.has(slowest) && slowest.next === before) {
      await this.#change.promise;
      if (this.#state !== 'open') break;
    }
    return 'moved';
  }

  #slowest(): Place | undefined {
    let slowest: Place | undefined;
    for (const place of this.#places) {
      if (slowest === undefined || place.next < slowest.next) slowest = place;
    }
    return slowest;
  }

  #moveOn(): void {
    if (!this.isOver) return;
    this.#release();
    this.#changed();
  }

  #release(): void {
    if (!this.isOver) return;
    const heard = this.#slowest()?.next ?? this.#gone + this.#pieces.length;
    const count = heard - this.#gone;
    if (count <= 0) return;
    for (const piece of this.#pieces.splice(0, count)) this.#kept -= piece.byteLength;
    this.#gone = heard;
  }

  #changed(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers<void>();
  }
}
