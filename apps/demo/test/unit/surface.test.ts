/**
 * The surface that other people's programs rely on: every variable is read and documented, every
 * metric is there under its name.
 */
import { readFileSync } from 'node:fs';
import { audioFromEnv, audioVariables, speechMetricNames } from '@cache/audio';
import { environmentVariables, metricNames, optionsFromEnv } from '@cache/core';
import { serviceFromEnv, serviceVariables } from '@cache/http';
import { embeddedVariables } from '@cache/testing';
import { describe, expect, test } from 'vitest';
import { crmFromEnv, crmVariables } from '../../src/crm-env.ts';

const VARIABLES = [
  ...['REDIS_URL', 'REDIS_PASSWORD', 'REDIS_HOST', 'REDIS_PORT', 'REDIS_CACHE_TTL'],
  ...['REDIS_SENTINELS', 'REDIS_SENTINEL_NAME', 'REDIS_SENTINEL_PASSWORD'],
  ...['REDIS_L1_CACHE_SIZE', 'REDIS_L1_CACHE_TTL', 'REDIS_TIMEOUT_MS'],
  ...['BREAKER_FAILURES', 'BREAKER_RESET_SECONDS', 'BREAKER_TRIAL'],
  ...['SYNC_BATCH_SIZE', 'SYNC_INTERVAL', 'COMPRESSION_THRESHOLD', 'COMPRESSION_ALGORITHM'],
  ...['SUPABASE_URL', 'SUPABASE_SECRET_KEY', 'SUPABASE_SERVICE_ROLE_KEY'],
  ...['CACHE_JOURNAL_DIR', 'CACHE_JOURNAL_MODE', 'CACHE_ENCRYPTION_KEYS'],
  ...['CACHE_ADMIN_TOKEN', 'CACHE_API_TOKEN', 'CACHE_METRICS_TOKEN', 'HOST', 'PORT'],
  ...['CRM_DELAY_MS', 'CRM_FAILURE_RATE'],
  // Source: the hotel agent's audio cache over Redis (2025-10-07).
  ...['AUDIO_CACHE_ENABLED', 'AUDIO_CACHE_TTL_SECONDS', 'AUDIO_CACHE_MAX_SIZE_MB'],
  ...['AUDIO_CACHE_COMPRESSION_ENABLED', 'AUDIO_CACHE_COMPRESSION_THRESHOLD_KB'],
  'AUDIO_CACHE_COMPRESSION_LEVEL',
  // Source: the audio cache on the file system.
  ...['AUDIO_CACHE_DIR', 'AUDIO_CACHE_TTL', 'AUDIO_CACHE_MAX_SIZE'],
  ...['AUDIO_CACHE_LOOKUP_TIMEOUT_MS', 'AUDIO_CACHE_PRICES', 'SPEECH_PROVIDER', 'SPEECH_VOICE'],
  ...['ELEVENLABS_API_KEY', 'ELEVENLABS_BASE_URL', 'ELEVENLABS_MODEL'],
  ...['EMBEDDED_REDIS_PORT', 'EMBEDDED_SUPABASE_PORT'],
];

const METRICS = [
  'cache_requests_total',
  'cache_operation_duration_seconds',
  'cache_entries',
  'cache_bytes',
  'cache_evictions_total',
  'cache_compression_bytes_total',
  'cache_compression_ratio',
  'cache_breaker_state',
  'cache_breaker_transitions_total',
  'cache_sync_pending',
  'cache_sync_oldest_pending_seconds',
  'cache_sync_rows_total',
  'cache_sync_runs_total',
  'cache_sync_duration_seconds',
  'cache_dead_letters',
  'cache_bus_gaps_total',
  'cache_journal_bytes',
  'cache_journal_appends_total',
  'cache_journal_replayed_total',
  'cache_journal_corrupt_segments_total',
  'cache_load_duration_seconds',
  'cache_leases_total',
  'cache_stale_answers_total',
  'cache_discarded_fills_total',
  'cache_schema_mismatches_total',
];

const AUDIO_METRICS = [
  'audio_cache_operations_total',
  'audio_cache_size_entries',
  'audio_cache_memory_bytes',
  'audio_cache_cleanup_total',
  'audio_cache_cleanup_freed_bytes',
  'audio_cache_cleanup_entries_removed',
  'audio_cache_compression_operations_total',
  'audio_cache_compression_bytes_saved',
  'audio_cache_compression_ratio',
];
const ROOT = new URL('../../../../', import.meta.url);

const read = [...environmentVariables, ...serviceVariables, ...crmVariables, ...audioVariables];
const listed = [...read, ...embeddedVariables];

/** Some variables are read only where others are set. */
const SETTINGS: readonly Record<string, string>[] = [
  {},
  { SUPABASE_URL: 'http://localhost', REDIS_URL: 'off' },
  { REDIS_SENTINELS: 'localhost:26379' },
];

/** What is read of an environment in which nothing is set, or everything is. */
function readBy(read: (env: Readonly<Record<string, string | undefined>>) => unknown): Set<string> {
  const names = new Set<string>();
  for (const values of SETTINGS) {
    const env = new Proxy<Record<string, string>>(values, {
      get(target, name) {
        names.add(String(name));
        return Reflect.get(target, name);
      },
    });
    try {
      read(env);
    } catch {
      // What was read until then counts.
    }
  }
  return names;
}

describe('environment variables', () => {
  test('those that are listed are those that were promised', () => {
    expect(listed.map(({ name }) => name).sort()).toEqual([...VARIABLES].sort());
  });

  test('each that is listed is read, and none besides', () => {
    const seen = new Set(
      [optionsFromEnv, serviceFromEnv, crmFromEnv, audioFromEnv].flatMap((one) => [...readBy(one)]),
    );
    const own = read.map(({ name }) => name);
    expect([...seen].sort()).toEqual([...own].sort());
  });

  test('each is documented', () => {
    const readme = readFileSync(new URL('../../../../README.md', import.meta.url), 'utf8');
    expect(listed.filter(({ name }) => !readme.includes(`\`${name}\``))).toEqual([]);
    expect(listed.filter(({ description }) => description.length < 10)).toEqual([]);
  });
});

describe('metrics', () => {
  test('those that are exported are those that were promised', () => {
    expect([...metricNames].sort()).toEqual(expect.arrayContaining([...METRICS].sort()));
  });

  test('source: the hotel agent’s audio cache (2025-10-07): those of speech have its names', () => {
    expect(speechMetricNames).toEqual(expect.arrayContaining(AUDIO_METRICS));
  });

  test('those of speech are in the operations manual, with the rules and the dashboard', () => {
    const text = (path: string) => readFileSync(new URL(path, ROOT), 'utf8');
    const manual = text('docs/audio-cache.md');
    expect(speechMetricNames.filter((name) => !manual.includes(`\`${name}\``))).toEqual([]);
    for (const file of [
      'docs/monitoring/audio-cache.rules.yml',
      'docs/monitoring/audio-cache.json',
    ]) {
      const named = [
        ...text(file).matchAll(/\baudio_cache_[a-z_]+?(?=_bucket|_count|_sum|[^a-z_])/g),
      ];
      const names = new Set(named.map(([name]) => name));
      expect([...names].filter((name) => !speechMetricNames.includes(name))).toEqual([]);
      expect(names.size).toBeGreaterThan(3);
    }
  });
});
