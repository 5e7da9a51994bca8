/**
 * Flushes what dead instances left pending in L2. A pending entry is adopted when its owner's
 * heartbeat is gone, or when it is older than `adoptAfter`, whoever owns it. Adopting something
 * that its owner flushes too is harmless: it is the same write, with the same stamp.
 *
 * What L3 refuses, or this build can't read, stays pending and oldest: it is looked past, so
 * that it holds up nothing that is younger.
 */
import type { EventHub } from '../events.ts';
import type { AddressId } from '../model/key.ts';
import type { SharedTier } from '../tiers/tier.ts';
import { addReports, type Flusher, type FlushReport, NOTHING_FLUSHED } from './flusher.ts';

const AT_ONCE = 500;
/** Stuck entries that are looked past; what lies behind more of them waits for an operator. */
const MAX_STUCK = 10_000;

export interface AdoptParts {
  readonly flusher: Flusher;
  readonly events: EventHub;
}

/** Flushes everything that became pending at or before `before` (ms since 1970). */
export async function adopt(
  parts: AdoptParts,
  shared: SharedTier,
  before: number,
): Promise<FlushReport & { readonly isComplete: boolean }> {
  const { flusher, events } = parts;
  const seen = new Set<AddressId>();
  let report = NOTHING_FLUSHED;
  while (seen.size < MAX_STUCK && report.failed === 0) {
    // What was flushed is gone from the index; what is seen again is stuck.
    const { addresses } = await shared.pending(before, AT_ONCE + seen.size);
    const fresh = addresses.map(({ id }) => id).filter((id) => !seen.has(id));
    if (fresh.length === 0) break;
    for (const id of fresh) seen.add(id);
    const due = fresh.filter((id) => !flusher.isRefused(id));
    report = addReports(report, await flusher.flush(due, { shared, mark: false }, true));
  }
  if (report.flushed > 0) events.emit({ type: 'adopted', entries: report.flushed });
  return { ...report, isComplete: report.failed === 0 && seen.size < MAX_STUCK };
}
