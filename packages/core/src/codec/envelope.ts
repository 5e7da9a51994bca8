/**
 * An entry of L2 as bytes, format 1.
 *
 *   0,44 frozen prefix (header.ts)   44,2 n u16 BE   46,n description (description.ts)   46+n body
 *
 * The body is one packed payload (payload.ts), nothing for a tombstone, or the frames of a log
 * (frames.ts).
 *
 * Invariant: {@link decodeEntry} never rejects and never guesses. What it can't read whole is
 * `unreadable`, and says whether it is pending, because a pending entry is never replaced (G7).
 */
import type { LogWrite, ValueWrite } from '../model/entry.ts';
import type { Address } from '../model/key.ts';
import type { SharedEntry, SharedLog, SharedValue } from '../tiers/tier.ts';
import { decodeDescription, encodeDescription } from './description.ts';
import type { Cipher } from './encryption.ts';
import { decodeFrames, encodeFrames, MAX_LOG_BYTES, type PackedItem } from './frames.ts';
import {
  bufferOn,
  ENTRY_FORMAT,
  type EntryFlags,
  entryFlags,
  HEADER_BYTES,
  type Header,
  hasMagic,
  KNOWN_FLAGS,
  readHeader,
  writeHeader,
} from './header.ts';
import { MAX_PAYLOAD_BYTES, MalformedError, unpackPayload } from './payload.ts';

export { decodeDescription, encodeDescription } from './description.ts';
export {
  decodeHeader,
  ENTRY_FORMAT,
  type EntryFlags,
  encodeHeader,
  entryFlags,
  HEADER_BYTES,
  type Header,
} from './header.ts';

/** What the writer says of a value's entry besides the write itself. */
export interface ValueMarks {
  readonly pending: boolean;
  readonly unproven: boolean;
  readonly epoch: number;
}

/** A value's entry. `packed` is left out exactly where the write is a tombstone. */
export function encodeValue(
  write: ValueWrite,
  packed: Uint8Array | undefined,
  marks: ValueMarks,
): Buffer {
  const flags =
    (marks.pending ? entryFlags.pending : 0) |
    (packed === undefined ? entryFlags.tombstone : 0) |
    (marks.unproven ? entryFlags.unproven : 0);
  const { version, intent, expiresAt } = write;
  return compose(
    { flags, version, intent, epoch: marks.epoch, expiresAt, erasedTo: 0 },
    encodeDescription(write.scope, write.tags),
    packed,
  );
}

/** What the writer says of a log's entry besides its items. */
export interface LogMarks extends ValueMarks {
  readonly partial: boolean;
  /** `erasedTo` stands for a deletion that is not in L3 yet. */
  readonly erasure: boolean;
  /** Deleted, and nothing appended since. */
  readonly tombstone: boolean;
}

/** A log's entry: its version is the highest of its items and `erasedTo`. */
export function encodeLog(
  write: Pick<LogWrite, 'erasedTo' | 'scope'>,
  items: readonly PackedItem[],
  marks: LogMarks,
): Buffer {
  const flags =
    entryFlags.log |
    (marks.pending ? entryFlags.pending : 0) |
    (marks.tombstone ? entryFlags.tombstone : 0) |
    (marks.partial ? entryFlags.partial : 0) |
    (marks.unproven ? entryFlags.unproven : 0) |
    (marks.erasure ? entryFlags.erasure : 0);
  const { erasedTo } = write;
  const version = items.reduce((top, item) => Math.max(top, item.version), erasedTo);
  return compose(
    { flags, version, intent: 0, epoch: marks.epoch, expiresAt: 0, erasedTo },
    encodeDescription(write.scope),
    encodeFrames(items),
  );
}

/** Frozen prefix, description and body as one entry. */
export function compose(
  header: Omit<Header, 'format'>,
  description: Buffer,
  body: Uint8Array | undefined,
): Buffer {
  const start = HEADER_BYTES + 2;
  const out = Buffer.allocUnsafe(start + description.length + (body?.byteLength ?? 0));
  writeHeader(out, header);
  out.writeUInt16BE(description.length, HEADER_BYTES);
  out.set(description, start);
  if (body !== undefined) out.set(body, start + description.length);
  return out;
}

