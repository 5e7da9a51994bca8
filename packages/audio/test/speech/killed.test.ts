/**
 * kill -9 in the middle of storing, over Redis. `AUDIO_KILLS` (default 3 here) processes are killed
 * at moments drawn from a seed, each beside the next one, which is on its way by then. Each has
 * stored a sentence of its own before: that one has to be there, however slow the machine is.
 */
import { setTimeout as after } from 'node:timers/promises';
import { startRedis } from '@cache/testing';
import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { redisStore } from '../../src/index.ts';
import { Program } from './program.ts';
import { ownOf, piecesOf, sentenceOf } from './sentences.ts';
import { Caches, heard, joined, piece, saying } from './support.ts';

/** One is killed while the next is on its way: they speak, and store, beside each other. */
class Victims implements AsyncDisposable {
  readonly #url: string;
  #count = 0;
  #starting: Program;

  constructor(url: string) {
    this.#url = url;
    this.#starting = this.#start();
  }

  next(): Program {
    const started = this.#starting;
    this.#starting = this.#start();
    return started;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#starting.kill();
  }

  #start(): Program {
    this.#count += 1;
    return new Program('./storing-forever.ts', this.#url, `${seedOf(this.#count)}`);
  }
}

/** Of the n-th victim, from 1. */
function seedOf(n: number): number {
  return n * 7;
}

const KILLS = Number(process.env.AUDIO_KILLS ?? 3);

it(
  `after ${KILLS} kills in the middle of storing: no corrupt clip, no lease or half a broadcast left, true figures`,
  async () => {
    await using redis = await startRedis();
    await using caches = new Caches();
    await using victims = new Victims(redis.url);
    for (let n = 0; n < KILLS; n += 1) {
      await using victim = victims.next();
      expect(await victim.line()).toBe('storing');
      await after((n * 37) % 90);
      await victim.kill();
    }
    await victims[Symbol.asyncDispose]();
    const store = redisStore({ url: redis.url, prefix: 'kill:', timeout: '5s' });
    const speech = caches.open({ store });
    await store.ready();
    const client = new Redis(redis.url);

    // The last one that was started may have been killed before it stored anything.
    const own = Array.from({ length: KILLS + 1 }, (_, n) => ownOf(seedOf(n + 1)));
    const shared = Array.from({ length: 40 }, (_, n) => sentenceOf(n));
    const there = new Set<string>();
    // Every clip that is there is the whole of what its sentence sounds like.
    for (const sentence of [...own, ...shared]) {
      const clip = await speech.get(sentence);
      if (clip === undefined) continue;
      there.add(sentence.text);
      expect(Buffer.compare(clip.bytes, joined(piecesOf(sentence.text)))).toBe(0);
    }
    for (const { text } of own.slice(0, KILLS)) expect(there).toContain(text);
    // The figures are those of what Redis really holds.
    const names = await client.keys('kill:*c:*');
    const sizes = await Promise.all(names.map((name) => client.hget(name, 'n')));
    const bytes = sizes.reduce((sum, size) => sum + Number(size), 0);
    expect(names).toHaveLength(there.size);
    expect((await speech.stats()).store).toEqual({ name: 'l2', entries: there.size, bytes });
    // What the dead were speaking ends by itself: everything of theirs has a time to live.
    for (const name of await client.keys('kill:*}:*')) {
      const ms = await client.pttl(name);
      // -2: it has ended meanwhile. -1 would be: never.
      expect(ms === -2 || (ms >= 0 && ms <= 1000), `${name} ${ms}`).toBe(true);
    }
    client.disconnect();

    // And a sentence that one of them was at when it died is spoken by the next who asks.
    const next = { text: 'Frase nueva.', voice: 'lucia' };
    expect(await heard(await speech.stream(next, saying(piece(1)).synthesize))).toEqual(piece(1));
  },
  60_000 + KILLS * 10_000,
);
