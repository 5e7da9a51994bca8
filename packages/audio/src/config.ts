/**
 * The speech cache from environment variables, under the names that its sources gave them: those of
 * the hotel agent's audio cache over Redis, and those of the audio cache on the file system.
 *
 * Invariants: an empty variable is an unset one; a value that can't be used is a `ConfigError` in
 * one line that names the variable, what it got and what it takes; no message holds a secret.
 */
import { ConfigError } from '@cache/core';
import type { ClipCompressionOptions } from './clip-compression.ts';
import { type AudioVariableName, audioVariables } from './config-variables.ts';
import type { ElevenLabsOptions } from './elevenlabs.ts';
import { type Prices, resolvePrices } from './prices.ts';

/** Who speaks. `auto`: ElevenLabs where there is a key, otherwise the embedded voice. */
export type SpeakerName = 'auto' | 'elevenlabs' | 'espeak' | 'off';

/** What the environment says of a speech cache, with every default filled in. */
export interface AudioSettings {
  /** False: everything is spoken anew, and nothing is kept. */
  readonly enabled: boolean;
  /** Of clips in Redis. */
  readonly redis: { readonly ttlSeconds: number; readonly maxSizeMb: number };
  /** Of clips in files. */
  readonly files: {
    readonly dir: string;
    /** The directory was named, and is not the default. */
    readonly isChosen: boolean;
    readonly ttlSeconds: number;
    readonly maxBytes: number;
  };
  readonly compression: Required<
    Pick<ClipCompressionOptions, 'enabled' | 'thresholdBytes' | 'level'>
  >;
  /** What looking for a clip may cost before it is spoken anew. */
  readonly lookupMs: number;
  readonly prices: Prices | undefined;
  readonly speaker: SpeakerName;
  /** Who speaks where nobody says; `undefined`: what suits the speaker. */
  readonly voice: string | undefined;
  readonly elevenLabs: (ElevenLabsOptions & { readonly model: string }) | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

const MAX_SECONDS = 10 * 365 * 86_400;
const SPEAKERS = ['auto', 'elevenlabs', 'espeak', 'off'] as const satisfies readonly SpeakerName[];
const DEFAULTS = new Map(audioVariables.map(({ name, default: text }) => [name, text]));

/** Throws `ConfigError`, in one line. */
export function audioFromEnv(env: Environment = process.env): AudioSettings {
  const read = new Reader(env);
  const maxSizeMb = read.whole('AUDIO_CACHE_MAX_SIZE_MB', 1, 1_048_576);
  return Object.freeze({
    enabled: read.isOn('AUDIO_CACHE_ENABLED'),
    redis: Object.freeze({
      ttlSeconds: read.whole('AUDIO_CACHE_TTL_SECONDS', 1, MAX_SECONDS),
      maxSizeMb,
    }),
    files: Object.freeze({
      dir: read.directory('AUDIO_CACHE_DIR'),
      isChosen: read.given('AUDIO_CACHE_DIR') !== undefined,
      ttlSeconds: read.whole('AUDIO_CACHE_TTL', 1, MAX_SECONDS),
      maxBytes: read.whole('AUDIO_CACHE_MAX_SIZE', 1, 2 ** 50),
    }),
    compression: Object.freeze({
      enabled: read.isOn('AUDIO_CACHE_COMPRESSION_ENABLED'),
      thresholdBytes: read.whole('AUDIO_CACHE_COMPRESSION_THRESHOLD_KB', 0, 65_536) * 1024,
      level: read.whole('AUDIO_CACHE_COMPRESSION_LEVEL', 1, 9),
    }),
    lookupMs: read.whole('AUDIO_CACHE_LOOKUP_TIMEOUT_MS', 1, 60_000),
    prices: read.prices('AUDIO_CACHE_PRICES'),
    speaker: read.oneOf('SPEECH_PROVIDER', SPEAKERS),
    voice: read.given('SPEECH_VOICE'),
    elevenLabs: elevenLabsFrom(read),
  });
}

function elevenLabsFrom(read: Reader): AudioSettings['elevenLabs'] {
  const apiKey = read.secret('ELEVENLABS_API_KEY');
  const baseUrl = read.url('ELEVENLABS_BASE_URL');
  const model = read.name('ELEVENLABS_MODEL');
  const isAsked = read.oneOf('SPEECH_PROVIDER', SPEAKERS) === 'elevenlabs';
  if (apiKey === undefined && isAsked) {
    throw new ConfigError(
      'SPEECH_PROVIDER is elevenlabs, but ELEVENLABS_API_KEY is not set: it takes the API key of an account',
    );
  }
  return apiKey === undefined ? undefined : Object.freeze({ apiKey, baseUrl, model });
}

/** Reads and checks one variable at a time. */
class Reader {
  readonly #env: Environment;

