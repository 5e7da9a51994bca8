/** What takes its time, or does not end: a voice with many texts before this one, and silence. */
import { eventually, startProxy } from '@cache/testing';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { ADMIN, AheadClock, ask, FakeVoice, idsIn, make, Stage } from './support.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage?.[Symbol.asyncDispose]());
afterEach(() => vi.restoreAllMocks());

/** Every promise that can go on has gone on. */
const settled = () => new Promise((next) => setImmediate(next));

test('a segment that waits for half a minute behind others in the queue of the voice is answered all the same', async () => {
  const clock = new AheadClock();
  const provider = new FakeVoice();
  const service = await stage.open({ clock, provider });
  const { id } = await stage.book(service);
  const turn = Promise.withResolvers<void>();
  provider.hold = turn.promise;
  const making = make(service, id, [1, 2]);
  await eventually(async () => expect(provider.spoken).toHaveLength(2));
  await settled();
  clock.advance(30_000);
  turn.resolve();
  expect((await making).status).toBe(200);
});

test('a voice that falls silent is 504 with Retry-After on both routes that speak, as they document', async () => {
  const clock = new AheadClock();
  const provider = new FakeVoice();
  const service = await stage.open({ clock, provider });
  const { id } = await stage.book(service);
  const [audio] = idsIn(await make(service, id, [1]));
  provider.isSilent = true;
  const making = make(service, id, [2]);
  await eventually(async () => expect(provider.spoken).toHaveLength(2));
  await settled();
  clock.advance(10_000);
  const made = await making;
  expect([made.status, made.headers.get('retry-after')]).toEqual([504, '1']);

  await forgetClips();
  const other = await stage.open({ clock, provider });
  provider.hold = new Promise(() => {});
  const hearing = ask(other, 'GET', `/tts/audio/${audio}`);
  await eventually(async () => expect(provider.spoken).toHaveLength(3));
  await settled();
  clock.advance(60_000);
  const heard = await hearing;
  expect([heard.status, heard.headers.get('retry-after')]).toEqual([504, '1']);

  const { body } = await ask(service, 'GET', '/openapi.json');
  expect(body).toMatchObject({
    paths: {
      '/tts/libro/{id}/audios': { post: { responses: { 504: {} } } },
      '/tts/audio/{id}': { get: { responses: { 416: {}, 504: {} } } },
    },
  });
});

test('a voice that never begins is 504 with Retry-After before its minute is over, and in the metrics of speech', async () => {
  const clock = new AheadClock();
  const provider = new FakeVoice();
  const service = await stage.open({ clock, provider });
  const { id } = await stage.book(service);
  provider.hold = new Promise(() => {});
  const making = make(service, id, [1]);
  await eventually(async () => expect(provider.spoken).toHaveLength(1));
  await settled();
  clock.advance(55_000);
  const authorization = `Bearer ${ADMIN}`;
  await eventually(async () => {
    const metrics = await fetch(`${service.url}/metrics`, { headers: { authorization } });
    const lines = (await metrics.text()).split('\n');
    const counted = lines.filter((line) => line.startsWith('audio_cache_syntheses_total'));
    expect(counted).toEqual(['audio_cache_syntheses_total{result="silent"} 1']);
  });
  const made = await making;
  expect([made.status, made.headers.get('retry-after')]).toEqual([504, '1']);
});

test('a Supabase that stands still is not waited for longer than ten seconds by whoever hears an audio: 503', async () => {
  const supabase = stage.stack.supabase.url;
  await using line = await startProxy(Number(new URL(supabase).port));
  const first = await stage.open();
  const { id } = await stage.book(first);
  const path = `/tts/audio/${idsIn(await make(first, id, [1]))[0]}`;
  expect((await ask(first, 'GET', path)).status).toBe(200);
  await forgetClips();
  const service = await stage.open({ supabase: line.through(supabase) });
  // Time is held: the ten seconds are over when the test says so.
  const late = new AbortController();
  const timeout = vi.spyOn(AbortSignal, 'timeout').mockReturnValue(late.signal);
  line.stall();
  const hearing = ask(service, 'GET', path);
  await eventually(async () => expect(timeout).toHaveBeenCalledWith(10_000));
  late.abort(new DOMException('10 seconds are over', 'TimeoutError'));
  const heard = await hearing;
  expect([heard.status, heard.headers.get('retry-after')]).toEqual([503, '1']);
  line.heal();
});

async function forgetClips(): Promise<void> {
  const redis = new Redis(stage.stack.redis.url);
  await redis.del(await redis.keys('speech:*'));
  redis.disconnect();
}
