import { describe, expect, it } from 'vitest';
import { KeyRing } from '../../../../src/codec/encryption.ts';
import { ConfigError } from '../../../../src/errors.ts';
import { Journal } from '../../../../src/write/journal/journal.ts';
import { encodeRecord, SEGMENT_MAGIC } from '../../../../src/write/journal/record.ts';
import { readSegment, segmentName } from '../../../../src/write/journal/segment.ts';
import { ForgetfulDisk } from '../../../model/forgetful-disk.ts';
import { SILENT, SMALL, writeOf } from '../../../property/journal/schedule.ts';

const RECORDS = [0, 1, 2, 3].map((n) =>
  encodeRecord({ kind: 'write', number: n + 1, write: writeOf(n, 30), unproven: false }),
);
const SEGMENT = Buffer.concat([SEGMENT_MAGIC, ...RECORDS]);
const LAST_AT = SEGMENT.length - (RECORDS.at(-1)?.length ?? 0);

function numbersIn(bytes: Buffer): readonly number[] {
  return readSegment(bytes).records.map(({ record }) => record.number);
}

describe('a segment', () => {
  it('whose last record was cut off at any byte ends before it, and is not damaged', () => {
    for (let size = LAST_AT; size < SEGMENT.length; size += 1) {
      const { records, damage } = readSegment(SEGMENT.subarray(0, size));
      expect(damage, `${size} bytes`).toBeUndefined();
      expect(
        records.map(({ record }) => record.number),
        `${size} bytes`,
      ).toEqual([1, 2, 3]);
    }
  });

  it('that was cut off anywhere has every record before the cut, and is not damaged', () => {
    for (let size = 0; size <= SEGMENT.length; size += 1) {
      const { records, damage } = readSegment(SEGMENT.subarray(0, size));
      expect(damage, `${size} bytes`).toBeUndefined();
      let end = SEGMENT_MAGIC.length;
      const whole = RECORDS.filter((record) => {
        end += record.length;
        return end <= size;
      });
      expect(records).toHaveLength(whole.length);
    }
  });

  it('that ends in zeros, as some file systems leave it, is not damaged', () => {
    expect(numbersIn(Buffer.concat([SEGMENT, Buffer.alloc(500)]))).toEqual([1, 2, 3, 4]);
    expect(readSegment(Buffer.concat([SEGMENT, Buffer.alloc(500)])).damage).toBeUndefined();
    expect(readSegment(Buffer.alloc(100)).damage).toBeUndefined();
  });

  it('G1: with any one byte changed says so, and all that the byte is not in is read', () => {
    for (let at = 0; at < SEGMENT.length; at += 1) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const bytes = Buffer.from(SEGMENT);
        bytes[at] = (bytes[at] ?? 0) ^ flip;
        const { records, damage } = readSegment(bytes);
        expect(damage, `byte ${at}`).toBeDefined();
        // Whatever is read is one of those that were written, as it was written.
        for (const { bytes: raw } of records) {
          expect(
            RECORDS.some((record) => record.equals(raw)),
            `byte ${at}`,
          ).toBe(true);
        }
        // What lies before the byte is always read.
        const before = at < SEGMENT_MAGIC.length ? 0 : numbersIn(SEGMENT.subarray(0, at)).length;
        expect(records.length, `byte ${at}`).toBeGreaterThanOrEqual(before);
      }
    }
  });

  it('G1: whose record is damaged inside is read behind it too', () => {
    const bytes = Buffer.from(SEGMENT);
    bytes[SEGMENT_MAGIC.length + 20] = 0x55;
    expect(numbersIn(bytes)).toEqual([2, 3, 4]);
  });

  it('that is sound but encrypted under a key that is not there refuses the start, and is left alone', () => {
    const cipher = new KeyRing({ keys: new Map([['a', Buffer.alloc(32, 1)]]), current: 'a' });
    const record = { kind: 'write', number: 1, write: writeOf(1), unproven: false } as const;
    const bytes = Buffer.concat([SEGMENT_MAGIC, encodeRecord(record, cipher)]);
    const disk = new ForgetfulDisk();
    disk.plant(segmentName(1), bytes);
    expect(() => new Journal(disk, SMALL, SILENT)).toThrow(ConfigError);
    expect(disk.names()).toEqual([segmentName(1)]);
    const opened = new Journal(disk, { ...SMALL, cipher }, SILENT).takeOpened();
    expect(opened.map(({ write }) => write)).toEqual([writeOf(1)]);
  });
});

describe('a journal that opens on damage', () => {
  it('G1: keeps the damaged file, saves what could be read of it, and reads the files after it', () => {
    const disk = new ForgetfulDisk();
    const bytes = Buffer.from(SEGMENT);
    bytes[LAST_AT + 20] = 1;
    disk.plant(segmentName(1), bytes);
    const later = encodeRecord({ kind: 'write', number: 9, write: writeOf(9), unproven: true });
    disk.plant(segmentName(2), Buffer.concat([SEGMENT_MAGIC, later]));
    const told: string[] = [];
    const tales = { ...SILENT, onCorrupt: (damage: string) => told.push(damage) };
    const journal = new Journal(disk, SMALL, tales);
    expect(told).toHaveLength(1);
    const opened = journal.takeOpened();
    expect(opened.map(({ ticket }) => ticket.number)).toEqual([1, 2, 3, 9]);
    expect(opened.map(({ unproven }) => unproven)).toEqual([false, false, false, true]);
    expect(disk.names().toSorted()).toEqual([
      `${segmentName(1)}.corrupt`,
      segmentName(2),
      segmentName(3),
    ]);
    expect(disk.readNow(`${segmentName(1)}.corrupt`)).toEqual(bytes);
    // Opened again, after a crash say, it has the same, and nothing more to tell.
    expect(new Journal(disk, SMALL, tales).takeOpened()).toHaveLength(4);
    expect(told).toHaveLength(1);
  });
});
