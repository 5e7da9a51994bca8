/** Pieces of audio, and what becomes of them: for programs too, which are started often. */

/** Bytes that are those of this piece alone. */
export function piece(seed: number, length = 4000): Uint8Array {
  const bytes = new Uint8Array(length);
  let x = Math.imul(seed + 1, 0x9e3779b1) >>> 0;
  for (let at = 0; at < length; at += 1) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    bytes[at] = x >>> 24;
  }
  // No error page begins like this.
  bytes[0] = 0xff;
  return bytes;
}

export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(pieces));
}

/** Everything of a stream. */
export async function heard({
  audio,
}: {
  readonly audio: ReadableStream<Uint8Array>;
}): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const bytes of audio) pieces.push(bytes);
  return joined(pieces);
}
