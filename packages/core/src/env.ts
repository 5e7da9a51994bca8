/**
 * The options of a cache from environment variables, for services that are configured from
 * outside. `env-variables.ts` lists what is read here.
 *
 * Invariants: an empty variable is an unset one; a value that can't be used is a `ConfigError`
 * that names the variable, what it got and what it takes; no message holds a secret or a URL.
 */
import type { VariableName } from './env-variables.ts';
import { ConfigError } from './errors.ts';
import { JOURNAL_MODES } from './journal-options.ts';
import {
  COMPRESSION_ALGORITHMS,
  DATABASE,
  LIMITS,
  type LimitedOption,
  shown,
  shownSecret,
  shownUrl,
} from './option-rules.ts';
import {
  type CacheOptions,
  memory,
  type RedisOptions,
  type RedisTierOptions,
  redis,
  supabase,
} from './options.ts';
import { encryptionFromText } from './security-options.ts';

/** Variables as a process has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Everything that the environment says about a cache; what it does not say keeps its default.
 * Throws `ConfigError` with one line that names the variable, what it got and what it takes.
 */
export function optionsFromEnv(env: Environment = process.env): CacheOptions {
  const read = new Reader(env);
  return {
    l1: memory({
      max: read.whole('REDIS_L1_CACHE_SIZE', 'l1.max'),
      ttl: read.seconds('REDIS_L1_CACHE_TTL', 'l1.ttl'),
    }),
    l2: redisFrom(read),
    l3: supabaseFrom(read),
    sync: {
      batchSize: read.whole('SYNC_BATCH_SIZE', 'sync.batchSize'),
      interval: read.seconds('SYNC_INTERVAL', 'sync.interval'),
    },
    compression: {
      threshold: read.whole('COMPRESSION_THRESHOLD', 'compression.threshold'),
      algorithm: read.oneOf('COMPRESSION_ALGORITHM', COMPRESSION_ALGORITHMS),
    },
    journal: journalFrom(read),
    encryption: encryptionFrom(read),
  };
}

function redisFrom(read: Reader): RedisTierOptions | undefined {
  const where = redisPlace(read);
  if (where === undefined) return undefined;
  return redis({
    ...where,
    password: read.text('REDIS_PASSWORD') ?? where.password,
    ttl: read.seconds('REDIS_CACHE_TTL', 'l2.ttl'),
    timeout: read.whole('REDIS_TIMEOUT_MS', 'l2.timeout'),
    breaker: {
      failures: read.whole('BREAKER_FAILURES', 'l2.breaker.failures'),
      reset: read.seconds('BREAKER_RESET_SECONDS', 'l2.breaker.reset'),
      trial: read.whole('BREAKER_TRIAL', 'l2.breaker.trial'),
    },
  });
}

/** `undefined`: no L2. */
function redisPlace(read: Reader): RedisOptions | undefined {
  const url = read.text('REDIS_URL');
  const sentinels = read.text('REDIS_SENTINELS');
  if (sentinels !== undefined) {
    if (url !== undefined) {
      throw new ConfigError('REDIS_URL and REDIS_SENTINELS are both set: one says where Redis is');
    }
    return {
      sentinels: sentinels.split(',').map(sentinelIn),
      name: read.text('REDIS_SENTINEL_NAME'),
      sentinelPassword: read.text('REDIS_SENTINEL_PASSWORD'),
    };
  }
  if (url === 'off') return undefined;
  if (url === undefined) {
    const host = read.text('REDIS_HOST');
    const port = read.number('REDIS_PORT', [1, 65_535], 'a port, from 1 to 65535', wholeNumber);
    return { url: hostUrl(host ?? 'localhost', port ?? 6379) };
  }
  if (url.includes(',')) return clusterIn(url);
  redisUrl(url, url);
  return { url };
}

function redisUrl(url: string, shownAs: string): URL {
  const parsed = URL.parse(url);
  const known = parsed?.protocol === 'redis:' || parsed?.protocol === 'rediss:';
  if (known && parsed.hostname !== '' && DATABASE.test(parsed.pathname)) return parsed;
  const takes = 'redis://host:port, rediss://host:port, either with /number of a database, or off';
  throw new ConfigError(`REDIS_URL takes ${takes}, got ${shownUrl(shownAs)}`);
}

/** The first says how all of them are spoken to; those behind it may be `host:port` alone. */
function clusterIn(text: string): RedisOptions {
  const [first = '', ...others] = text.split(',').map((part) => part.trim());
  const { protocol, username, password } = redisUrl(first, first);
  const nodes = [first, ...others]
    .filter((part) => part !== '')
    .map((part) => {
      const node = redisUrl(part.includes('://') ? part : `${protocol}//${part}`, part);
      if (node.protocol !== protocol || !['', '/', '/0'].includes(node.pathname)) {
        throw new ConfigError(
          'REDIS_URL names several nodes: they take one kind, redis:// or rediss://, and no database',
        );
      }
      return { host: bareHost(node.hostname), port: Number(node.port || 6379) };
    });
  return {
    cluster: nodes,
    username: decodeURIComponent(username) || undefined,
    password: decodeURIComponent(password) || undefined,
    tls: protocol === 'rediss:' ? {} : undefined,
  };
}

