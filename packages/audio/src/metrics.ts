/**
 * The speech cache for Prometheus, under the names of the hotel agent's audio cache, and what these
 * lack: characters, money, time to the first byte, listeners who shared a synthesis.
 *
 * What happened is counted as it happens; what is there is asked for when somebody scrapes, for at
 * most `USAGE_MS`: a store that does not answer leaves its last figures. No label holds a key, a
 * text or anything else that a client could choose.
 */
import { type Clock, ConfigError, systemClock } from '@cache/core';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { ClipCompression } from './clip-compression.ts';
import { CompressionRatios } from './compression-ratios.ts';
import type { SpeechCache } from './speech-cache.ts';
import type { SpeechEvent } from './speech-events.ts';
import type { ClipStore, StoreUsage } from './store.ts';

export interface SpeechMetricsOptions {
  readonly speech: Pick<SpeechCache, 'subscribe'>;
  /** Not the global one unasked. Throws `ConfigError` where it has metrics of these names. */
  readonly registry: Registry;
  /** For the number of clips and their bytes; without one they are 0. */
  readonly store?: ClipStore | undefined;
  readonly compression?: ClipCompression | undefined;
  /** ISO 4217, a label of the money. Default `'USD'`. */
  readonly currency?: string | undefined;
  readonly clock?: Clock | undefined;
}

/** Every metric name, as Prometheus sees it. */
export const speechMetricNames: readonly string[] = Object.freeze([
  'audio_cache_operations_total',
  'audio_cache_size_entries',
  'audio_cache_memory_bytes',
  'audio_cache_cleanup_total',
  'audio_cache_cleanup_freed_bytes',
  'audio_cache_cleanup_entries_removed',
  'audio_cache_compression_operations_total',
  'audio_cache_compression_bytes_saved',
  'audio_cache_compression_ratio',
  'audio_cache_characters_total',
  'audio_cache_character_hit_ratio',
  'audio_cache_money_saved_total',
  'audio_cache_money_spent_total',
  'audio_cache_first_byte_seconds',
  'audio_cache_coalesced_listeners_total',
  'audio_cache_syntheses_total',
  'audio_cache_degraded_total',
]);

const USAGE_MS = 1000;
const FIRST_BYTE_BUCKETS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
];

/** Registers the metrics; the returned function takes them away again. */
export function exportSpeechMetrics(options: SpeechMetricsOptions): () => void {
  const { registry, speech } = options;
  const taken = speechMetricNames.find((name) => registry.getSingleMetric(name) !== undefined);
  if (taken !== undefined) {
    throw new ConfigError(
      `option "registry" already has a metric "${taken}": give each speech cache a registry of its own`,
    );
  }
  exportUsage(options);
  exportCompression(options);
  const unsubscribe = speech.subscribe(countersOf(options));
  return () => {
    unsubscribe();
    for (const name of speechMetricNames) registry.removeSingleMetric(name);
  };
}

