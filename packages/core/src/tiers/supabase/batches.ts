/**
 * How much goes into one call. A body of 20,000 rows holds up the event loop for seconds, and
 * gateways cap bodies; so a call carries at most so many rows and so many bytes. A row that is
 * larger than a whole batch travels alone. Pure.
 */
import type { DurableApply, DurableInsert } from '../tier.ts';

/** Rows in one call that writes. */
export const MAX_WRITES: number = 500;
/** Addresses in one call that reads. */
export const MAX_READS: number = 1000;
/** Bytes of values in one call or answer; escaping and base64 can make a body twice as long. */
export const MAX_BYTES: number = 2 * 1024 * 1024;

/** Columns beside the payload. */
const ROW_BYTES = 200;

export function sizeOfApply({ write }: DurableApply): number {
  const tags = write.tags.reduce((bytes, tag) => bytes + tag.length, 0);
  return ROW_BYTES + write.address.key.length + tags + (write.payload?.bytes.length ?? 0);
}

export function sizeOfInsert({ write }: DurableInsert): number {
  return write.items.reduce(
    (bytes, item) => bytes + ROW_BYTES / 2 + item.id.length + item.payload.bytes.length,
    ROW_BYTES + write.address.key.length,
  );
}

/** Cuts `rows`, in order, into runs that are small enough. No run is empty. */
export function batchesOf<T>(
  rows: readonly T[],
  maxRows: number,
  sizeOf: (row: T) => number = () => 0,
): readonly (readonly T[])[] {
  const batches: T[][] = [];
  let batch: T[] = [];
  let bytes = 0;
  for (const row of rows) {
    const size = sizeOf(row);
    if (batch.length > 0 && (batch.length >= maxRows || bytes + size > MAX_BYTES)) {
      batches.push(batch);
      batch = [];
      bytes = 0;
    }
    batch.push(row);
    bytes += size;
  }
  if (batch.length > 0) batches.push(batch);
  return batches;
}
