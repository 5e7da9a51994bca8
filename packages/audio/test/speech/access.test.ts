/** A user of Redis that may do what the operations manual says, and nothing else. */
import { readFile } from 'node:fs/promises';
import { startRedis } from '@cache/testing';
import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { Caches, heard, piece, SlowVoice, saying } from './support.ts';

const MANUAL = new URL('../../../../docs/operations.md', import.meta.url);
const HOLA = { text: 'Hola', voice: 'lucia' };

/** The rules of a user of the cache, and what speech needs beside them. */
async function rules() {
  const text = await readFile(MANUAL, 'utf8');
  const cache = /^user cache on (.*)$/m.exec(text)?.[1]?.split(' ') ?? [];
  const speech = /^ *(~speech:\* .*)$/m.exec(text)?.[1]?.split(' ') ?? [];
  return { cache, speech };
}

/** Everything that a speech cache ever asks of Redis. */
async function everything(url: string): Promise<void> {
  await using caches = new Caches();
  const cleanup = { maxBytes: 50_000 };
  const policy = { expiry: 'sliding', admission: 'second-use', maxClipBytes: 20_000 } as const;
  const a = await caches.instance(url, 'speech:', { cleanup, policy });
  const b = await caches.instance(url, 'speech:', { cleanup, memory: { maxBytes: 0 } });

  const voice = new SlowVoice();
  const here = a.stream(HOLA, voice.synthesize);
  const utterance = await voice.utterance();
  utterance.say(piece(1));
  // Which it joins; on a machine too slow for that it would say the same.
  const there = await b.stream(HOLA, saying(piece(1), piece(2)).synthesize);
  utterance.say(piece(2));
  utterance.end();
  expect(await heard(await here)).toEqual(await heard(there));
  // More than Redis keeps of what is spoken: its beginning goes.
  const long = saying(...Array.from({ length: 18 }, (_, n) => piece(n, 100_000)));
  await heard(await a.stream({ text: 'Muy largo', voice: 'lucia' }, long.synthesize));

  for (let n = 0; n < 12; n += 1) {
    const request = { text: `${n}`, voice: 'lucia' };
    const said = saying(piece(n));
    for (const speech of [a, a, b]) {
      expect(await heard(await speech.stream(request, said.synthesize))).toEqual(piece(n));
      // Stored by now, so that the next one finds it.
      await caches.quiet(speech);
    }
  }
  const anew = saying(piece(30));
  await heard(await b.stream(HOLA, anew.synthesize, { mode: 'refresh' }));
  await b.warm([HOLA], anew.synthesize);
  await b.cleanup();
  await b.stats();
  await a.delete({ text: '11', voice: 'lucia' });
  await caches[Symbol.asyncDispose]();
  const again = await caches.instance(url, 'speech:');
  await again.clear();
}

it('G9: speech needs of Redis what the operations manual says, all of that, and nothing else', async () => {
  await using redis = await startRedis();
  const admin = new Redis(redis.url);
  const { cache, speech } = await rules();
  const own = [...cache, ...speech].map((rule) => (rule === '>PASSWORD' ? '>secret' : rule));
  await admin.call('ACL', ['SETUSER', 'cache', 'reset', 'on', ...own]);
  await admin.config('RESETSTAT');
  const url = new URL(redis.url);
  url.username = 'cache';
  url.password = 'secret';
  await everything(url.href);
  // What was denied, if only in the background.
  const log: unknown = await admin.call('ACL', ['LOG']);
  expect(log).toEqual([]);
  const stats = await admin.info('commandstats');
  const used = [...stats.matchAll(/^cmdstat_([^:]+):/gm)].map(([, name]) => `+${name}`);
  const commands = speech.filter((rule) => rule.startsWith('+'));
  expect(commands.filter((rule) => !used.includes(rule))).toEqual([]);
  admin.disconnect();
}, 60_000);
