import { runningServers, type SupabaseServer, startSupabase } from '@cache/testing';
import { createClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const migrations = new URL('migrations', import.meta.url).pathname;

describe('Supabase on a private PostgreSQL', () => {
  let server: SupabaseServer;
  beforeAll(async () => {
    server = await startSupabase({ migrations, driver: 'postgres' });
  }, 60_000);
  afterAll(async () => {
    await server.close();
    expect(runningServers()).toEqual([]);
  });

  const admin = () =>
    createClient(server.url, server.secretKey, {
      auth: { persistSession: false, autoRefreshToken: false },
      db: { retry: false, timeout: 10_000 },
    });
  const bodies = async () => (await admin().from('notes').select('body').order('id')).data;

  test('has the migrations, and serves tables and functions', async () => {
    expect((await admin().from('notes').insert({ id: 1, body: 'one' })).error).toBeNull();
    expect(await bodies()).toEqual([{ body: 'one' }]);
    expect((await admin().rpc('note_length', { note: 1 })).data).toBe(3);
  });

  test('without its database it answers with an error; both restarted, it has what was committed', async () => {
    const { url, postgres } = server;
    expect((await admin().from('notes').upsert({ id: 2, body: 'two' })).error).toBeNull();
    const before = postgres?.pid;
    await postgres?.kill();
    expect((await admin().from('notes').select()).error).not.toBeNull();
    await postgres?.restart();
    expect(postgres?.pid).not.toBe(before);
    await server.restart();
    expect(server.url).toBe(url);
    expect(await bodies()).toEqual([{ body: 'one' }, { body: 'two' }]);
  }, 90_000);
});
