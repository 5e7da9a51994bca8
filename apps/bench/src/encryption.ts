/**
 * What encryption costs: one put and one get of L2, with and without it, in one run. No L1, so
 * that every get comes from Redis. Compression is left as it is by default, because encryption
 * comes behind it.
 */
import { randomBytes } from 'node:crypto';
import { type CacheOptions, createCache, type Derived, redis } from '@cache/core';
import { startRedis } from '@cache/testing';
import { bench, run, summary } from 'mitata';

const SIZES = [1024, 100 * 1024] as const;

/** Text that compresses about as well as a conversation does. */
function textOf(bytes: number): string {
  const words = Array.from({ length: 200 }, () => randomBytes(4).toString('hex'));
  let text = '';
  for (let i = 0; text.length < bytes; i += 1) text += `${words[(i * 7919) % 200] ?? ''} `;
  return text.slice(0, bytes);
}

export async function benchEncryption(): Promise<void> {
  await using server = await startRedis();
  const key = randomBytes(32).toString('base64');
  const l2 = redis({ url: server.url, timeout: '5s' });
  const both: readonly [string, CacheOptions][] = [
    ['in the clear', { l2 }],
    ['encrypted', { l2, encryption: { keys: { k1: key }, current: 'k1' } }],
  ];
  const opened: { name: string; derived: Derived<string, string> }[] = [];
  const caches = both.map(([name, options]) => {
    const cache = createCache(options);
    const open = { load: () => 'never', ttl: '1h' } as const;
    const namespace = name === 'encrypted' ? 'sealed' : 'clear';
    opened.push({ name, derived: cache.derived<string, string>(namespace, open) });
    return cache;
  });
  await Promise.all(caches.map((cache) => cache.ready()));
  for (const size of SIZES) {
    const text = textOf(size);
    for (const { derived } of opened) await derived.set(`get-${size}`, text);
    summary(() => {
      for (const { name, derived } of opened) {
        bench(`put ${size / 1024} KB, ${name}`, () => derived.set(`put-${size}`, text));
      }
    });
    summary(() => {
      for (const { name, derived } of opened) {
        bench(`get ${size / 1024} KB, ${name}`, () => derived.get(`get-${size}`));
      }
    });
  }
  await run({ throw: true });
  await Promise.all(caches.map((cache) => cache.close()));
}
