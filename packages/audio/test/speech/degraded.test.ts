/** What speech rests on is away: speech goes on. */
import { type RedisServer, startRedis } from '@cache/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ProviderError } from '../../src/index.ts';
import { Caches, heard, MovedClock, piece, SlowVoice, saying } from './support.ts';

const SORRY = { text: 'Lo siento.', voice: 'lucia', contentType: 'error_messages' };

let redis: RedisServer;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.close());

it('G5: Redis frozen, then killed, then back: every sentence is spoken, and in the end kept again', async () => {
  await using caches = new Caches();
  await using own = await startRedis();
  // As in production: what is tested is that these are enough.
  const speech = await caches.instance(own.url, 'f:', {
    lookupTimeout: '50ms',
  });
  const voice = saying(piece(1));
  const say = async (n: number) =>
    heard(await speech.stream({ ...SORRY, text: `${n}` }, voice.synthesize));
  own.freeze();
  for (let n = 0; n < 5; n += 1) expect(await say(n)).toEqual(piece(1));
  expect(voice.calls).toHaveLength(5);
  // In memory they are, as long as it lasts.
  expect(await say(0)).toEqual(piece(1));
  expect(voice.calls).toHaveLength(5);
  own.thaw();
  await own.kill();
  for (let n = 5; n < 10; n += 1) expect(await say(n)).toEqual(piece(1));
  expect(caches.events(speech).some(({ type }) => type === 'degraded')).toBe(true);
  await own.restart();
  await speech.ready();
  const before = caches.events(speech).filter(({ type }) => type === 'stored').length;
  for (let n = 10; ; n += 1) {
    await say(n);
    const stored = caches.events(speech).filter(({ type }) => type === 'stored');
    if (stored.length > before) break;
  }
});

it('Redis is killed while another instance speaks: who has heard nothing hears it from here', async () => {
  await using caches = new Caches();
  await using own = await startRedis();
  const a = await caches.instance(own.url, 'k:');
  const b = await caches.instance(own.url, 'k:');
  const voice = new SlowVoice();
  const here = a.stream(SORRY, voice.synthesize);
  const first = await voice.utterance();
  const there = b.stream(SORRY, voice.synthesize);
  await own.kill();
  const second = await voice.utterance(1);
  for (const utterance of [first, second]) {
    utterance.say(piece(1), piece(2));
    utterance.end();
  }
  const [mine, theirs] = await Promise.all([here.then(heard), there.then(heard)]);
  expect(mine).toEqual(theirs);
});

it('the provider is down: what is over its time is heard where the policy allows it, and only then', async () => {
  await using caches = new Caches();
  const clock = new MovedClock();
  const policy = {
    ttls: { error_messages: '1m' },
    tenants: { kind: { staleOnError: '1h' } },
  } as const;
  const speech = await caches.instance(redis.url, 'p:', { policy, clock });
  const kind = { ...SORRY, tenant: 'kind' };
  const voice = saying(piece(1));
  for (const request of [SORRY, kind]) await heard(await speech.stream(request, voice.synthesize));
  await caches.quiet(speech);
  clock.advance(120_000);
  const down = () => Promise.reject(new ProviderError('unavailable', 'nobody home'));
  await expect(speech.stream(SORRY, down)).rejects.toMatchObject({ reason: 'unavailable' });
  const stale = await speech.stream(kind, down);
  expect(stale.source).toBe('stale');
  expect(await heard(stale)).toEqual(piece(1));
  await caches.quiet(speech);
  // It is no hit for anybody else, and a provider that is back is heard.
  expect(await speech.get(kind)).toBeUndefined();
  expect((await speech.stream(kind, saying(piece(2)).synthesize)).source).toBe('miss');
  await caches.quiet(speech);
  // What is over both times is nobody's.
  clock.advance(3 * 3_600_000);
  await expect(speech.stream(kind, down)).rejects.toMatchObject({ reason: 'unavailable' });
});

it('sliding: each hit begins the time anew; absolute: none does', async () => {
  await using caches = new Caches();
  const clock = new MovedClock();
  const policy = { ttl: '1m', jitter: 0, tenants: { slides: { expiry: 'sliding' } } } as const;
  const speech = await caches.instance(redis.url, 's:', { policy, clock, memory: { maxBytes: 0 } });
  const hello = { text: 'Hola', voice: 'lucia' };
  const slides = { ...hello, tenant: 'slides' };
  const voice = saying(piece(1));
  for (const request of [hello, slides])
    await heard(await speech.stream(request, voice.synthesize));
  await caches.quiet(speech);
  clock.advance(40_000);
  for (const request of [hello, slides]) expect(await speech.get(request)).toBeDefined();
  // What was heard is written with the entries.
  await speech.stats();
  clock.advance(40_000);
  expect(await speech.get(hello)).toBeUndefined();
  expect(await speech.get(slides)).toBeDefined();
});
