/**
 * A request to speak, resolved: checked, defaults filled in, frozen, and hashed. The same object is
 * hashed and synthesised, so that a key can't stand for anything but what it sounds like.
 *
 *  - The text is NFC-normalised and trimmed. Folding case and white space is an option: it changes how
 *    some words are spoken, and gains few hits. Never for SSML.
 *  - The key is the SHA-256 of the canonical JSON (RFC 8785) of the request, with the version of
 *    this scheme. Every part is a string or number of its own: none is joined with another.
 *  - What does not change the sound (the content type) is not in the key.
 */
import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import { SpeechRequestError } from './errors.ts';
import { type AudioFormat, type FormatName, resolveFormat } from './formats.ts';
import type { ResolvedRequest } from './provider.ts';

/** Raised whenever a resolved request comes to mean another sound. */
export const KEY_SCHEMA = 1;

/** What an application asks for. Either `text` or `ssml`. */
export interface SpeechRequest {
  readonly text?: string | undefined;
  readonly ssml?: string | undefined;
  readonly voice: string;
  /** Changes whenever the provider's voice does. */
  readonly voiceRevision?: string | undefined;
  /** Default `'default'`. Clips of one tenant are never heard by another. */
  readonly tenant?: string | undefined;
  readonly provider?: string | undefined;
  readonly model?: string | undefined;
  readonly language?: string | undefined;
  readonly settings?: Readonly<Record<string, string | number | boolean>> | undefined;
  readonly dictionaries?: readonly { readonly id: string; readonly version: string }[] | undefined;
  readonly textNormalization?: string | undefined;
  /** Say `'mp3'`, `'mp3_44100_128'`, `'pcm_16000'`. */
  readonly format?: FormatName | undefined;
  /** Decides how long the clip is kept; default `'other'`. */
  readonly contentType?: string | undefined;
}

/** What requests are resolved against. */
export interface RequestRules {
  readonly provider: string;
  readonly model: string;
  readonly format: AudioFormat;
  /** Characters (code points) of one request. */
  readonly maxCharacters: number;
  /** Voices that may be asked for; `undefined`: any. */
  readonly voices: ReadonlySet<string> | undefined;
  /** Codecs that may be asked for; `undefined`: any. */
  readonly codecs: ReadonlySet<string> | undefined;
  /** `'fold'`: case and inner white space make no difference. */
  readonly whitespaceAndCase: 'keep' | 'fold';
}

/** A request with its key. */
export interface Asked {
  readonly request: ResolvedRequest;
  /** 64 hexadecimal digits. */
  readonly key: string;
  readonly contentType: string;
  /** Code points of the text or SSML: what the provider charges for. */
  readonly characters: number;
}

const MAX_NAME = 256;
const MAX_SETTINGS = 64;
const MAX_DICTIONARIES = 32;

/** Throws {@link SpeechRequestError}. */
export function resolveRequest(asked: SpeechRequest, rules: RequestRules): Asked {
  const { input, characters } = inputOf(asked, rules);
  const format = asked.format === undefined ? rules.format : resolveFormat(asked.format);
  const voice = name('voice', asked.voice);
  if (rules.voices !== undefined && !rules.voices.has(voice)) {
    throw new SpeechRequestError(
      'unknown-voice',
      'voice',
      'voice is none of the voices that are known here',
    );
  }
  if (rules.codecs !== undefined && !rules.codecs.has(format.codec)) {
    throw new SpeechRequestError('unknown-format', 'format', 'format is none that is spoken here');
  }
  const request: ResolvedRequest = Object.freeze({
    tenant: name('tenant', asked.tenant ?? 'default'),
    provider: name('provider', asked.provider ?? rules.provider),
    model: name('model', asked.model ?? rules.model),
    voice,
    ...optional('voiceRevision', asked.voiceRevision),
    ...optional('language', asked.language),
    settings: settingsOf(asked.settings ?? {}),
    dictionaries: dictionariesOf(asked.dictionaries ?? []),
    ...optional('textNormalization', asked.textNormalization),
    input,
    format,
  });
  return Object.freeze({
    request,
    key: keyOf(request),
    contentType: contentTypeOf(asked),
    characters,
  });
}

/** The key of a resolved request. */
export function keyOf(request: ResolvedRequest): string {
  const text = canonicalize({ schema: KEY_SCHEMA, request });
  if (text === undefined) throw new SpeechRequestError('bad-field', '$', 'the request has no JSON');
  return createHash('sha256').update(text, 'utf8').digest('hex');
}

