import { tmpdir } from 'node:os';
import { describe, expect, test } from 'vitest';
import { type Environment, optionsFromEnv } from '../../src/env.ts';
import { environmentVariables, type VariableName } from '../../src/env-variables.ts';
import { ConfigError } from '../../src/errors.ts';
import { resolveOptions } from '../../src/options.ts';

const project = {
  SUPABASE_URL: 'https://project.supabase.co',
  SUPABASE_SECRET_KEY: 'sb_secret_0123456789',
};

function messageFor(env: Environment): string {
  try {
    optionsFromEnv(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'accepted';
}

describe('an empty environment', () => {
  test('is a Redis on this machine, every default, and no L3', () => {
    const resolved = resolveOptions(optionsFromEnv({}));
    expect(resolved.l2?.source).toEqual({ url: 'redis://localhost:6379', password: undefined });
    expect(resolved.l3).toBeUndefined();
    expect(resolved).toEqual(
      resolveOptions({
        l1: { kind: 'memory' },
        l2: { kind: 'redis', url: 'redis://localhost:6379' },
      }),
    );
  });

  test('and one of empty variables are the same', () => {
    const empty = Object.fromEntries(environmentVariables.map(({ name }) => [name, '']));
    expect(optionsFromEnv(empty)).toEqual(optionsFromEnv({}));
  });
});

test('the documented defaults are the real ones', () => {
  const documented = Object.fromEntries(environmentVariables.map((v) => [v.name, v.default]));
  expect(resolveOptions(optionsFromEnv(documented))).toEqual(resolveOptions(optionsFromEnv({})));
});

test('every variable reaches its option, in its unit', () => {
  const resolved = resolveOptions(
    optionsFromEnv({
      ...project,
      REDIS_URL: 'rediss://cache.example:6380/2',
      REDIS_PASSWORD: 'secret',
      REDIS_CACHE_TTL: '60',
      REDIS_L1_CACHE_SIZE: '7',
      REDIS_L1_CACHE_TTL: '0.5',
      REDIS_TIMEOUT_MS: '20',
      BREAKER_FAILURES: '2',
      BREAKER_RESET_SECONDS: '3',
      BREAKER_TRIAL: '1',
      SYNC_BATCH_SIZE: '100',
      SYNC_INTERVAL: ' 2 ',
      COMPRESSION_THRESHOLD: '0',
      COMPRESSION_ALGORITHM: 'ZLIB',
    }),
  );
  expect(resolved).toMatchObject({
    l1: { max: 7, ttlMs: 500 },
    l2: {
      source: { url: 'rediss://cache.example:6380/2', password: 'secret' },
      ttlMs: 60_000,
      timeoutMs: 20,
      breaker: { failures: 2, resetMs: 3000, trial: 1 },
    },
    l3: { source: { url: project.SUPABASE_URL, key: project.SUPABASE_SECRET_KEY } },
    sync: { batchSize: 100, intervalMs: 2000 },
    compression: { threshold: 0, algorithm: 'zlib' },
  });
});

test('a journal takes a directory that is there, and its mode', () => {
  const env = { ...project, CACHE_JOURNAL_DIR: tmpdir() };
  expect(resolveOptions(optionsFromEnv(env)).journal).toMatchObject({
    dir: tmpdir(),
    mode: 'fallback',
    maxBytes: 256 * 1024 * 1024,
  });
  expect(optionsFromEnv({ ...env, CACHE_JOURNAL_MODE: 'Always' }).journal?.mode).toBe('always');
  expect(optionsFromEnv({ ...project, CACHE_JOURNAL_DIR: 'off' }).journal).toBeUndefined();
});

test('every variable that is read is listed, and every one that is listed is read', () => {
  const asked = new Set<string>();
  const watch = (env: Record<string, string>): Environment =>
    new Proxy(env, {
      get(target, name) {
        asked.add(String(name));
        return Reflect.get(target, name);
      },
    });
  optionsFromEnv(watch({}));
  optionsFromEnv(watch({ REDIS_HOST: 'cache' }));
  optionsFromEnv(watch({ REDIS_SENTINELS: 'cache' }));
  expect([...asked].sort()).toEqual(environmentVariables.map(({ name }) => name).sort());
});

describe('where Redis is', () => {
  const sourceOf = (env: Environment): unknown => resolveOptions(optionsFromEnv(env)).l2?.source;

  test('REDIS_URL off is no L2', () => {
    expect(optionsFromEnv({ REDIS_URL: 'off', REDIS_HOST: 'ignored' }).l2).toBeUndefined();
  });

  test('REDIS_HOST and REDIS_PORT are understood where no URL is given', () => {
    expect(sourceOf({ REDIS_HOST: 'cache', REDIS_PORT: '7000' })).toMatchObject({
      url: 'redis://cache:7000',
    });
    expect(sourceOf({ REDIS_HOST: 'cache' })).toMatchObject({ url: 'redis://cache:6379' });
    expect(sourceOf({ REDIS_PORT: '7000' })).toMatchObject({ url: 'redis://localhost:7000' });
    expect(sourceOf({ REDIS_HOST: '::1' })).toMatchObject({ url: 'redis://[::1]:6379' });
    expect(sourceOf({ REDIS_URL: 'redis://one', REDIS_HOST: 'two' })).toMatchObject({
      url: 'redis://one',
    });
  });

  test('several nodes are a Cluster, spoken to as the first one says', () => {
    expect(sourceOf({ REDIS_URL: 'redis://a:1,redis://b:2' })).toEqual({
      cluster: [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
      ],
      username: undefined,
      password: undefined,
      tls: undefined,
    });
    expect(sourceOf({ REDIS_URL: 'rediss://me:p%40ss@a, b:2,[::1]:3' })).toEqual({
      cluster: [
        { host: 'a', port: 6379 },
        { host: 'b', port: 2 },
        { host: '::1', port: 3 },
      ],
      username: 'me',
      password: 'p@ss',
      tls: {},
    });
    const both = { REDIS_URL: 'redis://:url@a,b', REDIS_PASSWORD: 'own' };
    expect(sourceOf(both)).toMatchObject({ password: 'own' });
  });

  test('nodes of a Cluster are of one kind, and have no database', () => {
    const mixed =
      'REDIS_URL names several nodes: they take one kind, redis:// or rediss://, and no database';
    expect(messageFor({ REDIS_URL: 'redis://a:1,rediss://b:2' })).toBe(mixed);
    expect(messageFor({ REDIS_URL: 'redis://a:1/3,b:2' })).toBe(mixed);
    expect(messageFor({ REDIS_URL: 'redis://a:1,http://:secret@b:2' })).not.toContain('secret');
  });

  test('REDIS_SENTINELS name a primary', () => {
    const env = { REDIS_SENTINELS: 'a, b:7000', REDIS_PASSWORD: 'redis' };
    const sentinels = [
      { host: 'a', port: 26_379 },
      { host: 'b', port: 7000 },
    ];
    expect(sourceOf(env)).toMatchObject({ sentinels, name: 'mymaster', password: 'redis' });
    const named = { ...env, REDIS_SENTINEL_NAME: 'calls', REDIS_SENTINEL_PASSWORD: 'theirs' };
    expect(sourceOf(named)).toMatchObject({ name: 'calls', sentinelPassword: 'theirs' });
    expect(messageFor({ ...env, REDIS_URL: 'redis://a' })).toBe(
      'REDIS_URL and REDIS_SENTINELS are both set: one says where Redis is',
    );
    const strange = messageFor({ REDIS_SENTINELS: 'a,:secret@b' });
    expect(strange).toContain('REDIS_SENTINELS takes host:port,host:port');
    expect(strange).not.toContain('secret');
  });
});

describe('where Supabase is', () => {
  test('the older name of the key is read where the newer is not set', () => {
    const source = (env: Environment): unknown => resolveOptions(optionsFromEnv(env)).l3?.source;
    const older = { SUPABASE_URL: project.SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY: 'older' };
    expect(source(older)).toMatchObject({ key: 'older' });
    expect(source({ ...older, ...project })).toMatchObject({ key: project.SUPABASE_SECRET_KEY });
  });

  test('one of URL and key without the other stops the start', () => {
    expect(messageFor({ SUPABASE_URL: project.SUPABASE_URL })).toContain(
      'SUPABASE_SECRET_KEY is not set',
    );
    expect(messageFor({ SUPABASE_SECRET_KEY: 'x' })).toContain('SUPABASE_URL is not set');
  });

  test('the publishable key is not the secret one', () => {
    const message = messageFor({ ...project, SUPABASE_SECRET_KEY: 'sb_publishable_abc' });
    expect(message).toContain('got the publishable one');
    expect(message).not.toContain('abc');
  });
});

test.each<[Environment, string]>([
  [
    { REDIS_CACHE_TTL: '1h' },
    'REDIS_CACHE_TTL takes a number of seconds from 0.001 to 315360000, got "1h"',
  ],
  [
    { REDIS_CACHE_TTL: '0' },
    'REDIS_CACHE_TTL takes a number of seconds from 0.001 to 315360000, got "0"',
  ],
  [
    { REDIS_L1_CACHE_SIZE: '-1' },
    'REDIS_L1_CACHE_SIZE takes a whole number from 1 to 10000000, got "-1"',
  ],
  [
    { REDIS_L1_CACHE_SIZE: '1e3' },
    'REDIS_L1_CACHE_SIZE takes a whole number from 1 to 10000000, got "1e3"',
  ],
  [{ REDIS_TIMEOUT_MS: '2.5' }, 'REDIS_TIMEOUT_MS takes a whole number from 1 to 60000, got "2.5"'],
  [
    { SYNC_BATCH_SIZE: '20000' },
    'SYNC_BATCH_SIZE takes a whole number from 1 to 1000, got "20000"',
  ],
  [
    { SYNC_INTERVAL: '9999999' },
    'SYNC_INTERVAL takes a number of seconds from 0.01 to 2147483, got "9999999"',
  ],
  [{ BREAKER_TRIAL: 'three' }, 'BREAKER_TRIAL takes a whole number from 1 to 100, got "three"'],
  [
    { COMPRESSION_ALGORITHM: 'gzip' },
    'COMPRESSION_ALGORITHM takes one of auto, zstd, zlib, off, got "gzip"',
  ],
  [{ REDIS_PORT: '70000' }, 'REDIS_PORT takes a port, from 1 to 65535, got "70000"'],
  [
    { REDIS_HOST: 'user@host/path' },
    'REDIS_HOST takes the name or address of a host, got a text of 14 characters (not shown)',
  ],
  [
    { REDIS_URL: 'localhost:6379' },
    'REDIS_URL takes redis://host:port, rediss://host:port, either with /number of a database, or off, got a URL of the kind localhost://',
  ],
  [
    { REDIS_URL: 'redis://localhost:6379/production' },
    'REDIS_URL takes redis://host:port, rediss://host:port, either with /number of a database, or off, got a URL of the kind redis://',
  ],
  [
    { ...project, SUPABASE_URL: 'project.supabase.co' },
    'SUPABASE_URL takes a URL like https://project.supabase.co, got a text that is no URL (not shown)',
  ],
  [
    { CACHE_ENCRYPTION_KEYS: 'k1:secret' },
    'CACHE_ENCRYPTION_KEYS takes the base64 of 32 bytes for the key "k1" (openssl rand -base64 32)',
  ],
  [
    { CACHE_JOURNAL_DIR: '/var/journal', CACHE_JOURNAL_MODE: 'sometimes' },
    'CACHE_JOURNAL_MODE takes one of fallback, always, got "sometimes"',
  ],
  [
    { CACHE_JOURNAL_MODE: 'always' },
    'CACHE_JOURNAL_MODE is always, but CACHE_JOURNAL_DIR is not set: it takes the path of a directory',
  ],
])(
  'a value that can not be used is one line with the variable, what it got and what it takes: %#',
  (env, message) => {
    expect(messageFor(env)).toBe(message);
  },
);

test('G9: whatever is in a secret variable, no message shows it', () => {
  const secrets: VariableName[] = environmentVariables.filter((v) => v.secret).map((v) => v.name);
  expect(secrets).toContain('REDIS_PASSWORD');
  for (const name of secrets) {
    for (const value of [
      'hunter2',
      'http://me:hunter2@host',
      'sb_publishable_hunter2',
      'hunter2,hunter2',
    ]) {
      for (const rest of [
        {},
        { SUPABASE_URL: 'nonsense hunter2' },
        { SUPABASE_URL: project.SUPABASE_URL },
      ]) {
        expect(messageFor({ ...rest, [name]: value })).not.toContain('hunter2');
      }
    }
  }
});
