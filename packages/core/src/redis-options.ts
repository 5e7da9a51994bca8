/**
 * Where L2 is: one Redis, the nodes of a Cluster, what Sentinels name, or a client of the caller's.
 * One of them, and what goes with it.
 */
import { ConfigError } from './errors.ts';
import { checkTls, type RedisTlsOptions } from './security-options.ts';

/**
 * A client of ioredis 6 that the caller owns. It is only asked for copies of itself, with the
 * settings that the protocol needs; the client itself is left alone.
 */
export interface RedisClient {
  duplicate(override: object): RedisConnection;
}

/**
 * A `Cluster` of ioredis 6 that the caller owns, connected or about to be. Its nodes are only asked
 * for copies of themselves.
 */
export interface RedisClusterClient {
  readonly isCluster: boolean;
  nodes(role: 'all'): readonly RedisClient[];
}

/** Where a server is. */
export interface RedisAddress {
  readonly host: string;
  /** Default 6379, of a sentinel 26379. */
  readonly port?: number | undefined;
}

/** What is used of such a copy. */
export interface RedisConnection {
  connect(): Promise<void>;
  disconnect(): void;
  callBuffer(command: string, args: (string | Buffer | number)[]): Promise<unknown>;
  subscribe(...channels: string[]): Promise<unknown>;
  ssubscribe(...channels: string[]): Promise<unknown>;
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  readonly stream?: { cork(): void; uncork(): void };
}

/** One of `url`, `cluster`, `sentinels` and `client`. */
export interface RedisPlace {
  /** `redis://[user[:password]@]host:6379[/db]`, `rediss://` for TLS. This, `cluster`, `sentinels` or `client`. */
  readonly url?: string | undefined;
  /** Some nodes of a Redis Cluster, enough that one of them is there; they name the others. */
  readonly cluster?: readonly RedisAddress[] | undefined;
  /** Sentinels, which are asked where the master of the group `name` is. */
  readonly sentinels?: readonly RedisAddress[] | undefined;
  /** What the sentinels call their group. Default `'mymaster'`. */
  readonly name?: string | undefined;
  /** Of the sentinels, where they ask for one. */
  readonly sentinelPassword?: string | undefined;
  /** The user of Redis, with `cluster` or `sentinels`; otherwise it is in the URL. */
  readonly username?: string | undefined;
  /** Takes precedence over one in the URL. */
  readonly password?: string | undefined;
  /**
   * Certificates of a `rediss://` connection that the runtime does not have by itself. With
   * `cluster` or `sentinels` this alone, empty or not, makes every connection one of TLS.
   */
  readonly tls?: RedisTlsOptions | undefined;
  /** A client that the caller owns, whose settings are taken over; `close()` leaves it open. */
  readonly client?: RedisClient | RedisClusterClient | undefined;
}

/** A client to use, or where to connect to. */
export type RedisSource =
  | { readonly client: RedisClient | RedisClusterClient }
  | ({ readonly url: string } & RedisCredentials)
  | ({ readonly cluster: readonly ResolvedAddress[] } & RedisCredentials)
  | ({
      readonly sentinels: readonly ResolvedAddress[];
      readonly name: string;
      readonly sentinelPassword: string | undefined;
    } & RedisCredentials);

interface RedisCredentials {
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly tls: RedisTlsOptions | undefined;
}

export interface ResolvedAddress {
  readonly host: string;
  readonly port: number;
}

const SENTINEL_PORT = 26_379;
const REDIS_PORT = 6379;

/** Throws `ConfigError` where nothing says where Redis is, or two things do. */
export function redisSource(options: RedisPlace): RedisSource {
  const { url, client, cluster, sentinels, name, sentinelPassword, username, password, tls } =
    options;
  const ways = [url, client, cluster, sentinels].filter((way) => way !== undefined);
  if (ways.length > 1) {
    throw new ConfigError('redis() takes one of url, cluster, sentinels and client, not two');
  }
  checkTls(tls, url, cluster !== undefined || sentinels !== undefined);
  if (client !== undefined) {
    if (password !== undefined) {
      throw new ConfigError('redis() takes either a client, or a url and password, not both');
    }
    return { client };
  }
  if (sentinels === undefined && (name ?? sentinelPassword) !== undefined) {
    const option = name === undefined ? 'sentinelPassword' : 'name';
    throw new ConfigError(`option "l2.${option}" goes with "l2.sentinels", which is missing`);
  }
  const credentials = { username: username || undefined, password: password || undefined, tls };
  if (cluster !== undefined)
    return { cluster: cluster.map(addressWith(REDIS_PORT)), ...credentials };
  if (sentinels !== undefined) {
    const group = { name: name ?? 'mymaster', sentinelPassword: sentinelPassword || undefined };
    return { sentinels: sentinels.map(addressWith(SENTINEL_PORT)), ...group, ...credentials };
  }
  if (url === undefined) {
    throw new ConfigError(
      'option "l2.url" is missing: redis() takes a url, cluster, sentinels or a client',
    );
  }
  if (username !== undefined) {
    throw new ConfigError('option "l2.username" is part of the url: redis://user@host:6379');
  }
  return { url, ...credentials };
}

function addressWith(fallback: number): (address: RedisAddress) => ResolvedAddress {
  return ({ host, port }) => Object.freeze({ host, port: port ?? fallback });
}
