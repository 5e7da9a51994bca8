import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { ConfigError } from '../../src/errors.ts';
import { memory, redis, resolveOptions, supabase } from '../../src/options.ts';

const url = 'redis://localhost:6379';
const project = { url: 'https://project.supabase.co', key: 'sb_secret_0123456789' };

/** Options as plain JavaScript may hand them over. */
function messageFor(options: unknown): string {
  try {
    // @ts-expect-error what is checked here is what the types would not let through
    resolveOptions(options);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'accepted';
}

test('every default is filled in, durations are milliseconds, and all of it is frozen', () => {
  const resolved = resolveOptions({ l1: memory(), l2: redis({ url }), l3: supabase(project) });
  expect(resolved).toEqual({
    l1: { max: 100, maxBytes: 67_108_864, ttlMs: 300_000 },
    l2: {
      source: { url, password: undefined },
      ttlMs: 3_600_000,
      timeoutMs: 50,
      shards: 16,
      breaker: { failures: 5, resetMs: 10_000, trial: 3 },
    },
    l3: { source: project, timeoutMs: 2000 },
    sync: {
      intervalMs: 300_000,
      batchSize: 10,
      maxPending: 10_000,
      maxBytes: 67_108_864,
      concurrency: 4,
      adoptAfterMs: 600_000,
    },
    bus: { gapTtlMs: 5000 },
    compression: { algorithm: 'auto', threshold: 1024, minSaving: 0.1 },
    bulkhead: { concurrency: 16, queue: 1000 },
    deadlineMs: 5000,
    registry: undefined,
    logger: undefined,
    clock: systemClock,
  });
  for (const part of [resolved, resolved.l1, resolved.l2, resolved.l2?.breaker, resolved.sync]) {
    expect(Object.isFrozen(part)).toBe(true);
  }
});

test('a Cluster and Sentinels are named by their addresses, with the ports they usually have', () => {
  const tls = { ca: 'pem' };
  const sourceOf = (options: Parameters<typeof redis>[0]): unknown =>
    resolveOptions({ l2: redis(options) }).l2?.source;
  expect(sourceOf({ cluster: [{ host: 'a' }, { host: 'b', port: 7 }], tls })).toEqual({
    cluster: [
      { host: 'a', port: 6379 },
      { host: 'b', port: 7 },
    ],
    username: undefined,
    password: undefined,
    tls,
  });
  expect(sourceOf({ sentinels: [{ host: 'a' }], username: 'me', password: 'p' })).toEqual({
    sentinels: [{ host: 'a', port: 26_379 }],
    name: 'mymaster',
    sentinelPassword: undefined,
    username: 'me',
    password: 'p',
    tls: undefined,
  });
});

test('Redis is in one place, and what belongs to another is refused by name', () => {
  const cluster = [{ host: 'a' }];
  const one = 'redis() takes one of url, cluster, sentinels and client, not two';
  expect(messageFor({ l2: redis({ url, cluster }) })).toBe(one);
  expect(messageFor({ l2: redis({ cluster, sentinels: cluster }) })).toBe(one);
  expect(messageFor({ l2: redis({ cluster, name: 'x' }) })).toContain('"l2.name"');
  expect(messageFor({ l2: redis({ url, sentinelPassword: 's' }) })).toContain(
    '"l2.sentinelPassword"',
  );
  expect(messageFor({ l2: redis({ url, username: 'me' }) })).toContain('"l2.username"');
  for (const wrong of [[], [{ host: '' }], [{ host: 'a', port: 0 }], [{ host: 'redis://a' }]]) {
    expect(messageFor({ l2: redis({ cluster: wrong }) })).toBe(
      'option "l2.cluster" takes a list of { host, port }, got an array',
    );
  }
});

test('what is given is taken, an explicit undefined is the default, and tiers may be left out', () => {
  const registry = new Registry();
  const resolved = resolveOptions({
    l1: memory({ max: 5, ttl: 1500, maxBytes: undefined }),
    l3: undefined,
    sync: { interval: '10s', concurrency: undefined },
    compression: { threshold: 0, algorithm: 'off' },
    deadline: '100ms',
    registry,
  });
  expect(resolved.l1).toEqual({ max: 5, maxBytes: 67_108_864, ttlMs: 1500 });
  expect([resolved.l2, resolved.l3]).toEqual([undefined, undefined]);
  expect(resolved.sync).toMatchObject({ intervalMs: 10_000, concurrency: 4 });
  expect(resolved.compression).toEqual({ algorithm: 'off', threshold: 0, minSaving: 0.1 });
  expect(resolved.deadlineMs).toBe(100);
  expect(resolved.registry).toBe(registry);
});

test('the descriptions of tiers are plain and frozen', () => {
  expect(memory({ max: 3 })).toEqual({ kind: 'memory', max: 3 });
  expect(redis({ url })).toEqual({ kind: 'redis', url });
  expect(supabase(project)).toEqual({ kind: 'supabase', ...project });
  expect(Object.isFrozen(redis({ url }))).toBe(true);
});

test.each([
  [{ l1: memory(), cache: true }, 'unknown option "cache"'],
  [{ l1: memory(), journal: { dir: '/tmp', size: 1 } }, 'unknown option "journal.size"'],
  [{ l1: { kind: 'memory', size: 3 } }, 'unknown option "l1.size"'],
  [{ l2: { ...redis({ url }), breaker: { failure: 3 } } }, 'unknown option "l2.breaker.failure"'],
  [{ l1: memory(), sync: { 'batch-size': 1 } }, 'unknown option "sync.batch-size"'],
])('an option that does not exist is refused by its name: %#', (options, message) => {
  expect(messageFor(options)).toBe(message);
});

test.each([
  [undefined, 'createCache takes an object of options, got nothing'],
  ['redis', 'createCache takes an object of options, got "redis"'],
  [{}, 'createCache takes at least one of the options l1, l2 and l3'],
  [{ l1: memory(), journal: { dir: '/tmp' } }, 'option "journal" needs the option l3'],
  [{ l1: true }, 'option "l1" takes what memory({…}) returns, got true'],
  [{ l1: { max: 3 } }, 'option "l1" takes what memory({…}) returns, got an object'],
  [{ l2: memory() }, 'option "l2" takes what redis({…}) returns, got an object'],
  [{ l1: memory({ max: 0 }) }, 'option "l1.max" takes a whole number from 1 to 10000000, got 0'],
  [
    { l1: memory({ max: 1.5 }) },
    'option "l1.max" takes a whole number from 1 to 10000000, got 1.5',
  ],
  [
    { l1: { kind: 'memory', max: '100' } },
    'option "l1.max" takes a whole number from 1 to 10000000, got "100"',
  ],
  [
    { l1: { kind: 'memory', ttl: '5 parsecs' } },
    'option "l1.ttl" takes a duration from 1ms to 3650d (milliseconds, or text like "5m"), got "5 parsecs"',
  ],
  [
    { l1: memory({ ttl: Number.NaN }) },
    'option "l1.ttl" takes a duration from 1ms to 3650d (milliseconds, or text like "5m"), got NaN',
  ],
  [
    { l1: memory(), sync: { interval: '30d' } },
    'option "sync.interval" takes a duration from 10ms to 24d (milliseconds, or text like "5m"), got "30d"',
  ],
  [{ l1: memory(), sync: [] }, 'option "sync" takes an object, got an array'],
  [
    { l1: memory(), compression: { algorithm: 'gzip' } },
    'option "compression.algorithm" takes one of "auto", "zstd", "zlib", "off", got "gzip"',
  ],
  [
    { l1: memory(), compression: { minSaving: 1 } },
    'option "compression.minSaving" takes a number from 0 to 0.99, got 1',
  ],
  [
    { l1: memory(), registry: {} },
    'option "registry" takes a Registry of prom-client, got an object',
  ],
  [
    { l1: memory(), logger: console.log },
    'option "logger" takes a logger with debug, info, warn and error, got a function',
  ],
  [
    { l1: memory(), clock: Date },
    'option "clock" takes a Clock: now, monotonic, after and random53, got a function',
  ],
])(
  'a value that can not be used is named, with what was given and what is taken: %#',
  (options, message) => {
    expect(messageFor(options)).toBe(message);
  },
);

test.each([
  [
    { l2: redis({}) },
    'option "l2.url" is missing: redis() takes a url, cluster, sentinels or a client',
  ],
  [
    { l3: supabase({ url: project.url }) },
    'option "l3.key" is missing: supabase() takes a url and a key, or a client',
  ],
  [
    { l3: supabase({ key: project.key }) },
    'option "l3.url" is missing: supabase() takes a url and a key, or a client',
  ],
  [
    { l2: redis({ url: 'localhost:6379' }) },
    'option "l2.url" takes a URL like redis://host:6379 or rediss://host:6379, either with /number of a database, got a URL of the kind localhost://',
  ],
  [
    { l2: redis({ url: 'redis://localhost:6379/abc' }) },
    'option "l2.url" takes a URL like redis://host:6379 or rediss://host:6379, either with /number of a database, got a URL of the kind redis://',
  ],
  [
    { l3: supabase({ ...project, key: 'sb_secret_one\ntwo' }) },
    'option "l3.key" takes the secret key of the Supabase project, without spaces or line breaks, got a text of 17 characters (not shown)',
  ],
  [
    { l3: supabase({ ...project, key: '' }) },
    'option "l3.key" takes the secret key of the Supabase project, without spaces or line breaks, got an empty text',
  ],
])('where a server is, and how it is entered, has to be said: %#', (options, message) => {
  expect(messageFor(options)).toBe(message);
});

test('G9: no message about a URL, a password or a key shows it', () => {
  const secret = 'hunter2-hunter2';
  for (const options of [
    { l2: { kind: 'redis', url: `http://me:${secret}@host` } },
    { l2: { kind: 'redis', url: secret } },
    { l2: { kind: 'redis', url: [secret] } },
    { l2: { kind: 'redis', url, password: { secret } } },
    { l3: { kind: 'supabase', url: `ftp://me:${secret}@host`, key: secret } },
    { l3: { kind: 'supabase', url: secret, key: secret } },
    { l3: { kind: 'supabase', url: project.url, key: 5 } },
  ]) {
    const message = messageFor(options);
    expect(message).toContain('takes');
    expect(message).not.toContain('hunter2');
  }
});
