/** An embedded voice for @cache/audio. */
export const ENGINE = 'espeak-ng';
