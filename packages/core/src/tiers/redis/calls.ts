/** The commands of the tier as calls of scripts: what each is given, and in which order. */

import type { Cipher } from '../../codec/encryption.ts';
import { encodeLog, encodeValue } from '../../codec/envelope.ts';
import { encodeFrame, type PackedItem, packItems } from '../../codec/frames.ts';
import { type Compressor, packPayload } from '../../codec/payload.ts';
import type { LogWrite, ValueWrite } from '../../model/entry.ts';
import type { Address } from '../../model/key.ts';
import type { Stamp } from '../../model/version.ts';
import type { CreateAssertion, ShardTicket, SharedSettle } from '../tier.ts';
import { numberBytes } from './handshake.ts';
import type { Place } from './keys.ts';
import { type Script, type ScriptCall, scripts } from './scripts.ts';

export interface PackedValue {
  readonly write: ValueWrite;
  readonly packed: Uint8Array | undefined;
  /** Bytes of the largest payload. */
  readonly largest: number;
}

export interface PackedLog {
  readonly write: LogWrite;
  readonly items: readonly PackedItem[];
  readonly largest: number;
}

/** A write whose payloads are packed: all that is slow is done before the epoch is asked for. */
export type PackedWrite = PackedValue | PackedLog;

/** How payloads are packed: what a namespace's compressor makes of them, and then the cipher. */
export interface Packing {
  readonly compressor: Compressor | undefined;
  readonly cipher: Cipher | undefined;
}

export async function packValue(
  write: ValueWrite,
  { compressor, cipher }: Packing,
): Promise<PackedValue> {
  const { payload, address } = write;
  if (payload === undefined) return { write, packed: undefined, largest: 0 };
  const protection = cipher && { cipher, owner: { kind: 'value', address } as const };
  const packing = packPayload(payload, compressor, protection);
  const packed = packing instanceof Promise ? await packing : packing;
  return { write, packed, largest: packed.byteLength };
}

export async function packLog(
  write: LogWrite,
  synced: boolean,
  { compressor, cipher }: Packing,
): Promise<PackedLog> {
  const protection = { cipher, address: write.address };
  const items = await packItems(write.items, synced, compressor, protection);
  const largest = items.reduce((most, { packed }) => Math.max(most, packed.byteLength), 0);
  return { write, items, largest };
}

/** Where a call goes, under which epoch, and when. */
export interface Aim {
  readonly place: Place;
  readonly epoch: number;
  readonly now: number;
  readonly ttlMs: number;
}

function call(script: Script, aim: Aim, ...args: readonly (string | Buffer)[]): ScriptCall {
  return { script, keys: aim.place.keys, args: [numberBytes(aim.epoch), ...args] };
}

/** No cut is 0: what was read under another epoch meets none. */
function quotedCut(aim: Aim, { cut, epoch }: ShardTicket): Buffer {
  return numberBytes(epoch === undefined || epoch === aim.epoch ? cut : 0);
}

function quoted(aim: Aim, create: CreateAssertion | undefined): Buffer | string {
  return create === undefined ? '' : quotedCut(aim, create);
}

function unproven(create: CreateAssertion | undefined): boolean {
  return create !== undefined && !create.proven;
}

export function putCall(
  aim: Aim,
  packed: PackedWrite,
  create: CreateAssertion | undefined,
): ScriptCall {
  const { epoch, now } = aim;
  if (!('packed' in packed)) return deleteLogCall(aim, packed.write);
  const marks = { pending: true, unproven: unproven(create), epoch };
  const entry = encodeValue(packed.write, packed.packed, marks);
  return call(scripts.put, aim, entry, String(now), quoted(aim, create));
}

/** A log's deletion is a tombstone that L3 has not heard of. It asserts nothing. */
function deleteLogCall(aim: Aim, write: LogWrite): ScriptCall {
  const entry = encodeLog(write, [], {
    pending: true,
    unproven: false,
    epoch: aim.epoch,
    partial: false,
    erasure: true,
    tombstone: true,
  });
  return call(scripts.put, aim, entry, String(aim.now), '');
}

export function appendCall(
  aim: Aim,
  packed: PackedLog,
  create: CreateAssertion | undefined,
): ScriptCall {
  const fresh = encodeLog({ erasedTo: 0, scope: packed.write.scope }, [], {
    pending: true,
    unproven: unproven(create),
    epoch: aim.epoch,
    partial: create === undefined,
    erasure: false,
    tombstone: false,
  });
  const frames = packed.items.map(encodeFrame);
  const { now, ttlMs } = aim;
  return call(
    scripts.append,
    aim,
    fresh,
    String(now),
    quoted(aim, create),
    String(ttlMs),
    ...frames,
  );
}

function settledEntry(aim: Aim, packed: PackedWrite): Buffer {
  const marks = { pending: false, unproven: false, epoch: aim.epoch };
  if ('packed' in packed) return encodeValue(packed.write, packed.packed, marks);
  const tombstone = packed.items.length === 0;
  return encodeLog(packed.write, packed.items, {
    ...marks,
    partial: false,
    erasure: false,
    tombstone,
  });
}

export function backfillCall(aim: Aim, packed: PackedWrite, fill: ShardTicket): ScriptCall {
  const { now, ttlMs } = aim;
  const entry = settledEntry(aim, packed);
  return call(scripts.backfill, aim, entry, String(now), String(ttlMs), quotedCut(aim, fill));
}

export function putSettledCall(aim: Aim, packed: PackedWrite): ScriptCall {
  const { now, ttlMs } = aim;
  return call(scripts.putSettled, aim, settledEntry(aim, packed), String(now), String(ttlMs));
}

export function settleCall(aim: Aim, settle: SharedSettle): ScriptCall {
  const { now, ttlMs } = aim;
  if (settle.kind === 'value') {
    const { version, intent } = settle;
    return call(
      scripts.settle,
      aim,
      numberBytes(version),
      numberBytes(intent),
      String(now),
      String(ttlMs),
    );
  }
  const items = settle.items.flatMap(({ id, version }) => [id, numberBytes(version)]);
  const others = settle.others ? '1' : '0';
  return call(
    scripts.settleLog,
    aim,
    numberBytes(settle.erasedTo),
    others,
    String(ttlMs),
    ...items,
  );
}

export function dropCall(aim: Aim, newer: Stamp): ScriptCall {
  return call(scripts.drop, aim, numberBytes(newer.version), numberBytes(newer.intent));
}

export function repairCall(aim: Aim, kind: 'value' | 'log', stamp: Stamp): ScriptCall {
  const { version, intent } = stamp;
  const letter = kind === 'value' ? 'v' : 'l';
  return call(scripts.repair, aim, numberBytes(version), numberBytes(intent), letter);
}

export function forgetCall(aim: Aim): ScriptCall {
  return call(scripts.forget, aim);
}

export function purgeCall(aim: Aim, version: number): ScriptCall {
  return call(scripts.purge, aim, numberBytes(version), String(aim.ttlMs));
}

/** The address of anything that a batch holds one of. */
export function addressIn(
  of: { readonly address: Address } | { readonly write: { readonly address: Address } },
): Address {
  return 'write' in of ? of.write.address : of.address;
}
