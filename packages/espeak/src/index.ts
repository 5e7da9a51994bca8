/** An embedded voice for @cache/audio: eSpeak NG, which is why this package is GPL. */
export { type EspeakOptions, type EspeakProvider, espeak, SAMPLE_RATE } from './espeak.ts';
export type { EspeakVoices } from './voices.ts';
