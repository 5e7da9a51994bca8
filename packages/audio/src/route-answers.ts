/** What the administration of a speech cache answers: the shapes and names of its sources. */
import { z } from '@hono/zod-openapi';
import type { ClipCompression } from './clip-compression.ts';
import type { FirstByteFigures } from './first-bytes.ts';
import type { SpeechStats } from './speech-stats.ts';
import type { ClipEntry, StoreUsage } from './store.ts';

const MB = 1024 * 1024;

const latency = z.object({ count: z.int(), p50: z.number(), p95: z.number(), p99: z.number() });
const figure = z.number();
const perSource = z.record(z.string(), z.int());

/** Source: the hotel agent's audio cache (2025-10-07), its compression object and clean-up. */
export interface AudioCacheStats {
  readonly enabled: boolean;
  /** `l2` (Redis), `file`, `storage`; `null`: memory. */
  readonly store: string | null;
  readonly ttl_seconds: number | null;
  readonly max_size_mb: number;
  readonly entries: number;
  readonly size_bytes: number;
  readonly size_mb: number;
  readonly usage_percent: number;
  readonly hits: number;
  readonly misses: number;
  readonly hit_ratio: number | null;
  readonly hit_ratio_by_characters: number | null;
  readonly answered: Readonly<Record<string, number>>;
  readonly coalesced_listeners: number;
  readonly under_way: number;
  readonly syntheses: number;
  readonly synthesis_failures: number;
  readonly first_byte_ms: Readonly<Record<string, FirstByteFigures>>;
  readonly money: { readonly currency: string; readonly saved: number; readonly spent: number };
  readonly memory: { readonly entries: number; readonly bytes: number };
  readonly cleanup: {
    readonly cleanup_threshold_percent: number;
    readonly target_size_percent: number;
    readonly policy: string;
    readonly last: {
      readonly result: string;
      readonly entries_removed: number;
      readonly freed_bytes: number;
      readonly ms: number;
      readonly at: string;
    } | null;
  };
  readonly compression: CompressionStats;
  readonly by_voice: readonly {
    readonly voice: string;
    readonly entries: number;
    readonly bytes: number;
    readonly access_count: number;
  }[];
  readonly most_accessed: readonly AccessedClip[];
}

/** As the source has it; of what was compressed since this process started. */
export interface CompressionStats {
  readonly enabled: boolean;
  readonly threshold_kb: number;
  readonly compression_level: number;
  readonly compressed_entries: number;
  readonly compressed_size_mb: number;
  readonly original_size_mb: number;
  readonly space_saved_mb: number;
  readonly compression_ratio: number;
}

/** The metadata of the source: size, created_at, last_accessed, access_count, voice_id … */
export type AccessedClip = Readonly<Record<string, string | number>>;

/** Source: the audio cache on the file system: its metadata, and what it says to watch. */
export interface FileCacheStats {
  readonly total_size: number;
  readonly total_files: number;
  readonly max_size: number;
  readonly usage_percent: number;
  /** Per cent of the requests that were served from the cache. */
  readonly hit_rate: number;
  readonly voice_distribution: Readonly<
    Record<string, { readonly files: number; readonly size: number; readonly access_count: number }>
  >;
  readonly most_accessed: readonly AccessedClip[];
}

export const statsSchema: z.ZodType<AudioCacheStats> = z
  .object({
    enabled: z.boolean(),
    store: z
      .string()
      .nullable()
      .openapi({ description: 'l2 (Redis), file, storage; null: memory.' }),
    ttl_seconds: figure.nullable(),
    max_size_mb: figure,
    entries: z.int(),
    size_bytes: z.int(),
    size_mb: figure,
    usage_percent: figure,
    hits: z.int(),
    misses: z.int(),
    hit_ratio: figure.nullable(),
    hit_ratio_by_characters: figure.nullable(),
    answered: perSource.openapi({ description: 'Listeners, by where their audio came from.' }),
    coalesced_listeners: z.int(),
    under_way: z.int(),
    syntheses: z.int(),
    synthesis_failures: z.int(),
    first_byte_ms: z.record(z.string(), latency),
    money: z.object({ currency: z.string(), saved: figure, spent: figure }),
    memory: z.object({ entries: z.int(), bytes: z.int() }),
    cleanup: z.object({
      cleanup_threshold_percent: figure,
      target_size_percent: figure,
      policy: z.string(),
      last: z
        .object({
          result: z.string(),
          entries_removed: z.int(),
          freed_bytes: z.int(),
          ms: figure,
          at: z.string(),
        })
        .nullable(),
    }),
    compression: z.object({
      enabled: z.boolean(),
      threshold_kb: figure,
      compression_level: z.int(),
      compressed_entries: z.int(),
      compressed_size_mb: figure,
      original_size_mb: figure,
      space_saved_mb: figure,
      compression_ratio: figure,
    }),
    by_voice: z.array(
      z.object({ voice: z.string(), entries: z.int(), bytes: z.int(), access_count: z.int() }),
    ),
    most_accessed: z.array(z.record(z.string(), z.union([z.string(), z.number()]))),
  })
  .openapi('AudioCacheStats');

