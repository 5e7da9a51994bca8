/**
 * Two processes of the service on one Redis and one Supabase. A Redis and its instances belong
 * to one test; the Supabase to a file, because it takes the longest to start.
 */
import {
  eventually,
  type RedisServer,
  type SupabaseServer,
  startProxy,
  startRedis,
  startSupabase,
  type Proxy as TcpProxy,
} from '@cache/testing';
import { expect } from 'vitest';
import { MIGRATIONS } from '../../src/embedded.ts';
import { startService } from '../support/service.ts';
import { Instance } from './instance.ts';

export interface Fleet extends AsyncDisposable {
  readonly redis: RedisServer;
  /** Between the second instance and Redis, where one was asked for. */
  readonly proxy: TcpProxy | undefined;
  readonly a: Instance;
  readonly b: Instance;
}

export interface FleetOptions {
  readonly supabase: SupabaseServer;
  readonly env?: Readonly<Record<string, string>>;
  /** The second instance reaches Redis through a proxy. */
  readonly proxied?: boolean;
}

/** Whatever the environment configures: what is broken here is nobody's. */
const OWN: Readonly<Record<string, string>> = {
  REDIS_HOST: '',
  REDIS_PORT: '',
  REDIS_PASSWORD: '',
  SUPABASE_SERVICE_ROLE_KEY: '',
  CACHE_API_TOKEN: '',
  CACHE_METRICS_TOKEN: '',
  // Nothing is flushed because time has passed, and a breaker is soon tried again.
  SYNC_INTERVAL: '300',
  BREAKER_RESET_SECONDS: '1',
};

export function startDatabase(): Promise<SupabaseServer> {
  return startSupabase({ migrations: MIGRATIONS });
}

/** Resolves when both instances are healthy. */
export async function startFleet({ supabase, env, proxied }: FleetOptions): Promise<Fleet> {
  await using started = new AsyncDisposableStack();
  const redis = started.use(await startRedis());
  const proxy = proxied === true ? started.use(await startProxy(redis.port)) : undefined;
  const start = async (name: string, url: string) => {
    const service = await startService({
      env: {
        ...OWN,
        REDIS_URL: url,
        SUPABASE_URL: supabase.url,
        SUPABASE_SECRET_KEY: supabase.secretKey,
        ...env,
      },
    });
    // Nothing is left to save, and Redis or Supabase may be gone: no need to wait for a drain.
    started.defer(() => service.kill());
    return new Instance(name, service);
  };
  const starting = [
    start('a', redis.url),
    start('b', proxy?.through(redis.url) ?? redis.url),
  ] as const;
  // Where one does not start, the other must have, before it can be ended.
  await Promise.allSettled(starting);
  const [a, b] = await Promise.all(starting);
  await healthy(a, b);
  const all = started.move();
  return { redis, proxy, a, b, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** Resolves when these instances are healthy. */
export async function healthy(...instances: readonly Instance[]): Promise<void> {
  await eventually(async () => {
    const states = await Promise.all(instances.map((instance) => instance.isHealthy()));
    expect(states, 'healthy').toEqual(instances.map(() => true));
  });
}

/** Resolves when these instances hold nothing that L3 lacks. Nobody asks them to let go of it. */
export async function drained(...instances: readonly Instance[]): Promise<void> {
  await eventually(async () => {
    const pending = await Promise.all(instances.map((instance) => instance.pending()));
    expect(pending, 'pending').toEqual(instances.map(() => 0));
  });
}
