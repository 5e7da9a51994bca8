/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Real servers for development and tests, with fault controls: a private redis-server, and
 * Supabase on PGlite or PostgreSQL.
 */
export {
  MISSING_REDIS,
  MissingPostgresError,
  MissingRedisError,
  ServerError,
} from './errors.ts';
export { freePort } from './port.ts';
export { type PostgresOptions, type PostgresServer, startPostgres } from './postgres.ts';
export { type Proxy, startProxy } from './proxy.ts';
export {
  type RedisDump,
  type RedisOptions,
  type RedisServer,
  type RestartOptions,
  startRedis,
} from './redis.ts';
export { runningServers, type ServerCommand, ServerProcess } from './server-process.ts';
export { type Stack, type StackOptions, startStack } from './stack.ts';
export { type SupabaseOptions, type SupabaseServer, startSupabase } from './supabase.ts';
