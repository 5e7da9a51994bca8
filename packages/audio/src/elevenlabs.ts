/**
 * The voices of ElevenLabs, over its HTTP API: the streaming endpoint, so that the first bytes are
 * heard while the rest is still being made. Knows nothing of caches.
 *
 * The API key goes to `baseUrl` alone: redirects are not followed. What the service says about an
 * error is not repeated, except for its short code: it may quote the text.
 */
import { type Clock, ConfigError, systemClock } from '@cache/core';
import { failedAnswer } from './elevenlabs-failures.ts';
import { bodyOf, characterLimit, MOST_CHARACTERS, outputFormat } from './elevenlabs-request.ts';
import { mediaTypeOf } from './formats.ts';
import { beginsLike, SNIFF_BYTES } from './media.ts';
import { type Provider, ProviderError, type ResolvedRequest, type Synthesis } from './provider.ts';

export interface ElevenLabsOptions {
  readonly apiKey: string;
  /** Default `https://api.elevenlabs.io`. */
  readonly baseUrl?: string | undefined;
  /** How long the service may send nothing at all, in milliseconds. Default 10,000. */
  readonly silenceMs?: number | undefined;
  /** Default: the system's. */
  readonly clock?: Clock | undefined;
}

const SILENCE_MS = 10_000;

/** Throws `ConfigError` for an option that can't be. */
export function elevenLabs(options: ElevenLabsOptions): Provider {
  const { apiKey, baseUrl = 'https://api.elevenlabs.io', silenceMs = SILENCE_MS } = options;
  if (!/^[\x21-\x7e]{1,512}$/.test(apiKey)) {
    throw new ConfigError('option "apiKey" takes the API key of an ElevenLabs account');
  }
  if (!URL.canParse(baseUrl) || !/^https?:$/.test(new URL(baseUrl).protocol)) {
    throw new ConfigError('option "baseUrl" takes the address of a web server');
  }
  if (!(silenceMs > 0)) throw new ConfigError('option "silenceMs" takes milliseconds');
  const service = new Service(
    apiKey,
    baseUrl.replace(/\/+$/, ''),
    silenceMs,
    options.clock ?? systemClock,
  );
  return {
    name: 'elevenlabs',
    maxCharacters: MOST_CHARACTERS,
    synthesize: (request, { signal }) => service.speak(request, signal),
    close: () => service.close(),
  };
}

class Service {
  readonly #apiKey: string;
  readonly #baseUrl: string;
  readonly #silenceMs: number;
  readonly #clock: Clock;
  readonly #open = new Set<Conversation>();
  #isClosed = false;

  constructor(apiKey: string, baseUrl: string, silenceMs: number, clock: Clock) {
    this.#apiKey = apiKey;
    this.#baseUrl = baseUrl;
    this.#silenceMs = silenceMs;
    this.#clock = clock;
  }

