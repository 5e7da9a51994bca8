/** The speech of this service: a voice, and the cache in front of it. */
import {
  audioFromEnv,
  createSpeechCache,
  type OpenedSpeech,
  type OpenSpeechOptions,
  openSpeech,
} from '@cache/audio';
import { openVoice, type Voice } from './voice.ts';

export interface Speech extends OpenedSpeech {
  readonly voice: Voice | undefined;
}

export type SpeechOptions = Pick<OpenSpeechOptions, 'env' | 'l2' | 'cache'>;

/** Throws `ConfigError`, in one line. */
export async function openSpoken(options: SpeechOptions): Promise<Speech> {
  const voice = await openVoice(audioFromEnv(options.env));
  const { provider, model, format } = voice ?? {};
  const opened = openSpeech({ ...options, provider, model, format });
  return {
    ...opened,
    voice,
    async close() {
      await opened.close();
      await provider?.close?.();
    },
  };
}

/** Nobody speaks, and nothing is kept: for a service that is given no speech. */
export function noSpeech(): Speech {
  const cache = createSpeechCache();
  return {
    cache,
    voice: undefined,
    enabled: false,
    store: undefined,
    compression: undefined,
    ttlSeconds: undefined,
    currency: undefined,
    close: () => cache.close(),
  };
}
