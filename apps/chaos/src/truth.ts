/** What Supabase has, read past the cache with bare supabase-js, as any program of a team would. */
import { createClient, type SupabaseClient } from '@supabase/supabase-js';
import { z } from 'zod';
import type { Ledger } from './ledger.ts';

const PAGE = 1000;
/** Keys in one question: what an address may be long. */
const KEYS = 80;
/** Longer than a write waits for Supabase in a calm, and than a fault lasts. */
const COME_TRUE_WITHIN_MS = 15_000;

const itemsSchema = z.array(
  z.object({ key: z.string(), id: z.string(), version: z.number(), item: z.unknown() }),
);
const entriesSchema = z.array(
  z.object({
    key: z.string(),
    version: z.number(),
    deleted: z.boolean(),
    value: z.unknown(),
  }),
);
export type StoredEntry = z.infer<typeof entriesSchema>[number];

export class Truth {
  readonly #client: SupabaseClient;

  constructor(url: string, key: string) {
    this.#client = createClient(url, key, {
      auth: { persistSession: false, autoRefreshToken: false },
      db: { retry: false, timeout: 10_000 },
    });
  }

  /** The ids of the items of these logs, in the order of each log. */
  async logs(keys: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> {
    const logs = new Map<string, string[]>(keys.map((key) => [key, []]));
    const rows = await this.#paged(keys, (some, from) =>
      this.#client
        .from('cache_log_items')
        .select('key, id, version, item')
        .eq('namespace', 'turns')
        .in('key', some)
        .order('key')
        .order('version')
        .order('id')
        .range(from, from + PAGE - 1),
    );
    for (const { key, id } of itemsSchema.parse(rows)) logs.get(key)?.push(id);
    return logs;
  }

  async entries(
    namespace: string,
    keys: readonly string[],
  ): Promise<ReadonlyMap<string, StoredEntry>> {
    const rows = await this.#paged(keys, (some, from) =>
      this.#client
        .from('cache_entries')
        .select('key, version, deleted, value')
        .eq('namespace', namespace)
        .in('key', some)
        .order('key')
        .range(from, from + PAGE - 1),
    );
    return new Map(entriesSchema.parse(rows).map((entry) => [entry.key, entry]));
  }

  /**
   * Notes of what was acknowledged, and is in Supabase by now. An erasure that was never answered
   * may have come true: where nothing of its log has come for a while, nobody waits for it.
   */
  async look(ledger: Ledger): Promise<void> {
    const unsaved = [...ledger.unsaved()];
    const keysOf = (space: string) => [
      ...new Set(unsaved.flatMap(([, one]) => (one.space === space ? [one.key] : []))),
    ];
    const logs = await this.logs(keysOf('turns'));
    const states = await this.entries('states', keysOf('states'));
    for (const [attempt, { space, key, end }] of unsaved) {
      const ids = logs.get(key) ?? [];
      const isEnded =
        end?.outcome === 'acknowledged' ||
        (end?.outcome === 'unknown' &&
          ids.length === 0 &&
          performance.now() - end.sentAt > COME_TRUE_WITHIN_MS);
      const isThere =
        space === 'turns'
          ? isEnded || ids.includes(attempt.id)
          : (states.get(key)?.version ?? 0) >= attempt.version;
      if (isThere) ledger.saved(attempt);
    }
  }

  async #paged(
    keys: readonly string[],
    ask: (
      keys: readonly string[],
      from: number,
    ) => PromiseLike<{ data: unknown[] | null; error: { message: string } | null }>,
  ): Promise<readonly unknown[]> {
    const rows: unknown[] = [];
    for (let first = 0; first < keys.length; first += KEYS) {
      const some = keys.slice(first, first + KEYS);
      for (let from = 0; ; from += PAGE) {
        const { data, error } = await ask(some, from);
        if (error !== null) throw new Error(`Supabase could not be read: ${error.message}`);
        rows.push(...(data ?? []));
        if ((data?.length ?? 0) < PAGE) break;
      }
    }
    return rows;
  }
}
