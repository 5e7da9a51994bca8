/**
 * Servers of this program's own, for whatever the environment does not configure: a first look
 * needs neither a Redis nor a Supabase. Their data stays in a directory and survives restarts.
 */
import { access, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MissingRedisError } from './errors.ts';
import { type RedisServer, startRedis } from './redis.ts';
import { type SupabaseOptions, type SupabaseServer, startSupabase } from './supabase.ts';

/** Variables as a process has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What {@link startEmbedded} takes. */
export interface EmbeddedOptions {
  readonly env: Environment;
  /** Where the data stays. Without one it is gone at the end. */
  readonly directory?: string | undefined;
  /** Of the Supabase: the folders with its `<version>_<name>.sql`. */
  readonly migrations: SupabaseOptions['migrations'];
  /** One line for whoever watches. */
  readonly say: (line: string) => void;
}

/** What {@link startEmbedded} gives. */
export interface Embedded {
  /** What the service is to be configured with. */
  readonly env: Environment;
  readonly redis: RedisServer | undefined;
  readonly supabase: SupabaseServer | undefined;
  close(): Promise<void>;
}

/**
 * A variable that can't be used. Not a `ConfigError` of the cache, because that takes longer to
 * load than these servers should have to wait for.
 */
export class EmbeddedError extends Error {
  override readonly name = 'EmbeddedError';
}

/** A variable that only a start on such servers reads. */
export interface EmbeddedVariable {
  readonly name: 'EMBEDDED_REDIS_PORT' | 'EMBEDDED_SUPABASE_PORT';
  readonly default: string;
  readonly description: string;
  readonly secret: boolean;
}

/** Every one of them. */
export const embeddedVariables: readonly EmbeddedVariable[] = [
  {
    name: 'EMBEDDED_REDIS_PORT',
    default: '',
    description: 'Of the Redis that npm start runs; a free one where it is not set.',
    secret: false,
  },
  {
    name: 'EMBEDDED_SUPABASE_PORT',
    default: '',
    description: 'Of the Supabase that npm start runs; a free one where it is not set.',
    secret: false,
  },
];

/** Starts what the environment does not configure; where one does not come up, neither stays. */
export async function startEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const { env, directory, say } = options;
  const starting = [embeddedRedis(env, directory, say), embeddedSupabase(options)] as const;
  const close = async () => {
    const started = await Promise.allSettled(starting);
    for (const server of started) if (server.status === 'fulfilled') await server.value?.close();
  };
  try {
    const [redis, supabase] = await Promise.all(starting);
    const forRedis = isRedisConfigured(env) ? {} : { REDIS_URL: redis?.url ?? 'off' };
    const forSupabase =
      supabase === undefined
        ? {}
        : { SUPABASE_URL: supabase.url, SUPABASE_SECRET_KEY: supabase.secretKey };
    return { env: { ...env, ...forRedis, ...forSupabase }, redis, supabase, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function isRedisConfigured(env: Environment): boolean {
  return isSet(env.REDIS_URL) || isSet(env.REDIS_HOST) || isSet(env.REDIS_SENTINELS);
}

async function embeddedRedis(
  env: Environment,
  directory: string | undefined,
  say: EmbeddedOptions['say'],
): Promise<RedisServer | undefined> {
  if (isRedisConfigured(env)) return undefined;
  try {
    return await startRedis({
      port: portOf(env, 'EMBEDDED_REDIS_PORT'),
      password: given(env.REDIS_PASSWORD),
      ...(directory === undefined ? {} : { dataDir: join(directory, 'redis') }),
    });
  } catch (error) {
    if (!(error instanceof MissingRedisError)) throw error;
    say(`${error.message}. Going on without Redis.`);
    return undefined;
  }
}

async function embeddedSupabase({
  env,
  directory,
  migrations,
}: EmbeddedOptions): Promise<SupabaseServer | undefined> {
  if (isSet(env.SUPABASE_URL)) return undefined;
  const options = {
    migrations,
    port: portOf(env, 'EMBEDDED_SUPABASE_PORT'),
    secretKey: given(env.SUPABASE_SECRET_KEY) ?? given(env.SUPABASE_SERVICE_ROLE_KEY),
  };
  if (directory === undefined) return await startSupabase(options);
  // A database that was never ready may have been cut off while it was made.
  const dataDir = join(directory, 'supabase');
  const wasReady = join(directory, 'supabase-was-ready');
  if (!(await exists(wasReady))) await rm(dataDir, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  const server = await startSupabase({ ...options, dataDir });
  await writeFile(wasReady, '');
  return server;
}

function portOf(env: Environment, name: EmbeddedVariable['name']): number | undefined {
  const value = given(env[name]);
  if (value === undefined) return undefined;
  const port = /^\d{1,5}$/.test(value) ? Number(value) : Number.NaN;
  if (port >= 1 && port <= 65_535) return port;
  throw new EmbeddedError(`${name} takes a port, from 1 to 65535, got ${JSON.stringify(value)}`);
}

function isSet(value: string | undefined): boolean {
  return given(value) !== undefined;
}

/** An empty variable is an unset one. */
function given(value: string | undefined): string | undefined {
  const trimmed = value?.trim();
  return trimmed === '' ? undefined : trimmed;
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
