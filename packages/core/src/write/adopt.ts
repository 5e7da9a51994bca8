/**
 * Flushes what dead instances left pending in L2. A pending entry is adopted when its owner's
 * heartbeat is gone, or when it is older than `adoptAfter`, whoever owns it. Adopting something
 * that its owner flushes too is harmless: it is the same write, with the same stamp.
 */
import type { Clock } from '../clock.ts';
import type { EventHub } from '../events.ts';
import type { SharedTier } from '../tiers/tier.ts';
import { addReports, type Flusher, type FlushReport, NOTHING_FLUSHED } from './flusher.ts';

const AT_ONCE = 500;

export interface AdoptParts {
  readonly clock: Clock;
  readonly flusher: Flusher;
  readonly events: EventHub;
}

/** Flushes everything that became pending at or before `before` (ms since 1970). */
export async function adopt(
  parts: AdoptParts,
  shared: SharedTier,
  before: number,
): Promise<FlushReport> {
  let report = NOTHING_FLUSHED;
  let rounds = 1;
  for (let round = 0; round < rounds; round += 1) {
    const { addresses, total } = await shared.pending(before, AT_ONCE);
    // What becomes pending meanwhile is somebody's who lives.
    if (round === 0) rounds = Math.ceil(total / AT_ONCE);
    const ids = addresses.map(({ id }) => id);
    const batch = await parts.flusher.flush(ids, { shared, mark: false }, true);
    report = addReports(report, batch);
    // What L3 refuses stays pending: where nothing else is left, more rounds change nothing.
    if (batch.failed > 0 || batch.flushed === 0) break;
  }
  if (report.flushed > 0) parts.events.emit({ type: 'adopted', entries: report.flushed });
  return report;
}
