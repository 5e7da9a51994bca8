/**
 * A segment whose bytes are kept under test/fixtures/journal for as long as its format is read:
 * what one build acknowledged, the next one replays. The fixture is never rewritten; where
 * today's code disagrees with it, the code is wrong.
 */
import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import type { LogWrite, Payload, ValueWrite } from '../../../../src/model/entry.ts';
import { address } from '../../../../src/model/key.ts';
import {
  encodeRecord,
  type JournalRecord,
  SEGMENT_MAGIC,
} from '../../../../src/write/journal/record.ts';
import { readSegment } from '../../../../src/write/journal/segment.ts';

const CALL = address('calls', 'call-1/é');
const VERSION = 7_350_000_000_000_001;
const SCOPE = { kind: 'tenant', id: 'Zürich "1"' };

const json = (text: string): Payload => ({
  codec: 'json',
  bytes: new Uint8Array(Buffer.from(text)),
});

const value: ValueWrite = {
  kind: 'value',
  address: CALL,
  version: VERSION,
  intent: 9_007_199_254_740_991,
  payload: json('{"caller":"+49 30 1234"}'),
  expiresAt: 1_900_000_000_000,
  scope: SCOPE,
  tags: ['crm', 'élan'],
};

const log: LogWrite = {
  kind: 'log',
  address: address('turns', 'call-1'),
  items: [
    { id: 'turn-1', version: VERSION + 1, payload: json('{"text":"Guten Tag"}') },
    {
      id: 'turn-2',
      version: VERSION + 2,
      payload: { codec: 'bytes', bytes: new Uint8Array([0, 1, 254, 255]) },
    },
  ],
  erasedTo: 0,
  scope: SCOPE,
};

const RECORDS: readonly JournalRecord[] = [
  { kind: 'write', number: 1, write: value, unproven: true },
  { kind: 'write', number: 2, write: log, unproven: false },
  { kind: 'void', number: 3, numbers: [1, 2 ** 52] },
  {
    kind: 'write',
    number: 4,
    write: { ...value, version: VERSION + 3, payload: undefined, expiresAt: 0, tags: [] },
    unproven: false,
  },
  {
    kind: 'write',
    number: 5,
    write: { ...log, items: [], erasedTo: VERSION + 2, scope: undefined },
    unproven: false,
  },
];

async function kept(): Promise<Buffer> {
  return await readFile(new URL('../../../fixtures/journal/segment.bin', import.meta.url));
}

it('G1: a segment of format 1 is read as it was when it was kept', async () => {
  const { records, damage } = readSegment(await kept());
  expect(damage).toBeUndefined();
  expect(records.map(({ record }) => record)).toEqual(RECORDS);
});

it('a segment is written byte for byte as the kept one was', async () => {
  const written = Buffer.concat([SEGMENT_MAGIC, ...RECORDS.map((one) => encodeRecord(one))]);
  expect(written.toString('hex')).toBe((await kept()).toString('hex'));
});
