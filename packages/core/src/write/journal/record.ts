/**
 * One record of the journal as bytes, format 1.
 *
 *   0,4 length of the body   4,4 CRC32 of the body   8,4 CRC32 of the eight bytes before
 *   body: 0,1 kind   1,1 flags   2,8 number   and then
 *     write   10,2 n   12,n key (namespace/key)   12+n the entry, as L2 stores it (codec/envelope.ts)
 *     void    the numbers of the records that are taken back, eight bytes each
 *
 * The length has a checksum of its own, so that a damaged one is not taken for a record that was
 * cut off: what a crash leaves is a file that ends too early, or in zeros, and nothing else.
 *
 * Invariant: every write that can be acknowledged comes back exactly as it was.
 */
import { crc32 } from 'node:zlib';
import type { Cipher, Owner } from '../../codec/encryption.ts';
import { decodeDescription, encodeLog, encodeValue } from '../../codec/envelope.ts';
import { splitFrames } from '../../codec/frames.ts';
import {
  bufferOn,
  ENTRY_FORMAT,
  entryFlags,
  HEADER_BYTES,
  hasMagic,
  readHeader,
} from '../../codec/header.ts';
import {
  MAX_PAYLOAD_BYTES,
  MalformedError,
  packPayload,
  unpackPayload,
} from '../../codec/payload.ts';
import { readUInt53, writeUInt53 } from '../../codec/uint53.ts';
import type { LogWrite, Payload, ValueWrite } from '../../model/entry.ts';
import { type Address, address } from '../../model/key.ts';

/** The first bytes of every segment: what it is, and its format. */
export const SEGMENT_MAGIC: Buffer = Buffer.from('@cjrnl\x00\x01', 'latin1');
/** In front of the body of every record. */
export const FRAME_BYTES = 12;

const KINDS = { write: 1, void: 2 } as const;
const UNPROVEN = 1;
const BODY_HEAD_BYTES = 10;

/** A write, or the news that records before it never happened. */
export type JournalRecord =
  | {
      readonly kind: 'write';
      readonly number: number;
      readonly write: ValueWrite | LogWrite;
      /** Made by a `create`: L3 may hold an older one. */
      readonly unproven: boolean;
    }
  | { readonly kind: 'void'; readonly number: number; readonly numbers: readonly number[] };

// ------------------------------------------------------------ payloads

/** The one place where the bytes of a value go into the journal. */
function sealed(payload: Payload, owner: Owner, cipher: Cipher | undefined): Uint8Array {
  const packed = packPayload(payload, undefined, cipher && { cipher, owner });
  // Without a compressor there is nothing to wait for.
  if (packed instanceof Promise) throw new MalformedError('a journal packs at once');
  return packed;
}

/** The one place where they come out of it. A copy: what it is a view on is a whole segment. */
function unsealed(packed: Uint8Array, owner: Owner, cipher: Cipher | undefined): Payload {
  const payload = unpackPayload(packed, MAX_PAYLOAD_BYTES, cipher && { cipher, owner });
  if (payload instanceof Promise) throw new MalformedError('a compressed payload in a journal');
  return { codec: payload.codec, bytes: new Uint8Array(payload.bytes) };
}

// ------------------------------------------------------------ encoding

/** The record with its checksums, ready to be appended. Throws `CodecError` where it is too large. */
export function encodeRecord(record: JournalRecord, cipher?: Cipher): Buffer {
  return framed(record.kind === 'write' ? writeBody(record, cipher) : voidBody(record));
}

function framed(parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const head = Buffer.allocUnsafe(FRAME_BYTES);
  head.writeUInt32BE(length, 0);
  head.writeUInt32BE(
    parts.reduce((crc, part) => crc32(part, crc), 0),
    4,
  );
  head.writeUInt32BE(crc32(head.subarray(0, 8)), 8);
  return Buffer.concat([head, ...parts], FRAME_BYTES + length);
}

function bodyHead(kind: number, flags: number, number: number): Buffer {
  const head = Buffer.allocUnsafe(BODY_HEAD_BYTES);
  head.writeUInt8(kind, 0);
  head.writeUInt8(flags, 1);
  writeUInt53(head, number, 2);
  return head;
}

function writeBody(
  record: JournalRecord & { readonly kind: 'write' },
  cipher: Cipher | undefined,
): readonly Buffer[] {
  const { write, unproven, number } = record;
  const id = Buffer.from(write.address.id, 'utf8');
  const length = Buffer.allocUnsafe(2);
  length.writeUInt16BE(id.length);
  const head = bodyHead(KINDS.write, unproven ? UNPROVEN : 0, number);
  return [head, length, id, entryOf(write, unproven, cipher)];
}