  constructor(env: Environment) {
    this.#env = env;
  }

  given(name: AudioVariableName): string | undefined {
    const value = this.#env[name]?.trim();
    return value === '' ? undefined : value;
  }

  whole(name: AudioVariableName, least: number, most: number): number {
    const text = this.#text(name);
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw takes(name, `a whole number from ${least} to ${most}`, text);
  }

  isOn(name: AudioVariableName): boolean {
    const text = this.#text(name).toLowerCase();
    if (['true', '1', 'yes', 'on'].includes(text)) return true;
    if (['false', '0', 'no', 'off'].includes(text)) return false;
    throw takes(name, 'true or false', text);
  }

  oneOf<T extends string>(name: AudioVariableName, choices: readonly T[]): T {
    const text = this.#text(name);
    const choice = choices.find((known) => known === text.toLowerCase());
    if (choice !== undefined) return choice;
    throw takes(name, `one of ${choices.join(', ')}`, text);
  }

  directory(name: AudioVariableName): string {
    const text = this.#text(name);
    if (!text.includes('\0')) return text;
    throw takes(name, 'the path of a directory', text);
  }

  name(name: AudioVariableName): string {
    const text = this.#text(name);
    if (/^[\w.-]{1,100}$/.test(text)) return text;
    throw takes(name, 'a name of letters, digits, _, . and -', text);
  }

  url(name: AudioVariableName): string {
    const text = this.#text(name);
    if (/^https?:$/.test(URL.parse(text)?.protocol ?? '')) return text;
    // It may hold a password.
    throw new ConfigError(
      `${name} takes a URL like ${DEFAULTS.get(name)}, got something else (not shown)`,
    );
  }

  secret(name: AudioVariableName): string | undefined {
    const value = this.given(name);
    if (value === undefined || /^[\x21-\x7e]{1,512}$/.test(value)) return value;
    throw new ConfigError(
      `${name} takes printable characters without spaces, got ${value.length} with others among them (not shown)`,
    );
  }

  /** `elevenlabs=0.30,elevenlabs/eleven_flash_v2_5=0.15`, the currency as `EUR:…` in front. */
  prices(name: AudioVariableName): Prices | undefined {
    const text = this.given(name);
    if (text === undefined) return undefined;
    const [, currency, list = ''] = /^(?:([A-Z]{3}):)?(.*)$/s.exec(text) ?? [];
    const entries = list.split(',').map((part) => {
      const [, of, price] = /^\s*([^=\s]+)\s*=\s*(\d{1,6}(?:\.\d{1,6})?)\s*$/.exec(part) ?? [];
      if (of !== undefined && price !== undefined) return [of, Number(price)] as const;
      throw takes(name, 'prices of 1,000 characters like elevenlabs=0.30,*=0', text);
    });
    const prices = { currency, perThousandCharacters: Object.fromEntries(entries) };
    resolvePrices(prices);
    return prices;
  }

  #text(name: AudioVariableName): string {
    return this.given(name) ?? DEFAULTS.get(name) ?? '';
  }
}

function takes(name: AudioVariableName, what: string, got: string): ConfigError {
  const shown = got.length > 60 ? `${got.slice(0, 60)}…` : got;
  return new ConfigError(`${name} takes ${what}, got ${JSON.stringify(shown)}`);
}
