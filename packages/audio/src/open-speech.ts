/**
 * The speech cache of a service, as its environment says, in front of a voice that the service has
 * and closes.
 *
 * Where clips are kept: in files where `AUDIO_CACHE_DIR` is set, because a disk is large and
 * survives everything; otherwise in the Redis of L2, which all instances share; in files as well
 * where there is none. Instances that share a Redis speak each sentence once between them, wherever
 * they keep it.
 */
import type { Cache, CacheOptions, Clock, Duration } from '@cache/core';
import { ClipCompression } from './clip-compression.ts';
import { audioFromEnv } from './config.ts';
import type { SpeechPolicies } from './content-types.ts';
import { createFileStore } from './create-file-store.ts';
import type { FormatName } from './formats.ts';
import { exportSpeechMetrics } from './metrics.ts';
import type { Provider } from './provider.ts';
import { redisFleet } from './redis-fleet.ts';
import { redisStore } from './redis-store.ts';
import { createSpeechCache, type SpeechCache } from './speech-cache.ts';
import type { ClipStore } from './store.ts';

/** What {@link openSpeech} takes. */
export interface OpenSpeechOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Of the cache: where its Redis is. */
  readonly l2?: CacheOptions['l2'];
  /** The cache of the service, whose metrics those of speech join. Default: they are not exported. */
  readonly cache?: Pick<Cache, 'registry'> | undefined;
  /** Who speaks where a request says nothing. Default: nobody in particular, `'default'`. */
  readonly provider?: Pick<Provider, 'name'> | undefined;
  /** Where a request says nothing. Default `'default'`. */
  readonly model?: string | undefined;
  /** Where a request says nothing. Default `'mp3'`. */
  readonly format?: FormatName | undefined;
  /** What the environment does not say: by content type, and how long a clip may be. */
  readonly policy?: Pick<SpeechPolicies, 'ttls' | 'maxClipBytes'> | undefined;
  /** How long the voice may take until its first byte, its queue included. Default `'10s'`. */
  readonly firstByteTimeout?: Duration | undefined;
  readonly clock?: Clock | undefined;
}

/** A speech cache, with what its administration and its metrics tell of it. */
export interface OpenedSpeech {
  readonly cache: SpeechCache;
  /** False: everything is spoken anew. */
  readonly enabled: boolean;
  readonly store: ClipStore | undefined;
  readonly compression: ClipCompression | undefined;
  /** Of clips, where nothing else says. `undefined`: nothing is kept. */
  readonly ttlSeconds: number | undefined;
  /** What money is counted in. `undefined`: no prices were given. */
  readonly currency: string | undefined;
  close(): Promise<void>;
}

/** No request has this key. */
const NO_CLIP = '0'.repeat(64);

/** Throws `ConfigError`, in one line; also where the cache's metrics have those of speech already. */
export function openSpeech(options: OpenSpeechOptions): OpenedSpeech {
  const opened = open(options);
  const registry = options.cache?.registry;
  if (registry === undefined) return opened;
  try {
    const takeAway = exportSpeechMetrics({ ...opened, speech: opened.cache, registry });
    return { ...opened, close: () => opened.close().finally(takeAway) };
  } catch (error) {
    void opened.close();
    throw error;
  }
}

function open(options: OpenSpeechOptions): OpenedSpeech {
  const { env, provider, model, format, l2, policy, firstByteTimeout, clock } = options;
  const { enabled, redis, files, prices, lookupMs, ...settings } = audioFromEnv(env);
  const requests = { provider: provider?.name, model, format };
  const common = { requests, prices, firstByteTimeout, clock };
  const currency = prices?.currency;
  if (!enabled) {
    const cache = createSpeechCache({ ...common, memory: { maxBytes: 0 } });
    const nothing = { store: undefined, compression: undefined, ttlSeconds: undefined };
    return { cache, enabled, currency, ...nothing, close: () => cache.close() };
  }
  const compression = new ClipCompression(settings.compression);
  const url = redisUrl(l2);
  const isInRedis = url !== undefined && !files.isChosen;
  const { dir, maxBytes } = files;
  const { ttlSeconds } = isInRedis ? redis : files;
  const store = isInRedis
    ? redisStore({ url, compression, timeout: lookupMs, clock })
    : createFileStore({ dir, maxBytes, compression, ...(clock && { clock }) });
  const cache = createSpeechCache({
    ...common,
    store,
    fleet: url === undefined ? undefined : redisFleet({ url, clock }),
    compression,
    policy: { ...policy, ttl: `${ttlSeconds}s` },
    cleanup: { maxBytes: isInRedis ? redis.maxSizeMb * 1024 * 1024 : maxBytes },
    lookupTimeout: lookupMs,
  });
  // Who hears the first sentence does not wait for a directory to be made and looked through.
  if (!isInRedis) void store.get(NO_CLIP).catch(() => undefined);
  const close = () => cache.close();
  return { cache, enabled, store, compression, ttlSeconds, currency, close };
}

/** Of a single Redis: a Cluster or Sentinels are not spoken to for speech. */
function redisUrl(l2: CacheOptions['l2']): string | undefined {
  if (l2?.url === undefined || l2.tls !== undefined) return undefined;
  const url = new URL(l2.url);
  if (l2.password !== undefined) url.password = encodeURIComponent(l2.password);
  return url.href;
}
