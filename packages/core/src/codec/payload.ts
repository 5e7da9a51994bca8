/**
 * A payload at rest: what a codec wrote, perhaps compressed, then perhaps encrypted, behind six
 * bytes that say so.
 *
 *   [codec u8: 1 json, 2 bytes, 3 structured][encoding u8: 0 plain, 1 zlib, 2 zstd; + 128 where
 *   these bytes are encrypted (encryption.ts)][rawLength u32 BE][bytes]
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
import type { Cipher, Owner } from './encryption.ts';
import { MalformedError } from './malformed.ts';

export { MalformedError } from './malformed.ts';

/** How the bytes of a payload are packed; the numbers are part of the stored format. */
export const encodings: { readonly plain: 0; readonly zlib: 1; readonly zstd: 2 } = Object.freeze({
  plain: 0,
  zlib: 1,
  zstd: 2,
});
export type Encoding = keyof typeof encodings;

/** Added to the number of an encoding where its bytes are encrypted; part of the stored format. */
export const ENCRYPTED: number = 128;

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

/** With what a payload is encrypted and decrypted, and what it belongs to. */
export interface Protection {
  readonly cipher: Cipher;
  readonly owner: Owner;
}

const codecNumbers = { json: 1, bytes: 2, structured: 3 } satisfies Record<CodecName, number>;

function numberOfCodec(codec: Payload['codec']): number {
  if (codec === 'encrypted')
    throw new MalformedError('a payload that does not open stays as it is');
  return codecNumbers[codec];
}

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

/**
 * The payload as it is stored, encrypted where its protection does that. Throws or rejects with
 * {@link CodecError} where it is too large.
 */
export function packPayload(
  payload: Payload,
  compressor?: Compressor,
  protection?: Protection,
): Uint8Array | Promise<Uint8Array> {
  const raw = payload.bytes;
  if (raw.byteLength > MAX_PAYLOAD_BYTES) {
    throw new CodecError(
      `the value takes ${raw.byteLength} bytes, and at most ${MAX_PAYLOAD_BYTES} can be stored`,
    );
  }
  const packed = compressor?.compress(raw);
  if (packed instanceof Promise) return packed.then((done) => frame(payload, done, protection));
  return frame(payload, packed ?? { encoding: 'plain', bytes: raw }, protection);
}

function frame(payload: Payload, packed: Packed, protection: Protection | undefined): Buffer {
  const seals = protection?.cipher.seals === true;
  const prefix = Buffer.allocUnsafe(PAYLOAD_PREFIX_BYTES);
  prefix[0] = numberOfCodec(payload.codec);
  prefix[1] = encodings[packed.encoding] + (seals ? ENCRYPTED : 0);
  prefix.writeUInt32BE(payload.bytes.byteLength, 2);
  if (!seals) return Buffer.concat([prefix, packed.bytes]);
  return Buffer.concat([prefix, protection.cipher.seal(protection.owner, prefix, packed.bytes)]);
}

/**
 * The payload behind packed bytes; a view on them where nothing was compressed or encrypted.
 * Throws or rejects with {@link MalformedError} where they don't decode or open, or would take
 * over `maxBytes`.
 */
export function unpackPayload(
  packed: Uint8Array,
  maxBytes: number = MAX_PAYLOAD_BYTES,
  protection?: Protection,
): Payload | Promise<Payload> {
  const codec = codecOfNumber(packed[0]);
  const rawLength = rawLengthOf(packed);
  if (rawLength > maxBytes)
    throw new MalformedError(`a payload of ${rawLength} bytes is too large`);
  const { encoding, body } = opened(packed, protection);
  const bytes = inflate(body, encoding, rawLength);
  if (bytes instanceof Promise) {
    return bytes.then((done) => ({ codec, bytes: exactly(rawLength, done) }));
  }
  return { codec, bytes: exactly(rawLength, bytes) };
}

/** What is behind the prefix, and how it is encoded once it is decrypted. */
function opened(
  packed: Uint8Array,
  protection: Protection | undefined,
): { readonly encoding: number; readonly body: Uint8Array } {
  const encoding = packed[1] ?? 0;
  const body = packed.subarray(PAYLOAD_PREFIX_BYTES);
  if (encoding < ENCRYPTED) return { encoding, body };
  if (protection === undefined) {
    throw new MalformedError('a payload is encrypted, and no keys are configured here');
  }
  const { cipher, owner } = protection;
  const prefix = packed.subarray(0, PAYLOAD_PREFIX_BYTES);
  return { encoding: encoding - ENCRYPTED, body: cipher.open(owner, prefix, body) };
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
  encoding: number,
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
