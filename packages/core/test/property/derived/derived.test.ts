/**
 * Derived values as they are, under seeded schedules over several instances, against a plain
 * model of what an answer may be. Deterministic: a seed that fails, fails again, alone:
 *
 *   DERIVED_SEED=17 DERIVED_SCHEDULES=1 vitest run packages/core/test/property/derived
 *
 * The second half says that the first could have failed: builds with one rule left out, which
 * other caches get wrong or an earlier draft did, have to be noticed.
 */
import { describe, expect, it } from 'vitest';
import { play } from './schedule.ts';
import { WEAKENED } from './weakened.ts';
import { FAMILIES } from './world.ts';

const STEPS = 100;
/** Of each family: 105,000 steps in all. */
const SCHEDULES = Number(process.env.DERIVED_SCHEDULES ?? 150);
const FIRST = Number(process.env.DERIVED_SEED ?? 1);
/** In how many schedules a weakened build has to be noticed. */
const UNTIL_NOTICED = 400;

describe('G2, G3, G10, G11: no answer that the model forbids', () => {
  it.each(FAMILIES)(
    `in ${SCHEDULES} schedules of ${STEPS} steps, faults: %s`,
    async (family) => {
      let judged = 0;
      for (let seed = FIRST; seed < FIRST + SCHEDULES; seed += 1) {
        const { lies, answers } = await play({ seed, family, steps: STEPS });
        expect(lies, `seed ${seed} of "${family}"`).toEqual([]);
        judged += answers;
      }
      expect(judged, 'answers that were judged').toBeGreaterThan(SCHEDULES * 40);
    },
    300_000,
  );
});

describe('a build is noticed in which', () => {
  it.each(Object.entries(WEAKENED))(
    '%s',
    async (_, { family, weakness, from = 1 }) => {
      for (let seed = from; seed < from + UNTIL_NOTICED; seed += 1) {
        if ((await play({ seed, family, steps: STEPS, weakness })).lies.length > 0) return;
      }
      expect.fail(`nobody noticed in ${UNTIL_NOTICED} schedules`);
    },
    120_000,
  );
});

it('plays the same schedule for the same seed', async () => {
  const tracesOf = async () => {
    const lines: string[] = [];
    await play({ seed: 7, family: 'all', steps: STEPS, trace: (line) => lines.push(line) });
    return lines;
  };
  const first = await tracesOf();
  expect(first.length).toBeGreaterThan(STEPS);
  expect(await tracesOf()).toEqual(first);
});
