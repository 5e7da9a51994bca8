/**
 * The end of a schedule: everything heals; then one load per key serves the fleet, what it stored
 * is found in every tier, whatever it is, and nothing is left over.
 */
import { KEYS, textOf } from './values.ts';
import { remove } from './verbs.ts';
import type { World } from './world.ts';

export async function end(world: World): Promise<void> {
  await heal(world);
  if (world.lies.length > 0) return;
  for (const key of KEYS) await loadedOnce(world, key);
  await leftOver(world);
}

async function heal(world: World): Promise<void> {
  const { time, redis, l3, source } = world;
  source.isCalm = true;
  // What was broken heals by itself.
  await time.pass(9000);
  if (l3 !== undefined) l3.state = 'up';
  if (redis.state === 'down') redis.restart(false);
  redis.thaw();
  for (const { line } of world.instances) line.heal();
  await time.pass(6000);
  if (world.running > 0) world.lie(`G5: ${world.running} calls never ended`);
  for (const instance of world.instances) {
    if (!instance.isHealthy) world.lie(`${instance.name} is not healthy in the end`);
  }
}

/** G11, G10: one load for whoever asks at once; and what it found, falsy or nothing, is found. */
async function loadedOnce(world: World, key: string): Promise<void> {
  const { time, source } = world;
  const instance = time.pick(world.instances);
  world.run(instance, `delete ${key}`, remove(world, instance, key));
  // Longer than a message and a lease take.
  await time.pass(1100);
  const before = source.loadsOf(key);
  const first = await askAll(world, key, 180);
  const loads = source.loadsOf(key) - before;
  if (loads !== 1) world.lie(`G11: ${loads} loads of the cold key ${key}`);
  for (const one of world.family === 'alone' ? [] : world.instances) {
    if (time.chance(0.5)) one.evict(key);
  }
  const second = await askAll(world, key, 60);
  const third = await askAll(world, key, 60, 'l1');
  const again = source.loadsOf(key) - before - loads;
  if (again > 0) world.lie(`G10: ${key} was loaded again although ${first[0]} was stored`);
  const differing = new Set([...first, ...second, ...third]);
  if (differing.size !== 1) world.lie(`${key} has several values: ${[...differing].join(', ')}`);
}

/** Everybody asks twice, and has an answer in so many milliseconds, from that tier. As texts. */
async function askAll(
  world: World,
  key: string,
  ms: number,
  tier?: 'l1',
): Promise<readonly string[]> {
  const texts: string[] = [];
  const everybody = [...world.instances, ...world.instances];
  for (const instance of everybody) {
    const ask = async () => {
      const question = world.question(instance, key);
      const found = await instance.space(key).lookup(key);
      world.judge(question, found.value, found.freshness);
      const text = textOf(found.value);
      if (tier !== undefined && found.tier !== tier) {
        world.lie(`G10: ${instance.name} has ${text} from ${found.tier}, not from ${tier}`);
      }
      texts.push(`${found.freshness} ${text}`);
    };
    world.run(instance, `lookup ${key}`, ask());
  }
  await world.time.pass(ms);
  if (texts.length < everybody.length) world.lie(`${key}: some had no answer within ${ms} ms`);
  return texts;
}

async function leftOver(world: World): Promise<void> {
  const { time } = world;
  await time.pass(2000);
  for (const instance of world.instances) {
    for (const [what, count] of Object.entries(instance.left)) {
      if (count > 0) world.lie(`${instance.name} has ${count} ${what} left`);
    }
    void instance.close();
  }
  await time.pass(5000);
  if (time.pending > 0) world.lie(`${time.pending} timers are left`);
}