  async speak(request: ResolvedRequest, signal: AbortSignal): Promise<Synthesis> {
    if (this.#isClosed) throw new ProviderError('unavailable', 'the provider was closed');
    signal.throwIfAborted();
    const { model, voice, format } = request;
    if (!/^[A-Za-z0-9_-]{1,128}$/.test(voice)) {
      throw new ProviderError('refused', 'a voice of ElevenLabs is letters and digits');
    }
    const text = request.input.kind === 'text' ? request.input.text : request.input.ssml;
    if (text.length > characterLimit(model)) {
      throw new ProviderError(
        'refused',
        `the model takes ${characterLimit(model)} characters at most`,
      );
    }
    const query = `output_format=${outputFormat(format)}`;
    const url = `${this.#baseUrl}/v1/text-to-speech/${voice}/stream?${query}`;
    const body = JSON.stringify(bodyOf(request, text));
    const talk = new Conversation(this.#clock, this.#silenceMs, signal, () =>
      this.#open.delete(talk),
    );
    this.#open.add(talk);
    const answer = await talk.ask(url, this.#apiKey, body);
    return { mediaType: mediaTypeOf(format), audio: talk.audio(answer, format.codec) };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const error = new ProviderError('unavailable', 'the provider was closed');
    for (const talk of this.#open) talk.end(error);
  }
}

/**
 * One request and its answer. Ends by itself when the service is silent for too long, and when
 * whoever asked gives up; either way the connection is gone.
 */
class Conversation {
  readonly #clock: Clock;
  readonly #silenceMs: number;
  readonly #signal: AbortSignal;
  readonly #ended: () => void;
  readonly #controller = new AbortController();
  readonly #giveUp: () => void;
  #cancelTimer: (() => void) | undefined;

  constructor(clock: Clock, silenceMs: number, signal: AbortSignal, ended: () => void) {
    this.#clock = clock;
    this.#silenceMs = silenceMs;
    this.#signal = signal;
    this.#ended = ended;
    this.#giveUp = () => this.end(signal.reason);
    signal.addEventListener('abort', this.#giveUp, { once: true });
    this.#listen();
  }

  /** Aborts what is under way, for this reason. */
  end(reason: unknown): void {
    this.#controller.abort(reason);
    this.#close();
  }

  async ask(url: string, apiKey: string, body: string): Promise<Response> {
    try {
      const answer = await fetch(url, {
        method: 'POST',
        headers: {
          'xi-api-key': apiKey,
          'content-type': 'application/json',
          accept: 'audio/*',
          // So that its length is that of the audio.
          'accept-encoding': 'identity',
        },
        body,
        redirect: 'error',
        signal: this.#controller.signal,
      });
      this.#listen();
      if (!answer.ok) throw await failedAnswer(answer, this.#clock.now());
      const type = answer.headers.get('content-type') ?? 'application/octet-stream';
      if (!/^(?:audio\/|application\/octet-stream)/i.test(type)) {
        throw new ProviderError('broken', 'ElevenLabs answered with something that is no audio');
      }
      return answer;
    } catch (error) {
      const reason = this.#reasonFor(error, 'unavailable', 'ElevenLabs could not be reached');
      this.end(reason);
      throw reason;
    }
  }

  async *audio(
    answer: Response,
    codec: ResolvedRequest['format']['codec'],
  ): AsyncIterable<Uint8Array> {
    const stated = Number(answer.headers.get('content-length') ?? Number.NaN);
    let start: Buffer | undefined = Buffer.alloc(0);
    let received = 0;
    const check = (bytes: Uint8Array) => {
      if (!beginsLike(bytes, codec)) {
        throw new ProviderError('broken', `ElevenLabs answered with something that is no ${codec}`);
      }
      return bytes;
    };
    try {
      for await (const piece of answer.body ?? []) {
        this.#listen();
        received += piece.byteLength;
        if (start === undefined) {
          yield piece;
          continue;
        }
        start = Buffer.concat([start, piece]);
        if (start.length < SNIFF_BYTES) continue;
        yield check(start);
        start = undefined;
      }
      if (received === 0)
        throw new ProviderError('broken', 'ElevenLabs answered without any audio');
      if (Number.isFinite(stated) && received !== stated) {
        throw new ProviderError('broken', 'the audio of ElevenLabs ended before it was whole');
      }
      if (start !== undefined) yield check(start);
    } catch (error) {
      throw this.#reasonFor(error, 'broken', 'the audio of ElevenLabs broke off');
    } finally {
      // Also where whoever listens stops listening.
      this.end(new ProviderError('unavailable', 'nobody listens any more'));
    }
  }

  /** Something came: the time of silence begins anew. */
  #listen(): void {
    this.#cancelTimer?.();
    if (this.#controller.signal.aborted) return;
    this.#cancelTimer = this.#clock.after(this.#silenceMs, () => {
      const message = `ElevenLabs sent nothing for ${this.#silenceMs} ms`;
      this.end(new ProviderError('unavailable', message));
    });
  }

  #reasonFor(error: unknown, reason: 'unavailable' | 'broken', message: string): unknown {
    const { signal } = this.#controller;
    // Ours is the reason, however the connection says that it was cut.
    if (signal.aborted) return signal.reason;
    return error instanceof ProviderError
      ? error
      : new ProviderError(reason, message, { cause: error });
  }

  #close(): void {
    this.#cancelTimer?.();
    this.#signal.removeEventListener('abort', this.#giveUp);
    this.#ended();
  }
}
