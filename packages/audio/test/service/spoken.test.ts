/** Speech that is answered before it is heard, and while it is. */
import { access, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '@cache/core';
import { ProblemError } from '@cache/http';
import { eventually } from '@cache/testing';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import {
  createSpeechCache,
  haveSpoken,
  openSpeech,
  type Provider,
  type SpeechCache,
  speechResponse,
  spoken,
} from '../../src/index.ts';
import { HeldClock } from '../file-store/support.ts';
import { SlowVoice } from '../speech/support.ts';

const SECOND = 32_000;
const REQUEST = { text: 'One.', voice: 'ada' };

/** A second of silence, in two pieces; the second one may fail. */
function voice(isBroken = false): Provider & { asked: number } {
  const provider: Provider & { asked: number } = {
    name: 'silent',
    maxCharacters: 5000,
    asked: 0,
    async synthesize() {
      provider.asked += 1;
      return { mediaType: 'audio/x-raw', audio: pieces() };
    },
  };
  return provider;
  async function* pieces() {
    yield new Uint8Array(SECOND / 2);
    if (isBroken) throw new Error('the voice broke');
    yield new Uint8Array(SECOND / 2);
  }
}

const open = (more: Parameters<typeof createSpeechCache>[0] = {}): SpeechCache =>
  createSpeechCache({ requests: { format: 'pcm_16000' }, ...more });

test('what has to be spoken is, once, and its length and life are known', async () => {
  await using speech = open({ policy: { ttl: '1h' } });
  const provider = voice();
  const first = await haveSpoken(speech, REQUEST, provider);
  expect(first).toMatchObject({ key: speech.resolve(REQUEST, provider).key, durationMs: 1000 });
  const clip = await speech.get(first.key);
  expect(first.expiresAt).toBe(clip?.metadata.expiresAt);
  expect(await haveSpoken(speech, REQUEST, provider)).toEqual(first);
  expect(provider.asked).toBe(1);
});

test('what is kept nowhere has its length all the same, and no life', async () => {
  await using speech = open({ memory: { maxBytes: 0 } });
  expect(await haveSpoken(speech, REQUEST, voice())).toMatchObject({
    durationMs: 1000,
    expiresAt: undefined,
  });
});

test('what breaks halfway was not spoken', async () => {
  await using speech = open();
  await expect(haveSpoken(speech, REQUEST, voice(true))).rejects.toThrow();
});

test('an answer has its media type, its source and its key, and its length where that is known', async () => {
  await using speech = open();
  const provider = voice();
  const live = speechResponse(await speech.stream(REQUEST, provider));
  expect((await live.arrayBuffer()).byteLength).toBe(SECOND);
  expect([...live.headers]).toEqual([
    ['content-type', 'audio/x-raw'],
    ['x-audio-key', speech.resolve(REQUEST, provider).key],
    ['x-cache', 'miss'],
  ]);
  const kept = speechResponse(await speech.stream(REQUEST, provider));
  expect(kept.headers.get('content-length')).toBe(String(SECOND));
  await kept.body?.cancel();
});

test('opened by its environment without a cache, it speaks each time', async () => {
  const provider = voice();
  const env = { AUDIO_CACHE_ENABLED: 'false' };
  await using speech = openSpeech({ env, provider, format: 'pcm_16000' }).cache;
  await haveSpoken(speech, REQUEST, provider);
  await haveSpoken(speech, REQUEST, provider);
  expect(provider.asked).toBe(2);
});

test.each([
  ['10 seconds, where nothing is said', undefined, 504],
  ['as long as the service says', '60s', 200],
] as const)(
  'a voice that does not begin is waited for: %s',
  async (_, firstByteTimeout, status) => {
    const clock = new HeldClock();
    const env = { AUDIO_CACHE_ENABLED: 'false' };
    await using speech = openSpeech({ env, clock, firstByteTimeout, format: 'pcm_16000' }).cache;
    const slow = new SlowVoice();
    const answer = spoken(() => speech.stream(REQUEST, slow.synthesize)).then(
      speechResponse,
      (error: unknown) => {
        if (error instanceof ProblemError) return error.response();
        throw error;
      },
    );
    const utterance = await slow.utterance();
    await new Promise((next) => setImmediate(next));
    clock.advance(59_000);
    utterance.say(new Uint8Array(SECOND));
    utterance.end();
    const answered = await answer;
    const again = status === 504 ? '1' : null;
    expect([answered.status, answered.headers.get('retry-after')]).toEqual([status, again]);
    await answered.body?.cancel();
  },
);

test('opened by its environment, it has its directory before the first request, and takes its metrics along', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'cache-speech-'));
  const env = { AUDIO_CACHE_DIR: join(directory, 'clips') };
  const cache = { registry: new Registry() };
  const speech = openSpeech({ env, cache });
  expect(() => openSpeech({ env, cache })).toThrow(ConfigError);
  expect(await cache.registry.metrics()).toContain('audio_cache_syntheses_total');
  await eventually(() => access(env.AUDIO_CACHE_DIR));
  await speech.close();
  expect(await cache.registry.metrics()).not.toContain('audio_cache');
  await rm(directory, { recursive: true });
});
