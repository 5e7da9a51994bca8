import { describe, expect, test } from 'vitest';
import { FAULT_NAMES, FAULTS, type FaultName } from '../../src/faults.ts';
import { type CyclePlan, planCycles } from '../../src/schedule.ts';

const options = { seed: 7, cycles: 20, instances: 3, faults: FAULT_NAMES };
const plans = planCycles(options);

function struck({ servers, links }: CyclePlan): readonly FaultName[] {
  return [...servers, ...links].map(({ fault }) => fault);
}

describe('the schedule', () => {
  test('is the same for the same seed, and another for another', () => {
    expect(planCycles(options)).toEqual(plans);
    expect(planCycles({ ...options, seed: 8 })).not.toEqual(plans);
  });

  test('has every fault once in every cycle, and no other than those that were asked for', () => {
    for (const plan of plans) expect([...struck(plan)].sort()).toEqual([...FAULT_NAMES].sort());
    const some = planCycles({ ...options, faults: ['kill', 'skew'] });
    for (const plan of some) expect([...struck(plan)].sort()).toEqual(['kill', 'skew']);
  });

  test('keeps the halves of the documented double loss at the two ends of a lane', () => {
    for (const { servers, links } of plans) {
      const losses = servers.map(({ fault }) => FAULTS[fault].loses);
      const runs = losses.filter((one, index) => one !== losses[index - 1]);
      expect([
        ['process', 'nothing', 'redis'],
        ['redis', 'nothing', 'process'],
      ]).toContainEqual(runs);
      for (const { fault } of links) expect(FAULTS[fault].loses).toBe('nothing');
    }
  });

  test('never kills the instance whose memory is watched, and strikes each of the others', () => {
    const kills = plans.flatMap(({ servers }) => servers.filter(({ fault }) => fault === 'kill'));
    expect(new Set(kills.map(({ slot }) => slot))).toEqual(new Set([2, 3]));
  });

  test('sets no two clocks further apart than goes without a warning', () => {
    const skews = plans.flatMap(({ links }) => links.filter(({ fault }) => fault === 'skew'));
    for (const { sizes } of skews) {
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(480);
    }
    expect(skews.some(({ sizes }) => Math.max(...sizes) - Math.min(...sizes) > 240)).toBe(true);
  });
});
