/**
 * What is promised nowhere: violations that the protocol's text excludes, each with why and with
 * exactly which ones it excuses. Nothing else is excused.
 */

import { WARNED_SKEW_MS } from '../../src/model/version.ts';
import type { FaultName } from './fault-names.ts';
import type { History, Violation, ViolationKind } from './history.ts';
import { ADOPT_AFTER_MS } from './upkeep.ts';

export interface DocumentedLimit {
  readonly name: string;
  readonly why: string;
  /** All of these have to be in the schedule. */
  readonly faults: readonly FaultName[];
  excuses(violation: Violation, history: History): boolean;
}

/** How long after a loss of Redis its outbox may be the only holder of a write. */
const DRAINED_WITHIN_MS = 350;
/** How long after a process died Redis may be the only holder of its writes. */
const ADOPTED_WITHIN_MS = ADOPT_AFTER_MS + 500;

const LOSSES: ReadonlySet<ViolationKind> = new Set<ViolationKind>([
  'lost set',
  'lost item',
  'lost deletion',
]);

/** A process was killed and Redis lost something, before the writes of the one were in L3. */
function isDouble(violation: Violation, history: History): boolean {
  if (!LOSSES.has(violation.kind)) return false;
  return history.kills.some((kill) =>
    history.losses.some(
      (loss) => kill - loss < DRAINED_WITHIN_MS && loss - kill < ADOPTED_WITHIN_MS,
    ),
  );
}

/** Redis lost something twice within the skew that it allows for, the second time in between. */
function isOrderOverLosses({ kind, between }: Violation, history: History): boolean {
  if (between === undefined || (kind !== 'order at L2' && kind !== 'order of log')) return false;
  return history.losses.some(
    (loss) =>
      loss > between[0] &&
      loss < between[1] &&
      history.losses.some((first) => first < loss && loss - first < 2 * WARNED_SKEW_MS),
  );
}

export const documentedLimits: readonly DocumentedLimit[] = [
  {
    name: 'writer dead and Redis emptied before they were flushed or adopted',
    why: 'A write that is acknowledged by L2 has two holders until it is flushed: Redis and the outbox of its process. Losing both loses it, unless a journal has it.',
    faults: ['kill', 'empty'],
    excuses: isDouble,
  },
  {
    name: 'writer dead and Redis set back before they were flushed or adopted',
    why: 'The same: an older dump, or a lagging replica, lacks what came after it.',
    faults: ['kill', 'regress'],
    excuses: isDouble,
  },
  {
    name: 'order of two instances over two losses of Redis within a second',
    why: 'A new epoch starts half a second ahead of the clock, and so do the versions after it. An instance that was not there has not seen them, and may begin the next epoch below.',
    faults: [],
    excuses: isOrderOverLosses,
  },
  {
    name: 'an unproven log lacks older items',
    why: 'A log may be created while L3 does not answer, because a call must be able to begin. If it had a past after all, nobody who reads it sees that past before L3 has answered its first flush.',
    faults: [],
    excuses: (violation) => violation.kind === 'unproven log',
  },
];

/** What the checks leave out, because nothing is promised there. */
export const outsideTheChecks: readonly string[] = [
  'Reads of one instance never go back behind what it acknowledged, under any fault. Behind what it only showed, they may where L2 and L3 are authorities side by side (late, hiccup, cut, down, empty, regress): an instance that cannot reach Redis sees the writes of others when they are in L3.',
  'An item whose append L2 did not answer, or that was tried again with the same id, may be seen at two places of the order until it is flushed; its acknowledged version may not be the one that stands.',
  'An id of a deleted log that is said again once Redis has come back from an older dump: the dump may have the deleted item, and Redis answers that it is there.',
  'A set is ordered against a concurrent update, and against a set on an instance that uses another authority, by version alone.',
];

/** The limit that excuses this violation under these faults. */
export function excuseFor(
  violation: Violation,
  history: History,
  faults: ReadonlySet<FaultName>,
): DocumentedLimit | undefined {
  return documentedLimits.find(
    (limit) =>
      limit.faults.every((fault) => faults.has(fault)) && limit.excuses(violation, history),
  );
}
