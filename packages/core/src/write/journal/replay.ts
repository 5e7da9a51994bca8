/**
 * What a journal holds when it is opened. A damaged segment is set aside under another name, for
 * an operator to look at; what could be read of it is first saved into a new segment, so that it
 * is still there after the next crash.
 *
 * Synchronous: nothing may be served before it was read.
 */
import type { Cipher } from '../../codec/encryption.ts';
import type { LogWrite, ValueWrite } from '../../model/entry.ts';
import type { Disk } from './disk.ts';
import { SEGMENT_MAGIC } from './record.ts';
import { CORRUPT, type ReadSegment, readSegment, segmentName, segmentNumber } from './segment.ts';

export interface FoundSegment {
  readonly name: string;
  readonly bytes: number;
  /** Acknowledged before this process began; L3 may lack them. */
  readonly writes: readonly {
    readonly number: number;
    readonly bytes: number;
    readonly write: ValueWrite | LogWrite;
    readonly unproven: boolean;
  }[];
  /** Numbers of its writes that were taken back. */
  readonly revoked: ReadonlySet<number>;
  /** Its records that take others back. */
  readonly revocations: readonly { readonly number: number; readonly numbers: readonly number[] }[];
}

export interface Found {
  readonly segments: readonly FoundSegment[];
  readonly nextSegment: number;
  readonly nextNumber: number;
}

interface Present {
  readonly name: string;
  readonly bytes: number;
  readonly segment: ReadSegment;
}

export function replay(
  disk: Disk,
  onCorrupt: (damage: string) => void,
  cipher: Cipher | undefined,
): Found {
  const names = disk.names().filter((name) => segmentNumber(name) !== undefined);
  const highest = names.reduce((top, name) => Math.max(top, segmentNumber(name) ?? 0), 0);
  let nextSegment = highest + 1;
  const present: Present[] = [];
  for (const name of names.filter((one) => !one.endsWith(CORRUPT)).sort()) {
    const bytes = disk.readNow(name);
    const segment = readSegment(bytes, cipher);
    if (segment.damage === undefined) {
      present.push({ name, bytes: bytes.length, segment });
      continue;
    }
    onCorrupt(segment.damage);
    if (segment.records.length > 0) present.push(save(disk, segmentName(nextSegment), segment));
    nextSegment += 1;
    disk.renameNow(name, `${name}${CORRUPT}`);
  }
  const records = present.flatMap(({ segment }) => segment.records.map((one) => one.record));
  const revoked = new Set(
    records.flatMap((record) => (record.kind === 'void' ? record.numbers : [])),
  );
  return {
    segments: present.map((one) => foundIn(one, revoked)),
    nextSegment,
    nextNumber: records.reduce((top, { number }) => Math.max(top, number), 0) + 1,
  };
}

function foundIn({ name, bytes, segment }: Present, revoked: ReadonlySet<number>): FoundSegment {
  const { records } = segment;
  const here = records.map(({ record }) => record.number).filter((one) => revoked.has(one));
  return {
    name,
    bytes,
    writes: records.flatMap(({ record, bytes: raw }) =>
      record.kind === 'write' && !revoked.has(record.number)
        ? [{ ...record, bytes: raw.length }]
        : [],
    ),
    revoked: new Set(here),
    revocations: records.flatMap(({ record }) => (record.kind === 'void' ? [record] : [])),
  };
}

/** What can be read of it, in a segment of its own. */
function save(disk: Disk, name: string, segment: ReadSegment): Present {
  const bytes = Buffer.concat([SEGMENT_MAGIC, ...segment.records.map((one) => one.bytes)]);
  disk.putNow(name, bytes);
  return { name, bytes: bytes.length, segment };
}
