/** `cache.sync`: everything that L3 lacks, of every instance, now. */
import type { Assembly } from './assembly.ts';
import { DRAIN } from './coherence/bus.ts';
import { TierError } from './errors.ts';
import { adopt } from './write/adopt.ts';
import { addReports } from './write/flusher.ts';

/** What {@link Cache.sync} did. */
export interface SyncReport {
  /** Rows flushed by this instance and the living others. */
  readonly flushed: number;
  /** Rows flushed here that nobody living was going to flush. */
  readonly adopted: number;
  /** Rows that L3 refused or did not answer for. */
  readonly failed: number;
  /** Keys that L3 still lacks something of. */
  readonly remaining: number;
  /** L2, or a living instance, could not say what it has pending. */
  readonly unknown: boolean;
  readonly ms: number;
}

/** Part of the deadline that the other instances get; the rest is for adopting. */
const SHARE_FOR_OTHERS = 0.5;

export async function syncAll(assembly: Assembly, deadlineMs: number): Promise<SyncReport> {
  const { engine, drainer, flusher, others } = assembly;
  const { shared } = assembly.instance;
  const { clock, outbox } = engine;
  const start = clock.monotonic();
  let own = await drainer.drainAll();
  let adopted = 0;
  let pending = 0;
  let unknown = shared !== undefined && shared.guard.state !== 'CLOSED';
  if (shared !== undefined && !unknown) {
    try {
      const { hasAll, answers } = await others.ask(DRAIN, deadlineMs * SHARE_FOR_OTHERS);
      unknown = !hasAll;
      for (const answer of answers) own = addReports(own, answer);
      const report = await adopt(
        { flusher, events: assembly.events },
        shared.guard.background,
        Number.MAX_SAFE_INTEGER,
      );
      adopted = report.flushed;
      own = addReports(own, { flushed: 0, failed: report.failed, refused: report.refused });
      pending = (await shared.guard.background.pending(0, 1)).total;
      unknown ||= !others.isTrusted;
    } catch (error) {
      if (!(error instanceof TierError)) throw error;
      unknown = true;
    }
  }
  const { flushed, failed, refused } = own;
  // Whoever asks for a sync looks at the gauge next.
  await assembly.deadLetters().catch(() => {});
  const remaining = Math.max(pending, outbox.unsynced().length);
  return {
    flushed,
    adopted,
    failed: failed + refused,
    remaining,
    unknown,
    ms: clock.monotonic() - start,
  };
}
