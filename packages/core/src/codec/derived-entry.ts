/**
 * A derived value as bytes: an entry as in envelope.ts, format 1, of a key family of its own.
 *
 * The frozen prefix holds the end of its life where a record's says `expiresAt`, and until when
 * it is fresh where a log's says `erasedTo`; both are set by the script that stores it, by the
 * server's clock. The only flag is the tombstone's, for "there is nothing". The description is
 * `{"s":[kind,id],"t":[tags],"l":loadMs,"q":sequence}`, with the members left out that are empty
 * or 0; scripts judge by `s`, `t` and `q`, and `place` adds `q` at the end.
 */
import type { Address } from '../model/key.ts';
import type { DerivedEntry } from '../tiers/derived.ts';
import { decodeMembers, encodeMembers, namesIn, namesOf } from './description.ts';
import type { Cipher } from './encryption.ts';
import { compose } from './envelope.ts';
import {
  bufferOn,
  ENTRY_FORMAT,
  entryFlags,
  HEADER_BYTES,
  hasMagic,
  readHeader,
} from './header.ts';
import { MAX_PAYLOAD_BYTES, MalformedError, unpackPayload } from './payload.ts';

/** What `place` may add: `{"q":9007199254740991}` at the most. */
const SEQUENCE_ROOM = 22;

/** What the writer says of an entry besides the value. */
export interface DerivedMarks {
  readonly epoch: number;
  /** 0 where the script is to say it. */
  readonly sequence: number;
  /** Ms since 1970 by the server's clock; the scripts replace both. */
  readonly expiresAt: number;
  readonly freshUntil: number;
}

/** `packed` is left out exactly where there is nothing. */
export function encodeDerived(
  entry: DerivedEntry,
  packed: Uint8Array | undefined,
  marks: DerivedMarks,
): Buffer {
  const { version, intent } = entry;
  const { epoch, sequence, expiresAt, freshUntil } = marks;
  const loadMs = Math.max(0, Math.round(entry.loadMs));
  const members = {
    ...namesOf(entry.scope, entry.tags),
    ...(loadMs === 0 ? {} : { l: loadMs }),
    ...(sequence === 0 ? {} : { q: sequence }),
  };
  return compose(
    {
      flags: packed === undefined ? entryFlags.tombstone : 0,
      version,
      intent,
      epoch,
      expiresAt,
      erasedTo: freshUntil,
    },
    encodeMembers(members, SEQUENCE_ROOM),
    packed,
  );
}

/** A stored derived value and its marks. */
export interface StoredDerived extends DerivedMarks {
  readonly entry: DerivedEntry;
}

/** `undefined` where the bytes are none of this format, or don't open. Never rejects. */
export async function decodeDerived(
  bytes: Uint8Array,
  address: Address,
  cipher?: Cipher,
): Promise<StoredDerived | undefined> {
  try {
    return await readDerived(bufferOn(bytes), address, cipher);
  } catch {
    return undefined;
  }
}

async function readDerived(
  bytes: Buffer,
  address: Address,
  cipher: Cipher | undefined,
): Promise<StoredDerived> {
  if (!hasMagic(bytes)) throw new MalformedError('not an entry of this cache');
  const { format, flags, version, intent, epoch, expiresAt, erasedTo } = readHeader(bytes);
  if (format !== ENTRY_FORMAT) throw new MalformedError(`unknown format ${format}`);
  if ((flags & ~entryFlags.tombstone) !== 0) throw new MalformedError(`unknown flags ${flags}`);
  const bodyAt = HEADER_BYTES + 2 + bytes.readUInt16BE(HEADER_BYTES);
  if (bodyAt > bytes.length) throw new MalformedError('the entry is cut off');
  const members = decodeMembers(bytes.subarray(HEADER_BYTES + 2, bodyAt));
  const body = bytes.subarray(bodyAt);
  const isNothing = (flags & entryFlags.tombstone) !== 0;
  if (isNothing && body.length > 0) throw new MalformedError('a tombstone has a body');
  const protection = cipher && { cipher, owner: { kind: 'derived', address } as const };
  const payload = isNothing ? undefined : await unpackPayload(body, MAX_PAYLOAD_BYTES, protection);
  const loadMs = 'l' in members ? numberIn(members.l) : 0;
  return {
    entry: { address, version, intent, payload, loadMs, ...namesIn(members) },
    epoch,
    sequence: 'q' in members ? numberIn(members.q) : 0,
    expiresAt,
    freshUntil: erasedTo,
  };
}

function numberIn(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new MalformedError('a description holds no number');
}
