import { readdirSync, readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeEntry, encodeLog, encodeValue } from '../../../src/codec/envelope.ts';
import { packItems } from '../../../src/codec/frames.ts';
import { packPayload } from '../../../src/codec/payload.ts';
import { compareItems, type LogItem, type ValueWrite } from '../../../src/model/entry.ts';
import { address } from '../../../src/model/key.ts';

const CALL = address('calls', 'a');
const folder = new URL('../../fixtures/envelope/', import.meta.url);
const fixtures = readdirSync(folder).map((name) => readFileSync(new URL(name, folder)));

const uint53 = fc.maxSafeNat();
const text = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 20 })
  .filter((t) => t.isWellFormed() && !t.includes('\0'));
const payload = fc.record({
  codec: fc.constantFrom('json' as const, 'bytes' as const, 'structured' as const),
  bytes: fc.uint8Array({ maxLength: 200 }),
});
const scope = fc.option(fc.record({ kind: fc.constantFrom('call', 'tenant-1', 'x_y'), id: text }), {
  nil: undefined,
});

const valueWrite: fc.Arbitrary<ValueWrite> = fc.record({
  kind: fc.constant('value' as const),
  address: fc.constant(CALL),
  version: uint53,
  intent: uint53,
  payload: fc.option(payload, { nil: undefined }),
  expiresAt: uint53,
  scope,
  tags: fc.array(text, { maxLength: 4 }),
});

const logItems: fc.Arbitrary<LogItem[]> = fc.uniqueArray(
  fc.record({ id: text, version: fc.integer({ min: 1, max: 2 ** 53 - 1 }), payload }),
  { selector: ({ id }) => id, maxLength: 12 },
);

describe('any entry', () => {
  it('G10: of a value comes back as it was written', async () => {
    await fc.assert(
      fc.asyncProperty(
        valueWrite,
        uint53,
        fc.boolean(),
        fc.boolean(),
        async (write, epoch, pending, unproven) => {
          const packed = write.payload === undefined ? undefined : await packPayload(write.payload);
          const bytes = encodeValue(write, packed, { pending, unproven, epoch });
          const entry = await decodeEntry(bytes, CALL, epoch);
          expect(plain(entry)).toEqual(
            plain({ kind: 'value', pending, unproven, stale: false, write }),
          );
        },
      ),
    );
  });

  it('G10: of a log comes back as it was written, in log order', async () => {
    await fc.assert(
      fc.asyncProperty(
        logItems,
        scope,
        fc.record({
          pending: fc.boolean(),
          unproven: fc.boolean(),
          partial: fc.boolean(),
          erasure: fc.boolean(),
          tombstone: fc.boolean(),
          epoch: uint53,
        }),
        async (items, itsScope, marks) => {
          const packed = await packItems(items, marks.partial);
          const bytes = encodeLog({ erasedTo: 0, scope: itsScope }, packed, marks);
          const entry = await decodeEntry(bytes, CALL, marks.epoch);
          expect(plain(entry)).toEqual(
            plain({
              kind: 'log',
              address: CALL,
              pending: marks.pending,
              unproven: marks.unproven,
              partial: marks.partial,
              tombstone: marks.tombstone,
              erasureSynced: !marks.erasure,
              stale: false,
              version: Math.max(0, ...items.map(({ version }) => version)),
              items: items
                .toSorted(compareItems)
                .map((item) => ({ ...item, synced: marks.partial })),
              erasedTo: 0,
              scope: itsScope,
            }),
          );
        },
      ),
    );
  });
});

describe('G7: bytes that are not what this build wrote', () => {
  it('never make the decoder throw: any bytes', async () => {
    const behindMagic = fc
      .uint8Array({ maxLength: 300 })
      .map((bytes) => Buffer.concat([Buffer.from([0x40, 0x63, 1]), bytes]));
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 300 }), behindMagic), async (bytes) => {
        const entry = await decodeEntry(bytes, CALL, 1);
        expect(['value', 'log', 'unreadable']).toContain(entry.kind);
      }),
      { numRuns: 1000 },
    );
  });

  it('never make the decoder throw: an entry with some bits flipped and its end cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...fixtures),
        fc.array(fc.nat({ max: 5000 }), { minLength: 1, maxLength: 6 }),
        fc.nat({ max: 600 }),
        async (fixture, bits, cut) => {
          const bytes = Buffer.from(fixture);
          for (const bit of bits) {
            const at = (bit >> 3) % bytes.length;
            bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
          }
          const kept = bytes.subarray(0, Math.max(0, bytes.length - (cut > 300 ? 0 : cut)));
          const entry = await decodeEntry(kept, CALL, 1);
          // A pending entry says so as long as its magic and flags can be seen.
          const pending = kept[0] === 0x40 && kept[1] === 0x63 && ((kept[3] ?? 0) & 1) === 1;
          expect(entry.pending).toBe(pending);
        },
      ),
      { numRuns: 3000 },
    );
  });
});

/** The same with bytes as text, so that a Buffer equals the Uint8Array with its bytes. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plain(part)]));
}