/** Whether a text is a key: 64 hexadecimal digits, and nothing that a path could be made of. */
export function isKey(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

function inputOf(
  asked: SpeechRequest,
  rules: RequestRules,
): { readonly input: ResolvedRequest['input']; readonly characters: number } {
  const { text, ssml } = asked;
  if ((text === undefined) === (ssml === undefined)) {
    throw new SpeechRequestError('bad-field', 'text', 'a request has either text or ssml');
  }
  const part = text === undefined ? 'ssml' : 'text';
  const given: unknown = text ?? ssml;
  if (typeof given !== 'string')
    throw new SpeechRequestError('bad-field', part, `${part} must be text`);
  // Twice the limit in UTF-16 is above it in code points: nothing long is walked through.
  if (given.length > rules.maxCharacters * 4) throw tooLong(part, rules.maxCharacters);
  if (!given.isWellFormed() || given.includes('\0')) {
    throw new SpeechRequestError('bad-text', part, `${part} has half a character in it, or U+0000`);
  }
  let spoken = given.normalize('NFC').trim();
  if (part === 'text' && rules.whitespaceAndCase === 'fold') {
    spoken = spoken.toLowerCase().split(/\s+/u).join(' ');
  }
  if (part === 'ssml' ? saysNothing(spoken) : !/[^\s\p{C}]/u.test(spoken)) {
    throw new SpeechRequestError('empty-text', part, `${part} has nothing in it to speak`);
  }
  const characters = codePoints(spoken);
  if (characters > rules.maxCharacters) throw tooLong(part, rules.maxCharacters);
  const input =
    part === 'text'
      ? ({ kind: 'text', text: spoken } as const)
      : ({ kind: 'ssml', ssml: spoken } as const);
  return { input: Object.freeze(input), characters };
}

/** No text, and none of the elements that sound without any. */
function saysNothing(ssml: string): boolean {
  if (/<(?:audio|sub|break)[\s>/]/.test(ssml)) return false;
  return !/[^\s\p{C}]/u.test(ssml.replaceAll(/<[^>]*>/g, ''));
}

function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

function tooLong(part: string, most: number): SpeechRequestError {
  return new SpeechRequestError(
    'too-long',
    part,
    `${part} is longer than the ${most} characters of one request`,
  );
}

function name(part: string, value: unknown): string {
  if (
    typeof value === 'string' &&
    value.length > 0 &&
    value.length <= MAX_NAME &&
    value.isWellFormed() &&
    !/\p{Cc}/u.test(value)
  ) {
    return value.normalize('NFC');
  }
  throw new SpeechRequestError(
    'bad-field',
    part,
    `${part} must be 1 to ${MAX_NAME} characters, none of them a control character`,
  );
}

function optional<P extends 'voiceRevision' | 'language' | 'textNormalization'>(
  part: P,
  value: string | undefined,
): { readonly [Part in P]?: string } {
  if (value === undefined) return {};
  const checked: { [Part in P]?: string } = {};
  checked[part] = name(part, value);
  return checked;
}

function settingsOf(
  settings: Readonly<Record<string, string | number | boolean>>,
): ResolvedRequest['settings'] {
  const given = Object.entries(settings);
  if (given.length > MAX_SETTINGS) {
    throw new SpeechRequestError(
      'bad-field',
      'settings',
      `settings has more than ${MAX_SETTINGS} parts`,
    );
  }
  const checked = given.map(([setting, value]) => {
    const part = `settings.${name('settings', setting)}`;
    if (typeof value === 'number') {
      if (Number.isFinite(value)) return [setting, value] as const;
      throw new SpeechRequestError('bad-field', part, `${part} is no finite number`);
    }
    if (typeof value === 'boolean') return [setting, value] as const;
    return [setting, name(part, value)] as const;
  });
  return Object.freeze(Object.fromEntries(checked));
}

function dictionariesOf(
  dictionaries: readonly { readonly id: string; readonly version: string }[],
): ResolvedRequest['dictionaries'] {
  if (!Array.isArray(dictionaries) || dictionaries.length > MAX_DICTIONARIES) {
    throw new SpeechRequestError(
      'bad-field',
      'dictionaries',
      `dictionaries takes a list of at most ${MAX_DICTIONARIES}`,
    );
  }
  // Their order is kept: where two say how a word sounds, the first one is right.
  return Object.freeze(
    dictionaries.map(({ id, version }) =>
      Object.freeze({
        id: name('dictionaries.id', id),
        version: name('dictionaries.version', version),
      }),
    ),
  );
}

function contentTypeOf({ contentType = 'other' }: SpeechRequest): string {
  if (typeof contentType === 'string' && /^[a-z0-9][a-z0-9_-]{0,63}$/i.test(contentType)) {
    return contentType;
  }
  throw new SpeechRequestError(
    'bad-field',
    'contentType',
    'contentType must be a name of letters, digits, _ and -',
  );
}
