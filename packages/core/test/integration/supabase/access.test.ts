import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startSupabase } from '@cache/testing';
import { createClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/clock.ts';
import { ConfigError, TierError } from '../../../src/errors.ts';
import { SupabaseTier } from '../../../src/tiers/supabase/supabase.ts';
import { type L3, startL3, value } from './l3.ts';

/**
 * Looks at what the migrations left open; a function, because the API shows no catalogues.
 * Grants on tables are not looked at: @supabase/lite gives all of them to every role when it
 * starts, so that here row level security alone keeps the doors shut.
 */
const LOOK = `
  create function public.look() returns json language sql as $$
    select json_build_object(
      'open tables', (select json_agg(c.relname) from pg_class c
        where c.relname like 'cache\\_%' and c.relkind = 'r' and not c.relrowsecurity),
      'policies', (select count(*) from pg_policies p where p.tablename like 'cache\\_%'),
      'open functions', (select json_agg(f.proname) from pg_proc f
        where f.proname like 'cache\\_%' and (
          has_function_privilege('anon', f.oid, 'execute')
          or has_function_privilege('authenticated', f.oid, 'execute'))),
      'loose functions', (select json_agg(f.proname) from pg_proc f
        where f.proname like 'cache\\_%'
          and (f.proconfig is null or not f.proconfig @> array['search_path=""'])),
      'functions of their owner', (select json_agg(f.proname) from pg_proc f
        where f.proname like 'cache\\_%' and f.prosecdef),
      'functions', (select nullif(count(*), 0) from pg_proc f where f.proname like 'cache\\_%')
    )
  $$;`;

let l3: L3;
beforeAll(async () => {
  l3 = await startL3(LOOK);
}, 60_000);
afterAll(async () => {
  await l3[Symbol.asyncDispose]();
});

const TABLES = [
  'cache_entries',
  'cache_logs',
  'cache_log_items',
  'cache_bypass_marks',
  'cache_dead_letters',
  'cache_drops',
  'cache_erase_fences',
  'cache_derived',
  'cache_derived_notes',
  'cache_mapped_tables',
  'cache_settings',
];

const FUNCTIONS: readonly (readonly [string, object])[] = [
  ['cache_connect', { shards: '16' }],
  ['cache_read', { namespaces: ['a'], keys: ['k'], budget: '1' }],
  ['cache_read_logs', { namespaces: ['a'], keys: ['k'], newest: null, after: null, budget: '1' }],
  ['cache_marks', { max_rows: '1' }],
  ['cache_marks', { max_rows: '1', after_id: '0' }],
  ['cache_unmark', { ids: ['1'] }],
  ['cache_max_version', {}],
  ['cache_scope', { scope_kind: 'a', scope_id: 'b', at: '1' }],
  ['cache_tagged', { tags: ['a'], at: '1' }],
  ['cache_erase', { scope_kind: 'a', scope_id: 'b', version: '1' }],
  ['cache_prune', {}],
  ['cache_dead_letter_count', {}],
  ['cache_dead_letter_page', { namespace: null, after: null, newest: 'true', max_rows: '1' }],
  ['cache_dead_letter_one', { id: '1' }],
  ['cache_retry_dead_letter', { id: '1', at: '1' }],
  ['cache_drop_dead_letter', { id: '1' }],
  ['cache_fence', { kind: 'a', id: 'b' }],
  ['cache_derived_read', { namespaces: ['a'], keys: ['k'], budget: '1' }],
  ['cache_derived_remove', { namespaces: ['a'], keys: ['k'] }],
  ['cache_derived_invalidate', { tags: ['t:a'] }],
  ['cache_derived_next', {}],
  [
    'cache_check_mapping',
    {
      namespace: 'a',
      relation: 'b',
      key: ['k'],
      columns: '{}',
      scope_kind: null,
      scope_column: null,
    },
  ],
];

describe('what may do what', () => {
  it('G9: with the publishable key nothing can be read, written or called', async () => {
    const anon = createClient(l3.server.url, l3.server.publishableKey, {
      auth: { persistSession: false, autoRefreshToken: false },
    });
    for (const table of TABLES) {
      // PostgREST answers 42501 here, @supabase/lite nothing: either way there is nothing to see.
      const { data, error } = await anon.from(table).select('*');
      expect([table, data ?? [], error?.code ?? '42501']).toEqual([table, [], '42501']);
    }
    const { error } = await anon.from('cache_entries').insert({ namespace: 'a', key: 'k' });
    expect(error?.code).toBe('42501');
    for (const [name, args] of FUNCTIONS) {
      const answer = await anon.rpc(name, args);
      expect([name, answer.data, answer.error?.code]).toEqual([name, null, '42501']);
    }
  });

  it('G9: every table has row level security, and no function is open to the public roles', async () => {
    const seen = await l3.rpc('look');
    expect(seen).toMatchObject({
      'open tables': null,
      policies: 0,
      'open functions': null,
      'loose functions': null,
      // A trigger, which nobody can call: who writes a mapped table need not see the cache's.
      'functions of their owner': ['cache_mapped_change'],
    });
    expect(seen).toHaveProperty('functions', expect.any(Number));
  });
});

describe('connecting', () => {
  it('keeps the number of shards that the first cache named, and refuses another', async () => {
    await l3.tier.connect(16);
    await l3.tier.connect(16);
    const error = await l3.tier.connect(32).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toHaveProperty('message', expect.stringContaining('set it to 16'));
  });

  it('says that the key is wrong', async () => {
    const error = await l3
      .connect({ key: 'sb_secret_wrong' })
      .connect(16)
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toHaveProperty('message', expect.stringContaining('refuses the key'));
    expect(String(error)).not.toContain('sb_secret_wrong');
  });

  it('says that the publishable key is not the one', async () => {
    const error = await l3
      .connect({ key: l3.server.publishableKey })
      .connect(16)
      .catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toHaveProperty('message', expect.stringContaining('not the publishable one'));
  });

  it('says that the migrations are missing', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cache-migrations-'));
    const server = await startSupabase({ migrations: folder });
    try {
      const tier = new SupabaseTier({
        url: server.url,
        key: server.secretKey,
        timeoutMs: 5000,
        clock: systemClock,
      });
      const error = await tier.connect(16).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(ConfigError);
      expect(error).toHaveProperty('message', expect.stringContaining('migrations are missing'));
    } finally {
      await server.close();
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('says that there is no Supabase at the address', async () => {
    const server = createServer((_, response) => response.writeHead(404).end('nothing here'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const tier = new SupabaseTier({
        url: `http://127.0.0.1:${portOf(server.address())}`,
        key: 'key',
        timeoutMs: 5000,
        clock: systemClock,
      });
      const error = await tier.connect(16).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(ConfigError);
      expect(error).toHaveProperty('message', expect.stringContaining('SUPABASE_URL'));
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

describe('a Supabase that is away', () => {
  it('G5: a frozen one costs the timeout, and a write says that it may have happened', async () => {
    const tier = l3.connect({ timeoutMs: 300 });
    l3.server.freeze();
    try {
      const write = value('frozen', 1);
      const error = await tier.apply([{ write, mark: false }]).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(TierError);
      expect(error).toMatchObject({ reason: 'timeout', outcome: 'unknown' });
      const read = await tier.read([write.address]).catch((thrown: unknown) => thrown);
      expect(read).toMatchObject({ reason: 'timeout', outcome: undefined });
    } finally {
      l3.server.thaw();
    }
  });

  it('G5: an abort ends the wait and the request', async () => {
    const requests: AbortSignal[] = [];
    const sent = Promise.withResolvers<void>();
    const tier = l3.connect({
      fetch: (input, init) => {
        if (init?.signal) requests.push(init.signal);
        sent.resolve();
        return fetch(input, init);
      },
    });
    l3.server.freeze();
    try {
      const controller = new AbortController();
      const reading = tier.read([value('frozen', 1).address], { signal: controller.signal });
      await sent.promise;
      controller.abort(new Error('enough'));
      const error = await reading.catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'TIER', reason: 'timeout' });
      expect(requests.map((signal) => signal.aborted)).toEqual([true]);
      const late = tier.read([value('frozen', 1).address]);
      const closed = Promise.all([late.catch((thrown: unknown) => thrown), tier.close()]);
      expect((await closed)[0]).toBeInstanceOf(TierError);
      await expect(tier.maxVersion()).rejects.toMatchObject({ code: 'CLOSED' });
    } finally {
      l3.server.thaw();
    }
  });

  it('G7: 401, 429, 503 and a cut connection are no faults of a row', async () => {
    const answers = [401, 429, 503, 500];
    const server = createServer((_, response) => {
      const status = answers.shift();
      if (status === undefined) response.destroy();
      else
        response.writeHead(status, { 'content-type': 'application/json' }).end('{"message":"no"}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const tier = new SupabaseTier({
        url: `http://127.0.0.1:${portOf(server.address())}`,
        key: 'key',
        timeoutMs: 5000,
        clock: systemClock,
      });
      const seen = [];
      for (let attempt = 0; attempt < 5; attempt++) {
        const error = await tier
          .apply([{ write: value('k', 1), mark: false }])
          .catch((it: unknown) => it);
        if (error instanceof TierError) seen.push([error.reason, error.outcome]);
      }
      expect(seen).toEqual([
        ['refused', 'none'],
        ['unreachable', 'none'],
        ['unreachable', 'unknown'],
        ['unreachable', 'unknown'],
        ['unreachable', 'unknown'],
      ]);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

function portOf(at: AddressInfo | string | null): number {
  if (at === null || typeof at === 'string')
    throw new Error('the server does not listen on a port');
  return at.port;
}
