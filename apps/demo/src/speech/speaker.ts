/** What the routes of speech have in common: a request is spoken, and answered as it is heard. */
import { requestOf, type SpeechMode, type SpokenRequest, spoken } from '@cache/audio';
import { ProblemError } from '@cache/http';
import type { Speech } from './speech.ts';
import type { Voice } from './voice.ts';

export class Speaker {
  readonly #speech: Speech;

  constructor(speech: Speech) {
    this.#speech = speech;
  }

  /** Somebody speaks here. */
  get isThere(): boolean {
    return this.#speech.voice !== undefined;
  }

  /** The key of what would be spoken. Throws a problem where it can't be. */
  async keyOf(asked: SpokenRequest): Promise<string> {
    const { provider, voice } = this.#voice();
    return await spoken(
      async () => this.#speech.cache.resolve(requestOf(asked, voice), provider).key,
    );
  }

  /** Answers when the first byte is there. What fails later breaks the answer off. */
  async say(asked: SpokenRequest, headers: Headers, signal: AbortSignal): Promise<Response> {
    const { provider, voice } = this.#voice();
    const { cache, enabled } = this.#speech;
    const wished = modeOf(headers.get('cache-control'));
    // Switched off, nothing is kept; but who said that it was not to be spoken is not to pay for it.
    const mode = enabled || wished === 'only-if-cached' ? wished : 'no-store';
    const stream = await spoken(async () =>
      cache.stream(requestOf(asked, voice), provider, { signal, mode }),
    );
    return new Response(stream.audio, {
      status: 200,
      headers: {
        'content-type': stream.mediaType,
        ...(stream.bytes === undefined ? {} : { 'content-length': String(stream.bytes) }),
        'x-cache': stream.source,
        'x-audio-key': stream.key,
      },
    });
  }

  #voice(): Voice {
    const { voice } = this.#speech;
    if (voice !== undefined) return voice;
    throw new ProblemError(
      503,
      'Nobody speaks here: set ELEVENLABS_API_KEY, or install the embedded voice, @cache/espeak.',
    );
  }
}

/** What a client says of caches, as RFC 9111 has it. */
export function modeOf(cacheControl: string | null): SpeechMode {
  const said = (cacheControl ?? '')
    .toLowerCase()
    .split(',')
    .map((part) => part.trim());
  if (said.includes('only-if-cached')) return 'only-if-cached';
  if (said.includes('no-store')) return 'no-store';
  return said.includes('no-cache') ? 'refresh' : 'default';
}
