/** A program with two servers left, one of them frozen, and one closed. */
import { type RedisServer, startRedis } from '@cache/testing';
import { Redis } from 'ioredis';

async function directoryOf(server: RedisServer): Promise<string> {
  const redis = new Redis(server.url);
  const answer: unknown = await redis.config('GET', 'dir');
  redis.disconnect();
  return Array.isArray(answer) ? String(answer[1]) : '';
}

const servers = [await startRedis(), await startRedis(), await startRedis()] as const;
const ports = servers.map((server) => server.port);
const directories = await Promise.all(servers.map(directoryOf));
await servers[2].close();
servers[1].freeze();
console.log(JSON.stringify({ ports, directories }));
if (process.argv[2] !== 'forgetful') setInterval(() => {}, 1_000);
