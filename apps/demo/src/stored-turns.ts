/**
 * What Supabase holds of a call, read past the cache: with bare supabase-js, as any program of a
 * team would, so that what it says can't be what a cache remembers.
 */
import { createClient, type SupabaseClient } from '@supabase/supabase-js';
import { z } from 'zod';
import { type Turn, turnSchema } from './conversations.ts';

const PAGE = 1000;

const rowsSchema = z.array(z.object({ id: z.string(), item: turnSchema }));

export class StoredTurns {
  readonly #client: SupabaseClient;

  constructor(url: string, secretKey: string) {
    this.#client = createClient(url, secretKey, {
      auth: { persistSession: false, autoRefreshToken: false },
    });
  }

  /** In the order of the log. */
  async of(conversation: string): Promise<readonly Turn[]> {
    const turns: Turn[] = [];
    for (;;) {
      const { data, error } = await this.#client
        .from('cache_log_items')
        .select('id, item')
        .eq('namespace', 'turns')
        .eq('key', conversation)
        .order('version')
        .order('id')
        .range(turns.length, turns.length + PAGE - 1);
      if (error !== null) throw new Error(`Supabase could not be read: ${error.message}`);
      const rows = rowsSchema.parse(data);
      turns.push(...rows.map(({ item }) => item));
      if (rows.length < PAGE) return turns;
    }
  }

  /** The state of a conversation; `undefined` where there is none. */
  async stateOf(conversation: string): Promise<string | undefined> {
    const { data, error } = await this.#client
      .from('cache_entries')
      .select('value')
      .eq('namespace', 'conversations')
      .eq('key', conversation)
      .eq('deleted', false);
    if (error !== null) throw new Error(`Supabase could not be read: ${error.message}`);
    return z.array(z.object({ value: z.object({ state: z.string() }) })).parse(data)[0]?.value
      .state;
  }
}
