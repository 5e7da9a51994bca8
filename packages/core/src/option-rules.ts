/**
 * What each option takes, and the sentence that says so when it got something else. Knows names
 * and limits, not what they are for: that is `options.ts`, and the environment's words for the
 * same limits are in `env.ts`.
 *
 * Invariants: an unknown option is refused by its name; a message never holds a secret, nor a
 * URL, which may hold one.
 */
import { z } from 'zod';
import { LONGEST_TIMER_MS } from './clock.ts';
import { ConfigError } from './errors.ts';
import { parseDuration } from './model/duration.ts';

const DAY_MS = 86_400_000;
const LONGEST_TTL_MS = 3650 * DAY_MS;

type Limits = readonly [min: number, max: number];

/** An option that is a number or a duration. */
export type LimitedOption =
  | 'l1.max'
  | 'l1.maxBytes'
  | 'l1.ttl'
  | 'l2.ttl'
  | 'l2.timeout'
  | 'l2.shards'
  | 'l2.breaker.failures'
  | 'l2.breaker.reset'
  | 'l2.breaker.trial'
  | 'l3.timeout'
  | 'sync.interval'
  | 'sync.batchSize'
  | 'sync.maxPending'
  | 'sync.maxBytes'
  | 'sync.concurrency'
  | 'sync.adoptAfter'
  | 'bus.gapTtl'
  | 'compression.threshold'
  | 'compression.minSaving'
  | 'bulkhead.concurrency'
  | 'bulkhead.queue'
  | 'journal.maxBytes'
  | 'deadline';

/** Inclusive. Durations are in milliseconds. */
export const LIMITS: Readonly<Record<LimitedOption, Limits>> = {
  'l1.max': [1, 10_000_000],
  'l1.maxBytes': [1024, Number.MAX_SAFE_INTEGER],
  'l1.ttl': [1, LONGEST_TTL_MS],
  'l2.ttl': [1, LONGEST_TTL_MS],
  'l2.timeout': [1, 60_000],
  'l2.shards': [1, 100],
  'l2.breaker.failures': [1, 1000],
  'l2.breaker.reset': [10, LONGEST_TIMER_MS],
  'l2.breaker.trial': [1, 100],
  'l3.timeout': [1, 600_000],
  'sync.interval': [10, LONGEST_TIMER_MS],
  'sync.batchSize': [1, 1000],
  'sync.maxPending': [1, 10_000_000],
  'sync.maxBytes': [1024, Number.MAX_SAFE_INTEGER],
  'sync.concurrency': [1, 64],
  'sync.adoptAfter': [10, LONGEST_TIMER_MS],
  'bus.gapTtl': [100, 600_000],
  'compression.threshold': [0, Number.MAX_SAFE_INTEGER],
  'compression.minSaving': [0, 0.99],
  'bulkhead.concurrency': [1, 1000],
  'bulkhead.queue': [0, 1_000_000],
  'journal.maxBytes': [1024 * 1024, Number.MAX_SAFE_INTEGER],
  deadline: [1, 3_600_000],
};

export const COMPRESSION_ALGORITHMS = ['auto', 'zstd', 'zlib', 'off'] as const;

/** Shows a value in a message: short, and never a part of an object. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (typeof value === 'string') {
    return value.length > 40 ? `a text of ${value.length} characters` : JSON.stringify(value);
  }
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value === 'function') return 'a function';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** For values that may be or hold a secret: what kind of thing it is, nothing of its text. */
export function shownSecret(value: unknown): string {
  if (typeof value !== 'string') return shown(value);
  return value.length === 0 ? 'an empty text' : `a text of ${value.length} characters (not shown)`;
}

/** A URL may hold a password, and a text that is no URL may be one put in the wrong place. */
export function shownUrl(value: unknown): string {
  if (typeof value !== 'string') return shown(value);
  if (value.length === 0) return 'an empty text';
  const url = URL.parse(value);
  return url === null ? 'a text that is no URL (not shown)' : `a URL of the kind ${url.protocol}//`;
}

const UNITS = [
  [DAY_MS, 'd'],
  [3_600_000, 'h'],
  [60_000, 'm'],
  [1000, 's'],
] as const;

/** A duration as people write it, rounded down: `24d`. */
export function shownDuration(ms: number): string {
  const unit = UNITS.find(([size]) => ms >= size);
  return unit === undefined ? `${ms}ms` : `${Math.floor(ms / unit[0])}${unit[1]}`;
}

