/** What turns text into audio, and the request that says how. */

/** Everything that changes how it sounds. Resolved once, frozen, hashed and synthesised as one. */
export interface ResolvedRequest {
  readonly tenant: string;
  readonly provider: string;
  readonly model: string;
  readonly voice: string;
  readonly voiceRevision?: string | undefined;
  readonly language?: string | undefined;
  /** Provider settings that change the sound: stability, similarity, style, speed, seed … */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
  /** Pronunciation dictionaries, with versions. */
  readonly dictionaries: readonly { readonly id: string; readonly version: string }[];
  readonly textNormalization?: string | undefined;
  readonly input:
    | { readonly kind: 'text'; readonly text: string }
    | { readonly kind: 'ssml'; readonly ssml: string };
  readonly format: {
    readonly codec: 'mp3' | 'wav' | 'pcm' | 'ulaw' | 'opus' | 'aac' | 'flac';
    readonly sampleRate: number;
    /** Kilobits a second, where the codec has one. */
    readonly bitrate?: number | undefined;
  };
}

/** The audio of one synthesis, as it arrives. */
export interface Synthesis {
  /** Media type of the whole. */
  readonly mediaType: string;
  /** Pieces in order; it ends when the clip is whole, and throws where it is not. */
  readonly audio: AsyncIterable<Uint8Array>;
  /** Known at the end at the latest, where the provider gives them. */
  readonly words?: () =>
    | readonly { readonly word: string; readonly startMs: number; readonly endMs: number }[]
    | undefined;
}

export type Synthesize = (
  request: ResolvedRequest,
  options: { readonly signal: AbortSignal },
) => Promise<Synthesis>;

export interface Provider {
  readonly name: string;
  /** Characters of one request at most. */
  readonly maxCharacters: number;
  readonly synthesize: Synthesize;
  close?(): Promise<void>;
}

/** The provider said no, or nothing that is audio. */
export class ProviderError extends Error {
  override readonly name = 'ProviderError';
  /** `busy` may be tried again, after `retryAfterMs` where it is known. */
  readonly reason: 'refused' | 'unauthorized' | 'busy' | 'broken' | 'unavailable';
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: 'refused' | 'unauthorized' | 'busy' | 'broken' | 'unavailable',
    message: string,
    options: ErrorOptions & { readonly retryAfterMs?: number | undefined } = {},
  ) {
    super(message, options);
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}
