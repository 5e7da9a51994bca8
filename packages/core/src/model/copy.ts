/** What L1 holds of one address, and hands out. */
import type { DerivedFacts } from './freshness.ts';

export interface Copy {
  readonly kind: 'value' | 'log';
  /** As its codec holds it, deeply frozen where it can be; `undefined` where it is known that there is nothing. */
  readonly value: unknown;
  readonly version: number;
  /** Zero for logs. */
  readonly intent: number;
  /** The record's own life, in milliseconds since 1970; zero is never. */
  readonly expiresAt: number;
  /** Bytes of the payload, or of all of a log's: what it weighs against `l1.maxBytes`. */
  readonly bytes: number;
  /** When it was put here, in milliseconds since 1970. */
  readonly storedAt: number;
  /** Of a derived value: its own time to live, in milliseconds, instead of the tier's. */
  readonly derived?: DerivedFacts | undefined;
}
