/**
 * A derived value between its load and its tiers: how long it lives in each, and what is kept of
 * it. Pure but for the clock.
 */
import type { Clock } from '../clock.ts';
import type { Copy } from '../coherence/copies.ts';
import type { HeardTags } from '../coherence/tags.ts';
import { CacheError, LoadError } from '../errors.ts';
import type { Payload } from '../model/entry.ts';
import { isDueEarly, jittered, unitInterval } from '../model/freshness.ts';
import type { Address, Scope } from '../model/key.ts';
import { type TagId, tagIdsOf, tagsIn } from '../model/tags.ts';
import type { DerivedEntry, DerivedHeld, Lifetime } from '../tiers/derived.ts';
import type { Answer } from './flight.ts';
import type { Loaded } from './load.ts';

/** How the values of one namespace live; durations in milliseconds. */
export interface DerivedPolicy {
  /** How long L1 answers without asking L2. */
  readonly nearMs: number;
  /** How long a value is fresh. */
  readonly ttlMs: number;
  /** How long it may be served stale after that. */
  readonly graceMs: number;
  /** After so long whoever waits is content with what is stale. */
  readonly softMs: number | undefined;
  /** How long a load may take. */
  readonly hardMs: number;
  /** The part of the time to live that chance may take away, from 0 to 1. */
  readonly jitter: number;
  /** How long "there is nothing" is fresh; 0: it is not stored. */
  readonly negativeMs: number;
  /** The β of the early refresh; 0: never. */
  readonly beta: number;
  readonly persist: boolean;
}

/** How one namespace turns values into bytes and back, and what belongs to a key. */
export interface DerivedSpace {
  readonly name: string;
  readonly policy: DerivedPolicy;
  encode(value: unknown): { readonly payload: Payload; readonly value: unknown };
  /** Throws where the bytes, or the namespace's schema, say no. */
  decode(payload: Payload): unknown;
  tagsOf(key: unknown, value: unknown): readonly string[];
  scopeOf(key: unknown): Scope | undefined;
}

/** What a load brought, ready to be stored. */
export interface Stock {
  readonly entry: Omit<DerivedEntry, 'version' | 'intent'>;
  /** `undefined`: it is not stored, and what there was stays. A life of 0 sends that away. */
  readonly lifetime: Lifetime | undefined;
  readonly answer: Answer;
}

const NO_LIFE: Lifetime = Object.freeze({ freshMs: 0, lifeMs: 0 });

export interface StockParts {
  /** The number of the heard tags when it was begun. */
  readonly seen: number;
  readonly clock: Clock;
  /** What there was, where the loader said that it stays: its tags stay too. */
  readonly kept?: Answer | undefined;
}

/** Throws where the value can't be stored, or its tags are none. */
export function stockOf(
  space: DerivedSpace,
  { address, key }: { readonly address: Address; readonly key: unknown },
  loaded: Loaded,
  { seen, clock, kept }: StockParts,
): Stock {
  const isNothing = loaded.value === undefined;
  const encoded = isNothing ? undefined : space.encode(loaded.value);
  const { scope, tags } = named(space, key, encoded?.value, loaded, kept);
  const entry = { address, payload: encoded?.payload, loadMs: loaded.ms, tags, scope };
  return {
    entry,
    lifetime: lifetimeOf(space.policy, loaded, isNothing, clock),
    answer: {
      value: encoded?.value,
      source: 'load',
      freshness: 'fresh',
      tagIds: tagIdsOf(entry),
      seen,
    },
  };
}

/** What the caller's functions say; they may throw anything. */
function named(
  space: DerivedSpace,
  key: unknown,
  value: unknown,
  { store, tags: given }: Loaded,
  kept: Answer | undefined,
): Pick<DerivedEntry, 'scope' | 'tags'> {
  try {
    const stay = store === 'keep' && kept !== undefined ? tagsIn(kept.tagIds) : [];
    const tags = new Set([...space.tagsOf(key, value), ...given, ...stay]);
    return { scope: space.scopeOf(key), tags: [...tags] };
  } catch (cause) {
    if (cause instanceof CacheError) throw cause;
    throw new LoadError(`the tags or the scope of ${space.name} can't be told`, { cause });
  }
}

