import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runningServers, type SupabaseServer, startStack, startSupabase } from '@cache/testing';
import { createClient, type SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const migrations = new URL('migrations', import.meta.url).pathname;

function client(url: string, key: string, timeout = 5_000): SupabaseClient {
  return createClient(url, key, {
    auth: { persistSession: false, autoRefreshToken: false },
    db: { timeout },
  });
}

describe('Supabase on PGlite', () => {
  let server: SupabaseServer;
  beforeAll(async () => {
    server = await startSupabase({ migrations });
  });
  afterAll(async () => {
    await server.close();
    expect(runningServers()).toEqual([]);
  });

  const admin = (timeout?: number) => client(server.url, server.secretKey, timeout);
  const bodies = async () => (await admin().from('notes').select('body').order('id')).data;

  test('has the migrations, and serves tables and functions to the secret key', async () => {
    const { error } = await admin().from('notes').insert({ id: 1, body: 'one' });
    expect(error).toBeNull();
    expect(await bodies()).toEqual([{ body: 'one' }]);
    expect((await admin().rpc('note_length', { note: 1 })).data).toBe(3);
  });

  test('row level security hides rows from the publishable key', async () => {
    const { data } = await client(server.url, server.publishableKey).from('notes').select();
    expect(data).toEqual([]);
  });

  test('refuses a wrong key, and a request without one', async () => {
    const { error, status } = await client(server.url, 'sb_secret_wrong').from('notes').select();
    expect([status, error?.message]).toEqual([401, 'Invalid API key']);
    expect((await fetch(`${server.url}/rest/v1/notes`)).status).toBe(401);
  });

  test('killed and restarted, it has the same address, keys and rows', async () => {
    await admin().from('notes').upsert({ id: 2, body: 'two' });
    const { url, pid } = server;
    await server.kill();
    await expect(fetch(url)).rejects.toThrow();
    await server.restart();
    expect(server.url).toBe(url);
    expect(server.pid).not.toBe(pid);
    expect(await bodies()).toContainEqual({ body: 'two' });
  });

  test('frozen, it does not answer; thawed, it does what came meanwhile', async () => {
    server.freeze();
    const { error } = await admin(300).from('notes').upsert({ id: 3, body: 'late' });
    expect(error).not.toBeNull();
    server.thaw();
    await expect.poll(bodies).toContainEqual({ body: 'late' });
  });
});

test('with a data directory, rows survive close, and new migrations are applied to them', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'cache-test-'));
  try {
    const first = await startSupabase({ migrations, dataDir, secretKey: 'sb_secret_mine' });
    await client(first.url, 'sb_secret_mine').from('notes').insert({ id: 1, body: 'one' });
    await first.close();
    const more = new URL('migrations-later', import.meta.url).pathname;
    await using second = await startSupabase({
      migrations: more,
      dataDir,
      port: first.port,
      secretKey: 'sb_secret_mine',
    });
    expect(second.url).toBe(first.url);
    const { data } = await client(second.url, 'sb_secret_mine').from('notes').select();
    expect(data).toEqual([{ id: 1, body: 'one', author: 'nobody' }]);
  } finally {
    await rm(dataDir, { recursive: true });
  }
});

test('a migration that fails names its file, and leaves nothing behind', async () => {
  const broken = new URL('migrations-broken', import.meta.url).pathname;
  await expect(startSupabase({ migrations: broken })).rejects.toThrow(
    /20260101000000_broken failed/,
  );
  expect(runningServers()).toEqual([]);
});

test('a stack is both servers, and ends with its block', async () => {
  {
    await using stack = await startStack({ supabase: { migrations } });
    expect(runningServers()).toHaveLength(2);
    expect(stack.redis.port).not.toBe(stack.supabase.port);
  }
  expect(runningServers()).toEqual([]);
});
