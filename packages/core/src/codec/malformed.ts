/** Bytes that don't decode. Internal: `CodecError` is what callers of the cache see. */
export class MalformedError extends Error {
  override readonly name = 'MalformedError';
}
