/**
 * The speech cache of a service, as its environment says, in front of a voice that the service has.
 *
 * Where clips are kept: in files where `AUDIO_CACHE_DIR` is set, because a disk is large and
 * survives everything; otherwise in the Redis of L2, which all instances share; in files as well
 * where there is none. Instances that share a Redis speak each sentence once between them, wherever
 * they keep it.
 */
import type { CacheOptions, Clock } from '@cache/core';
import { ClipCompression } from './clip-compression.ts';
import { audioFromEnv } from './config.ts';
import type { SpeechPolicies } from './content-types.ts';
import { createFileStore } from './create-file-store.ts';
import type { FormatName } from './formats.ts';
import type { Provider } from './provider.ts';
import { redisFleet } from './redis-fleet.ts';
import { redisStore } from './redis-store.ts';
import { createSpeechCache, type SpeechCache } from './speech-cache.ts';

/** What {@link openSpeech} takes. */
export interface OpenSpeechOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly provider: Provider;
  /** Where a request says nothing. */
  readonly format: FormatName;
  /** Of the cache: where its Redis is. */
  readonly l2?: CacheOptions['l2'];
  /** What the environment does not say: by content type, and how long a clip may be. */
  readonly policy?: Pick<SpeechPolicies, 'ttls' | 'maxClipBytes'> | undefined;
  readonly clock?: Clock | undefined;
}

/** Throws `ConfigError`, in one line. The provider is not closed with it. */
export function openSpeech(options: OpenSpeechOptions): SpeechCache {
  const { env, provider, format, l2, policy, clock } = options;
  const { enabled, redis, files, prices, ...settings } = audioFromEnv(env);
  const requests = { provider: provider.name, format };
  if (!enabled) return createSpeechCache({ requests, memory: { maxBytes: 0 }, clock });
  const compression = new ClipCompression(settings.compression);
  const url = redisUrl(l2);
  const isInRedis = url !== undefined && !files.isChosen;
  const { dir, maxBytes } = files;
  const kept = isInRedis
    ? { ttl: redis.ttlSeconds, bytes: redis.maxSizeMb * 1024 * 1024 }
    : { ttl: files.ttlSeconds, bytes: maxBytes };
  return createSpeechCache({
    store: isInRedis
      ? redisStore({ url, compression, clock })
      : createFileStore({ dir, maxBytes, compression, ...(clock && { clock }) }),
    fleet: url === undefined ? undefined : redisFleet({ url, clock }),
    compression,
    policy: { ...policy, ttl: `${kept.ttl}s` },
    cleanup: { maxBytes: kept.bytes },
    prices,
    requests,
    clock,
  });
}

/** Of a single Redis: a Cluster or Sentinels are not spoken to for speech. */
function redisUrl(l2: CacheOptions['l2']): string | undefined {
  if (l2?.url === undefined || l2.tls !== undefined) return undefined;
  const url = new URL(l2.url);
  if (l2.password !== undefined) url.password = encodeURIComponent(l2.password);
  return url.href;
}
