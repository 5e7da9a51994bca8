/**
 * A voice that needs no network: eSpeak NG in a thread of its own. A sentence comes in one piece,
 * when it is spoken: the program gives nothing out before.
 */
import { mediaTypeOf, type Provider, ProviderError, type ResolvedRequest } from '@cache/audio';
import { type Clock, ConfigError, systemClock } from '@cache/core';
import { VoiceThread } from './voice-thread.ts';
import { type EspeakVoices, languagesIn, variantsIn, voiceName } from './voices.ts';

export interface EspeakOptions {
  /** Clips after which the thread is renewed, because of the memory that each leaves. Default 50. */
  readonly renewAfter?: number | undefined;
  /** Texts that may wait; more are refused as `busy`. Default 100. */
  readonly maxQueue?: number | undefined;
  /** How long one text may take, in milliseconds. Default 30,000. */
  readonly maxMs?: number | undefined;
  /** Default: the system's. */
  readonly clock?: Clock | undefined;
}

export interface EspeakProvider extends Provider {
  /** What it speaks. Throws `ProviderError`. */
  voices(): Promise<EspeakVoices>;
  /** Ends the thread, and rejects what waits for it. */
  close(): Promise<void>;
  /** Threads that were started so far. */
  readonly threads: number;
}

/** What eSpeak NG speaks: WAV of this rate, or its bare samples. */
export const SAMPLE_RATE = 22_050;
/** About five minutes of speech. */
const MAX_CHARACTERS = 5_000;
const WORDS_PER_MINUTE = 175;
/** Of the WAV files that it writes. */
const HEADER_BYTES = 44;

/** Settings of a request, from what to what they go, and how the program is told. */
const SETTINGS: ReadonlyMap<string, readonly [number, number, (value: number) => string[]]> =
  new Map([
    ['speed', [0.5, 2.5, (value: number) => ['-s', `${Math.round(value * WORDS_PER_MINUTE)}`]]],
    ['pitch', [0, 99, (value: number) => ['-p', `${Math.round(value)}`]]],
    ['volume', [0, 200, (value: number) => ['-a', `${Math.round(value)}`]]],
    ['wordGap', [0, 500, (value: number) => ['-g', `${Math.round(value / 10)}`]]],
  ]);

/**
 * The provider `espeak`. A voice is a language (`es`, `en-us`), with a variant or without
 * (`es+f3`), or a variant of the request's language (`+f3`, `default`). Settings: `speed` (0.5 to
 * 2.5, 1 is usual), `pitch` (0 to 99), `volume` (0 to 200), `wordGap` (milliseconds).
 */
export function espeak(options: EspeakOptions = {}): EspeakProvider {
  const thread = new VoiceThread({
    renewAfter: whole('renewAfter', options.renewAfter ?? 50),
    maxQueue: whole('maxQueue', options.maxQueue ?? 100),
    jobMs: whole('maxMs', options.maxMs ?? 30_000),
    clock: options.clock ?? systemClock,
  });
  let listed: Promise<EspeakVoices> | undefined;
  const voices = () => {
    listed ??= list(thread).catch((error: unknown) => {
      listed = undefined;
      throw error;
    });
    return listed;
  };
  return {
    name: 'espeak',
    maxCharacters: MAX_CHARACTERS,
    voices,
    async synthesize(request, { signal }) {
      signal.throwIfAborted();
      const text = textOf(request);
      const args = argumentsOf(request, await voices());
      const { sound, failure } = await thread.run(args, text, signal);
      if (sound === undefined || sound.byteLength < HEADER_BYTES) {
        throw new ProviderError(
          'broken',
          `eSpeak NG made no sound${failure ? `: ${failure}` : ''}`,
        );
      }
      const isWav = request.format.codec === 'wav';
      return {
        mediaType: mediaTypeOf(request.format),
        audio: onePiece(isWav ? sound : sound.subarray(HEADER_BYTES)),
      };
    },
    close: () => thread.close(),
    get threads() {
      return thread.started;
    },
  };
}

async function list(thread: VoiceThread): Promise<EspeakVoices> {
  const [languages, variants] = await Promise.all([
    thread.run(['--voices'], undefined),
    thread.run(['--voices=variant'], undefined),
  ]);
  return Object.freeze({
    languages: languagesIn(languages.lines),
    variants: variantsIn(variants.lines),
  });
}

function textOf({ input }: ResolvedRequest): string {
  const text = input.kind === 'text' ? input.text : input.ssml;
  if (text.length > MAX_CHARACTERS) {
    throw new ProviderError(
      'refused',
      `the embedded voice takes ${MAX_CHARACTERS} characters at most`,
    );
  }
  // The program takes it for the end.
  if (text.includes('\0')) throw new ProviderError('refused', 'the text has a character U+0000');
  return text;
}

function argumentsOf(request: ResolvedRequest, voices: EspeakVoices): readonly string[] {
  const { codec, sampleRate } = request.format;
  if ((codec !== 'wav' && codec !== 'pcm') || sampleRate !== SAMPLE_RATE) {
    throw new ProviderError(
      'refused',
      `the embedded voice speaks wav and pcm of ${SAMPLE_RATE} Hz`,
    );
  }
  if (request.dictionaries.length > 0) {
    throw new ProviderError('refused', 'the embedded voice has no pronunciation dictionaries');
  }
  const settings = Object.entries(request.settings).flatMap(([name, value]) => {
    const [least, most, told] = SETTINGS.get(name) ?? [];
    if (told === undefined || least === undefined || most === undefined) {
      throw new ProviderError(
        'refused',
        'the request has a setting that the embedded voice does not have',
      );
    }
    if (typeof value !== 'number' || !(value >= least && value <= most)) {
      throw new ProviderError('refused', `the setting ${name} goes from ${least} to ${most}`);
    }
    return told(value);
  });
  const ssml = request.input.kind === 'ssml' ? ['-m'] : [];
  return ['-v', voiceName(voices, request.voice, request.language), ...settings, ...ssml];
}

async function* onePiece(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

function whole(option: string, value: number): number {
  if (Number.isInteger(value) && value > 0) return value;
  throw new ConfigError(`option "${option}" takes a whole number above 0`);
}
