/**
 * A bounded share of the simulator's schedules. The long run is a command: `cli.ts --all`.
 *
 * The first half says that the protocol holds; the second that the first half could have
 * failed: each rule is left out in turn, and the same checks have to notice.
 */
import { describe, expect, it } from 'vitest';
import { pairsOfFaults, runCampaign } from './campaign.ts';
import { FAULT_NAMES, FAULTS } from './fault-names.ts';
import { documentedLimits } from './limits.ts';
import { RULE_NAMES, RULES } from './rules.ts';
import { runSchedule } from './schedule.ts';

const SCHEDULES_PER_FAULT = 120;
const SCHEDULES_PER_PAIR = 25;

describe('G1, G2, G4, G12: nothing acknowledged is lost, doubled, reordered or diverging', () => {
  it('while nothing fails', () => {
    const { bad, first, acknowledged } = runCampaign({ faults: [], runs: SCHEDULES_PER_FAULT });
    expect({ bad, first }).toEqual({ bad: 0, first: undefined });
    expect(acknowledged).toBeGreaterThan(20 * SCHEDULES_PER_FAULT);
  });

  it.each(FAULT_NAMES)('under the fault %s', (fault) => {
    const { bad, firstSeed, first } = runCampaign({ faults: [fault], runs: SCHEDULES_PER_FAULT });
    expect({ bad, firstSeed, first }, FAULTS[fault]).toEqual({ bad: 0 });
  });

  it.each(pairsOfFaults())('under the faults %s and %s', (...faults) => {
    const { bad, firstSeed, first } = runCampaign({ faults, runs: SCHEDULES_PER_PAIR });
    expect({ bad, firstSeed, first }).toEqual({ bad: 0 });
  });
});

describe('the checks notice when a rule is left out', () => {
  it.each(RULE_NAMES)('%s', (rule) => {
    const { faults, schedules, from, why } = RULES[rule];
    const where = { faults, runs: schedules, seed: from ?? 1 };
    expect(runCampaign({ ...where, without: [rule], untilFound: true }).bad, why).toBe(1);
  });
});

describe('the simulator itself', () => {
  it('plays the same schedule for the same seed', () => {
    const options = {
      seed: 7,
      faults: new Set(['hiccup', 'kill'] as const),
      without: new Set<never>(),
      trace: true,
    };
    expect(runSchedule(options).lines).toEqual(runSchedule(options).lines);
  });

  it('excuses double faults, and they do happen', () => {
    const double = runCampaign({ faults: ['empty', 'kill'], runs: 100 });
    expect(double.bad).toBe(0);
    expect(double.excused).toBeGreaterThan(0);
    expect(documentedLimits.every(({ why }) => why.length > 0)).toBe(true);
  });
});
