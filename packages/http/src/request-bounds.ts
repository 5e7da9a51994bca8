/**
 * How long a request may take, all of its calls together, and that nobody goes on waiting for a
 * client that has hung up. The work itself goes on: others may share it, and a write that was
 * asked for may stand.
 */
import { type CallOptions, type Clock, systemClock } from '@cache/core';
import type { Context } from 'hono';

/** One per request. */
export class RequestBounds {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #until: number;

  /** `ms`: what all of its calls together may take. */
  constructor(c: Context, ms: number, clock: Clock = systemClock) {
    this.#clock = clock;
    this.#signal = c.req.raw.signal;
    this.#until = clock.monotonic() + ms;
  }

  /** Milliseconds. */
  get left(): number {
    return Math.max(0, this.#until - this.#clock.monotonic());
  }

  /** For the next call: what is left, or this part of it. */
  options(part: number = 1): CallOptions & { readonly deadline: number } {
    return { signal: this.#signal, deadline: Math.max(1, Math.floor(this.left * part)) };
  }
}
