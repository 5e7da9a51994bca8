/**
 * The surface that other people's programs rely on: every variable is read and documented, every
 * metric is there under its name.
 */
import { readFileSync } from 'node:fs';
import { environmentVariables, metricNames, optionsFromEnv } from '@cache/core';
import { serviceFromEnv, serviceVariables } from '@cache/http';
import { describe, expect, test } from 'vitest';
import { crmFromEnv, crmVariables } from '../../src/crm-env.ts';
import { embeddedVariables } from '../../src/embedded.ts';

const VARIABLES = [
  ...['REDIS_URL', 'REDIS_PASSWORD', 'REDIS_HOST', 'REDIS_PORT', 'REDIS_CACHE_TTL'],
  ...['REDIS_L1_CACHE_SIZE', 'REDIS_L1_CACHE_TTL', 'REDIS_TIMEOUT_MS'],
  ...['BREAKER_FAILURES', 'BREAKER_RESET_SECONDS', 'BREAKER_TRIAL'],
  ...['SYNC_BATCH_SIZE', 'SYNC_INTERVAL', 'COMPRESSION_THRESHOLD', 'COMPRESSION_ALGORITHM'],
  ...['SUPABASE_URL', 'SUPABASE_SECRET_KEY', 'SUPABASE_SERVICE_ROLE_KEY'],
  ...['CACHE_JOURNAL_DIR', 'CACHE_JOURNAL_MODE', 'CACHE_ENCRYPTION_KEYS'],
  ...['CACHE_ADMIN_TOKEN', 'CACHE_API_TOKEN', 'CACHE_METRICS_TOKEN', 'HOST', 'PORT'],
  ...['CRM_DELAY_MS', 'CRM_FAILURE_RATE'],
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

const read = [...environmentVariables, ...serviceVariables, ...crmVariables];
const listed = [...read, ...embeddedVariables];

/** What is read of an environment in which nothing is set, or everything is. */
function readBy(read: (env: Readonly<Record<string, string | undefined>>) => unknown): Set<string> {
  const names = new Set<string>();
  for (const values of [{}, { SUPABASE_URL: 'http://localhost', REDIS_URL: 'off' }]) {
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
      [optionsFromEnv, serviceFromEnv, crmFromEnv].flatMap((one) => [...readBy(one)]),
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
});
