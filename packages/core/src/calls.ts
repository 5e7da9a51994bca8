/**
 * What every public call takes, and how the public verbs of one cache share its parts.
 */
import type { Clock } from './clock.ts';
import type { Copies } from './coherence/copies.ts';
import type { HeardTags } from './coherence/tags.ts';
import type { CallBounds } from './deadline.ts';
import { type Duration, parseDuration } from './model/duration.ts';
import type { Address, AddressId } from './model/key.ts';
import type { Stamp } from './model/version.ts';
import type { DerivedTales, DerivedTiers } from './read/derived-tiers.ts';
import type { Lookup } from './read/lookup.ts';
import type { Obtain } from './read/obtain.ts';
import type { DurableDerived, SharedDerived } from './tiers/derived.ts';
import type { DurableTier, SharedTier } from './tiers/tier.ts';
import type { FlushReport } from './write/flusher.ts';
import type { Ladder } from './write/ladder.ts';
import type { Outbox } from './write/outbox.ts';
import type { Updates } from './write/update.ts';

/** Taken by every call. */
export interface CallOptions {
  /** Ends this caller's wait; never work that others share. */
  readonly signal?: AbortSignal | undefined;
  /** How long this call may take. Default: the cache's `deadline`, 5 s. */
  readonly deadline?: Duration | undefined;
}

/** The parts of one cache that its verbs work with. */
export interface Engine {
  readonly clock: Clock;
  readonly deadlineMs: number;
  readonly lookup: Lookup;
  readonly ladder: Ladder;
  readonly updates: Updates;
  readonly outbox: Outbox;
  /** L2, for calls that somebody waits for. */
  readonly shared: SharedTier | undefined;
  readonly durable: DurableTier;
  /** Whether this L1 hit is one of those to be timed. */
  readonly sampleL1: () => boolean;
  readonly observeL1: (ms: number) => void;
  /** Removes copies of a key from L1 and L2; a pending one stays. */
  forget(addresses: readonly Address[]): Promise<void>;
  flush(ids: readonly AddressId[]): Promise<FlushReport>;
  /** Throws where the cache is closed, or can't be used as it is configured. */
  check(): void;
}

/** The parts of one cache that derived values work with. */
export interface DerivedEngine {
  readonly clock: Clock;
  readonly deadlineMs: number;
  readonly copies: Copies;
  readonly tags: HeardTags;
  readonly tiers: DerivedTiers;
  readonly obtain: Obtain;
  /** L2, for calls that somebody waits for. */
  readonly shared: SharedDerived | undefined;
  /** L2, for what has to reach it rather than soon. */
  readonly patient: SharedDerived | undefined;
  /** L3, for namespaces that persist. */
  readonly durable: DurableDerived | undefined;
  readonly tales: DerivedTales;
  /** A version above all that this process has seen, and `above`. */
  readonly propose: (above?: number) => Stamp;
  readonly sampleL1: () => boolean;
  readonly observeL1: (ms: number) => void;
  /** Throws where the cache is closed, or can't be used as it is configured. */
  check(): void;
}

/** Resolves a call's bounds; refuses a call on a closed cache, or one that was aborted before it began. */
export function boundsOf(
  engine: Pick<Engine, 'check' | 'deadlineMs'>,
  options: CallOptions | undefined,
): CallBounds {
  engine.check();
  options?.signal?.throwIfAborted();
  const deadlineMs =
    options?.deadline === undefined
      ? engine.deadlineMs
      : parseDuration('deadline', options.deadline);
  return { signal: options?.signal, deadlineMs };
}

/** What {@link preload} and the like report. */
export interface PreloadReport {
  /** Entries that L1 and L2 hold now. */
  readonly loaded: number;
  /** Keys that no tier knows. */
  readonly missing: number;
  /** Which tier each loaded entry came from. */
  readonly tiers: { readonly l2: number; readonly l3: number; readonly outbox: number };
}
