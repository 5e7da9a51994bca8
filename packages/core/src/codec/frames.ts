/**
 * The body of a log's entry: one frame for each item, in the order of appending.
 *
 *   [idLength u16 BE][id UTF-8][version u64 BE][flags u8: 1 synced][payloadLength u32 BE][packed payload]
 *
 * Frames stand alone: a script appends and cuts them without touching their neighbours, and
 * compression is per frame. Readers sort by (version, id); the order in the body means nothing.
 */
import { isUtf8 } from 'node:buffer';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { compareItems, type LogItem } from '../model/entry.ts';
import type { Address } from '../model/key.ts';
import type { Cipher } from './encryption.ts';
import {
  type Compressor,
  MAX_PAYLOAD_BYTES,
  MalformedError,
  type Protection,
  packPayload,
  rawLengthOf,
  unpackPayload,
} from './payload.ts';
import { readUInt53, writeUInt53 } from './uint53.ts';

/** The flag bits of a frame; part of the stored format. */
export const frameFlags: { readonly synced: 1 } = Object.freeze({ synced: 1 });

/** Bytes of a frame besides its id and its payload. */
export const FRAME_FIXED_BYTES = 15;

/** The most that the items of one log may take once they are unpacked. */
export const MAX_LOG_BYTES: number = 256 * 1024 * 1024;

/** Of a long log, so many bytes are (de)compressed at once before others have a turn. */
const TURN_BYTES = 128 * 1024;
/** To begin and end one encryption takes about as long as so many bytes of compression. */
const CIPHER_BYTES = 512;

/** An item whose payload is packed as it will be stored. */
export interface PackedItem {
  readonly id: string;
  readonly version: number;
  readonly packed: Uint8Array;
  /** L3 has it, under this version. */
  readonly synced: boolean;
}

/** An item as it was read from a frame. */
export type FramedItem = LogItem & { readonly synced: boolean };

/** With what the items of one log are encrypted and decrypted. */
export interface LogProtection {
  readonly cipher: Cipher | undefined;
  readonly address: Address;
}

function protectionOf(log: LogProtection | undefined, id: string): Protection | undefined {
  const { cipher, address } = log ?? {};
  if (cipher === undefined || address === undefined) return undefined;
  return { cipher, owner: { kind: 'item', address, id } };
}

/** Packs the payloads of items, one by one. */
export async function packItems(
  items: readonly LogItem[],
  synced: boolean,
  compressor?: Compressor,
  log?: LogProtection,
): Promise<readonly PackedItem[]> {
  const out: PackedItem[] = [];
  let bytes = 0;
  for (const { id, version, payload } of items) {
    const packed = packPayload(payload, compressor, protectionOf(log, id));
    // Awaiting what is there already would cost a turn of the loop for each item.
    out.push({ id, version, synced, packed: packed instanceof Promise ? await packed : packed });
    bytes += payload.bytes.byteLength + (log?.cipher?.seals === true ? CIPHER_BYTES : 0);
    if (bytes > TURN_BYTES) bytes = await nextTurn(0);
  }
  return out;
}

export function encodeFrame(item: PackedItem): Buffer {
  return encodeFrames([item]);
}

export function encodeFrames(items: readonly PackedItem[]): Buffer {
  const ids = items.map((item) => Buffer.byteLength(item.id));
  const size = items.reduce(
    (sum, item, i) => sum + FRAME_FIXED_BYTES + (ids[i] ?? 0) + item.packed.byteLength,
    0,
  );
  const out = Buffer.allocUnsafe(size);
  let at = 0;
  for (const [i, item] of items.entries()) {
    const idBytes = ids[i] ?? 0;
    at = out.writeUInt16BE(idBytes, at);
    at += out.write(item.id, at, idBytes, 'utf8');
    at = writeUInt53(out, item.version, at);
    at = out.writeUInt8(item.synced ? frameFlags.synced : 0, at);
    at = out.writeUInt32BE(item.packed.byteLength, at);
    out.set(item.packed, at);
    at += item.packed.byteLength;
  }
  return out;
}

/** The frames of a body, payloads still packed, in stored order. Throws {@link MalformedError}. */
export function splitFrames(body: Buffer): readonly PackedItem[] {
  const items: PackedItem[] = [];
  const ids = new Set<string>();
  let at = 0;
  while (at < body.length) {
    const idEnd = at + 2 + (at + 2 <= body.length ? body.readUInt16BE(at) : body.length);
    if (idEnd + 13 > body.length) throw new MalformedError('a frame is cut off');
    const idBytes = body.subarray(at + 2, idEnd);
    // Broken text would decode to an id that no script finds again.
    if (!isUtf8(idBytes)) throw new MalformedError('the id of a frame is not UTF-8');
    const id = idBytes.toString('utf8');
    const flags = body.readUInt8(idEnd + 8);
    const end = idEnd + 13 + body.readUInt32BE(idEnd + 9);
    if (end > body.length) throw new MalformedError('a frame is cut off');
    if (flags > frameFlags.synced) throw new MalformedError(`unknown flags ${flags} of a frame`);
    if (id === '' || ids.has(id)) throw new MalformedError('a frame has no id of its own');
    ids.add(id);
    const version = readUInt53(body, idEnd);
    items.push({
      id,
      version,
      synced: flags === frameFlags.synced,
      packed: body.subarray(idEnd + 13, end),
    });
    at = end;
  }
  return items;
}

/** The items of a body above `erasedTo`, in log order. Rejects with {@link MalformedError}. */
export async function decodeFrames(
  body: Buffer,
  erasedTo: number,
  maxBytes: number = MAX_LOG_BYTES,
  log?: LogProtection,
): Promise<readonly FramedItem[]> {
  const living = splitFrames(body).filter((item) => item.version > erasedTo);
  const total = living.reduce((sum, item) => sum + rawLengthOf(item.packed), 0);
  if (total > maxBytes) throw new MalformedError(`a log of ${total} bytes is too large`);
  const items: FramedItem[] = [];
  let bytes = 0;
  for (const { id, version, synced, packed } of living) {
    const unpacked = unpackPayload(packed, MAX_PAYLOAD_BYTES, protectionOf(log, id));
    const payload = unpacked instanceof Promise ? await unpacked : unpacked;
    items.push({ id, version, synced, payload });
    if (payload.bytes.buffer !== packed.buffer) bytes += payload.bytes.byteLength + CIPHER_BYTES;
    if (bytes > TURN_BYTES) bytes = await nextTurn(0);
  }
  return items.sort(compareItems);
}