/** What happens, counted as it happens. */
function countersOf({
  registry,
  currency = 'USD',
}: SpeechMetricsOptions): (event: SpeechEvent) => void {
  const counter = (name: string, help: string, ...labelNames: string[]) =>
    new Counter({ name: `audio_cache_${name}`, help, labelNames, registers: [registry] });
  const operations = counter(
    'operations_total',
    'Operations by result: get (hit, miss, error), set (stored, or why not), delete.',
    'operation',
    'result',
  );
  for (const result of ['hit', 'miss']) operations.inc({ operation: 'get', result }, 0);
  const cleanups = counter('cleanup_total', 'Runs of the clean-up, by result.', 'result');
  const freed = counter('cleanup_freed_bytes', 'Bytes that the clean-up freed.');
  const removed = counter('cleanup_entries_removed', 'Clips that the clean-up removed.');
  const characters = counter(
    'characters_total',
    'Characters that were asked for, by result.',
    'result',
  );
  const saved = counter('money_saved_total', 'What hits would have cost.', 'currency');
  const spent = counter('money_spent_total', 'What syntheses did cost.', 'currency');
  const coalesced = counter(
    'coalesced_listeners_total',
    'Listeners who joined a synthesis under way.',
  );
  const syntheses = counter('syntheses_total', 'Syntheses: done, or why they failed.', 'result');
  const degraded = counter(
    'degraded_total',
    'Times that a part could not say, and was passed by.',
    'part',
  );
  const firstByte = new Histogram({
    name: 'audio_cache_first_byte_seconds',
    help: 'Until the first byte was there, by where it came from.',
    labelNames: ['source'],
    buckets: FIRST_BYTE_BUCKETS,
    registers: [registry],
  });
  const heard = { hit: 0, miss: 0 };
  new Gauge({
    name: 'audio_cache_character_hit_ratio',
    help: 'The part of the characters that no provider was paid for, since the start.',
    registers: [registry],
    collect() {
      const all = heard.hit + heard.miss;
      this.set(all === 0 ? 0 : heard.hit / all);
    },
  });
  return (event) => {
    switch (event.type) {
      case 'answered': {
        const result = event.source === 'miss' ? 'miss' : 'hit';
        operations.inc({ operation: 'get', result });
        characters.inc({ result }, event.characters);
        heard[result] += event.characters;
        firstByte.observe({ source: event.source }, event.ms / 1000);
        if (event.source === 'coalesced') coalesced.inc();
        if (result === 'hit') saved.inc({ currency }, event.price);
        return;
      }
      case 'unanswered': {
        // Who hangs up before the first byte says nothing of the cache.
        if (event.reason === 'aborted') return;
        const result = event.reason === 'not-cached' ? 'miss' : 'error';
        return operations.inc({ operation: 'get', result });
      }
      case 'synthesized':
        syntheses.inc({ result: 'done' });
        return spent.inc({ currency }, event.price);
      case 'synthesis-failed':
        return syntheses.inc({ result: event.reason });
      case 'stored':
        return operations.inc({ operation: 'set', result: 'stored' });
      case 'not-stored':
        return operations.inc({ operation: 'set', result: event.reason });
      case 'deleted':
        return operations.inc({ operation: 'delete', result: 'deleted' }, event.clips);
      case 'degraded':
        return degraded.inc({ part: event.part });
      case 'cleanup':
        cleanups.inc({ result: event.result });
        freed.inc(event.freedBytes);
        return removed.inc(event.removed);
      case 'warmed':
        return;
      default:
        return event satisfies never;
    }
  };
}

/** What is there, asked for once a scrape. */
function exportUsage({ registry, store, clock = systemClock }: SpeechMetricsOptions): void {
  let last: StoreUsage = { entries: 0, bytes: 0 };
  let asking: Promise<void> | undefined;
  const ask = async () => {
    const late = new AbortController();
    const gone = Promise.withResolvers<undefined>();
    const cancel = clock.after(USAGE_MS, () => {
      late.abort();
      gone.resolve(undefined);
    });
    const usage = store?.usage({ signal: late.signal }).catch(() => undefined);
    last = (await Promise.race([usage, gone.promise])) ?? last;
    cancel();
  };
  const asked = () => {
    asking ??= ask().finally(() => {
      asking = undefined;
    });
    return asking;
  };
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      async collect() {
        await asked();
        this.set(read());
      },
    });
  gauge('audio_cache_size_entries', 'Clips in the store.', () => last.entries);
  gauge('audio_cache_memory_bytes', 'Bytes of the clips in the store.', () => last.bytes);
}

function exportCompression({ registry, compression }: SpeechMetricsOptions): void {
  new Counter({
    name: 'audio_cache_compression_operations_total',
    help: 'Clips that were compressed, decompressed, or left as they are.',
    labelNames: ['operation'],
    registers: [registry],
    collect() {
      const counts = compression?.counts();
      this.reset();
      this.inc({ operation: 'compress' }, counts?.compressed ?? 0);
      this.inc({ operation: 'decompress' }, counts?.decompressed ?? 0);
      const left = Object.values(counts?.leftAlone ?? {}).reduce((sum, clips) => sum + clips, 0);
      this.inc({ operation: 'leave' }, left);
    },
  });
  new Counter({
    name: 'audio_cache_compression_bytes_saved',
    help: 'Bytes that compression saved.',
    registers: [registry],
    collect() {
      const counts = compression?.counts();
      this.reset();
      this.inc(counts === undefined ? 0 : counts.bytesIn - counts.bytesOut);
    },
  });
  registry.registerMetric(new CompressionRatios(compression));
}