/** The path of a Redis URL: nothing, or the number of a database. */
export const DATABASE: RegExp = /^\/?\d*$/;

/** A rule for one option: anything that fits, or the sentence of what it takes. */
function rule(fits: (value: unknown) => boolean, takes: string): z.ZodType {
  return z.custom(fits, { error: takes }).optional();
}

function inLimits(value: unknown, [min, max]: Limits): boolean {
  return typeof value === 'number' && value >= min && value <= max;
}

function whole(option: LimitedOption): z.ZodType {
  const [min, max] = LIMITS[option];
  return rule(
    (value) => Number.isSafeInteger(value) && inLimits(value, [min, max]),
    `a whole number from ${min} to ${max}`,
  );
}

function fraction(option: LimitedOption): z.ZodType {
  const [min, max] = LIMITS[option];
  return rule((value) => inLimits(value, [min, max]), `a number from ${min} to ${max}`);
}

function duration(option: LimitedOption): z.ZodType {
  const limits = LIMITS[option];
  const fits = (value: unknown): boolean => {
    if (typeof value !== 'number' && typeof value !== 'string') return false;
    try {
      return inLimits(parseDuration(option, value), limits);
    } catch {
      return false;
    }
  };
  const range = `from ${shownDuration(limits[0])} to ${shownDuration(limits[1])}`;
  return rule(fits, `a duration ${range} (milliseconds, or text like "5m")`);
}

function url(protocols: readonly string[], takes: string, path?: RegExp): z.ZodType {
  return rule((value) => {
    const parsed = typeof value === 'string' ? URL.parse(value) : null;
    if (parsed === null || !protocols.includes(parsed.protocol)) return false;
    return parsed.hostname !== '' && (path === undefined || path.test(parsed.pathname));
  }, takes);
}

function withMethods(methods: readonly string[], takes: string): z.ZodType {
  return rule((value) => hasMethods(value, methods), takes);
}

function hasMethods(value: unknown, methods: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const owner: object = value;
  return methods.every((method) => typeof Reflect.get(owner, method) === 'function');
}

