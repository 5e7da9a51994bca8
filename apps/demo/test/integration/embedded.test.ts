/** The servers of `npm start`: for what is not configured, and with data that stays. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Embedded, Environment } from '@cache/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startEmbedded } from '../../src/embedded.ts';
import { openDemo } from '../../src/service.ts';
import { lines } from '../support/lines.ts';

let directory: string;
let embedded: Embedded | undefined;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cache-demo-'));
});

afterEach(async () => {
  await embedded?.close();
  embedded = undefined;
  await rm(directory, { recursive: true, force: true });
});

async function start(env: Environment): Promise<Embedded> {
  embedded = await startEmbedded({ env, directory, say: () => {} });
  return embedded;
}

test('what is configured is taken, and nothing started for it', async () => {
  const env = { REDIS_HOST: 'redis.example', SUPABASE_URL: 'https://project.example' };
  const { redis, supabase, env: result } = await start(env);
  expect([redis, supabase, result]).toEqual([undefined, undefined, env]);
});

test('G1: what was said is there after the next start, also what Supabase did not have yet', async () => {
  const first = await start({});
  const post = (url: string, body: unknown) =>
    fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const service = await openDemo({ env: { ...first.env, PORT: '0' }, logger: lines() });
  await post(`${service.url}/conversations`, { id: 'kept' });
  await post(`${service.url}/conversations/kept/turns`, {
    id: 't',
    role: 'tool',
    text: 'x',
    at: 1,
  });
  // Without Supabase nothing can be drained: it stays pending in Redis.
  await first.supabase?.kill();
  await service.close();
  await first.close();

  const second = await start({});
  const again = await openDemo({ env: { ...second.env, PORT: '0' }, logger: lines() });
  try {
    const answer = await fetch(`${again.url}/conversations/kept`);
    expect(await answer.json()).toMatchObject({
      id: 'kept',
      turns: [{ id: 't', role: 'tool', text: 'x', at: 1 }],
    });
  } finally {
    await again.close();
  }
}, 60_000);

test('a port or a key that is given is used', async () => {
  const env = { REDIS_URL: 'off', SUPABASE_SECRET_KEY: 'sb_secret_given' };
  const { supabase } = await start(env);
  expect(supabase?.secretKey).toBe('sb_secret_given');
  await expect(start({ ...env, EMBEDDED_SUPABASE_PORT: 'x' })).rejects.toThrow(
    'EMBEDDED_SUPABASE_PORT takes a port, from 1 to 65535, got "x"',
  );
});
