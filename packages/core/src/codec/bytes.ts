/**
 * Values that are bytes already: audio, images, what another program encoded.
 *
 * A typed array can't be frozen, so the cached bytes are never handed out: every hand-out is a
 * copy, which costs about as much as copying memory does. The type is `Uint8Array` at every
 * tier; a `Buffer` is taken as one, and comes back as a plain `Uint8Array`.
 */
import { CodecError } from '../errors.ts';
import type { Codec } from './codec.ts';
import { nameOfKind } from './place.ts';

export const bytesCodec: Codec<Uint8Array> = Object.freeze({
  name: 'bytes',
  encode(value: unknown) {
    if (!(value instanceof Uint8Array)) {
      throw new CodecError(`$: a Uint8Array is stored as bytes, got ${nameOfKind(value)}`);
    }
    // Held and stored may be the same memory: both are only ever read.
    const held = new Uint8Array(value);
    return { payload: { codec: 'bytes', bytes: held }, value: held };
  },
  decode: (bytes: Uint8Array) => new Uint8Array(bytes),
  lend: (held: Uint8Array) => new Uint8Array(held),
} satisfies Codec<Uint8Array>);
