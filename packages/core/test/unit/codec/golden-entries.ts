/**
 * Entries whose bytes are kept under test/fixtures/envelope, for as long as format 1 is read.
 * A fixture is never rewritten: where today's code disagrees with one, the code is wrong. What
 * was compressed is kept as it came out once, because another zlib may write other bytes.
 */

import { encodeLog, encodeValue } from '../../../src/codec/envelope.ts';
import type { PackedItem } from '../../../src/codec/frames.ts';
import { packPayload } from '../../../src/codec/payload.ts';
import type { Payload, ValueWrite } from '../../../src/model/entry.ts';
import { type Address, address } from '../../../src/model/key.ts';
import type { SharedEntry } from '../../../src/tiers/tier.ts';

export const EPOCH = 4_503_599_627_370_497;
export const CALL: Address = address('calls', 'call-1/é');
const VERSION = 7_350_000_000_000_001;

export interface Golden {
  readonly name: string;
  /** Not for fixtures of compressed payloads, which are only read. */
  readonly encode: (() => Promise<Buffer>) | undefined;
  readonly entry: SharedEntry;
}

const json = (text: string): Payload => ({ codec: 'json', bytes: Buffer.from(text) });

async function packed(payload: Payload): Promise<Uint8Array> {
  return await packPayload(payload);
}

function write(payload: Payload | undefined): ValueWrite {
  return {
    kind: 'value',
    address: CALL,
    version: VERSION,
    intent: 9_007_199_254_740_991,
    payload,
    expiresAt: 1_900_000_000_000,
    scope: { kind: 'tenant', id: 'Zürich "1"' },
    tags: ['crm', 'élan'],
  };
}

const bare: ValueWrite = {
  kind: 'value',
  address: CALL,
  version: 1,
  intent: 0,
  payload: undefined,
  expiresAt: 0,
  scope: undefined,
  tags: [],
};

const turns = [
  {
    id: 'turn-2',
    version: VERSION + 4096,
    payload: json('{"text":"Good morning"}'),
    synced: false,
  },
  { id: 'té-1', version: VERSION, payload: json('"\\u0000"'), synced: true },
];

async function frames(): Promise<PackedItem[]> {
  const items: PackedItem[] = [];
  for (const { id, version, payload, synced } of turns) {
    items.push({ id, version, synced, packed: await packed(payload) });
  }
  return items;
}

const value = (payload: Payload): SharedEntry => ({
  kind: 'value',
  pending: true,
  stale: false,
  unproven: true,
  write: write(payload),
});

const hotel: Payload = json(
  JSON.stringify({ rooms: Array.from({ length: 200 }, (_, room) => ({ room })) }),
);

export const golden: readonly Golden[] = [
  {
    name: 'value-json',
    encode: async () => {
      const payload = json('{"state":"ringing","b":1,"a":[null,0,false,""]}');
      const marks = { pending: true, unproven: true, epoch: EPOCH };
      return encodeValue(write(payload), await packed(payload), marks);
    },
    entry: value(json('{"state":"ringing","b":1,"a":[null,0,false,""]}')),
  },
  {
    name: 'value-bytes',
    encode: async () => {
      const payload: Payload = { codec: 'bytes', bytes: Uint8Array.of(0, 1, 254, 255) };
      const marks = { pending: false, unproven: false, epoch: 1 };
      return encodeValue({ ...bare, payload }, await packed(payload), marks);
    },
    entry: {
      kind: 'value',
      pending: false,
      stale: true,
      unproven: false,
      write: { ...bare, payload: { codec: 'bytes', bytes: Uint8Array.of(0, 1, 254, 255) } },
    },
  },
  {
    name: 'value-tombstone',
    encode: async () =>
      encodeValue(write(undefined), undefined, { pending: true, unproven: false, epoch: EPOCH }),
    entry: {
      kind: 'value',
      pending: true,
      stale: false,
      unproven: false,
      write: write(undefined),
    },
  },
  { name: 'value-zlib', encode: undefined, entry: value(hotel) },
  { name: 'value-zstd', encode: undefined, entry: value(hotel) },
  {
    name: 'log-pending',
    encode: async () =>
      encodeLog({ erasedTo: VERSION - 1, scope: { kind: 'call', id: '1' } }, await frames(), {
        pending: true,
        unproven: true,
        partial: true,
        erasure: true,
        tombstone: false,
        epoch: EPOCH,
      }),
    entry: {
      kind: 'log',
      address: CALL,
      pending: true,
      stale: false,
      version: VERSION + 4096,
      // In log order, whatever the order of the frames.
      items: turns.toReversed(),
      erasedTo: VERSION - 1,
      erasureSynced: false,
      partial: true,
      unproven: true,
      tombstone: false,
      scope: { kind: 'call', id: '1' },
    },
  },
  {
    name: 'log-tombstone',
    encode: async () =>
      encodeLog({ erasedTo: VERSION, scope: undefined }, [], {
        pending: false,
        unproven: false,
        partial: false,
        erasure: false,
        tombstone: true,
        epoch: EPOCH,
      }),
    entry: {
      kind: 'log',
      address: CALL,
      pending: false,
      stale: false,
      version: VERSION,
      items: [],
      erasedTo: VERSION,
      erasureSynced: true,
      partial: false,
      unproven: false,
      tombstone: true,
      scope: undefined,
    },
  },
];

/** What was written once for the fixtures that are only read. */
export { hotel, write as goldenWrite };
