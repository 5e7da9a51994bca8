/** Redis and Supabase together: what an agent is tested against. */
import { type FaultRun, faultRun } from './fault-run.ts';
import { ProxiedRedis } from './proxied-redis.ts';
import { startProxy } from './proxy.ts';
import { type RedisOptions, type RedisServer, startRedis } from './redis.ts';
import { type FaultOptions, planFaults } from './schedule.ts';
import { type SupabaseOptions, type SupabaseServer, startSupabase } from './supabase.ts';

export interface StackOptions {
  readonly redis?: RedisOptions;
  readonly supabase: SupabaseOptions;
  /** A seeded schedule of faults, for {@link FaultyStack.faults} to play. */
  readonly faults?: FaultOptions | undefined;
}

export interface Stack extends AsyncDisposable {
  readonly redis: RedisServer;
  readonly supabase: SupabaseServer;
  /** Ends both. Can be called twice. */
  close(): Promise<void>;
}

/** A stack with a schedule of faults. Its Redis is behind a proxy that can be cut. */
export interface FaultyStack extends Stack {
  readonly faults: FaultRun;
}

/** Starts both servers; where one does not come up, neither stays. */
export function startStack(
  options: StackOptions & { readonly faults: FaultOptions },
): Promise<FaultyStack>;
export function startStack(options: StackOptions): Promise<Stack>;
export async function startStack(options: StackOptions): Promise<Stack> {
  const starting = [startRedis(options.redis), startSupabase(options.supabase)] as const;
  try {
    const [redis, supabase] = await Promise.all(starting);
    const plain = stackOf(redis, supabase);
    return options.faults === undefined ? plain : await faulty(redis, supabase, options.faults);
  } catch (error) {
    for (const server of await Promise.allSettled(starting)) {
      if (server.status === 'fulfilled') await server.value.close();
    }
    throw error;
  }
}

function stackOf(redis: RedisServer, supabase: SupabaseServer): Stack {
  const close = async () => {
    await Promise.all([redis.close(), supabase.close()]);
  };
  return { redis, supabase, close, [Symbol.asyncDispose]: close };
}

async function faulty(
  redis: RedisServer,
  supabase: SupabaseServer,
  options: FaultOptions,
): Promise<FaultyStack> {
  const proxy = await startProxy(redis.port);
  const faults = faultRun(planFaults(options), options.seed ?? 1, { redis, proxy, supabase });
  return { ...stackOf(new ProxiedRedis(redis, proxy), supabase), faults };
}
