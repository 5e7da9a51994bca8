/** The languages and the voices that eSpeak NG has, as it lists them. */
import { ProviderError } from '@cache/audio';

export interface EspeakVoices {
  /** In lower case: `es`, `es-419`, `en-us` … */
  readonly languages: readonly string[];
  /** Ways to speak any of them: `f3`, `klatt`, `Alex` … */
  readonly variants: readonly string[];
}

/**
 *     Pty Language       Age/Gender VoiceName          File                 Other Languages
 *      5  es-419          --/M      Spanish_(Latin_America) roa/es-419       (es-mx 6)
 */
const LISTED = /^\s*\d+\s+(\S+)\s+\S+\s+\S+\s+(\S+)\s*(.*)$/;
const ALSO = /\(([a-z0-9-]+) \d+\)/gi;

/** From the lines of `--voices`. */
export function languagesIn(lines: readonly string[]): readonly string[] {
  const languages = lines.flatMap((line) => {
    const [, language, , more = ''] = LISTED.exec(line) ?? [];
    const others = [...more.matchAll(ALSO)].map(([, also = '']) => also);
    return language === undefined ? [] : [language, ...others];
  });
  return [...new Set(languages.map((language) => language.toLowerCase()))].sort();
}

/** From the lines of `--voices=variant`: the names of the files. */
export function variantsIn(lines: readonly string[]): readonly string[] {
  const files = lines.map((line) => LISTED.exec(line)?.[2] ?? '');
  return files
    .filter((file) => file.startsWith('!v/'))
    .map((file) => file.slice(3))
    .sort();
}

/** `es`, `es-419`, `es+f3`, `+f3` with a language, or `default` with a language. */
const NAMED = /^([A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,16})*)?(?:\+([A-Za-z0-9_-]{1,40}))?$/;

/** What goes behind `-v`. Throws `ProviderError` for what there is not. */
export function voiceName(
  voices: EspeakVoices,
  voice: string,
  language: string | undefined,
): string {
  const [found, own, variant] = NAMED.exec(voice === 'default' ? '' : voice) ?? [];
  if (found === undefined) throw new ProviderError('refused', 'this is no name of a voice');
  const wanted = own ?? language;
  if (wanted === undefined) throw new ProviderError('refused', 'the voice needs a language');
  if (own !== undefined && language !== undefined && primary(own) !== primary(language)) {
    throw new ProviderError('refused', 'the voice speaks another language than the request');
  }
  const spoken = [wanted.toLowerCase(), primary(wanted)].find((name) =>
    voices.languages.includes(name),
  );
  if (spoken === undefined)
    throw new ProviderError('refused', 'the voice does not speak this language');
  if (variant === undefined) return spoken;
  const known = voices.variants.find((name) => name.toLowerCase() === variant.toLowerCase());
  if (known === undefined)
    throw new ProviderError('refused', 'there is no such variant of the voice');
  return `${spoken}+${known}`;
}

function primary(language: string): string {
  return language.toLowerCase().split('-', 1)[0] ?? '';
}
