/**
 * The frozen prefix of every entry of L2: 44 bytes that mean the same in every format there will
 * ever be, and are never compressed or encrypted, because scripts and older builds judge entries
 * by them.
 *
 *   0,2 magic "@c"   2,1 format   3,1 flags   4,8 version   12,8 intent   20,8 epoch
 *   28,8 expiresAt   36,8 erasedTo
 */
import { readUInt53, writeUInt53 } from './uint53.ts';

/** The format that this build writes, and the only one that it reads. */
export const ENTRY_FORMAT = 1;
/** Bytes of the frozen prefix. */
export const HEADER_BYTES = 44;

/** The flag bits of the frozen prefix; part of the stored format. */
export interface EntryFlags {
  /** L3 lacks something of this entry. */
  readonly pending: 1;
  readonly tombstone: 2;
  readonly log: 4;
  /** A log of which L3 may hold items that the entry lacks. */
  readonly partial: 8;
  /** Written by `create` while L3 could not be asked. */
  readonly unproven: 16;
  /** The deletion that `erasedTo` stands for is not in L3 yet. */
  readonly erasure: 32;
}

export const entryFlags: EntryFlags = Object.freeze({
  pending: 1,
  tombstone: 2,
  log: 4,
  partial: 8,
  unproven: 16,
  erasure: 32,
});

/** All bits that this format gives a meaning. */
export const KNOWN_FLAGS: number = Object.values<number>({ ...entryFlags }).reduce(
  (all, flag) => all | flag,
  0,
);

/** The frozen prefix, of whatever format. */
export interface Header {
  readonly format: number;
  readonly flags: number;
  readonly version: number;
  /** Zero for logs. */
  readonly intent: number;
  readonly epoch: number;
  /** Milliseconds since 1970; zero is never. */
  readonly expiresAt: number;
  /** Zero for values. */
  readonly erasedTo: number;
}

/** The frozen prefix as bytes. `format` is this build's unless it is given. */
export function encodeHeader(
  header: Omit<Header, 'format'> & { readonly format?: number },
): Buffer {
  const out = Buffer.allocUnsafe(HEADER_BYTES);
  writeHeader(out, header);
  return out;
}

/** Writes the frozen prefix at the start of `out`. */
export function writeHeader(
  out: Buffer,
  header: Omit<Header, 'format'> & { readonly format?: number },
): void {
  out.write('@c', 0, 'latin1');
  out.writeUInt8(header.format ?? ENTRY_FORMAT, 2);
  out.writeUInt8(header.flags, 3);
  writeUInt53(out, header.version, 4);
  writeUInt53(out, header.intent, 12);
  writeUInt53(out, header.epoch, 20);
  writeUInt53(out, header.expiresAt, 28);
  writeUInt53(out, header.erasedTo, 36);
}

/** The frozen prefix of an entry of any format; `undefined` where the bytes don't have one. */
export function decodeHeader(bytes: Uint8Array): Header | undefined {
  if (bytes.byteLength < HEADER_BYTES || !hasMagic(bytes)) return undefined;
  try {
    return readHeader(bufferOn(bytes));
  } catch {
    return undefined;
  }
}

/** Reads the frozen prefix. Throws where a number is out of range. */
export function readHeader(bytes: Buffer): Header {
  return {
    format: bytes.readUInt8(2),
    flags: bytes.readUInt8(3),
    version: readUInt53(bytes, 4),
    intent: readUInt53(bytes, 12),
    epoch: readUInt53(bytes, 20),
    expiresAt: readUInt53(bytes, 28),
    erasedTo: readUInt53(bytes, 36),
  };
}

export function hasMagic(bytes: Uint8Array): boolean {
  return bytes[0] === 0x40 && bytes[1] === 0x63;
}

/** The same memory as a Buffer. */
export function bufferOn(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
