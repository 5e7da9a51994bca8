/** The options of a speech cache: what there is, defaults, and what they resolve to. */
import { type Clock, ConfigError, type Duration, parseDuration, systemClock } from '@cache/core';
import { type CleanupOptions, type ResolvedCleanup, resolveCleanup } from './cleanup.ts';
import type { ClipCompression } from './clip-compression.ts';
import { type Policy, resolvePolicies, type SpeechPolicies } from './content-types.ts';
import type { Fleet } from './fleet.ts';
import { type Codec, type FormatName, resolveFormat } from './formats.ts';
import { type PriceOf, type Prices, resolvePrices } from './prices.ts';
import type { RequestRules } from './request.ts';
import type { ClipStore } from './store.ts';
import type { Timings } from './synthesis.ts';

/** What a request says where it says nothing, and what it may say. */
export interface RequestDefaults {
  /** Default `'default'`. */
  readonly provider?: string | undefined;
  /** Default `'default'`. */
  readonly model?: string | undefined;
  /** Default `'mp3'`. */
  readonly format?: FormatName | undefined;
  /** Code points of one request. Default 5,000; a provider's own limit counts too. */
  readonly maxCharacters?: number | undefined;
  /** Voices that may be asked for. Default: any. */
  readonly voices?: Iterable<string> | undefined;
  /** Codecs that may be asked for. Default: any. */
  readonly codecs?: Iterable<Codec> | undefined;
  /** `'fold'`: case and inner white space of a text make no difference. Default `'keep'`. */
  readonly whitespaceAndCase?: 'keep' | 'fold' | undefined;
}

/** What {@link createSpeechCache} takes. */
export interface SpeechCacheOptions {
  /** Where clips are kept. Without one they are kept in memory alone. Closed with the cache. */
  readonly store?: ClipStore | undefined;
  /** What outlives the store: asked where that has nothing, with a deadline of its own. */
  readonly durable?: ClipStore | undefined;
  /** The other instances. Without one each instance speaks for itself. Closed with the cache. */
  readonly fleet?: Fleet | undefined;
  readonly policy?: SpeechPolicies | undefined;
  readonly requests?: RequestDefaults | undefined;
  readonly memory?:
    | {
        /** Default 32 MiB; 0: nothing is kept in memory. */
        readonly maxBytes?: number | undefined;
        /** How long a clip is heard without asking the store. Default `'5m'`. */
        readonly ttl?: Duration | undefined;
      }
    | undefined;
  readonly cleanup?: CleanupOptions | undefined;
  readonly prices?: Prices | undefined;
  /** What looking for a clip may cost before it is spoken anew. Default `'50ms'`. */
  readonly lookupTimeout?: Duration | undefined;
  /** The same, for the durable store. Default `'300ms'`. */
  readonly durableTimeout?: Duration | undefined;
  /** How long a provider may take until its first byte. Default `'10s'`. */
  readonly firstByteTimeout?: Duration | undefined;
  /** How long it may stand still between two pieces. Default `'10s'`. */
  readonly stallTimeout?: Duration | undefined;
  /** What the stores were given to compress with, for the statistics. */
  readonly compression?: ClipCompression | undefined;
  readonly clock?: Clock | undefined;
}

/** The options, resolved. */
export interface ResolvedOptions {
  readonly store: ClipStore | undefined;
  readonly durable: ClipStore | undefined;
  readonly fleet: Fleet | undefined;
  readonly policyOf: (tenant: string) => Policy;
  readonly rules: RequestRules;
  readonly memoryBytes: number;
  readonly memoryTtlMs: number;
  readonly cleanup: ResolvedCleanup;
  readonly currency: string;
  readonly priceOf: PriceOf;
  readonly lookupMs: number;
  readonly durableMs: number;
  readonly timings: Timings;
  readonly compression: ClipCompression | undefined;
  readonly clock: Clock;
}

const KNOWN = {
  store: true,
  durable: true,
  fleet: true,
  policy: true,
  requests: true,
  memory: true,
  cleanup: true,
  prices: true,
  lookupTimeout: true,
  durableTimeout: true,
  firstByteTimeout: true,
  stallTimeout: true,
  compression: true,
  clock: true,
} as const satisfies Record<keyof SpeechCacheOptions, true>;

const DEFAULT_MEMORY_BYTES = 32 * 1024 * 1024;
const DEFAULT_CHARACTERS = 5000;

/** Throws `ConfigError`, naming the option. */
export function resolveOptions(options: SpeechCacheOptions): ResolvedOptions {
  for (const option of Object.keys(options)) {
    if (!Object.hasOwn(KNOWN, option)) throw new ConfigError(`unknown option "${option}"`);
  }
  const { requests = {}, memory = {} } = options;
  const time = (option: keyof SpeechCacheOptions, given: Duration | undefined, or: Duration) =>
    parseDuration(`option "${option}"`, given ?? or);
  const maxBytes = memory.maxBytes ?? DEFAULT_MEMORY_BYTES;
  if (!Number.isInteger(maxBytes) || maxBytes < 0) {
    throw new ConfigError('option "memory.maxBytes" takes a number of bytes');
  }
  return Object.freeze({
    store: options.store,
    durable: options.durable,
    fleet: options.fleet,
    policyOf: resolvePolicies(options.policy ?? {}),
    rules: Object.freeze({
      provider: requests.provider ?? 'default',
      model: requests.model ?? 'default',
      format: resolveFormat(requests.format ?? 'mp3'),
      maxCharacters: requests.maxCharacters ?? DEFAULT_CHARACTERS,
      voices: requests.voices === undefined ? undefined : new Set(requests.voices),
      codecs: requests.codecs === undefined ? undefined : new Set<string>(requests.codecs),
      whitespaceAndCase: requests.whitespaceAndCase ?? 'keep',
    }),
    memoryBytes: maxBytes,
    memoryTtlMs: parseDuration('option "memory.ttl"', memory.ttl ?? '5m'),
    cleanup: resolveCleanup(options.cleanup ?? {}, options.store?.name),
    ...resolvePrices(options.prices),
    lookupMs: time('lookupTimeout', options.lookupTimeout, '50ms'),
    durableMs: time('durableTimeout', options.durableTimeout, '300ms'),
    timings: Object.freeze({
      firstByteMs: time('firstByteTimeout', options.firstByteTimeout, '10s'),
      stallMs: time('stallTimeout', options.stallTimeout, '10s'),
    }),
    compression: options.compression,
    clock: options.clock ?? systemClock,
  });
}
