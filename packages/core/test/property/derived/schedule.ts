/** One seeded schedule: steps under faults, every answer judged by the oracle, and the end. */
import { end } from './ending.ts';
import { fault } from './faults.ts';
import { act } from './verbs.ts';
import { type ScheduleOptions, World } from './world.ts';

export interface Played {
  /** What was wrong; empty where all went well. */
  readonly lies: readonly string[];
  /** Answers that were judged. */
  readonly answers: number;
}

export async function play(options: ScheduleOptions): Promise<Played> {
  const world = new World(options);
  const { time, redis, lies } = world;
  await time.pass(500);
  for (let step = 0; step < options.steps && lies.length === 0; step += 1) {
    if (time.chance(0.05)) redis.save();
    if (time.chance(0.08)) fault(world);
    act(world);
    await time.pass(pause(world));
  }
  if (lies.length === 0) await end(world);
  return { lies, answers: world.answers };
}

/** Mostly much happens at once; now and then what is stored grows old. */
function pause({ time }: World): number {
  const roll = time.random();
  if (roll < 0.5) return 0;
  if (roll < 0.86) return time.below(30);
  return time.below(roll < 0.98 ? 400 : 3500);
}