function isAddress(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { host, port, ...rest }: { host?: unknown; port?: unknown } = value;
  const isPort = Number.isInteger(port) && Number(port) > 0 && Number(port) <= 65_535;
  const isHost = typeof host === 'string' && /^[^\s/?#@,]+$/.test(host);
  return isHost && (port === undefined || isPort) && Object.keys(rest).length === 0;
}

const addresses: z.ZodType = rule(
  (value) => Array.isArray(value) && value.length > 0 && value.every(isAddress),
  'a list of { host, port }',
);

const text: z.ZodType = rule((value) => typeof value === 'string', 'a text');

const pem: z.ZodType = rule(
  (value) => (typeof value === 'string' && value !== '') || value instanceof Uint8Array,
  'the text of a PEM file',
);

/** An object whose options are all known. */
function group(takes: string, shape: Readonly<Record<string, z.ZodType>>): z.ZodType {
  return z
    .strictObject(shape, { error: (issue) => (issue.code === 'invalid_type' ? takes : undefined) })
    .optional();
}

function tier(kind: string, shape: Readonly<Record<string, z.ZodType>>): z.ZodType {
  const takes = `what ${kind}({…}) returns`;
  return group(takes, { kind: z.literal(kind, { error: takes }), ...shape });
}

const cacheRules: z.ZodType = z.strictObject({
  l1: tier('memory', {
    max: whole('l1.max'),
    maxBytes: whole('l1.maxBytes'),
    ttl: duration('l1.ttl'),
  }),
  l2: tier('redis', {
    url: url(
      ['redis:', 'rediss:'],
      'a URL like redis://host:6379 or rediss://host:6379, either with /number of a database',
      DATABASE,
    ),
    password: text,
    tls: group('an object', { ca: pem, cert: pem, key: pem, servername: text }),
    client: rule(
      (value) =>
        hasMethods(value, ['call', 'duplicate', 'disconnect']) ||
        (hasMethods(value, ['nodes', 'disconnect']) && Reflect.get(Object(value), 'isCluster')),
      'a client of ioredis',
    ),
    cluster: addresses,
    sentinels: addresses,
    name: rule((value) => typeof value === 'string' && value !== '', 'the name of a group'),
    sentinelPassword: text,
    username: text,
    ttl: duration('l2.ttl'),
    timeout: duration('l2.timeout'),
    shards: whole('l2.shards'),
    breaker: group('an object', {
      failures: whole('l2.breaker.failures'),
      reset: duration('l2.breaker.reset'),
      trial: whole('l2.breaker.trial'),
    }),
  }),
  l3: tier('supabase', {
    url: url(['http:', 'https:'], 'a URL like https://project.supabase.co'),
    key: rule(
      (value) => typeof value === 'string' && /^[\x21-\x7e]+$/.test(value),
      'the secret key of the Supabase project, without spaces or line breaks',
    ),
    client: withMethods(['rpc'], 'a client of @supabase/supabase-js'),
    timeout: duration('l3.timeout'),
  }),
  sync: group('an object', {
    interval: duration('sync.interval'),
    batchSize: whole('sync.batchSize'),
    maxPending: whole('sync.maxPending'),
    maxBytes: whole('sync.maxBytes'),
    concurrency: whole('sync.concurrency'),
    adoptAfter: duration('sync.adoptAfter'),
  }),
  bus: group('an object', { gapTtl: duration('bus.gapTtl') }),
  compression: group('an object', {
    algorithm: rule(
      (value) => COMPRESSION_ALGORITHMS.some((algorithm) => algorithm === value),
      `one of ${COMPRESSION_ALGORITHMS.map((algorithm) => `"${algorithm}"`).join(', ')}`,
    ),
    threshold: whole('compression.threshold'),
    minSaving: fraction('compression.minSaving'),
  }),
  bulkhead: group('an object', {
    concurrency: whole('bulkhead.concurrency'),
    queue: whole('bulkhead.queue'),
  }),
  journal: group('an object of dir, mode and maxBytes', {
    dir: rule((value) => typeof value === 'string' && value !== '', 'the path of a directory'),
    mode: rule((value) => value === 'fallback' || value === 'always', '"fallback" or "always"'),
    maxBytes: whole('journal.maxBytes'),
  }),
  encryption: group('an object of keys and current', {
    keys: z.record(z.string(), z.unknown(), { error: 'an object of keys by their ids' }),
    current: z.string({ error: 'the id of one of the keys, or "off"' }),
  }),
  deadline: duration('deadline'),
  registry: withMethods(
    ['registerMetric', 'getSingleMetric', 'metrics'],
    'a Registry of prom-client',
  ),
  logger: withMethods(
    ['debug', 'info', 'warn', 'error'],
    'a logger with debug, info, warn and error',
  ),
  clock: withMethods(
    ['now', 'monotonic', 'after', 'random53'],
    'a Clock: now, monotonic, after and random53',
  ),
});

const SHOW_AS: Readonly<Record<string, (value: unknown) => string>> = {
  'l2.url': shownUrl,
  'l2.password': shownSecret,
  'l2.sentinelPassword': shownSecret,
  'l2.tls.ca': shownSecret,
  'l2.tls.cert': shownSecret,
  'l2.tls.key': shownSecret,
  'encryption.keys': shownSecret,
  'encryption.current': shownSecret,
  'l3.url': shownUrl,
  'l3.key': shownSecret,
};

/** Throws a `ConfigError` about the first option that can't be used. */
export function checkOptions(options: unknown): void {
  const issue = cacheRules.safeParse(options).error?.issues[0];
  if (issue !== undefined) throw new ConfigError(explain(issue, options));
}

/** The same for an option of a namespace that there is none of. */
export function refuseUnknown(name: string, options: object, known: readonly string[]): void {
  for (const option of Object.keys(options)) {
    if (!known.includes(option)) {
      throw new ConfigError(`namespace "${name}": unknown option "${option}"`);
    }
  }
}

function explain(issue: z.core.$ZodIssue, options: unknown): string {
  const path = issue.path.at(-1) === 'kind' ? issue.path.slice(0, -1) : issue.path;
  const option = path.join('.');
  if (issue.code === 'unrecognized_keys') {
    const unknown = [...path, issue.keys[0] ?? ''].join('.');
    return `unknown option "${unknown}"`;
  }
  const got = path.reduce<unknown>(
    (value, name) =>
      typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined,
    options,
  );
  if (option === '') return `createCache takes an object of options, got ${shown(got)}`;
  return `option "${option}" takes ${issue.message}, got ${(SHOW_AS[option] ?? shown)(got)}`;
}
