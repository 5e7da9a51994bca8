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
});

export function infoIn(text: string, dbSize: number): RedisInfo {
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
  };
}
