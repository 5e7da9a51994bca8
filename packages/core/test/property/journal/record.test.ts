import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { KeyRing } from '../../../src/codec/encryption.ts';
import {
  compareItems,
  type LogItem,
  type LogWrite,
  type ValueWrite,
} from '../../../src/model/entry.ts';
import { address } from '../../../src/model/key.ts';
import { decodeBody, encodeRecord, FRAME_BYTES } from '../../../src/write/journal/record.ts';

const uint53 = fc.maxSafeNat();
const text = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 20 })
  .filter((t) => t.isWellFormed() && !t.includes('\0'));
const payload = fc.record({
  codec: fc.constantFrom('json' as const, 'bytes' as const, 'structured' as const),
  bytes: fc.uint8Array({ maxLength: 200 }),
});
const at = text.map((key) => address('calls', key));
const scope = fc.option(fc.record({ kind: fc.constantFrom('call', 'tenant-1'), id: text }), {
  nil: undefined,
});

const valueWrite: fc.Arbitrary<ValueWrite> = fc.record({
  kind: fc.constant('value' as const),
  address: at,
  version: uint53,
  intent: uint53,
  payload: fc.option(payload, { nil: undefined }),
  expiresAt: uint53,
  scope,
  tags: fc.array(text, { maxLength: 4 }),
});

const logWrite: fc.Arbitrary<LogWrite> = fc
  .record({
    address: at,
    scope,
    erasedTo: fc.nat({ max: 1000 }),
    items: fc.uniqueArray(
      fc.record({ id: text, version: fc.integer({ min: 1001, max: 2 ** 53 - 1 }), payload }),
      { selector: (item: LogItem) => item.id, maxLength: 8 },
    ),
  })
  .map((log) => ({ ...log, kind: 'log', items: log.items.toSorted(compareItems) }));

const cipher = new KeyRing({ keys: new Map([['a', Buffer.alloc(32, 5)]]), current: 'a' });

it('G1, G10: any write that can be acknowledged comes back from a record as it was, encrypted or not', () => {
  fc.assert(
    fc.property(
      fc.oneof(valueWrite, logWrite),
      uint53,
      fc.boolean(),
      fc.boolean(),
      (write, number, unproven, isSealed) => {
        const ring = isSealed ? cipher : undefined;
        const record = { kind: 'write', number, write, unproven } as const;
        const bytes = encodeRecord(record, ring);
        expect(plain(decodeBody(bytes.subarray(FRAME_BYTES), ring))).toEqual(plain(record));
      },
    ),
  );
});

it('of an id that an append names twice the first words stand', () => {
  const item = (byte: number): LogItem => ({
    id: 'a',
    version: byte,
    payload: { codec: 'bytes', bytes: Uint8Array.of(byte) },
  });
  const write: LogWrite = {
    kind: 'log',
    address: address('calls', 'k'),
    items: [item(1), item(2)],
    erasedTo: 0,
    scope: undefined,
  };
  const bytes = encodeRecord({ kind: 'write', number: 1, write, unproven: false });
  expect(decodeBody(bytes.subarray(FRAME_BYTES))).toMatchObject({ write: { items: [item(1)] } });
});

/** Byte arrays compare by content, whatever class they are of. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, part: unknown) =>
      part instanceof Uint8Array ? Buffer.from(part).toString('hex') : (part ?? null),
    ),
  );
}
