/**
 * How long a clip is kept, by what it says and by tenant. The times are those of the hotel agent's
 * audio cache (2025-10-07).
 */
import { type Clock, ConfigError, type Duration, parseDuration } from '@cache/core';

/** How long clips of each content type are the answer, where the policy says nothing else. */
export const CONTENT_TYPE_TTLS: Readonly<Record<string, Duration>> = Object.freeze({
  welcome_message: '7d',
  common_responses: '3d',
  error_messages: '7d',
  hotel_location: '7d',
  reservation_instructions: '3d',
  room_options: '1d',
  availability_response: '12h',
});

/** What may differ from tenant to tenant. */
export interface SpeechPolicy {
  /** How long clips of no known content type are the answer. Default `'24h'`. */
  readonly ttl?: Duration | undefined;
  /** By content type; those not named have {@link CONTENT_TYPE_TTLS}. */
  readonly ttls?: Readonly<Record<string, Duration>> | undefined;
  /** `'sliding'`: each hit begins the time anew. Default `'absolute'`. */
  readonly expiry?: 'absolute' | 'sliding' | undefined;
  /** The part of a time, from 0 to 1, that chance may take away. Default 0.1. */
  readonly jitter?: number | undefined;
  /** How long after its time a clip may be heard where the provider fails. Default 0. */
  readonly staleOnError?: Duration | undefined;
  /** `'second-use'`: stored when it is asked for again within `window`. Default `'at-once'`. */
  readonly admission?: 'at-once' | 'second-use' | undefined;
  /** Of the second use. Default `'1h'`. */
  readonly window?: Duration | undefined;
  /** Bytes of one clip; longer ones are heard, and not stored. Default 2 MiB, at most 64 MiB. */
  readonly maxClipBytes?: number | undefined;
  /** Characters of one request, where that is less than the provider takes. */
  readonly maxCharacters?: number | undefined;
  /** Goes on, and stores, when the last listener has left. Default false. */
  readonly finishUnheard?: boolean | undefined;
  /** The first characters of the text, kept beside the clip. Default 0: the text is never kept. */
  readonly previewCharacters?: number | undefined;
}

/** A policy, resolved. */
export interface Policy {
  readonly ttlMs: number;
  readonly ttlsMs: ReadonlyMap<string, number>;
  readonly isSliding: boolean;
  readonly jitter: number;
  readonly staleMs: number;
  readonly admission: 'at-once' | 'second-use';
  readonly windowMs: number;
  readonly maxClipBytes: number;
  readonly maxCharacters: number;
  readonly finishUnheard: boolean;
  readonly previewCharacters: number;
}

/** The policy of all, and where tenants differ. */
export interface SpeechPolicies extends SpeechPolicy {
  readonly tenants?: Readonly<Record<string, SpeechPolicy>> | undefined;
}

const DEFAULT_CLIP_BYTES = 2 * 1024 * 1024;
const MOST_CLIP_BYTES = 64 * 1024 * 1024;

const KNOWN = {
  ttl: true,
  ttls: true,
  expiry: true,
  jitter: true,
  staleOnError: true,
  admission: true,
  window: true,
  maxClipBytes: true,
  maxCharacters: true,
  finishUnheard: true,
  previewCharacters: true,
} as const satisfies Record<keyof SpeechPolicy, true>;

/** The policy of each tenant. Throws `ConfigError`. */
export function resolvePolicies({
  tenants = {},
  ...all
}: SpeechPolicies): (tenant: string) => Policy {
  const common = resolvePolicy('policy', all);
  const own = new Map(
    Object.entries(tenants).map(([tenant, policy]) => [
      tenant,
      resolvePolicy('policy of a tenant', {
        ...all,
        ...policy,
        ttls: { ...all.ttls, ...policy.ttls },
      }),
    ]),
  );
  return (tenant) => own.get(tenant) ?? common;
}

function resolvePolicy(where: string, policy: SpeechPolicy): Policy {
  for (const option of Object.keys(policy)) {
    if (!Object.hasOwn(KNOWN, option))
      throw new ConfigError(`${where}: unknown option "${option}"`);
  }
  const time = (option: string, given: Duration | undefined, fallback: Duration): number =>
    parseDuration(`${where}: ${option}`, given ?? fallback);
  const ttls = Object.entries({ ...CONTENT_TYPE_TTLS, ...policy.ttls });
  return Object.freeze({
    ttlMs: time('ttl', policy.ttl, '24h'),
    ttlsMs: new Map(ttls.map(([type, ttl]) => [type, time(`ttls.${type}`, ttl, '24h')])),
    isSliding: policy.expiry === 'sliding',
    jitter: number(where, 'jitter', policy.jitter ?? 0.1, 0, 1),
    staleMs: time('staleOnError', policy.staleOnError, 0),
    admission: policy.admission ?? 'at-once',
    windowMs: time('window', policy.window, '1h'),
    maxClipBytes: number(
      where,
      'maxClipBytes',
      policy.maxClipBytes ?? DEFAULT_CLIP_BYTES,
      1,
      MOST_CLIP_BYTES,
    ),
    maxCharacters: number(where, 'maxCharacters', policy.maxCharacters ?? 1_000_000, 1, 1_000_000),
    finishUnheard: policy.finishUnheard === true,
    previewCharacters: number(where, 'previewCharacters', policy.previewCharacters ?? 0, 0, 500),
  });
}

/** How long a clip of this content type is the answer, by chance a little less. */
export function lifeMs(policy: Policy, contentType: string, clock: Clock): number {
  const ttl = policy.ttlsMs.get(contentType) ?? policy.ttlMs;
  const chance = clock.random53() / 2 ** 53;
  return Math.max(1, Math.floor(ttl * (1 - policy.jitter * chance)));
}

function number(
  where: string,
  option: string,
  value: unknown,
  least: number,
  most: number,
): number {
  if (typeof value === 'number' && value >= least && value <= most) return value;
  throw new ConfigError(`${where}: ${option} takes a number from ${least} to ${most}`);
}