function lifetimeOf(
  policy: DerivedPolicy,
  { store, ttlMs }: Loaded,
  isNothing: boolean,
  clock: Clock,
): Lifetime | undefined {
  if (store === 'skip') return undefined;
  const ttl = ttlMs ?? (isNothing ? policy.negativeMs : policy.ttlMs);
  if (ttl === 0) return NO_LIFE;
  const freshMs = jittered(ttl, policy.jitter, unitInterval(clock.random53()));
  return { freshMs, lifeMs: isNothing ? freshMs : freshMs + policy.graceMs };
}

/** What a tier holds, as an answer. Throws where it does not decode. */
export function answerOf(
  space: DerivedSpace,
  held: DerivedHeld,
  source: 'l2' | 'l3',
  seen: number,
  clock: Clock,
): Answer {
  const { payload } = held.entry;
  return {
    value: payload === undefined ? undefined : space.decode(payload),
    source,
    freshness: held.freshMs > 0 ? 'fresh' : 'stale',
    tagIds: tagIdsOf(held.entry),
    seen,
    goneAt: clock.monotonic() + held.lifeMs,
  };
}

/** What L1 keeps: for no longer than the other tiers do. */
export function copyOfDerived(
  policy: DerivedPolicy,
  { entry, freshMs, lifeMs }: DerivedHeld,
  value: unknown,
  { tagIds, seen }: { readonly tagIds: readonly TagId[]; readonly seen: number },
  clock: Clock,
): Copy {
  const now = clock.monotonic();
  const nearMs = Math.min(policy.nearMs, freshMs);
  const nearLifeMs = Math.min(nearMs + policy.graceMs, lifeMs);
  return {
    kind: 'value',
    value,
    version: entry.version,
    intent: entry.intent,
    expiresAt: 0,
    bytes: (entry.payload?.bytes.byteLength ?? 0) + weightOf(tagIds),
    storedAt: clock.now(),
    derived: {
      lifeMs: nearLifeMs,
      freshUntil: now + nearMs,
      endsAt: now + freshMs,
      goneAt: now + nearLifeMs,
      loadMs: entry.loadMs,
      tagIds,
      seen,
    },
  };
}

function weightOf(tagIds: readonly TagId[]): number {
  return tagIds.reduce((sum, id) => sum + id.length, 0);
}

/** What an L1 copy may be used for now. */
export type CopyState = 'fresh' | 'early' | 'stale' | 'invalid';

export function stateOf(
  copy: Copy,
  policy: DerivedPolicy,
  tags: HeardTags,
  clock: Clock,
): CopyState {
  const { derived } = copy;
  if (derived === undefined || !tags.isValid(derived.tagIds, derived.seen)) return 'invalid';
  const now = clock.monotonic();
  if (now >= derived.freshUntil) return 'stale';
  return isEarly(policy, derived.endsAt - now, derived.loadMs, clock) ? 'early' : 'fresh';
}

export function isEarly(
  policy: DerivedPolicy,
  leftMs: number,
  loadMs: number,
  clock: Clock,
): boolean {
  return isDueEarly(leftMs, loadMs, policy.beta, () => unitInterval(clock.random53()));
}

/** L1's copy as an answer. */
export function answerOfCopy(copy: Copy, freshness: 'fresh' | 'stale'): Answer {
  const { derived } = copy;
  if (derived === undefined) throw new LoadError('a copy of a record is no derived value');
  return {
    value: copy.value,
    source: 'l1',
    freshness,
    tagIds: derived.tagIds,
    seen: derived.seen,
    goneAt: derived.goneAt,
  };
}
