import { toTierError } from './failures.ts';
import type { Upstream } from './upstream.ts';

/** What the server says about itself, for health checks and for warnings about its settings. */
export interface RedisInfo {
  readonly connected: boolean;
  readonly dbSize: number;
  readonly usedMemoryBytes: number;
  /** 0: no limit. */
  readonly maxMemoryBytes: number;
  /** `allkeys-*` evicts what L3 lacks: pending entries are only safe under `volatile-*` and `noeviction`. */
  readonly maxmemoryPolicy: string;
  readonly version: string;
  readonly uptimeSeconds: number;
  /** Whether an append-only file is kept. */
  readonly aof: boolean;
  readonly connectedClients: number;
  /** Since the server started, as the next one. */
  readonly connectionsReceived: number;
  readonly commandsProcessed: number;
}

/** The answer where there is no connection. */
export const DISCONNECTED: RedisInfo = Object.freeze({
  connected: false,
  dbSize: 0,
  usedMemoryBytes: 0,
  maxMemoryBytes: 0,
  maxmemoryPolicy: '',
  version: '',
  uptimeSeconds: 0,
  aof: false,
  connectedClients: 0,
  connectionsReceived: 0,
  commandsProcessed: 0,
});

function infoIn(text: string, dbSize: number): RedisInfo {
  const fields = new Map<string, string>();
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  const number = (name: string): number => Number(fields.get(name) ?? 0);
  return {
    connected: true,
    dbSize,
    usedMemoryBytes: number('used_memory'),
    maxMemoryBytes: number('maxmemory'),
    maxmemoryPolicy: fields.get('maxmemory_policy') ?? '',
    version: fields.get('redis_version') ?? '',
    uptimeSeconds: number('uptime_in_seconds'),
    aof: number('aof_enabled') === 1,
    connectedClients: number('connected_clients'),
    connectionsReceived: number('total_connections_received'),
    commandsProcessed: number('total_commands_processed'),
  };
}

/** What several nodes say, as one. A policy that endangers writes is one wherever it is set. */
function together(all: readonly RedisInfo[]): RedisInfo {
  const [first = DISCONNECTED] = all;
  if (all.length < 2) return first;
  const sum = (of: (one: RedisInfo) => number): number =>
    all.reduce((total, one) => total + of(one), 0);
  const endangering = all.find(({ maxmemoryPolicy }) => maxmemoryPolicy.startsWith('allkeys'));
  return {
    ...first,
    dbSize: sum((one) => one.dbSize),
    usedMemoryBytes: sum((one) => one.usedMemoryBytes),
    maxMemoryBytes: all.some((one) => one.maxMemoryBytes === 0)
      ? 0
      : sum((one) => one.maxMemoryBytes),
    maxmemoryPolicy: (endangering ?? first).maxmemoryPolicy,
    uptimeSeconds: Math.min(...all.map((one) => one.uptimeSeconds)),
    aof: all.every((one) => one.aof),
    connectedClients: sum((one) => one.connectedClients),
    connectionsReceived: sum((one) => one.connectionsReceived),
    commandsProcessed: sum((one) => one.commandsProcessed),
  };
}

/** Of each server that answers; rejects where none does. */
export async function infoOf(upstream: Upstream, signal?: AbortSignal): Promise<RedisInfo> {
  if (!upstream.isUp) return DISCONNECTED;
  const asked = await Promise.allSettled(
    upstream.heads.map(async (shard) => {
      const { session } = await upstream.known(signal, shard);
      const commands = [['INFO', []] as const, ['DBSIZE', []] as const];
      const [text, size] = await session.send(commands, signal);
      if (text instanceof Error) throw toTierError(text);
      return infoIn(String(text), Number(size));
    }),
  );
  const said = asked.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = asked.find((one) => one.status === 'rejected');
  if (said.length === 0 && failed !== undefined) throw failed.reason;
  return together(said);
}
