/**
 * One file of the journal, read. Where it ends early, or in zeros, a crash interrupted the last
 * append, which nobody was told of. Everything else that does not check is damage: a record whose
 * length is sound is stepped over, so that what lies behind it is read too.
 *
 * A record that checks and does not decode is no damage: another build wrote it, or another key
 * is needed. Then nothing is touched, and the start is refused.
 */
import { crc32 } from 'node:zlib';
import type { Cipher } from '../../codec/encryption.ts';
import { MalformedError } from '../../codec/payload.ts';
import { ConfigError } from '../../errors.ts';
import { decodeBody, FRAME_BYTES, type JournalRecord, SEGMENT_MAGIC } from './record.ts';

/** A record with the bytes that it was read from, checksums included. */
export interface ReadRecord {
  readonly record: JournalRecord;
  readonly bytes: Buffer;
}

export interface ReadSegment {
  readonly records: readonly ReadRecord[];
  /** `undefined`: whole, or torn at its end. A text: what is damaged in it. */
  readonly damage: string | undefined;
}

/** A file of the journal, and what is needed of it. */
export interface Segment {
  readonly name: string;
  /** 0: nothing has been written to it. */
  bytes: number;
  readonly kept: Map<number, Kept>;
  /** Records elsewhere that take back some of this one. */
  readonly revokedBy: Set<Revocation>;
  /** What is needed of it is on its way into another one. */
  moving: Promise<boolean> | undefined;
}

/** A record that is needed. */
export interface Kept {
  readonly number: number;
  /** On disk. */
  readonly bytes: number;
  readonly segment: Segment;
}

/** A record that takes others back, and the segments that those are in. */
export interface Revocation {
  readonly number: number;
  readonly needed: Set<Segment>;
}

export function newSegment(name: string): Segment {
  return { name, bytes: 0, kept: new Map(), revokedBy: new Set(), moving: undefined };
}

/** Bytes of it that nobody needs. */
export function wasteOf({ bytes, kept }: Segment): number {
  let needed = SEGMENT_MAGIC.length;
  for (const one of kept.values()) needed += one.bytes;
  return Math.max(0, bytes - needed);
}

/** What the name of a segment that was set aside ends in. */
export const CORRUPT = '.corrupt';

const NAME = /^(\d{10})\.journal(\.corrupt)?$/;

/** Names sort in the order of writing. */
export function segmentName(number: number): string {
  return `${String(number).padStart(10, '0')}.journal`;
}

/** Of one that was set aside too. `undefined`: no segment. */
export function segmentNumber(name: string): number | undefined {
  const [, digits] = NAME.exec(name) ?? [];
  return digits === undefined ? undefined : Number(digits);
}

/** Throws `ConfigError` where a record is sound, and can't be read all the same. */
export function readSegment(bytes: Buffer, cipher?: Cipher): ReadSegment {
  const records: ReadRecord[] = [];
  if (isZero(bytes) || SEGMENT_MAGIC.subarray(0, bytes.length).equals(bytes)) {
    return { records, damage: undefined };
  }
  if (!bytes.subarray(0, SEGMENT_MAGIC.length).equals(SEGMENT_MAGIC)) {
    return { records, damage: 'it does not begin as a segment of this format' };
  }
  let damage: string | undefined;
  let at = SEGMENT_MAGIC.length;
  while (at + FRAME_BYTES <= bytes.length) {
    if (crc32(bytes.subarray(at, at + 8)) !== bytes.readUInt32BE(at + 8)) {
      if (!isZero(bytes.subarray(at))) damage = 'the head of a record does not check';
      break;
    }
    const end = at + FRAME_BYTES + bytes.readUInt32BE(at);
    if (end > bytes.length) break;
    const body = bytes.subarray(at + FRAME_BYTES, end);
    if (crc32(body) !== bytes.readUInt32BE(at + 4)) {
      damage = 'a record does not check';
    } else {
      records.push({ record: decoded(body, cipher), bytes: bytes.subarray(at, end) });
    }
    at = end;
  }
  return { records, damage };
}

function decoded(body: Buffer, cipher: Cipher | undefined): JournalRecord {
  try {
    return decodeBody(body, cipher);
  } catch (cause) {
    const why = cause instanceof MalformedError ? cause.message : 'it does not decode';
    throw new ConfigError(
      `option "journal.dir" names a journal that this build, with these keys, can not read: ${why}`,
      { cause },
    );
  }
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}
