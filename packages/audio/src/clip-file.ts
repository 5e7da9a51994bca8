/**
 * One clip as one file: a fixed preamble, what is known of the clip as JSON, and its bytes.
 *
 *      0   8  magic
 *      8   4  length of the JSON
 *     12   4  length of the bytes as they are stored
 *     16  32  SHA-256 of the bytes as they are stored
 *     48  32  SHA-256 of the key, all of the above, and the JSON
 *     80  24  use: last access (8), number of accesses (4), prolonged until (8), CRC-32 (4)
 *    104      the JSON, then the bytes
 *
 * The head can be trusted without the bytes, and says how long the file is: a truncated file is
 * found by its size. The key is under the checksum, so that a file under another clip's name is
 * as corrupt as a damaged one. The use is outside of it, because it is written in place: a torn
 * one costs the figures of one clip, never the clip.
 */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Encoding } from './clip-compression.ts';
import { isClipMetadata, prolonged } from './clip-metadata.ts';
import type { ClipMetadata } from './store.ts';

const MAGIC = Buffer.from('clip/1\r\n', 'latin1');
export const PREAMBLE_BYTES = 104;
const DIGEST_BYTES = 32;
const AT = { json: 8, bytes: 12, bytesDigest: 16, headDigest: 48, use: 80 } as const;
export const USE_BYTES = 24;
export const USE_AT: number = AT.use;

/** A head longer than this is no head of ours: it is not read to find out. */
const MAX_JSON_BYTES = 16 * 1024 * 1024;

/** How often a clip was heard, when last, and to when its life was prolonged by that, or 0. */
export interface Use {
  readonly lastAccessedAt: number;
  readonly accessCount: number;
  readonly expiresAt: number;
}

export interface ClipHead {
  readonly metadata: ClipMetadata;
  readonly encoding: Encoding;
  /** What the bytes are when they are unpacked. */
  readonly rawBytes: number;
  /** Where the bytes begin, and how many they are. */
  readonly bodyAt: number;
  readonly bodyBytes: number;
  readonly bodyDigest: Buffer;
  readonly use: Use;
}

export interface PackedClip {
  readonly metadata: ClipMetadata;
  readonly encoding: Encoding;
  readonly rawBytes: number;
  readonly bytes: Uint8Array;
}

/** The file in two pieces, so that the bytes are not copied. */
export function encodeClip(key: string, clip: PackedClip): readonly [Buffer, Uint8Array] {
  const { metadata, encoding, rawBytes, bytes } = clip;
  const json = Buffer.from(JSON.stringify({ encoding, rawBytes, metadata }));
  const head = Buffer.alloc(PREAMBLE_BYTES + json.length);
  MAGIC.copy(head);
  head.writeUInt32BE(json.length, AT.json);
  head.writeUInt32BE(bytes.byteLength, AT.bytes);
  sha256(bytes).copy(head, AT.bytesDigest);
  json.copy(head, PREAMBLE_BYTES);
  headDigest(key, head).copy(head, AT.headDigest);
  encodeUse(unused(metadata)).copy(head, AT.use);
  return [head, bytes];
}

/** How long preamble and JSON are together; `undefined`: this is no clip. */
export function headBytes(preamble: Buffer): number | undefined {
  if (preamble.length < PREAMBLE_BYTES || !preamble.subarray(0, MAGIC.length).equals(MAGIC)) {
    return undefined;
  }
  const json = preamble.readUInt32BE(AT.json);
  return json > MAX_JSON_BYTES ? undefined : PREAMBLE_BYTES + json;
}

/** Reads preamble and JSON of a file of `fileBytes`. `undefined`: corrupt, or not this key's. */
export function decodeHead(key: string, head: Buffer, fileBytes: number): ClipHead | undefined {
  const length = headBytes(head);
  if (length === undefined || head.length < length) return undefined;
  const whole = head.subarray(0, length);
  const bodyBytes = whole.readUInt32BE(AT.bytes);
  if (length + bodyBytes !== fileBytes) return undefined;
  const stated = whole.subarray(AT.headDigest, AT.headDigest + DIGEST_BYTES);
  if (!headDigest(key, whole).equals(stated)) return undefined;
  const said: unknown = JSON.parse(whole.toString('utf8', PREAMBLE_BYTES));
  if (!isDescription(said)) return undefined;
  const use = decodeUse(whole.subarray(AT.use, AT.use + USE_BYTES)) ?? unused(said.metadata);
  return {
    metadata: prolonged(said.metadata, use.expiresAt),
    encoding: said.encoding,
    rawBytes: said.rawBytes,
    bodyAt: length,
    bodyBytes,
    bodyDigest: whole.subarray(AT.bytesDigest, AT.bytesDigest + DIGEST_BYTES),
    use,
  };
}

function unused({ createdAt }: ClipMetadata): Use {
  return { lastAccessedAt: createdAt, accessCount: 0, expiresAt: 0 };
}

/** One use more, or several: nothing goes back. */
export function addedUse(before: Use | undefined, more: Use): Use {
  return {
    lastAccessedAt: Math.max(before?.lastAccessedAt ?? 0, more.lastAccessedAt),
    accessCount: (before?.accessCount ?? 0) + more.accessCount,
    expiresAt: Math.max(before?.expiresAt ?? 0, more.expiresAt),
  };
}

/** The JSON of a file: the rest of its head. */
interface Description {
  readonly encoding: Encoding;
  readonly rawBytes: number;
  readonly metadata: ClipMetadata;
}

function isDescription(value: unknown): value is Description {
  if (typeof value !== 'object' || value === null) return false;
  if (!('encoding' in value && 'rawBytes' in value && 'metadata' in value)) return false;
  const { encoding, rawBytes, metadata } = value;
  if (encoding !== 'plain' && encoding !== 'zlib' && encoding !== 'zstd') return false;
  return typeof rawBytes === 'number' && isClipMetadata(metadata);
}

/** Whether these are the bytes that were stored. */
export function isBody(head: ClipHead, body: Uint8Array): boolean {
  return body.byteLength === head.bodyBytes && sha256(body).equals(head.bodyDigest);
}

export function encodeUse(use: Use): Buffer {
  const bytes = Buffer.alloc(USE_BYTES);
  bytes.writeDoubleBE(use.lastAccessedAt, 0);
  bytes.writeUInt32BE(Math.min(use.accessCount, 0xffff_ffff), 8);
  bytes.writeDoubleBE(use.expiresAt, 12);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 20)), 20);
  return bytes;
}

/** `undefined`: torn. */
export function decodeUse(bytes: Buffer): Use | undefined {
  if (bytes.length < USE_BYTES || crc32(bytes.subarray(0, 20)) !== bytes.readUInt32BE(20)) {
    return undefined;
  }
  return {
    lastAccessedAt: bytes.readDoubleBE(0),
    accessCount: bytes.readUInt32BE(8),
    expiresAt: bytes.readDoubleBE(12),
  };
}

function headDigest(key: string, head: Buffer): Buffer {
  return createHash('sha256')
    .update(key, 'latin1')
    .update(head.subarray(0, AT.headDigest))
    .update(head.subarray(PREAMBLE_BYTES))
    .digest();
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
