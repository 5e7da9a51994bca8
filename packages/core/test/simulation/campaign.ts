/** Many schedules of the same faults, and what they found. */
import { FAULT_NAMES, type FaultName } from './fault-names.ts';
import type { RuleName } from './rules.ts';
import { runSchedule } from './schedule.ts';

export interface Campaign {
  readonly faults: readonly FaultName[];
  readonly without?: readonly RuleName[];
  readonly runs: number;
  /** The first seed; each schedule takes the next one. */
  readonly seed?: number;
  /** Stop at the first schedule with a violation. */
  readonly untilFound?: boolean;
}

export interface Findings {
  readonly schedules: number;
  readonly acknowledged: number;
  /** Schedules with a violation that no documented limit excuses. */
  readonly bad: number;
  /** Violations that a documented limit excuses. */
  readonly excused: number;
  readonly firstSeed: number | undefined;
  /** The first violation, in words. */
  readonly first: string | undefined;
}

export function runCampaign(campaign: Campaign): Findings {
  const faults = new Set(campaign.faults);
  const without = new Set(campaign.without);
  const from = campaign.seed ?? 1;
  let schedules = 0;
  let acknowledged = 0;
  let bad = 0;
  let excused = 0;
  let firstSeed: number | undefined;
  let first: string | undefined;
  for (let seed = from; seed < from + campaign.runs; seed += 1) {
    const outcome = runSchedule({ seed, faults, without });
    schedules += 1;
    acknowledged += outcome.acknowledged;
    excused += outcome.excused;
    const [violation] = outcome.violations;
    if (violation === undefined) continue;
    bad += 1;
    firstSeed ??= seed;
    first ??= `${violation.kind}: ${violation.detail}`;
    if (campaign.untilFound) break;
  }
  return { schedules, acknowledged, bad, excused, firstSeed, first };
}

/** Every two different faults. */
export function pairsOfFaults(): readonly (readonly [FaultName, FaultName])[] {
  return FAULT_NAMES.flatMap((a, index) =>
    FAULT_NAMES.slice(index + 1).map((b) => [a, b] as const),
  );
}
