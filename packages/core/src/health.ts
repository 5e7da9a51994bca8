/** What each part of a cache says of itself. */
import type { Assembly } from './assembly.ts';
import type { Clock } from './clock.ts';
import { within } from './deadline.ts';
import { TimeoutError } from './errors.ts';
import type { BreakerState } from './events.ts';
import type { Instance } from './instance.ts';
import type { Metrics } from './metrics/metrics.ts';
import type { CacheStats } from './metrics/snapshot.ts';
import type { RedisInfo } from './tiers/redis/info.ts';
import type { OpenJournal } from './write/journal/open.ts';
import type { JournalMode } from './write/journal/rung.ts';

/**
 * `ok`: all parts answer. `degraded`: one does not, and calls are answered all the same, because
 * a call can begin and end without L3 as well as without L2. `down`: neither answers.
 */
export type HealthStatus = 'ok' | 'degraded' | 'down';

/**
 * What Redis says of itself; the last three as Redis calls and writes them (source: an audiobook
 * service's Redis cache). Of a Cluster, of all nodes together.
 */
export interface ServerInfo extends RedisInfo {
  readonly total_connections_received: string;
  readonly total_commands_processed: string;
  /** Say `2.50M`. */
  readonly used_memory_human: string;
}

export interface Health {
  readonly status: HealthStatus;
  /** Absent where the cache has no L2. */
  readonly redis_cache?:
    | {
        readonly connected: boolean;
        readonly dbSize: number;
        readonly info: ServerInfo | undefined;
      }
    | undefined;
  /** Absent where the cache has no L3. */
  readonly supabase?: { readonly connected: boolean; readonly ms: number } | undefined;
  readonly breaker: {
    readonly state: BreakerState;
    readonly consecutiveFailures: number;
    readonly opened: number;
  };
  /** Absent where the cache has no journal. */
  readonly journal?:
    | {
        readonly mode: JournalMode;
        readonly bytes: number;
        readonly maxBytes: number;
        /** Writes that it holds because L3 may lack them. */
        readonly records: number;
        /** It would take another record, as far as it knows. */
        readonly writable: boolean;
      }
    | undefined;
  readonly sync: CacheStats['sync'];
  readonly bus: CacheStats['bus'];
}

/** What one check may take: a health check that hangs says nothing. */
const CHECK_MS = 1000;

export async function healthOf(
  instance: Instance,
  assembly: Assembly | undefined,
  metrics: Metrics,
  clock: Clock,
): Promise<Health> {
  const { shared } = instance;
  const start = clock.monotonic();
  const late = () => new TimeoutError(`no answer within ${CHECK_MS} ms`);
  const [redis, supabase] = await Promise.all([
    shared === undefined
      ? undefined
      : within(shared.tier.info(), CHECK_MS, late, clock).catch(() => undefined),
    assembly &&
      within(assembly.deadLetters(), CHECK_MS, late, clock).then(
        () => true,
        () => false,
      ),
  ]);
  const state = shared?.guard.state ?? 'CLOSED';
  const connected = redis?.connected === true;
  const isShared = connected && state === 'CLOSED' && shared?.guard.away.length === 0;
  const stats = metrics.snapshot();
  const writable = assembly?.journal?.state.isWritable !== false;
  return {
    status: statusOf(supabase, shared === undefined ? undefined : isShared, writable),
    ...(shared === undefined
      ? {}
      : {
          redis_cache: { connected, dbSize: redis?.dbSize ?? 0, info: redis && serverInfo(redis) },
        }),
    ...(supabase === undefined
      ? {}
      : { supabase: { connected: supabase, ms: clock.monotonic() - start } }),
    breaker: {
      state,
      consecutiveFailures: shared?.guard.consecutiveFailures ?? 0,
      opened: shared?.guard.opened ?? 0,
    },
    ...(assembly?.journal === undefined ? {} : { journal: journalOf(assembly.journal) }),
    sync: stats.sync,
    bus: stats.bus,
  };
}

function serverInfo(info: RedisInfo): ServerInfo {
  return {
    ...info,
    total_connections_received: String(info.connectionsReceived),
    total_commands_processed: String(info.commandsProcessed),
    used_memory_human: human(info.usedMemoryBytes),
  };
}

/** As Redis writes it. */
function human(bytes: number): string {
  if (bytes < 1024) return `${bytes}B`;
  const power = Math.min(4, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(2)}${'BKMGT'[power]}`;
}

function journalOf({ state, options }: OpenJournal): Health['journal'] {
  const { bytes, records, isWritable } = state;
  return { mode: options.mode, bytes, maxBytes: options.maxBytes, records, writable: isWritable };
}

/** `undefined`: the cache has no such tier. */
function statusOf(
  durable: boolean | undefined,
  shared: boolean | undefined,
  writable: boolean,
): HealthStatus {
  const tiers = [durable, shared].filter((tier) => tier !== undefined);
  if (tiers.every((tier) => tier)) return writable ? 'ok' : 'degraded';
  return tiers.some((tier) => tier) ? 'degraded' : 'down';
}
