/**
 * The speech of this service: a voice, and the cache in front of it.
 *
 * Where clips are kept: in files where `AUDIO_CACHE_DIR` is set, as `npm start` does, because a
 * disk is large and survives everything; otherwise in the Redis of L2, which all instances share;
 * in files as well where there is none. Instances that share a Redis speak each sentence once
 * between them, wherever they keep it.
 */
import {
  type AudioSettings,
  audioFromEnv,
  ClipCompression,
  type ClipStore,
  createFileStore,
  createSpeechCache,
  type Fleet,
  redisFleet,
  redisStore,
  type SpeechCache,
} from '@cache/audio';
import type { CacheOptions, Clock } from '@cache/core';
import { openVoice, type Voice } from './voice.ts';

export interface Speech {
  readonly cache: SpeechCache;
  readonly voice: Voice | undefined;
  /** False: everything is spoken anew. */
  readonly enabled: boolean;
  readonly store: ClipStore | undefined;
  readonly compression: ClipCompression | undefined;
  readonly ttlSeconds: number | undefined;
  readonly currency: string | undefined;
  close(): Promise<void>;
}

export interface SpeechOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Of the cache: where its Redis is. */
  readonly l2?: CacheOptions['l2'];
  readonly clock?: Clock | undefined;
}

/** Throws `ConfigError`, in one line. */
export async function openSpeech({ env, l2, clock }: SpeechOptions): Promise<Speech> {
  const settings = audioFromEnv(env);
  const voice = await openVoice(settings);
  const url = settings.enabled ? redisUrl(l2) : undefined;
  const compression = new ClipCompression(settings.compression);
  const isInRedis = url !== undefined && !settings.files.isChosen;
  const store = isInRedis
    ? redisStore({ url, compression, timeout: settings.lookupMs, clock })
    : filesOf(settings, compression, clock);
  const fleet = url === undefined ? undefined : redisFleet({ url, clock });
  const { ttlSeconds } = isInRedis ? settings.redis : settings.files;
  const maxBytes = isInRedis ? settings.redis.maxSizeMb * 1024 * 1024 : settings.files.maxBytes;
  const cache = openCache({
    settings,
    voice,
    store,
    fleet,
    compression,
    ttlSeconds,
    maxBytes,
    clock,
  });
  return {
    cache,
    voice,
    enabled: settings.enabled,
    store,
    compression,
    ttlSeconds,
    currency: settings.prices?.currency,
    async close() {
      await cache.close();
      await voice?.provider.close?.();
    },
  };
}

/** Nobody speaks, and nothing is kept: for a service that is given no speech. */
export function noSpeech(): Speech {
  const cache = createSpeechCache();
  return {
    cache,
    voice: undefined,
    enabled: false,
    store: undefined,
    compression: undefined,
    ttlSeconds: undefined,
    currency: undefined,
    close: () => cache.close(),
  };
}

interface Parts {
  readonly settings: AudioSettings;
  readonly voice: Voice | undefined;
  readonly store: ClipStore | undefined;
  readonly fleet: Fleet | undefined;
  readonly compression: ClipCompression;
  readonly ttlSeconds: number;
  readonly maxBytes: number;
  readonly clock: Clock | undefined;
}

function openCache(parts: Parts): SpeechCache {
  const { settings, voice, store, fleet, compression, ttlSeconds, maxBytes, clock } = parts;
  return createSpeechCache({
    store,
    fleet,
    compression,
    policy: { ttl: `${ttlSeconds}s` },
    cleanup: { maxBytes },
    prices: settings.prices,
    lookupTimeout: settings.lookupMs,
    ...(voice && {
      requests: { provider: voice.provider.name, model: voice.model, format: voice.format },
    }),
    ...(settings.enabled ? {} : { memory: { maxBytes: 0 } }),
    clock,
  });
}

function filesOf(
  { enabled, files }: AudioSettings,
  compression: ClipCompression,
  clock: Clock | undefined,
): ClipStore | undefined {
  if (!enabled) return undefined;
  const { dir, maxBytes } = files;
  return createFileStore({ dir, maxBytes, compression, ...(clock && { clock }) });
}

/** Of a single Redis: a Cluster or Sentinels are not spoken to for speech. */
function redisUrl(l2: CacheOptions['l2']): string | undefined {
  if (l2?.kind !== 'redis' || l2.url === undefined || l2.tls !== undefined) return undefined;
  const url = new URL(l2.url);
  if (l2.password !== undefined) url.password = encodeURIComponent(l2.password);
  return url.href;
}
