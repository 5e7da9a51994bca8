/** A resolved request in the words of the ElevenLabs API. What it has no word for is refused. */
import { ProviderError, type ResolvedRequest } from './provider.ts';

/** Characters of one request, by model, as its documentation has them. */
const LIMITS: ReadonlyMap<string, number> = new Map([
  ['eleven_v3', 5_000],
  ['eleven_multilingual_v2', 10_000],
  ['eleven_flash_v2_5', 40_000],
  ['eleven_turbo_v2_5', 40_000],
  ['eleven_flash_v2', 30_000],
  ['eleven_turbo_v2', 30_000],
  ['eleven_multilingual_v1', 10_000],
  ['eleven_monolingual_v1', 10_000],
]);

/** The most that any model takes. */
export const MOST_CHARACTERS: number = Math.max(...LIMITS.values());
/** Of models that are newer than this list: the least that any takes. */
const LEAST_CHARACTERS = Math.min(...LIMITS.values());

/** Others tell the language by the text, and refuse to be told. */
const TAKES_LANGUAGE: ReadonlySet<string> = new Set([
  'eleven_v3',
  'eleven_flash_v2_5',
  'eleven_turbo_v2_5',
]);

const FORMATS: ReadonlySet<string> = new Set([
  'mp3_22050_32',
  'mp3_24000_48',
  ...[32, 64, 96, 128, 192].map((bitrate) => `mp3_44100_${bitrate}`),
  ...[8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000].map((rate) => `pcm_${rate}`),
  'ulaw_8000',
  ...[32, 64, 96, 128, 192].map((bitrate) => `opus_48000_${bitrate}`),
]);

const MAX_DICTIONARIES = 3;
const MAX_SEED = 4_294_967_295;

/** How the settings of a request are called there, and from what to what they go. */
const VOICE_SETTINGS: ReadonlyMap<string, readonly [string, number, number]> = new Map([
  ['stability', ['stability', 0, 1]],
  ['similarity', ['similarity_boost', 0, 1]],
  ['similarity_boost', ['similarity_boost', 0, 1]],
  ['style', ['style', 0, 1]],
  ['speed', ['speed', 0.7, 1.2]],
]);
const BOOST: ReadonlySet<string> = new Set(['speakerBoost', 'use_speaker_boost']);

/** Characters that one request of this model may have. */
export function characterLimit(model: string): number {
  return LIMITS.get(model) ?? LEAST_CHARACTERS;
}

/** Throws `ProviderError` where the service does not speak this format. */
export function outputFormat({ codec, sampleRate, bitrate }: ResolvedRequest['format']): string {
  const withBitrate = codec === 'mp3' || codec === 'opus' ? `_${bitrate ?? 128}` : '';
  const name = `${codec}_${sampleRate}${withBitrate}`;
  if (FORMATS.has(name)) return name;
  throw new ProviderError('refused', `ElevenLabs has no format ${name}`);
}

/** The body of the request. Throws `ProviderError` for settings that it does not have. */
export function bodyOf(request: ResolvedRequest, text: string): Readonly<Record<string, unknown>> {
  const { model, language, dictionaries, textNormalization, settings } = request;
  if (dictionaries.length > MAX_DICTIONARIES) {
    throw new ProviderError('refused', `ElevenLabs takes ${MAX_DICTIONARIES} dictionaries at most`);
  }
  if (textNormalization !== undefined && !/^(?:auto|on|off)$/.test(textNormalization)) {
    throw new ProviderError('refused', 'text normalisation is auto, on or off');
  }
  const { seed, ...others } = settings;
  const voiceSettings = voiceSettingsOf(others);
  return {
    text,
    model_id: model,
    ...(language !== undefined && TAKES_LANGUAGE.has(model)
      ? { language_code: language.split('-', 1)[0] }
      : {}),
    ...(Object.keys(voiceSettings).length === 0 ? {} : { voice_settings: voiceSettings }),
    ...(seed === undefined ? {} : { seed: seedOf(seed) }),
    ...(dictionaries.length === 0
      ? {}
      : {
          pronunciation_dictionary_locators: dictionaries.map(({ id, version }) => ({
            pronunciation_dictionary_id: id,
            version_id: version,
          })),
        }),
    ...(textNormalization === undefined ? {} : { apply_text_normalization: textNormalization }),
  };
}

function voiceSettingsOf(settings: ResolvedRequest['settings']): Readonly<Record<string, unknown>> {
  const named: [string, number | boolean][] = Object.entries(settings).map(([name, value]) => {
    if (BOOST.has(name) && typeof value === 'boolean') return ['use_speaker_boost', value];
    const [called, least, most] = VOICE_SETTINGS.get(name) ?? [];
    if (called === undefined || least === undefined || most === undefined) {
      throw new ProviderError('refused', 'the request has a setting that ElevenLabs does not have');
    }
    if (typeof value !== 'number' || value < least || value > most) {
      throw new ProviderError('refused', `the setting ${name} goes from ${least} to ${most}`);
    }
    return [called, value];
  });
  return Object.fromEntries(named);
}

function seedOf(seed: unknown): number {
  if (typeof seed === 'number' && Number.isInteger(seed) && seed >= 0 && seed <= MAX_SEED)
    return seed;
  throw new ProviderError('refused', `the setting seed is a whole number up to ${MAX_SEED}`);
}