/**
 * The entry behind stored bytes, judged under the epoch of its shard's meta. Never rejects: what
 * doesn't decode, or open, is `unreadable`. Payloads that were neither compressed nor encrypted
 * are views on `bytes`.
 */
export async function decodeEntry(
  bytes: Uint8Array,
  address: Address,
  epoch: number,
  cipher?: Cipher,
): Promise<SharedEntry> {
  try {
    return await readEntry(bufferOn(bytes), address, epoch, cipher);
  } catch (error) {
    const isEntry = hasMagic(bytes);
    const pending = isEntry && ((bytes[3] ?? 0) & entryFlags.pending) !== 0;
    const isForeign = isEntry && bytes.length >= HEADER_BYTES && bytes[2] !== ENTRY_FORMAT;
    const reason = error instanceof MalformedError ? error.message : 'the entry does not decode';
    return { kind: 'unreadable', pending, isForeign, reason };
  }
}

function readEntry(
  bytes: Buffer,
  address: Address,
  epoch: number,
  cipher: Cipher | undefined,
): SharedValue | Promise<SharedEntry> {
  if (!hasMagic(bytes)) throw new MalformedError('not an entry of this cache');
  if (bytes.length < HEADER_BYTES + 2) throw new MalformedError('the entry is cut off');
  const header = readHeader(bytes);
  if (header.format !== ENTRY_FORMAT) throw new MalformedError(`unknown format ${header.format}`);
  if ((header.flags & ~KNOWN_FLAGS) !== 0)
    throw new MalformedError(`unknown flags ${header.flags}`);
  const bodyAt = HEADER_BYTES + 2 + bytes.readUInt16BE(HEADER_BYTES);
  if (bodyAt > bytes.length) throw new MalformedError('the entry is cut off');
  const parts: Parts = {
    header,
    address,
    stale: header.epoch !== epoch,
    description: decodeDescription(bytes.subarray(HEADER_BYTES + 2, bodyAt)),
    body: bytes.subarray(bodyAt),
    cipher,
  };
  return isSet(header, 'log') ? readLog(parts) : readValue(parts);
}

interface Parts {
  readonly header: Header;
  readonly address: Address;
  readonly stale: boolean;
  readonly description: ReturnType<typeof decodeDescription>;
  readonly body: Buffer;
  readonly cipher: Cipher | undefined;
}

function isSet(header: Header, flag: keyof EntryFlags): boolean {
  return (header.flags & entryFlags[flag]) !== 0;
}

function readValue(parts: Parts): SharedValue | Promise<SharedValue> {
  const { header, body, cipher, address } = parts;
  if (isSet(header, 'tombstone')) {
    if (body.length > 0) throw new MalformedError('a tombstone has a body');
    return sharedValue(parts, undefined);
  }
  const protection = cipher && { cipher, owner: { kind: 'value', address } as const };
  const payload = unpackPayload(body, MAX_PAYLOAD_BYTES, protection);
  return payload instanceof Promise
    ? payload.then((done) => sharedValue(parts, done))
    : sharedValue(parts, payload);
}

function sharedValue(parts: Parts, payload: ValueWrite['payload']): SharedValue {
  const { header, address, stale, description } = parts;
  return {
    kind: 'value',
    pending: isSet(header, 'pending'),
    stale,
    unproven: isSet(header, 'unproven'),
    write: {
      kind: 'value',
      address,
      version: header.version,
      intent: header.intent,
      payload,
      expiresAt: header.expiresAt,
      scope: description.scope,
      tags: description.tags,
    },
  };
}

async function readLog(parts: Parts): Promise<SharedLog> {
  const { header, address, stale, description, cipher } = parts;
  const protection = { cipher, address };
  return {
    kind: 'log',
    address,
    pending: isSet(header, 'pending'),
    stale,
    version: header.version,
    items: await decodeFrames(parts.body, header.erasedTo, MAX_LOG_BYTES, protection),
    erasedTo: header.erasedTo,
    erasureSynced: !isSet(header, 'erasure'),
    partial: isSet(header, 'partial'),
    unproven: isSet(header, 'unproven'),
    tombstone: isSet(header, 'tombstone'),
    scope: description.scope,
  };
}
