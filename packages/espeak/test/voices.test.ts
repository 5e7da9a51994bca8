import { expect, it } from 'vitest';
import { languagesIn, variantsIn, voiceName } from '../src/voices.ts';

const VOICES = { languages: ['en', 'en-us', 'es', 'es-419', 'es-mx'], variants: ['Alex', 'f3'] };

it('languages are read from what the program lists, with those that go by another name', () => {
  const lines = [
    'Pty Language       Age/Gender VoiceName          File                 Other Languages',
    ' 5  es-419          --/M      Spanish_(Latin_America) roa/es-419           (es-mx 6)',
    ' 2  en-us           --/M      English_(America)  gmw/en-US            (en 3)',
    'something else',
  ];
  expect(languagesIn(lines)).toEqual(['en', 'en-us', 'es-419', 'es-mx']);
  expect(
    variantsIn([
      ' 5  variant         --/F      Alicia             !v/Alicia            ',
      ...lines,
    ]),
  ).toEqual(['Alicia']);
});

it('a voice is a language, with a variant or without, or a variant of the language of the request', () => {
  expect(voiceName(VOICES, 'es', undefined)).toBe('es');
  expect(voiceName(VOICES, 'es-419', 'es')).toBe('es-419');
  expect(voiceName(VOICES, 'EN-US', 'en')).toBe('en-us');
  expect(voiceName(VOICES, 'es+F3', undefined)).toBe('es+f3');
  expect(voiceName(VOICES, '+alex', 'es-MX')).toBe('es-mx+Alex');
  expect(voiceName(VOICES, 'default', 'es-AR')).toBe('es');
});

it.each([
  ['xx', undefined],
  ['es+nobody', undefined],
  ['default', undefined],
  ['es', 'en'],
  ['', undefined],
  ['../../etc/passwd', 'es'],
  ['es+../f3', 'es'],
  ['-w', 'es'],
  ['es -w x', 'es'],
  ['es\n', 'es'],
  ['!v/f3', 'es'],
])('%j with the language %j is refused', (voice, language) => {
  expect(() => voiceName(VOICES, voice, language)).toThrowError(
    expect.objectContaining({ name: 'ProviderError', reason: 'refused' }),
  );
});
