/**
 * Who speaks: ElevenLabs where there is a key, otherwise the embedded voice where it is installed.
 * The embedded one is GPL, so it is no part of this program: it is looked for when it starts, and
 * everything else goes on without it.
 */
import { type AudioSettings, elevenLabs, type FormatName, type Provider } from '@cache/audio';
import { ConfigError } from '@cache/core';

/** A provider, with what suits it where a request says nothing. */
export interface Voice {
  readonly provider: Provider;
  readonly model: string;
  readonly format: FormatName;
  /** Who speaks; `undefined`: each request has to say. */
  readonly voice: string | undefined;
}

/** The package of the embedded voice: not known to the compiler, because it may not be there. */
const EMBEDDED = '@cache/espeak';

type Speaking = Pick<AudioSettings, 'speaker' | 'voice' | 'elevenLabs'>;

/** `undefined`: nobody speaks here. `packageOf` the embedded voice is for tests. Throws `ConfigError` where one was asked for that is not there. */
export async function openVoice(
  settings: Speaking,
  packageOf: string = EMBEDDED,
): Promise<Voice | undefined> {
  const { speaker, voice } = settings;
  if (speaker === 'off') return undefined;
  if (settings.elevenLabs !== undefined && speaker !== 'espeak') {
    const { model, ...options } = settings.elevenLabs;
    return { provider: elevenLabs(options), model, format: 'mp3_44100_128', voice };
  }
  const provider = await embedded(packageOf);
  if (provider !== undefined) {
    return { provider, model: 'default', format: 'wav_22050', voice: voice ?? 'en' };
  }
  if (speaker === 'auto') return undefined;
  throw new ConfigError(
    `SPEECH_PROVIDER is espeak, but ${packageOf} is not installed: it takes that package, or another provider`,
  );
}

async function embedded(packageOf: string): Promise<Provider | undefined> {
  let loaded: unknown;
  try {
    loaded = await import(packageOf);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ERR_MODULE_NOT_FOUND') return undefined;
    throw error;
  }
  if (typeof loaded !== 'object' || loaded === null || !('espeak' in loaded)) return undefined;
  const made: unknown = typeof loaded.espeak === 'function' ? loaded.espeak() : undefined;
  return isProvider(made) ? made : undefined;
}

function isProvider(made: unknown): made is Provider {
  return typeof made === 'object' && made !== null && 'synthesize' in made && 'name' in made;
}
