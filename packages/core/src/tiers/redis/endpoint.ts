/**
 * Where Redis is, and how a connection to it is made: one server by its URL, the master of a
 * Sentinel group, the nodes of a Cluster, or copies of a client that the caller owns. Every
 * connection has the settings that the protocol needs; whatever else a caller's client has
 * (names, certificates, addresses) is taken over.
 */
import { Redis, type RedisOptions } from 'ioredis';
import { TierError } from '../../errors.ts';

/** What is used of a connection of ioredis. */
export interface RedisConnection {
  connect(): Promise<void>;
  disconnect(): void;
  callBuffer(command: string, args: (string | Buffer | number)[]): Promise<unknown>;
  subscribe(...channels: string[]): Promise<unknown>;
  ssubscribe(...channels: string[]): Promise<unknown>;
  on(event: string, listener: (...args: unknown[]) => void): unknown;
  readonly stream?: { cork(): void; uncork(): void };
}

/**
 * A client of ioredis that the caller owns. It is only asked for copies of itself, with the
 * options that the protocol needs; what it is used for elsewhere, and its end, are the caller's.
 */
export interface RedisClient {
  duplicate(override: Partial<RedisOptions>): RedisConnection;
}

/** A Cluster of ioredis that the caller owns: its nodes are asked for copies of themselves. */
export interface RedisClusterClient {
  readonly isCluster: boolean;
  nodes(role: 'all'): readonly RedisClient[];
}

export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

export interface Endpoint {
  readonly url?: string | undefined;
  readonly client?: RedisClient | RedisClusterClient | undefined;
  /** Some of the nodes of a Cluster: the others are heard of from them. */
  readonly cluster?: readonly HostAndPort[] | undefined;
  readonly sentinels?: readonly HostAndPort[] | undefined;
  /** What the sentinels call the group. */
  readonly name?: string | undefined;
  readonly sentinelUsername?: string | undefined;
  readonly sentinelPassword?: string | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly tls?: EndpointTls | undefined;
}

/** Whom to trust, and how to prove who one is, as PEM texts. */
export interface EndpointTls {
  readonly ca?: string | Uint8Array | undefined;
  readonly cert?: string | Uint8Array | undefined;
  readonly key?: string | Uint8Array | undefined;
  readonly servername?: string | undefined;
}

/** How long a connection that is ended waits for the other side to agree. */
const DISCONNECT_MS = 100;
const CONNECT_MS = 5000;

const OPTIONS = {
  lazyConnect: true,
  protocol: 2,
  enableOfflineQueue: false,
  enableReadyCheck: false,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  maxRetriesPerRequest: 0,
  retryStrategy: () => null,
  // Whoever wants another connection asks the sentinels anew.
  sentinelRetryStrategy: () => null,
  connectTimeout: CONNECT_MS,
  disconnectTimeout: DISCONNECT_MS,
  disableClientInfo: true,
  // What a caller's client may have that would change keys or replies.
  keyPrefix: '',
  stringNumbers: false,
  readOnly: false,
  enableAutoPipelining: false,
  monitor: false,
  keepAlive: 10_000,
} satisfies RedisOptions;

/** A connection, which is not open yet, to the one server that there is. */
export function connectionTo(endpoint: Endpoint): RedisConnection {
  const { url, client, password, sentinels, name } = endpoint;
  if (client !== undefined && !isClusterClient(client)) return client.duplicate(OPTIONS);
  const options = { ...OPTIONS, ...credentialsOf(endpoint) };
  if (sentinels === undefined) {
    const { href } = addressOf(url ?? 'redis://localhost:6379', password);
    return new Redis(href, options);
  }
  const { sentinelUsername, sentinelPassword, tls } = endpoint;
  return new Redis({
    ...options,
    sentinels: sentinels.map(({ host, port }) => ({ host, port })),
    ...(name === undefined ? {} : { name }),
    role: 'master',
    ...(sentinelUsername && { sentinelUsername }),
    ...(sentinelPassword && { sentinelPassword }),
    ...(tls && { sentinelTLS: connectionOptions(tls), enableTLSForSentinelMode: true }),
  });
}

function credentialsOf({ username, password, tls }: Endpoint) {
  return {
    ...(username && { username }),
    ...(password && { password }),
    ...(tls && { tls: connectionOptions(tls) }),
  };
}

/** A node that may know the others. */
export interface Seed {
  /** `undefined`: only the caller's client knows. */
  readonly address: HostAndPort | undefined;
  /** A connection, which is not open yet. */
  open(): RedisConnection;
}

/** Ways to the nodes of a Cluster. */
export interface ClusterSource {
  /** Whether nodes are called by the names that their certificates bear. */
  readonly isByName: boolean;
  /** None: the caller's client is not connected, and knows nobody yet. */
  seeds(): readonly Seed[];
  /** A connection, which is not open yet. */
  node(address: HostAndPort): RedisConnection;
}

/** `undefined`: the endpoint is one server. */
export function clusterOf(endpoint: Endpoint): ClusterSource | undefined {
  const { client, cluster, tls } = endpoint;
  if (client !== undefined && isClusterClient(client)) {
    const known = () => client.nodes('all');
    return {
      isByName: false,
      seeds: () =>
        known().map((node) => ({ address: undefined, open: () => node.duplicate(OPTIONS) })),
      node: ({ host, port }) => {
        const [any] = known();
        if (any === undefined) {
          const message = 'the client knows no node of its Cluster';
          throw new TierError(message, 'unreachable', { outcome: 'none' });
        }
        return any.duplicate({ ...OPTIONS, host, port });
      },
    };
  }
  if (cluster === undefined) return undefined;
  const options = { ...OPTIONS, ...credentialsOf(endpoint) };
  const node = ({ host, port }: HostAndPort) => new Redis({ ...options, host, port });
  return {
    isByName: tls !== undefined,
    seeds: () => cluster.map((address) => ({ address, open: () => node(address) })),
    node,
  };
}

export function isClusterClient(client: object): client is RedisClusterClient {
  return 'isCluster' in client && client.isCluster === true;
}

/**
 * The URL as the client is to read it, which prefers it to any option: with the password that
 * goes before one in it, the scheme in lower case (it knows TLS by no other), and of its query
 * only what does not touch the protocol.
 */
export function addressOf(url: string, password: string | undefined): URL {
  const address = new URL(url);
  if (password !== undefined && password !== '') address.password = encodeURIComponent(password);
  for (const name of [...address.searchParams.keys()]) {
    if (name !== 'db' && name !== 'family') address.searchParams.delete(name);
  }
  return address;
}

/** What is left out keeps the runtime's default; the certificate is always verified. */
function connectionOptions(tls: EndpointTls): NonNullable<RedisOptions['tls']> {
  const { servername } = tls;
  const [ca, cert, key] = [tls.ca, tls.cert, tls.key].map(
    (pem) => pem && (typeof pem === 'string' ? pem : Buffer.from(pem)),
  );
  return {
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    ...(servername && { servername }),
  };
}
