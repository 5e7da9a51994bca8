/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Real servers for development and tests, with fault controls: a private redis-server, and
 * Supabase on PGlite or PostgreSQL; and the contract that every tier keeps.
 */
export type {
  ContractCase,
  ContractFaults,
  ContractOptions,
  TierUnderTest,
} from './contract/case.ts';
export { durableTierContract, sharedTierContract } from './contract/contract.ts';
export type * from './contract/tiers.ts';
export { type DirectoryLock, type LockOptions, lockDirectory } from './directory-lock.ts';
export {
  type Embedded,
  EmbeddedError,
  type EmbeddedOptions,
  type EmbeddedVariable,
  type Environment,
  embeddedVariables,
  startEmbedded,
} from './embedded.ts';
export {
  MISSING_REDIS,
  MissingPostgresError,
  MissingRedisError,
  ServerError,
} from './errors.ts';
export { eventually, until } from './eventually.ts';
export type { FaultReport, FaultRun, PlayedFault } from './fault-run.ts';
export { countFault, type FaultKind, injectedFaults } from './injected.ts';
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
export {
  type RedisCluster,
  type RedisClusterOptions,
  type RedisNode,
  startRedisCluster,
} from './redis-cluster.ts';
export {
  type RedisSentinel,
  type RedisSentinelOptions,
  startRedisSentinel,
} from './redis-sentinel.ts';
export { type FaultOptions, type PlannedFault, STACK_FAULTS, type StackFault } from './schedule.ts';
export { runningServers, type ServerCommand, ServerProcess } from './server-process.ts';
export {
  type ServiceProcess,
  type ServiceProcessOptions,
  startServiceProcess,
} from './service-process.ts';
export { type FaultyStack, type Stack, type StackOptions, startStack } from './stack.ts';
export { isStartError, type StartOptions, startProgram } from './start-program.ts';
export type { Paste, PasteParts, ShownService } from './start-text.ts';
export { type SupabaseOptions, type SupabaseServer, startSupabase } from './supabase.ts';