function sentinelIn(text: string): { readonly host: string; readonly port: number } {
  const parsed = URL.parse(`redis://${text.trim()}`);
  const extras = `${parsed?.username}${parsed?.password}${parsed?.pathname}`;
  if (parsed !== null && extras === '' && parsed.hostname !== '') {
    return { host: bareHost(parsed.hostname), port: Number(parsed.port || 26_379) };
  }
  throw new ConfigError(
    `REDIS_SENTINELS takes host:port,host:port, got ${shownSecret(text)} among them`,
  );
}

/** An address of IPv6 without the brackets that it has in a URL. */
function bareHost(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}

function hostUrl(host: string, port: number): string {
  // An address of IPv6 is written in brackets in a URL.
  const url = `redis://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const plain = URL.parse(url);
  if (plain === null || plain.username !== '' || plain.pathname !== '' || /[/?#@\s]/.test(host)) {
    throw new ConfigError(
      `REDIS_HOST takes the name or address of a host, got ${shownSecret(host)}`,
    );
  }
  return url;
}

function supabaseFrom(read: Reader): ReturnType<typeof supabase> | undefined {
  const url = read.text('SUPABASE_URL');
  const key = read.text('SUPABASE_SECRET_KEY') ?? read.text('SUPABASE_SERVICE_ROLE_KEY');
  if (url === undefined && key === undefined) return undefined;
  if (url === undefined) {
    throw new ConfigError('SUPABASE_URL is not set, but a key is: it takes the URL of the project');
  }
  if (key === undefined) {
    throw new ConfigError(
      'SUPABASE_SECRET_KEY is not set, but SUPABASE_URL is: it takes the secret key of the project',
    );
  }
  const protocol = URL.parse(url)?.protocol;
  if (protocol !== 'http:' && protocol !== 'https:') {
    throw new ConfigError(
      `SUPABASE_URL takes a URL like https://project.supabase.co, got ${shownUrl(url)}`,
    );
  }
  if (key.startsWith('sb_publishable_')) {
    throw new ConfigError(
      'SUPABASE_SECRET_KEY takes the secret key of the project, got the publishable one, which may not read a row',
    );
  }
  return supabase({ url, key });
}

function journalFrom(read: Reader): CacheOptions['journal'] {
  const mode = read.oneOf('CACHE_JOURNAL_MODE', JOURNAL_MODES);
  const dir = read.text('CACHE_JOURNAL_DIR');
  if (dir !== undefined && dir !== 'off') return { dir, mode };
  if (mode !== 'always') return undefined;
  throw new ConfigError(
    'CACHE_JOURNAL_MODE is always, but CACHE_JOURNAL_DIR is not set: it takes the path of a directory',
  );
}

function encryptionFrom(read: Reader): CacheOptions['encryption'] {
  const keys = read.text('CACHE_ENCRYPTION_KEYS');
  return keys === undefined ? undefined : encryptionFromText('CACHE_ENCRYPTION_KEYS', keys);
}

const wholeNumber = /^\d{1,15}$/;
const decimalNumber = /^\d{1,15}(\.\d{1,6})?$/;

/** Reads and checks one variable at a time. */
class Reader {
  readonly #env: Environment;

  constructor(env: Environment) {
    this.#env = env;
  }

  text(name: VariableName): string | undefined {
    const value = this.#env[name]?.trim();
    return value === '' ? undefined : value;
  }

  number(
    name: VariableName,
    [min, max]: readonly [number, number],
    takes: string,
    form: RegExp,
  ): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const number = form.test(value) ? Number(value) : Number.NaN;
    if (number >= min && number <= max) return number;
    throw new ConfigError(`${name} takes ${takes}, got ${shown(value)}`);
  }

  whole(name: VariableName, option: LimitedOption): number | undefined {
    const [min, max] = LIMITS[option];
    return this.number(name, [min, max], `a whole number from ${min} to ${max}`, wholeNumber);
  }

  /** In milliseconds. */
  seconds(name: VariableName, option: LimitedOption): number | undefined {
    const [min, max] = LIMITS[option];
    const takes = `a number of seconds from ${min / 1000} to ${Math.floor(max / 1000)}`;
    const seconds = this.number(name, [min / 1000, max / 1000], takes, decimalNumber);
    return seconds === undefined ? undefined : Math.round(seconds * 1000);
  }

  oneOf<T extends string>(name: VariableName, choices: readonly T[]): T | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const choice = choices.find((known) => known === value.toLowerCase());
    if (choice !== undefined) return choice;
    throw new ConfigError(`${name} takes one of ${choices.join(', ')}, got ${shown(value)}`);
  }
}
