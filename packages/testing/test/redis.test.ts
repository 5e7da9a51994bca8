import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type MissingRedisError,
  type RedisOptions,
  runningServers,
  startRedis,
} from '@cache/testing';
import { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';

/** A client that fails instead of waiting. */
function client(url: string): Redis & AsyncDisposable {
  const redis = new Redis(url, {
    commandTimeout: 500,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  redis.on('error', () => {});
  return Object.assign(redis, {
    async [Symbol.asyncDispose]() {
      redis.disconnect();
    },
  });
}

async function get(url: string, key: string): Promise<string | null> {
  await using redis = client(url);
  return await redis.get(key);
}

describe('a private redis-server', () => {
  test('answers, without a password, without persistence, on a port of its own', async () => {
    await using one = await startRedis();
    await using two = await startRedis();
    expect(one.port).not.toBe(two.port);
    await using redis = client(one.url);
    await redis.set('k', 'v');
    expect(await get(one.url, 'k')).toBe('v');
    expect(await get(two.url, 'k')).toBeNull();
    expect(await redis.config('GET', 'save')).toMatchObject(['save', '']);
  });

  test('takes a password, a memory limit, a policy and any other setting', async () => {
    const options: RedisOptions = {
      password: 'p@ss/word:1',
      maxmemory: '3mb',
      policy: 'volatile-lfu',
      config: { databases: '2' },
    };
    await using server = await startRedis(options);
    await using redis = client(server.url);
    expect(await redis.config('GET', 'maxmemory')).toContain(String(3 * 1024 * 1024));
    expect(await redis.config('GET', 'maxmemory-policy')).toContain('volatile-lfu');
    expect(await redis.config('GET', 'databases')).toContain('2');
    const stranger = `redis://127.0.0.1:${server.port}`;
    await expect(get(stranger, 'k')).rejects.toThrow(/NOAUTH/);
    await server.empty();
  });

  test('killed, refuses connections; restarted, is empty on the same port', async () => {
    await using server = await startRedis();
    await using redis = client(server.url);
    await redis.set('k', 'v');
    const { url, pid } = server;
    await server.kill();
    await expect(get(url, 'k')).rejects.toThrow();
    await server.restart();
    expect(server.url).toBe(url);
    expect(server.pid).not.toBe(pid);
    expect(await get(url, 'k')).toBeNull();
  });

  test('frozen, keeps the connection and does not answer; thawed, executes what came meanwhile', async () => {
    await using server = await startRedis();
    await using redis = client(server.url);
    await redis.set('k', 'before');
    server.freeze();
    await expect(redis.set('k', 'late')).rejects.toThrow(/timed out/);
    redis.disconnect();
    server.thaw();
    await expect.poll(() => get(server.url, 'k')).toBe('late');
  });

  test('frozen, can be killed, restarted and closed', async () => {
    const server = await startRedis();
    server.freeze();
    await server.restart();
    expect(await get(server.url, 'k')).toBeNull();
    server.freeze();
    await server.close();
    expect(runningServers()).toEqual([]);
  });

  test('emptied, has lost everything and is the same incarnation', async () => {
    await using server = await startRedis();
    await using redis = client(server.url);
    await redis.set('k', 'v');
    await server.empty();
    expect(await redis.get('k')).toBeNull();
    expect(redis.status).toBe('ready');
  });

  test.each(['a temporary server', 'a server that keeps its data'])(
    '%s comes back from a dump that is older than its last write',
    async (kind) => {
      const dataDir = kind.startsWith('a temporary')
        ? undefined
        : await mkdtemp(join(tmpdir(), 'cache-test-'));
      try {
        await using server = await startRedis({ dataDir });
        await using redis = client(server.url);
        await redis.set('k', 'old');
        const dump = await server.snapshot();
        await redis.set('k', 'new');
        await server.kill();
        await server.restart({ from: dump });
        expect(await get(server.url, 'k')).toBe('old');
      } finally {
        if (dataDir !== undefined) await rm(dataDir, { recursive: true });
      }
    },
  );

  test('with a data directory, it finds its data after SIGKILL and after close', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'cache-test-'));
    try {
      const server = await startRedis({ dataDir, config: { appendfsync: 'always' } });
      {
        await using redis = client(server.url);
        await redis.set('k', 'v');
      }
      await server.kill();
      await server.restart({ keep: true });
      expect(await get(server.url, 'k')).toBe('v');
      await server.close();
      await using again = await startRedis({ dataDir, port: server.port });
      expect(await get(again.url, 'k')).toBe('v');
    } finally {
      await rm(dataDir, { recursive: true });
    }
  });

  test('closed twice, leaves neither process nor directory', async () => {
    const server = await startRedis();
    await using redis = client(server.url);
    const [, directory] = await redis.config('GET', 'dir').then(strings);
    await server.close();
    await server.close();
    expect(existsSync(directory ?? '')).toBe(false);
    expect(runningServers()).toEqual([]);
  });

  test('a setting that Redis refuses is in the error, and leaves nothing behind', async () => {
    await expect(startRedis({ policy: 'sometimes' })).rejects.toThrow(/did not start.*policy/s);
    expect(runningServers()).toEqual([]);
  });

  test('a machine without redis-server gets one line that says how to get it', async () => {
    const { PATH } = process.env;
    process.env.PATH = '/nowhere';
    try {
      const missing: Partial<MissingRedisError> = { code: 'REDIS_SERVER_MISSING' };
      await expect(startRedis()).rejects.toMatchObject(missing);
      await expect(startRedis()).rejects.toThrow(/^redis-server was not found: install it.*$/);
    } finally {
      process.env.PATH = PATH;
    }
  });
});

function strings(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}
