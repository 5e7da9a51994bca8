/**
 * What a service that mounts these routes is told by its environment: where it listens, and who
 * may call it.
 *
 * Closed by default: without an API token anybody who reaches the service may use it, so it is
 * reachable from this machine only; without an admin token one is made up for this start.
 */
import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { ConfigError, type EnvironmentVariable } from '@cache/core';

/** A variable of the service, as documentation shows it. */
export type ServiceVariable = Omit<EnvironmentVariable, 'name'> & { readonly name: ServiceName };

export type ServiceName =
  | 'HOST'
  | 'PORT'
  | 'CACHE_ADMIN_TOKEN'
  | 'CACHE_API_TOKEN'
  | 'CACHE_METRICS_TOKEN';

/** Every variable that {@link serviceFromEnv} reads. */
export const serviceVariables: readonly ServiceVariable[] = [
  {
    name: 'HOST',
    default: '127.0.0.1',
    description: 'The address to listen on. Beyond this machine only with both tokens.',
    secret: false,
  },
  {
    name: 'PORT',
    default: '3000',
    description: 'The port to listen on; 0 for a free one.',
    secret: false,
  },
  {
    name: 'CACHE_ADMIN_TOKEN',
    default: '',
    description: 'Opens everything. Without one, a random one is printed at start.',
    secret: true,
  },
  {
    name: 'CACHE_API_TOKEN',
    default: '',
    description: "Needed for the application's routes, where set.",
    secret: true,
  },
  {
    name: 'CACHE_METRICS_TOKEN',
    default: '',
    description: 'Needed for the metrics, where set.',
    secret: true,
  },
];

export interface ServiceOptions {
  readonly host: string;
  readonly port: number;
  readonly auth: {
    readonly adminToken: string;
    readonly apiToken: string | undefined;
    readonly metricsToken: string | undefined;
  };
  /** The admin token was made up for this start: print it, or nobody knows it. */
  readonly adminTokenIsNew: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Throws `ConfigError` with one line that names the variable, what it got and what it takes. */
export function serviceFromEnv(env: Environment = process.env): ServiceOptions {
  const given = token(env, 'CACHE_ADMIN_TOKEN');
  const apiToken = token(env, 'CACHE_API_TOKEN');
  const metricsToken = token(env, 'CACHE_METRICS_TOKEN');
  const host = text(env, 'HOST') ?? '127.0.0.1';
  if (!isLoopback(host) && (given === undefined || apiToken === undefined)) {
    const missing = given === undefined ? 'CACHE_ADMIN_TOKEN' : 'CACHE_API_TOKEN';
    throw new ConfigError(
      `HOST takes an address of this machine alone (127.0.0.1, ::1, localhost) while ${missing} is not set, got ${JSON.stringify(host)}`,
    );
  }
  return Object.freeze({
    host,
    port: port(env),
    auth: Object.freeze({
      adminToken: given ?? randomBytes(24).toString('base64url'),
      apiToken,
      metricsToken,
    }),
    adminTokenIsNew: given === undefined,
  });
}

function text(env: Environment, name: ServiceName): string | undefined {
  const value = env[name]?.trim();
  return value === '' ? undefined : value;
}

function token(env: Environment, name: ServiceName): string | undefined {
  const value = text(env, name);
  if (value === undefined || /^[\w.~+/=-]+$/.test(value)) return value;
  throw new ConfigError(
    `${name} takes letters, digits and any of - . _ ~ + / =, got ${value.length} characters with others among them (not shown)`,
  );
}

function port(env: Environment): number {
  const value = text(env, 'PORT') ?? '3000';
  const number = /^\d{1,5}$/.test(value) ? Number(value) : Number.NaN;
  if (number <= 65_535) return number;
  throw new ConfigError(`PORT takes a port, from 0 to 65535, got ${JSON.stringify(value)}`);
}

function isLoopback(host: string): boolean {
  if (isIP(host) === 4) return host.startsWith('127.');
  return host === '::1' || host.toLowerCase() === 'localhost';
}