export const fileStatsSchema: z.ZodType<FileCacheStats> = z
  .object({
    total_size: z.int(),
    total_files: z.int(),
    max_size: z.int(),
    usage_percent: figure,
    hit_rate: figure.openapi({
      description: 'Per cent of the requests that were served from the cache.',
    }),
    voice_distribution: z.record(
      z.string(),
      z.object({ files: z.int(), size: z.int(), access_count: z.int() }),
    ),
    most_accessed: z.array(z.record(z.string(), z.union([z.string(), z.number()]))),
  })
  .openapi('FileCacheStats');

export interface Known {
  readonly stats: SpeechStats;
  readonly enabled: boolean;
  readonly ttlSeconds: number | undefined;
  readonly firstBytes: Readonly<Record<string, FirstByteFigures>>;
  readonly compression: ClipCompression | undefined;
}

export function statsOf({
  stats,
  enabled,
  ttlSeconds,
  firstBytes,
  compression,
}: Known): AudioCacheStats {
  const { cleanup, memory, store } = stats;
  const { entries, bytes } = store ?? memory;
  return {
    enabled,
    store: store?.name ?? null,
    ttl_seconds: ttlSeconds ?? null,
    max_size_mb: inMb(cleanup.maxBytes),
    entries,
    size_bytes: bytes,
    size_mb: inMb(bytes),
    usage_percent: percent(bytes, cleanup.maxBytes),
    hits: stats.hits,
    misses: stats.misses,
    hit_ratio: stats.hitRatio ?? null,
    hit_ratio_by_characters: stats.hitRatioByCharacters ?? null,
    answered: { ...stats.answered },
    coalesced_listeners: stats.answered.coalesced,
    under_way: stats.underWay,
    syntheses: stats.syntheses,
    synthesis_failures: stats.synthesisFailures,
    first_byte_ms: { ...firstBytes },
    money: { ...stats.money },
    memory: { ...memory },
    cleanup: {
      cleanup_threshold_percent: cleanup.startAt * 100,
      target_size_percent: cleanup.downTo * 100,
      policy: cleanup.policy,
      last: cleanup.last === undefined ? null : lastOf(cleanup.last),
    },
    compression: compressionOf(compression),
    by_voice: stats.byVoice.map(({ voice, accessCount, ...rest }) => ({
      voice,
      ...rest,
      access_count: accessCount,
    })),
    most_accessed: stats.mostAccessed.map(entryOf),
  };
}

/** What was compressed since this process started: the store keeps no sum of it. */
function compressionOf(compression: ClipCompression | undefined): CompressionStats {
  const counts = compression?.counts();
  const { bytesIn = 0, bytesOut = 0 } = counts ?? {};
  return {
    enabled: compression?.options.enabled ?? false,
    threshold_kb: (compression?.options.thresholdBytes ?? 0) / 1024,
    compression_level: compression?.options.level ?? 0,
    compressed_entries: counts?.compressed ?? 0,
    compressed_size_mb: inMb(bytesOut),
    original_size_mb: inMb(bytesIn),
    space_saved_mb: inMb(bytesIn - bytesOut),
    compression_ratio: bytesOut === 0 ? 1 : rounded(bytesIn / bytesOut),
  };
}

export function fileStatsOf(stats: SpeechStats, usage: StoreUsage): FileCacheStats {
  const { maxBytes } = stats.cleanup;
  return {
    total_size: usage.bytes,
    total_files: usage.entries,
    max_size: maxBytes,
    usage_percent: percent(usage.bytes, maxBytes),
    hit_rate: rounded((stats.hitRatio ?? 0) * 100),
    voice_distribution: Object.fromEntries(
      stats.byVoice.map(({ voice, entries, bytes, accessCount }) => [
        voice,
        { files: entries, size: bytes, access_count: accessCount },
      ]),
    ),
    most_accessed: stats.mostAccessed.map(entryOf),
  };
}

/** The metadata of the source, without the path; the text only where a preview of it is kept. */
function entryOf({ key, metadata, storedBytes, lastAccessedAt, accessCount }: ClipEntry) {
  const { preview, language, durationMs, sampleRate } = metadata;
  return {
    key,
    size: storedBytes,
    created_at: new Date(metadata.createdAt).toISOString(),
    last_accessed: new Date(lastAccessedAt).toISOString(),
    access_count: accessCount,
    ...(preview === undefined ? {} : { text: preview }),
    voice_id: metadata.voice,
    ...(language === undefined ? {} : { language }),
    model: metadata.model,
    content_type: metadata.contentType,
    format: metadata.format,
    ...(durationMs === undefined ? {} : { duration_ms: durationMs }),
    ...(sampleRate === undefined ? {} : { sample_rate: sampleRate }),
  };
}

function lastOf(last: NonNullable<SpeechStats['cleanup']['last']>) {
  const { result, removed, freedBytes, ms, at } = last;
  return {
    result,
    entries_removed: removed,
    freed_bytes: freedBytes,
    ms,
    at: new Date(at).toISOString(),
  };
}

function percent(bytes: number, most: number): number {
  return rounded((bytes / most) * 100);
}

function inMb(bytes: number): number {
  return rounded(bytes / MB);
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
