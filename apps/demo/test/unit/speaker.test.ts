/** When a sentence is spoken anew, and when it is not. The voice is the test's own. */
import { createSpeechCache, type Provider, type SpeechCache } from '@cache/audio';
import { ProblemError } from '@cache/http';
import { afterEach, expect, test } from 'vitest';
import { Speaker } from '../../src/speech/speaker.ts';
import { noSpeech, type Speech } from '../../src/speech/speech.ts';

const SAMPLES = new Uint8Array(100).fill(7);

const opened: (SpeechCache | Speech)[] = [];
afterEach(async () => {
  await Promise.all(opened.splice(0).map((one) => one.close()));
});

/** A cache that has a memory, so that whoever is asked for nothing new could be given it. */
function speaking({ enabled }: { readonly enabled: boolean }) {
  let syntheses = 0;
  const provider: Provider = {
    name: 'counting',
    maxCharacters: 100,
    async synthesize() {
      syntheses += 1;
      async function* audio() {
        yield SAMPLES;
      }
      return { mediaType: 'audio/x-raw', audio: audio() };
    },
  };
  const nobody = noSpeech();
  const cache = createSpeechCache({ requests: { provider: 'counting', format: 'pcm_16000' } });
  opened.push(nobody, cache);
  const voice = { provider, model: 'm', format: 'pcm_16000', voice: 'ada' } as const;
  const speaker = new Speaker({ ...nobody, cache, voice, enabled });
  return {
    get syntheses() {
      return syntheses;
    },
    async hear(cacheControl?: string): Promise<string | null> {
      const headers = new Headers(
        cacheControl === undefined ? {} : { 'cache-control': cacheControl },
      );
      const signal = new AbortController().signal;
      const answer = await speaker.say({ text: 'Hola' }, headers, signal);
      expect(new Uint8Array(await answer.arrayBuffer())).toEqual(SAMPLES);
      return answer.headers.get('x-cache');
    },
  };
}

test('switched off, every listener has it spoken anew, those who ask at once too, and nothing is kept', async () => {
  const speech = speaking({ enabled: false });
  expect(await Promise.all([speech.hear(), speech.hear()])).toEqual(['miss', 'miss']);
  expect(await speech.hear()).toBe('miss');
  await expect(speech.hear('only-if-cached')).rejects.toBeInstanceOf(ProblemError);
  expect(speech.syntheses).toBe(3);
});

test('cache-control says for one listener: no-store, no-cache, only-if-cached, and otherwise it is found', async () => {
  const speech = speaking({ enabled: true });
  await expect(speech.hear('only-if-cached')).rejects.toBeInstanceOf(ProblemError);
  expect(await speech.hear('max-age=0, No-Store')).toBe('miss');
  expect(await speech.hear()).toBe('miss');
  expect(await speech.hear()).toBe('l1');
  expect(await speech.hear('no-store')).toBe('miss');
  expect(await speech.hear('no-cache')).toBe('miss');
  expect(await speech.hear('only-if-cached')).toBe('l1');
  expect(speech.syntheses).toBe(4);
});
