/**
 * The only source of time and chance in the product. Everything that waits, expires or
 * draws a number asks a {@link Clock}, so that a test can hold time still.
 */
import { randomBytes } from 'node:crypto';

export interface Clock {
  /** Wall-clock time in milliseconds since 1970-01-01. May jump. */
  now(): number;
  /** Monotonic time in milliseconds, for durations. Never jumps. */
  monotonic(): number;
  /** Calls `run` once after `ms` milliseconds. The returned function cancels it. */
  after(ms: number, run: () => void): () => void;
  /** A random integer below 2^53, unpredictable between processes. */
  random53(): number;
}

/** A timer of the runtime that is longer than this, 24 days, ends at once. */
export const LONGEST_TIMER_MS = 2_147_483_647;

/** Every write draws a number, and asking the system for each costs more than all else of a stamp. */
const CHANCES = 4096;
let chances: Buffer = Buffer.alloc(0);
let drawn = 0;

/** The system's clock. Timers do not keep the process alive. */
export const systemClock: Clock = Object.freeze({
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms: number, run: () => void) {
    const timer = setTimeout(run, Math.min(ms, LONGEST_TIMER_MS));
    timer.unref();
    return () => clearTimeout(timer);
  },
  random53() {
    if (drawn >= chances.byteLength) {
      chances = randomBytes(CHANCES);
      drawn = 0;
    }
    const [high, low] = [chances.readUInt32BE(drawn), chances.readUInt32BE(drawn + 4)];
    drawn += 8;
    return (high & 0x1fffff) * 0x1_0000_0000 + low;
  },
});
