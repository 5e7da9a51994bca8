/** What a key is made of. */
import { expect, it } from 'vitest';
import { createSpeechCache, type SpeechRequest } from '../../src/index.ts';

const speech = createSpeechCache();
const keyOf = (request: SpeechRequest) => speech.resolve(request).key;
const BASE = { text: 'Su habitación está lista', voice: 'lucia' } as const;

it('everything that changes the sound changes the key, and no two of these share one', () => {
  const requests: readonly SpeechRequest[] = [
    BASE,
    { ...BASE, text: 'su habitación está lista' },
    { ...BASE, text: 'Su  habitación está lista' },
    { voice: 'lucia', ssml: BASE.text },
    { ...BASE, voice: 'marta' },
    { ...BASE, voiceRevision: '2' },
    { ...BASE, tenant: 'hotel-2' },
    { ...BASE, provider: 'other' },
    { ...BASE, model: 'turbo' },
    { ...BASE, language: 'es' },
    { ...BASE, settings: { speed: 1.1 } },
    { ...BASE, settings: { speed: '1.1' } },
    { ...BASE, settings: { stability: 1.1 } },
    { ...BASE, dictionaries: [{ id: 'a', version: '1' }] },
    { ...BASE, dictionaries: [{ id: 'a', version: '2' }] },
    {
      ...BASE,
      dictionaries: [
        { id: 'a', version: '1' },
        { id: 'b', version: '1' },
      ],
    },
    {
      ...BASE,
      dictionaries: [
        { id: 'b', version: '1' },
        { id: 'a', version: '1' },
      ],
    },
    { ...BASE, textNormalization: 'off' },
    { ...BASE, format: 'mp3_22050_64' },
    { ...BASE, format: 'pcm_16000' },
    { ...BASE, format: 'pcm_8000' },
    // G8: parts are never joined: what looks alike when they are is not alike.
    { ...BASE, voice: 'lucia|es' },
    { ...BASE, voice: 'lucia', tenant: 'default|mp3' },
  ];
  const keys = requests.map(keyOf);
  expect(new Set(keys).size).toBe(requests.length);
  for (const key of keys) expect(key).toMatch(/^[0-9a-f]{64}$/);
});

it('what sounds the same has the same key: white space around it, how its accents are written, the order of settings', () => {
  const same: readonly SpeechRequest[] = [
    { ...BASE, text: `  ${BASE.text}\n` },
    { ...BASE, text: BASE.text.normalize('NFD') },
    { ...BASE, contentType: 'welcome_message' },
    { ...BASE, format: 'mp3' },
    { ...BASE, format: { codec: 'mp3', sampleRate: 44_100, bitrate: 128 } },
    { ...BASE, language: undefined },
  ];
  for (const request of same) expect(keyOf(request)).toBe(keyOf(BASE));
  const one = keyOf({ ...BASE, settings: { speed: 1, style: 0.5 } });
  expect(keyOf({ ...BASE, settings: { style: 0.5, speed: 1 } })).toBe(one);
});

it('folding is an option, for text alone (source: the file cache in front of ElevenLabs, which always folds)', () => {
  const folding = createSpeechCache({ requests: { whitespaceAndCase: 'fold' } });
  const folded = (request: SpeechRequest) => folding.resolve(request).key;
  expect(folded({ ...BASE, text: 'SU   habitación\nestá LISTA' })).toBe(folded(BASE));
  const ssml = '<speak>A <sub alias="B">b</sub></speak>';
  expect(folded({ voice: 'v', ssml })).not.toBe(folded({ voice: 'v', ssml: ssml.toLowerCase() }));
  expect(folding.resolve({ voice: 'v', ssml }).request.input).toEqual({ kind: 'ssml', ssml });
});

it('what is hashed is what is spoken: the resolved request is frozen, and later changes of what was given change nothing', () => {
  const settings: Record<string, number> = { speed: 1 };
  const { request, key } = speech.resolve({ ...BASE, settings });
  settings.speed = 2;
  expect(request.settings).toEqual({ speed: 1 });
  expect(Object.isFrozen(request) && Object.isFrozen(request.settings)).toBe(true);
  expect(Object.isFrozen(request.input) && Object.isFrozen(request.format)).toBe(true);
  expect(keyOf({ ...BASE, settings: { speed: 1 } })).toBe(key);
});

it('keys stay what they are from release to release', () => {
  expect(keyOf(BASE)).toBe('a81c83f8f743ab5b4251670e1108fb8acedb07492ce7b45c000aaba3b454a66a');
});
