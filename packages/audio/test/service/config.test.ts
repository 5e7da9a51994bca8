/** The environment variables of the three sources, and those that came with them. */
import { ConfigError } from '@cache/core';
import { describe, expect, test } from 'vitest';
import { audioFromEnv, audioVariables } from '../../src/index.ts';

describe('source: the hotel agent’s audio cache over Redis (2025-10-07)', () => {
  test('its variables have its defaults', () => {
    const { enabled, redis, compression } = audioFromEnv({});
    expect(enabled).toBe(true);
    expect(redis).toEqual({ ttlSeconds: 86_400, maxSizeMb: 100 });
    expect(compression).toEqual({ enabled: true, thresholdBytes: 100 * 1024, level: 6 });
  });

  test('AUDIO_CACHE_ENABLED, _TTL_SECONDS, _MAX_SIZE_MB and the three of the compression are read', () => {
    const settings = audioFromEnv({
      AUDIO_CACHE_ENABLED: 'False',
      AUDIO_CACHE_TTL_SECONDS: '60',
      AUDIO_CACHE_MAX_SIZE_MB: '7',
      AUDIO_CACHE_COMPRESSION_ENABLED: 'false',
      AUDIO_CACHE_COMPRESSION_THRESHOLD_KB: '3',
      AUDIO_CACHE_COMPRESSION_LEVEL: '9',
    });
    expect(settings.enabled).toBe(false);
    expect(settings.redis).toEqual({ ttlSeconds: 60, maxSizeMb: 7 });
    expect(settings.compression).toEqual({ enabled: false, thresholdBytes: 3072, level: 9 });
  });
});

describe('source: the audio cache on the file system', () => {
  test('its variables have its defaults', () => {
    const { dir, isChosen, ttlSeconds, maxBytes } = audioFromEnv({}).files;
    expect([dir, isChosen, ttlSeconds, maxBytes]).toEqual([
      'cache/audio',
      false,
      86_400,
      1_073_741_824,
    ]);
  });

  test('AUDIO_CACHE_DIR, AUDIO_CACHE_TTL and AUDIO_CACHE_MAX_SIZE are read', () => {
    const env = { AUDIO_CACHE_DIR: '/clips', AUDIO_CACHE_TTL: '5', AUDIO_CACHE_MAX_SIZE: '1000' };
    const { dir, isChosen, ttlSeconds, maxBytes } = audioFromEnv(env).files;
    expect([dir, isChosen, ttlSeconds, maxBytes]).toEqual(['/clips', true, 5, 1000]);
  });
});

describe('the voice', () => {
  test('ELEVENLABS_API_KEY brings its address and model along', () => {
    expect(audioFromEnv({}).elevenLabs).toBeUndefined();
    expect(audioFromEnv({ ELEVENLABS_API_KEY: 'sk_1' }).elevenLabs).toEqual({
      apiKey: 'sk_1',
      baseUrl: 'https://api.elevenlabs.io',
      model: 'eleven_multilingual_v2',
    });
  });

  test('prices are of 1,000 characters, by provider, model and voice', () => {
    const { prices } = audioFromEnv({ AUDIO_CACHE_PRICES: 'EUR:elevenlabs=0.28, */m/v = 1, *=0' });
    expect(prices).toEqual({
      currency: 'EUR',
      perThousandCharacters: { elevenlabs: 0.28, '*/m/v': 1, '*': 0 },
    });
  });
});

describe('what can not be used is told in one line: which variable, what it got, what it takes', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['AUDIO_CACHE_ENABLED', 'perhaps', 'true or false, got "perhaps"'],
    ['AUDIO_CACHE_TTL_SECONDS', '-1', 'a whole number from 1 to 315360000, got "-1"'],
    ['AUDIO_CACHE_MAX_SIZE_MB', '1.5', 'a whole number from 1 to 1048576, got "1.5"'],
    ['AUDIO_CACHE_COMPRESSION_ENABLED', '2', 'true or false, got "2"'],
    ['AUDIO_CACHE_COMPRESSION_THRESHOLD_KB', 'ten', 'a whole number from 0 to 65536, got "ten"'],
    ['AUDIO_CACHE_COMPRESSION_LEVEL', '10', 'a whole number from 1 to 9, got "10"'],
    ['AUDIO_CACHE_DIR', 'a\0b', 'the path of a directory, got "a\\u0000b"'],
    ['AUDIO_CACHE_TTL', '1d', 'a whole number from 1 to 315360000, got "1d"'],
    ['AUDIO_CACHE_MAX_SIZE', '1GB', 'a whole number from 1 to 1125899906842624, got "1GB"'],
    [
      'AUDIO_CACHE_PRICES',
      'free',
      'prices of 1,000 characters like elevenlabs=0.30,*=0, got "free"',
    ],
    ['AUDIO_CACHE_LOOKUP_TIMEOUT_MS', '0', 'a whole number from 1 to 60000, got "0"'],
    ['SPEECH_PROVIDER', 'siri', 'one of auto, elevenlabs, espeak, off, got "siri"'],
    ['ELEVENLABS_MODEL', 'a b', 'a name of letters, digits, _, . and -, got "a b"'],
  ];
  test.each(cases)('%s=%j', (name, got, line) => {
    expect(() => audioFromEnv({ [name]: got })).toThrow(new ConfigError(`${name} takes ${line}`));
  });

  test('a secret, and an address that may hold one, are not shown', () => {
    const key = { ELEVENLABS_API_KEY: 'my secret' };
    expect(() => audioFromEnv(key)).toThrow(/^ELEVENLABS_API_KEY takes .*got 9 .*\(not shown\)$/);
    const url = { ELEVENLABS_BASE_URL: 'ftp://u:secret@host' };
    expect(() => audioFromEnv(url)).toThrow(/^ELEVENLABS_BASE_URL takes .*\(not shown\)$/);
  });

  test('ElevenLabs without a key is refused', () => {
    const env = { SPEECH_PROVIDER: 'elevenlabs' };
    expect(() => audioFromEnv(env)).toThrow(/ELEVENLABS_API_KEY is not set/);
  });

  test('an empty variable is an unset one', () => {
    const empty = Object.fromEntries(audioVariables.map(({ name }) => [name, ' ']));
    expect(audioFromEnv(empty)).toEqual(audioFromEnv({}));
  });
});
