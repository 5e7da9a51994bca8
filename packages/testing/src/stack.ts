/** Redis and Supabase together: what an agent is tested against. */
import { type RedisOptions, type RedisServer, startRedis } from './redis.ts';
import { type SupabaseOptions, type SupabaseServer, startSupabase } from './supabase.ts';

export interface StackOptions {
  readonly redis?: RedisOptions;
  readonly supabase: SupabaseOptions;
}

export interface Stack extends AsyncDisposable {
  readonly redis: RedisServer;
  readonly supabase: SupabaseServer;
  /** Ends both. Can be called twice. */
  close(): Promise<void>;
}

/** Starts both servers; where one does not come up, neither stays. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const starting = [startRedis(options.redis), startSupabase(options.supabase)] as const;
  try {
    const [redis, supabase] = await Promise.all(starting);
    const close = async () => {
      await Promise.all([redis.close(), supabase.close()]);
    };
    return { redis, supabase, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    for (const server of await Promise.allSettled(starting)) {
      if (server.status === 'fulfilled') await server.value.close();
    }
    throw error;
  }
}
