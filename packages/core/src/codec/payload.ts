/**
 * A payload at rest: what a codec wrote, perhaps compressed, behind six bytes that say so.
 *
 *   [codec u8: 1 json, 2 bytes, 3 structured][encoding u8: 0 plain, 1 zlib, 2 zstd][rawLength u32 BE][bytes]
 *
 * Invariants: what can be packed can be unpacked by every build of this format, so both
 * directions have the same bound; `rawLength` is judged before a byte is inflated, and inflating
 * stops at it, so no input can make a reader allocate more than it allowed (G9). Small payloads
 * are worked on at once; large ones on libuv's threads, so that the event loop goes on.
 */
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { CodecError } from '../errors.ts';
import type { CodecName, Payload } from '../model/entry.ts';

/** How the bytes of a payload are packed; the numbers are part of the stored format. */
export const encodings: { readonly plain: 0; readonly zlib: 1; readonly zstd: 2 } = Object.freeze({
  plain: 0,
  zlib: 1,
  zstd: 2,
});
export type Encoding = keyof typeof encodings;

/** Bytes in front of every packed payload. */
export const PAYLOAD_PREFIX_BYTES = 6;
/** The largest value, as its codec wrote it. */
export const MAX_PAYLOAD_BYTES: number = 64 * 1024 * 1024;
/** Above this many bytes, (de)compression leaves the event loop's thread. */
export const ASYNC_BYTES: number = 64 * 1024;

/** What a compressor made of some bytes; `plain` where it left them alone. */
export interface Packed {
  readonly encoding: Encoding;
  readonly bytes: Uint8Array;
}

/** Decides for one namespace whether compressing pays. */
export interface Compressor {
  compress(raw: Uint8Array): Packed | Promise<Packed>;
}

/** Bytes that don't decode. Internal: {@link CodecError} is what callers of the cache see. */
export class MalformedError extends Error {
  override readonly name = 'MalformedError';
}

const codecNumbers = { json: 1, bytes: 2, structured: 3 } satisfies Record<CodecName, number>;

function codecOfNumber(number: number | undefined): CodecName {
  switch (number) {
    case 1:
      return 'json';
    case 2:
      return 'bytes';
    case 3:
      return 'structured';
    default:
      throw new MalformedError(`unknown codec ${number}`);
  }
}

/** The payload as it is stored. Throws or rejects with {@link CodecError} where it is too large. */
export function packPayload(
  payload: Payload,
  compressor?: Compressor,
): Uint8Array | Promise<Uint8Array> {
  const raw = payload.bytes;
  if (raw.byteLength > MAX_PAYLOAD_BYTES) {
    throw new CodecError(
      `the value takes ${raw.byteLength} bytes, and at most ${MAX_PAYLOAD_BYTES} can be stored`,
    );
  }
  const packed = compressor?.compress(raw);
  if (packed instanceof Promise) return packed.then((done) => frame(payload, done));
  return frame(payload, packed ?? { encoding: 'plain', bytes: raw });
}

function frame(payload: Payload, packed: Packed): Buffer {
  const out = Buffer.allocUnsafe(PAYLOAD_PREFIX_BYTES + packed.bytes.byteLength);
  out[0] = codecNumbers[payload.codec];
  out[1] = encodings[packed.encoding];
  out.writeUInt32BE(payload.bytes.byteLength, 2);
  out.set(packed.bytes, PAYLOAD_PREFIX_BYTES);
  return out;
}

/**
 * The payload behind packed bytes; a view on them where nothing was compressed. Throws or
 * rejects with {@link MalformedError} where they don't decode or would take over `maxBytes`.
 */
export function unpackPayload(
  packed: Uint8Array,
  maxBytes: number = MAX_PAYLOAD_BYTES,
): Payload | Promise<Payload> {
  const codec = codecOfNumber(packed[0]);
  const rawLength = rawLengthOf(packed);
  if (rawLength > maxBytes)
    throw new MalformedError(`a payload of ${rawLength} bytes is too large`);
  const body = packed.subarray(PAYLOAD_PREFIX_BYTES);
  const bytes = inflate(body, packed[1], rawLength);
  if (bytes instanceof Promise) {
    return bytes.then((done) => ({ codec, bytes: exactly(rawLength, done) }));
  }
  return { codec, bytes: exactly(rawLength, bytes) };
}

/** What a packed payload claims to take once it is unpacked. */
export function rawLengthOf(packed: Uint8Array): number {
  if (packed.byteLength < PAYLOAD_PREFIX_BYTES) throw new MalformedError('a payload is cut off');
  return new DataView(packed.buffer, packed.byteOffset, packed.byteLength).getUint32(2);
}

function exactly(length: number, bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength === length) return bytes;
  throw new MalformedError(`a payload has ${bytes.byteLength} bytes instead of ${length}`);
}

const inflateLater = promisify<Uint8Array, zlib.ZlibOptions, Uint8Array>(zlib.inflate);

/** Looked up when it is needed: not every runtime has it, and none needs it to read zlib. */
function unzstdLater(body: Uint8Array, options: zlib.ZstdOptions): Promise<Uint8Array> {
  return promisify<Uint8Array, zlib.ZstdOptions, Uint8Array>(zlib.zstdDecompress)(body, options);
}

function inflate(
  body: Uint8Array,
  encoding: number | undefined,
  rawLength: number,
): Uint8Array | Promise<Uint8Array> {
  const small = rawLength <= ASYNC_BYTES;
  const options = {
    maxOutputLength: Math.max(1, rawLength),
    // The output of a small one is allocated once, at its size.
    ...(small ? { chunkSize: Math.max(64, rawLength) } : {}),
  };
  try {
    switch (encoding) {
      case encodings.plain:
        return body;
      case encodings.zlib:
        return small ? zlib.inflateSync(body, options) : malformed(inflateLater(body, options));
      case encodings.zstd:
        return small
          ? zlib.zstdDecompressSync(body, options)
          : malformed(unzstdLater(body, options));
      default:
        throw new MalformedError(`unknown encoding ${encoding}`);
    }
  } catch (error) {
    if (error instanceof MalformedError) throw error;
    throw new MalformedError('a payload does not inflate', { cause: error });
  }
}

async function malformed(inflating: Promise<Uint8Array>): Promise<Uint8Array> {
  try {
    return await inflating;
  } catch (error) {
    throw new MalformedError('a payload does not inflate', { cause: error });
  }
}
