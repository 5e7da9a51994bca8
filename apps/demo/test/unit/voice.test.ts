/** Who speaks, by what is configured and what is installed. */
import { audioFromEnv } from '@cache/audio';
import { expect, test } from 'vitest';
import { openVoice } from '../../src/speech/voice.ts';

const MISSING = '@cache/a-voice-that-is-not-installed';
const open = async (env: Readonly<Record<string, string>>, packageOf?: string) => {
  const voice = await openVoice(audioFromEnv(env), packageOf);
  await voice?.provider.close?.();
  return voice;
};

test('the embedded voice speaks where nothing else is configured, if it is installed', async () => {
  expect(await open({})).toMatchObject({ provider: { name: 'espeak' }, voice: 'en' });
  expect(await open({ SPEECH_VOICE: 'es' })).toMatchObject({ voice: 'es' });
  expect(await open({}, MISSING)).toBeUndefined();
});

test('the embedded voice that was asked for and is not installed stops the start', async () => {
  const line = `SPEECH_PROVIDER is espeak, but ${MISSING} is not installed: it takes that package, or another provider`;
  await expect(open({ SPEECH_PROVIDER: 'espeak' }, MISSING)).rejects.toThrow(line);
});

test('ElevenLabs speaks where there is a key, unless another was asked for', async () => {
  const key = { ELEVENLABS_API_KEY: 'sk_1' };
  expect(await open(key, MISSING)).toMatchObject({
    provider: { name: 'elevenlabs' },
    model: 'eleven_multilingual_v2',
    format: 'mp3_44100_128',
  });
  expect((await open({ ...key, SPEECH_PROVIDER: 'espeak' }))?.provider.name).toBe('espeak');
  expect(await open({ ...key, SPEECH_PROVIDER: 'off' })).toBeUndefined();
});