function voidBody({ number, numbers }: JournalRecord & { readonly kind: 'void' }): Buffer[] {
  const list = Buffer.allocUnsafe(8 * numbers.length);
  for (const [index, one] of numbers.entries()) writeUInt53(list, one, 8 * index);
  return [bodyHead(KINDS.void, 0, number), list];
}

function entryOf(
  write: ValueWrite | LogWrite,
  unproven: boolean,
  cipher: Cipher | undefined,
): Buffer {
  const marks = { pending: true, unproven, epoch: 0 };
  const { address: at } = write;
  if (write.kind === 'value') {
    const { payload } = write;
    const packed = payload && sealed(payload, { kind: 'value', address: at }, cipher);
    return encodeValue(write, packed, marks);
  }
  // Of an id that is named twice, L3 keeps the first words too.
  const first = new Map(write.items.toReversed().map((item) => [item.id, item]));
  const items = write.items
    .filter((item) => first.get(item.id) === item)
    .map(({ id, version, payload }) => {
      const packed = sealed(payload, { kind: 'item', address: at, id }, cipher);
      return { id, version, synced: false, packed };
    });
  const tombstone = items.length === 0 && write.erasedTo > 0;
  return encodeLog(write, items, {
    ...marks,
    partial: true,
    erasure: write.erasedTo > 0,
    tombstone,
  });
}

// ------------------------------------------------------------ decoding

/** The record in a body whose checksum is right. Throws {@link MalformedError} or `KeyError`. */
export function decodeBody(body: Buffer, cipher?: Cipher): JournalRecord {
  if (body.length < BODY_HEAD_BYTES) throw new MalformedError('a record is too short');
  const kind = body.readUInt8(0);
  const flags = body.readUInt8(1);
  const number = readUInt53(body, 2);
  const rest = body.subarray(BODY_HEAD_BYTES);
  if ((flags & ~UNPROVEN) !== 0) throw new MalformedError(`unknown flags ${flags} of a record`);
  switch (kind) {
    case KINDS.write:
      return {
        kind: 'write',
        number,
        write: decodeWrite(rest, cipher),
        unproven: flags === UNPROVEN,
      };
    case KINDS.void:
      return { kind: 'void', number, numbers: decodeNumbers(rest) };
    default:
      throw new MalformedError(`unknown kind ${kind} of a record`);
  }
}

function decodeNumbers(rest: Buffer): readonly number[] {
  if (rest.length % 8 !== 0) throw new MalformedError('a list of records is cut off');
  return Array.from({ length: rest.length / 8 }, (_, index) => readUInt53(rest, 8 * index));
}

function decodeWrite(rest: Buffer, cipher: Cipher | undefined): ValueWrite | LogWrite {
  const start = 2 + (rest.length < 2 ? 0 : rest.readUInt16BE(0));
  const entry = bufferOn(rest.subarray(start));
  if (!hasMagic(entry) || entry.length < HEADER_BYTES + 2) {
    throw new MalformedError('a record holds no entry');
  }
  const id = rest.toString('utf8', 2, start);
  const header = readHeader(entry);
  if (header.format !== ENTRY_FORMAT) throw new MalformedError(`unknown format ${header.format}`);
  const bodyAt = HEADER_BYTES + 2 + entry.readUInt16BE(HEADER_BYTES);
  const { scope, tags } = decodeDescription(entry.subarray(HEADER_BYTES + 2, bodyAt));
  const body = entry.subarray(bodyAt);
  const at = checkedAddress(id);
  const { version, intent, expiresAt, erasedTo, flags } = header;
  if ((flags & entryFlags.log) === 0) {
    const owner = { kind: 'value', address: at } as const;
    const isTombstone = (flags & entryFlags.tombstone) !== 0;
    const payload = isTombstone ? undefined : unsealed(body, owner, cipher);
    return { kind: 'value', address: at, payload, expiresAt, scope, tags, version, intent };
  }
  const items = splitFrames(body).map((item) => ({
    id: item.id,
    version: item.version,
    payload: unsealed(item.packed, { kind: 'item', address: at, id: item.id }, cipher),
  }));
  return { kind: 'log', address: at, items, erasedTo, scope };
}

function checkedAddress(id: string): Address {
  const slash = id.indexOf('/');
  if (slash < 1) throw new MalformedError('a record has no key');
  return address(id.slice(0, slash), id.slice(slash + 1));
}
