/** The environment variables of a cache: the one list that code, documentation and tests share. */

/** One environment variable, as documentation shows it. */
export interface EnvironmentVariable {
  readonly name: VariableName;
  /** As it would be written; empty where there is none. */
  readonly default: string;
  readonly description: string;
  /** Never to be shown, in logs or anywhere. */
  readonly secret: boolean;
}

export type VariableName =
  | 'REDIS_URL'
  | 'REDIS_HOST'
  | 'REDIS_PORT'
  | 'REDIS_SENTINELS'
  | 'REDIS_SENTINEL_NAME'
  | 'REDIS_SENTINEL_PASSWORD'
  | 'REDIS_PASSWORD'
  | 'REDIS_CACHE_TTL'
  | 'REDIS_L1_CACHE_SIZE'
  | 'REDIS_L1_CACHE_TTL'
  | 'REDIS_TIMEOUT_MS'
  | 'BREAKER_FAILURES'
  | 'BREAKER_RESET_SECONDS'
  | 'BREAKER_TRIAL'
  | 'SYNC_BATCH_SIZE'
  | 'SYNC_INTERVAL'
  | 'COMPRESSION_THRESHOLD'
  | 'COMPRESSION_ALGORITHM'
  | 'SUPABASE_URL'
  | 'SUPABASE_SECRET_KEY'
  | 'SUPABASE_SERVICE_ROLE_KEY'
  | 'CACHE_JOURNAL_DIR'
  | 'CACHE_JOURNAL_MODE'
  | 'CACHE_ENCRYPTION_KEYS';

/** Every variable that `optionsFromEnv` reads. */
export const environmentVariables: readonly EnvironmentVariable[] = [
  {
    name: 'REDIS_URL',
    default: 'redis://localhost:6379',
    description:
      'L2: redis://host:port, rediss:// for TLS, or off for none. Several, separated by commas: nodes of a Redis Cluster.',
    secret: true,
  },
  {
    name: 'REDIS_HOST',
    default: '',
    description: 'Where REDIS_URL is not set: the host of L2.',
    secret: false,
  },
  {
    name: 'REDIS_PORT',
    default: '6379',
    description: 'The port that goes with REDIS_HOST.',
    secret: false,
  },
  {
    name: 'REDIS_SENTINELS',
    default: '',
    description:
      'In place of REDIS_URL: the Sentinels that know where L2 is, as host:port,host:port.',
    secret: false,
  },
  {
    name: 'REDIS_SENTINEL_NAME',
    default: 'mymaster',
    description: 'What the Sentinels call their group.',
    secret: false,
  },
  {
    name: 'REDIS_SENTINEL_PASSWORD',
    default: '',
    description: 'The password of the Sentinels, where they ask for one.',
    secret: true,
  },
  {
    name: 'REDIS_PASSWORD',
    default: '',
    description: 'The password of L2; goes before one in REDIS_URL.',
    secret: true,
  },
  {
    name: 'REDIS_CACHE_TTL',
    default: '3600',
    description: 'Seconds that L2 keeps a copy of what L3 has.',
    secret: false,
  },
  {
    name: 'REDIS_L1_CACHE_SIZE',
    default: '100',
    description: 'Entries that L1 holds.',
    secret: false,
  },
  {
    name: 'REDIS_L1_CACHE_TTL',
    default: '300',
    description: 'Seconds that L1 serves an entry.',
    secret: false,
  },
  {
    name: 'REDIS_TIMEOUT_MS',
    default: '50',
    description: 'Milliseconds that one call to L2 may cost a caller.',
    secret: false,
  },
  {
    name: 'BREAKER_FAILURES',
    default: '5',
    description: 'Consecutive failures of L2 that open its breaker.',
    secret: false,
  },
  {
    name: 'BREAKER_RESET_SECONDS',
    default: '10',
    description: 'Seconds that the breaker stays open before L2 is tried again.',
    secret: false,
  },
  {
    name: 'BREAKER_TRIAL',
    default: '3',
    description: 'Probes that have to succeed before the breaker closes.',
    secret: false,
  },
  {
    name: 'SYNC_BATCH_SIZE',
    default: '10',
    description: 'Rows in one batch to L3.',
    secret: false,
  },
  {
    name: 'SYNC_INTERVAL',
    default: '300',
    description: 'Seconds between two runs of the sync to L3.',
    secret: false,
  },
  {
    name: 'COMPRESSION_THRESHOLD',
    default: '1024',
    description: 'Bytes below which nothing is compressed.',
    secret: false,
  },
  {
    name: 'COMPRESSION_ALGORITHM',
    default: 'auto',
    description: 'auto, zlib, zstd or off.',
    secret: false,
  },
  {
    name: 'SUPABASE_URL',
    default: '',
    description: 'L3: the URL of the Supabase project. Without one there are no records.',
    secret: false,
  },
  {
    name: 'SUPABASE_SECRET_KEY',
    default: '',
    description: 'The service-side secret key of the project, never the publishable one.',
    secret: true,
  },
  {
    name: 'SUPABASE_SERVICE_ROLE_KEY',
    default: '',
    description: 'The older name of SUPABASE_SECRET_KEY, read where that is not set.',
    secret: true,
  },
  {
    name: 'CACHE_JOURNAL_DIR',
    default: 'off',
    description: 'A directory of this process alone, for writes that L3 lacks; off: no journal.',
    secret: false,
  },
  {
    name: 'CACHE_JOURNAL_MODE',
    default: 'fallback',
    description:
      'fallback: what neither L2 nor L3 could hold; always: every write, before it is acknowledged.',
    secret: false,
  },
  {
    name: 'CACHE_ENCRYPTION_KEYS',
    default: 'off',
    description: 'id:base64,id:base64: keys of 32 bytes, written under the first; off: none.',
    secret: true,
  },
];
