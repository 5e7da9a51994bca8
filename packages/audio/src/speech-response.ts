/** Audio on its way as an HTTP answer, from its first byte on: `listenerOf` of @cache/http breaks it off where it fails. */
import type { SpeechStream } from './answering.ts';

/** 200, with its media type, where it came from and its key; its length where it is known. */
export function speechResponse({ audio, mediaType, bytes, source, key }: SpeechStream): Response {
  return new Response(audio, {
    status: 200,
    headers: {
      'content-type': mediaType,
      ...(bytes === undefined ? {} : { 'content-length': String(bytes) }),
      'x-cache': source,
      'x-audio-key': key,
    },
  });
}
