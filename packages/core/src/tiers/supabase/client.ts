/**
 * The one thing that L3 needs of a client of supabase-js, `rpc`, and the client that the tier
 * makes for itself: one that never tries again on its own (a repeated write is the flusher's
 * decision, and four silent retries would outlast every deadline) and keeps no session.
 */
import { createClient } from '@supabase/supabase-js';

/** What is used of a client; the caller may own it. */
export interface RpcClient {
  rpc(name: string, args?: object): RpcCall;
}

export interface RpcCall extends PromiseLike<RpcAnswer> {
  abortSignal(signal: AbortSignal): PromiseLike<RpcAnswer>;
}

/** supabase-js returns errors instead of throwing them. `status` 0: no answer at all. */
export interface RpcAnswer {
  readonly data: unknown;
  readonly error: RpcError | null;
  readonly status: number;
}

export interface RpcError {
  readonly message: string;
  readonly code?: string | undefined;
  readonly details?: string | null | undefined;
  readonly hint?: string | null | undefined;
}

export function createRpcClient(
  url: string,
  key: string,
  fetch?: typeof globalThis.fetch,
): RpcClient {
  return createClient(url, key, {
    db: { retry: false },
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    ...(fetch && { global: { fetch } }),
  });
}
