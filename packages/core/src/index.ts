export { Cache, createCache, type LogsOptions, type RecordsOptions } from './cache.ts';
export type { CallOptions, PreloadReport } from './calls.ts';
export type { Clock } from './clock.ts';
export { systemClock } from './clock.ts';
export type {
  DeadLetter,
  DeadLetters,
  DeadLettersOptions,
  RetryOutcome,
} from './dead-letters.ts';
export type { Derived, DerivedLookup } from './derived.ts';
export type { DerivedOptions, Loader } from './derived-options.ts';
export { type Environment, optionsFromEnv } from './env.ts';
export * from './env-variables.ts';
export {
  CacheError,
  type CacheErrorCode,
  ClosedError,
  CodecError,
  ConfigError,
  ConflictError,
  KeyError,
  LoadError,
  OverloadedError,
  SchemaError,
  TierError,
  TimeoutError,
  UnavailableError,
  type WriteOutcome,
} from './errors.ts';
export type { CacheEvent, CacheListener, Logger } from './events.ts';
export type { Health, HealthStatus, ServerInfo } from './health.ts';
export type { HeldCopy, Inspection, TierInspection } from './inspect.ts';
export type { InvalidationReport } from './invalidate.ts';
export type { JournalOptions } from './journal-options.ts';
export type {
  AppendOptions,
  Identified,
  LogItems,
  LogSnapshot,
  Logs,
  ReadOptions,
} from './logs.ts';
export type { Settled } from './many.ts';
export { metricNames } from './metrics/prometheus.ts';
export type { CacheStats } from './metrics/snapshot.ts';
export type { DerivedKey, DerivedKeyObject, DerivedKeyPart } from './model/derived-key.ts';
export { type Duration, parseDuration } from './model/duration.ts';
export type { LogItem, LogWrite, Payload, ValueWrite } from './model/entry.ts';
export type { Address, Scope } from './model/key.ts';
export {
  type FieldsOf,
  type MappedTable,
  type RowTable,
  type TableFor,
  type TableOptions,
  table,
} from './model/mapped-table.ts';
export { type Stamp, timeOfVersion } from './model/version.ts';
export {
  type CacheOptions,
  type MemoryOptions,
  memory,
  type RedisOptions,
  redis,
  type SupabaseOptions,
  supabase,
} from './options.ts';
export type { Kept, LoadContext } from './read/load.ts';
export type { LoadMany, LoadManyContext } from './read/load-many.ts';
export type { TierName } from './read/lookup.ts';
export type {
  LookupResult,
  Records,
  SetOptions,
  UpdateOptions,
} from './records.ts';
export type { ScanOptions } from './scan.ts';
export type { CacheScope, ScopeEntry, ScopeEraseReport, ScopeFlushReport } from './scope.ts';
export type { EncryptionOptions, RedisTlsOptions } from './security-options.ts';
export type { DeepReadonly, NamespaceOptions } from './space.ts';
export type { SyncReport } from './sync.ts';
export type * from './tiers/derived.ts';
export type * from './tiers/letters.ts';
export type * from './tiers/tables.ts';
export type * from './tiers/tier.ts';
export type { JournalMode } from './write/journal/rung.ts';
export type { Holder, Receipt } from './write/ladder.ts';
