/**
 * The interface of the codecs: a value of the caller's ↔ the bytes that every tier holds.
 *
 * Invariants (G10): what would come back different is refused by {@link Codec.encode}, with the
 * path of the offending part; `encode` never alters nor keeps the caller's object; what it
 * returns as `value` equals what {@link Codec.decode} makes of the bytes, and can be held by L1;
 * nothing that {@link Codec.lend} hands out lets one caller change what another one sees.
 */
import type { CodecName, Payload } from '../model/entry.ts';

/** A value in both of its forms: to be stored, and to be held. */
export interface Encoded<V> {
  readonly payload: Payload;
  /** Independent of the caller's object; deeply frozen where its parts can be. */
  readonly value: V;
}

export interface Codec<V> {
  readonly name: CodecName;
  /** Throws `CodecError` naming the path of the part that would not survive. */
  encode(value: unknown): Encoded<V>;
  /** Throws `CodecError` where the bytes are not this codec's. Never keeps a view on them. */
  decode(bytes: Uint8Array): V;
  /**
   * What one caller gets of a held value: itself where it is deeply frozen, else a copy of its
   * own. To be called for every hand-out.
   */
  lend(held: V): V;
}
