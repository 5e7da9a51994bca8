/**
 * What keeps clips. Stores differ in where the bytes lie; what is kept, for how long, and what
 * goes when there is no more room is decided above them.
 *
 * Every store keeps three promises:
 *  - a clip is there whole or not at all, whatever process dies at whatever moment;
 *  - what `entries` says is what is there: a figure of a clip that is gone is a defect;
 *  - a store that can't be reached throws `StoreError`, within the signal it was given. It never
 *    answers "not there" for "I can't know".
 */

/** What is known of a clip beside its bytes. Never its text, unless a preview was asked for. */
export interface ClipMetadata {
  /** Media type, say `audio/mpeg`. */
  readonly mediaType: string;
  readonly contentType: string;
  readonly tenant: string;
  readonly provider: string;
  readonly model: string;
  readonly voice: string;
  readonly language?: string | undefined;
  /** Codec of the audio: `mp3`, `wav`, `pcm`, `ulaw`, `opus`, … */
  readonly format: string;
  readonly sampleRate?: number | undefined;
  readonly durationMs?: number | undefined;
  /** Characters that were synthesised: what the provider charges for. */
  readonly characters: number;
  /** Epoch milliseconds. */
  readonly createdAt: number;
  /** Epoch milliseconds: until then it is the answer. */
  readonly expiresAt: number;
  /**
   * Epoch milliseconds: until then it may be served where the provider fails. A store keeps a clip,
   * and gives it out, until then; absent: until `expiresAt`. Who asked sees that it is stale.
   */
  readonly staleUntil?: number | undefined;
  /** The first characters of the text, where the policy opts in. */
  readonly preview?: string | undefined;
  /** Where the provider gave them. */
  readonly words?:
    | readonly { readonly word: string; readonly startMs: number; readonly endMs: number }[]
    | undefined;
}

export interface Clip {
  readonly bytes: Uint8Array;
  readonly metadata: ClipMetadata;
}

/** A clip as the clean-up and the statistics see it. */
export interface ClipEntry {
  /** 64 hexadecimal digits. */
  readonly key: string;
  readonly metadata: ClipMetadata;
  /** What it occupies in the store, compressed where it is. */
  readonly storedBytes: number;
  /** Epoch milliseconds. */
  readonly lastAccessedAt: number;
  readonly accessCount: number;
}

export interface StoreUsage {
  readonly entries: number;
  readonly bytes: number;
}

export interface StoreCall {
  readonly signal?: AbortSignal | undefined;
}

/** What a store is told beside a clip. */
export interface PutCall extends StoreCall {
  /**
   * Asked before the clip is stored, with what it will occupy: compressed, where it is. Where there
   * is no room for it the store refuses it as `full`.
   */
  readonly hasRoom?: ((storedBytes: number) => Promise<boolean>) | undefined;
}

export interface ClipStore {
  /** What `x-cache` calls a hit here. */
  readonly name: 'l2' | 'file' | 'storage';
  get(key: string, call?: StoreCall): Promise<Clip | undefined>;
  /** Replaces what is there. Resolves when the clip is whole in the store. */
  put(key: string, clip: Clip, call?: PutCall): Promise<void>;
  /** Whether there was one. */
  delete(key: string, call?: StoreCall): Promise<boolean>;
  /** How many went. */
  clear(call?: StoreCall): Promise<number>;
  /**
   * A clip was heard: for the clean-up. May be written later, in batches; never throws. Where the
   * policy slides, `expiresAt` is its new end: `metadata.expiresAt` moves there, never back, and
   * `staleUntil` by as much.
   */
  touch(key: string, at: number, expiresAt?: number): void;
  /** Every clip once, in no order, without its bytes. */
  entries(call?: StoreCall): AsyncIterable<ClipEntry>;
  usage(call?: StoreCall): Promise<StoreUsage>;
  /**
   * Runs `work` unless somebody in the fleet is at it already; whether it ran. Bounded in time:
   * who dies in the middle stops nobody for longer than a minute.
   */
  exclusively(work: () => Promise<void>): Promise<boolean>;
  close(): Promise<void>;
}

/** Throws `full` where there is no room for what a clip will occupy. */
export async function mustHaveRoom(storedBytes: number, call: PutCall | undefined): Promise<void> {
  if ((await call?.hasRoom?.(storedBytes)) === false) {
    throw new StoreError('full', 'the store holds as much as it may');
  }
}

/** A store that could not do what it was asked: away, full, read-only, too slow. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly reason: 'unavailable' | 'full' | 'refused';

  constructor(reason: 'unavailable' | 'full' | 'refused', message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}
