/**
 * Tells audio from the error pages that arrive in its place, without holding audio back: a byte
 * that no error page begins with lets everything pass at once.
 */
import { SynthesisError } from './errors.ts';
import { isCutShort, PAGES } from './media.ts';

/** JSON that says what went wrong. Raw samples may begin like it by chance, so for them a longer one. */
const OBJECTS = ['{"', '[{"', '{\n', '{\r\n', '{ '];

/** Throws where a media type is none that audio has. */
export function checkMediaType(mediaType: string): void {
  const [type = ''] = mediaType.toLowerCase().split(';', 1);
  const isAudio =
    type.startsWith('audio/') || type === 'application/ogg' || type === 'application/octet-stream';
  if (!isAudio) {
    throw new SynthesisError('not-audio', 'the provider answered with something that is no audio');
  }
}

/** Looks at the beginning of a body. */
export class Screen {
  readonly #patterns: readonly string[];
  #held: Uint8Array[] = [];
  #start = '';
  #decided = false;

  /** `isRaw`: samples without a header, which may begin with anything. */
  constructor(isRaw: boolean) {
    this.#patterns = isRaw ? PAGES : [...PAGES, ...OBJECTS];
  }

  /** The pieces that may be heard now. Throws where it is no audio. */
  pass(piece: Uint8Array): readonly Uint8Array[] {
    if (this.#decided) return [piece];
    this.#held.push(piece);
    this.#start += Buffer.from(piece.subarray(0, 64)).toString('latin1');
    const start = this.#start.replace(/^(?:\u00ef\u00bb\u00bf)?\s*/, '').toLowerCase();
    if (this.#patterns.some((pattern) => start.startsWith(pattern))) {
      throw new SynthesisError('not-audio', 'the provider answered with text in place of audio');
    }
    const isOpen =
      this.#start.length < 64 && this.#patterns.some((pattern) => pattern.startsWith(start));
    return isOpen ? [] : this.rest();
  }

  /** What was held back, at the end. */
  rest(): readonly Uint8Array[] {
    this.#decided = true;
    const held = this.#held;
    this.#held = [];
    return held;
  }
}

/** Throws where a WAV file says that it is longer than it is. */
export function checkWhole(bytes: Uint8Array, mediaType: string): void {
  if (!/^audio\/(?:x-|vnd\.)?wave?\b/i.test(mediaType) || !isCutShort(bytes)) return;
  throw new SynthesisError('incomplete', 'the audio ended before the length that its header names');
}
