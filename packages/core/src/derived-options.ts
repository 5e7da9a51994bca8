/** The options of a namespace of derived values: types, defaults, and what they resolve to. */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { ConfigError } from './errors.ts';
import { type Duration, parseDuration } from './model/duration.ts';
import type { CodecName } from './model/entry.ts';
import { refuseUnknown } from './option-rules.ts';
import type { Kept, LoadContext } from './read/load.ts';
import type { LoadMany } from './read/load-many.ts';
import type { DerivedPolicy } from './read/stocked.ts';

/**
 * Loads one value. `undefined`: there is nothing under this key. What it returns says what the
 * namespace holds; whoever wants `context.stale` typed writes `context: LoadContext<V>`.
 */
export type Loader<K, V> = {
  // As a method, so that a context of a narrower type can be named. As a function, V would be
  // settled by the context, before anybody looked at what the loader returns.
  load(key: K, context: LoadContext): V | Kept | Promise<V | Kept>;
}['load'];

/** Options of {@link Cache.derived}. */
export interface DerivedOptions<K, V> {
  /** What `get` runs where nothing fresh is there. Without it and `loadMany`: `getOrSet` alone. */
  readonly load?: Loader<K, V> | undefined;
  /** Instead of `load`: up to 1,000 misses of the same turn of the event loop in one call. */
  readonly loadMany?: LoadMany<K, V> | undefined;
  /**
   * How long a value is fresh. One duration, or one for each tier: `l2` is how long it is fresh,
   * `l1` how long this process answers without asking L2. Default: what the tiers have.
   */
  readonly ttl?:
    | Duration
    | { readonly l1?: Duration | undefined; readonly l2?: Duration | undefined }
    | undefined;
  /** How long after that it may be served stale, where its load fails or is slow. Default 0. */
  readonly grace?: Duration | undefined;
  /** After so long a reader is content with what is stale; the load goes on. Default: never. */
  readonly soft?: Duration | undefined;
  /** How long a load may take: then it is aborted, with a `TimeoutError`. Default `'10s'`. */
  readonly hard?: Duration | undefined;
  /** The part of `ttl`, from 0 to 1, that chance may take away, so that not all end at once. Default 0.1. */
  readonly jitter?: number | undefined;
  /** How long it is remembered that there is nothing. Default 0: not at all. */
  readonly negativeTtl?: Duration | undefined;
  /** β of the early refresh (XFetch): more refreshes earlier, 0 never. Default 1. */
  readonly earlyRefresh?: number | undefined;
  /** What a value can be invalidated by, together with others. `value` is `undefined` for "nothing". */
  readonly tags?: ((key: K, value: V) => readonly string[]) | undefined;
  /** The group that a key belongs to: erasing it removes the value. Needs L3, as scopes do. */
  readonly scope?: ((key: K) => readonly [kind: string, id: string]) | undefined;
  /** Also kept in L3, for when L2 was emptied. Default false. */
  readonly persist?: boolean | undefined;
  /** How values become bytes. Default `'json'`. */
  readonly codec?: CodecName | undefined;
  /** Validates what is loaded, and what comes back from L2 and L3: there a mismatch is a miss. */
  readonly schema?: StandardSchemaV1 | undefined;
}

/** Every option there is, for the check of unknown ones. */
const OPTIONS = {
  load: true,
  loadMany: true,
  ttl: true,
  grace: true,
  soft: true,
  hard: true,
  jitter: true,
  negativeTtl: true,
  earlyRefresh: true,
  tags: true,
  scope: true,
  persist: true,
  codec: true,
  schema: true,
} as const satisfies Record<keyof DerivedOptions<never, never>, true>;

const DEFAULT_HARD_MS = 10_000;
const DEFAULT_JITTER = 0.1;
const DEFAULT_BETA = 1;
/** What is to live longer is a record. */
const LONGEST_LIFE_MS = 30 * 86_400_000;
const MAX_BETA = 100;

/** What the tiers of the cache say where a namespace says nothing. */
export interface TierTtls {
  readonly l1Ms: number;
  readonly l2Ms: number;
  /** There is an L2 that L1 has to ask now and then. */
  readonly hasShared: boolean;
  readonly hasDurable: boolean;
}

/** What does not depend on the types of key and value. */
type PolicyOptions = {
  readonly [Option in keyof DerivedOptions<never, never>]?:
    | (Option extends 'load' | 'loadMany' | 'tags' | 'scope'
        ? unknown
        : DerivedOptions<never, never>[Option])
    | undefined;
};

/** Checks and fills in the defaults. Throws `ConfigError`, naming the namespace and the option. */
export function resolveDerived(
  name: string,
  options: PolicyOptions,
  tiers: TierTtls,
): DerivedPolicy {
  refuseUnknown(name, options, Object.keys(OPTIONS));
  if (options.load !== undefined && options.loadMany !== undefined) {
    throw new ConfigError(`namespace "${name}" takes either load or loadMany, not both`);
  }
  if (options.persist === true && !tiers.hasDurable) {
    throw new ConfigError(`namespace "${name}": option "persist" needs the option l3`);
  }
  if (options.scope !== undefined && !tiers.hasDurable) {
    throw new ConfigError(`namespace "${name}": option "scope" needs the option l3`);
  }
  const { ttl } = options;
  const isPair = typeof ttl === 'object' && ttl !== null;
  const life = (option: string, given: Duration | undefined, fallback: number): number =>
    limited(name, option, given, fallback, 1, LONGEST_LIFE_MS);
  const ttlMs = isPair ? life('ttl.l2', ttl.l2, tiers.l2Ms) : life('ttl', ttl, tiers.l2Ms);
  const nearMs = isPair ? life('ttl.l1', ttl.l1, tiers.l1Ms) : tiers.hasShared ? tiers.l1Ms : ttlMs;
  return Object.freeze({
    ttlMs,
    nearMs: Math.min(nearMs, ttlMs),
    graceMs: limited(name, 'grace', options.grace, 0, 0, LONGEST_LIFE_MS),
    softMs:
      options.soft === undefined ? undefined : limited(name, 'soft', options.soft, 0, 0, 3_600_000),
    hardMs: limited(name, 'hard', options.hard, DEFAULT_HARD_MS, 1, 3_600_000),
    negativeMs: limited(name, 'negativeTtl', options.negativeTtl, 0, 0, LONGEST_LIFE_MS),
    jitter: number(name, 'jitter', options.jitter, DEFAULT_JITTER, 1),
    beta: number(name, 'earlyRefresh', options.earlyRefresh, DEFAULT_BETA, MAX_BETA),
    persist: options.persist === true,
  });
}

function limited(
  name: string,
  option: string,
  given: Duration | undefined,
  fallback: number,
  least: number,
  most: number,
): number {
  if (given === undefined) return Math.min(most, Math.max(least, fallback));
  const ms = parseDuration(`namespace "${name}": option "${option}"`, given);
  if (ms >= least && ms <= most) return ms;
  throw new ConfigError(
    `namespace "${name}": option "${option}" takes ${least} to ${most} milliseconds, got ${ms}`,
  );
}

function number(
  name: string,
  option: string,
  given: number | undefined,
  fallback: number,
  most: number,
): number {
  const value = given ?? fallback;
  if (typeof value === 'number' && value >= 0 && value <= most) return value;
  throw new ConfigError(
    `namespace "${name}": option "${option}" takes a number from 0 to ${most}, got ${String(value)}`,
  );
}
