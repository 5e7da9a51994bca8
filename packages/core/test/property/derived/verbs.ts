/** What callers do in a schedule. Every answer is judged; whatever ends values is noted. */
import { CacheError } from '../../../src/errors.ts';
import { address, scopeOf as checkedScope } from '../../../src/model/key.ts';
import type { LoadContext } from '../../../src/read/load.ts';
import type { DerivedInstance } from './instance.ts';
import { isBatched, KEYS, scopeOf, TAGS, textOf, type Value } from './values.ts';
import { Aborted, type World } from './world.ts';

type Verb = (world: World, instance: DerivedInstance, key: string) => Promise<void>;

const VERBS: readonly (readonly [weight: number, name: string, verb: Verb])[] = [
  [20, 'lookup', lookup],
  [6, 'crowd', crowd],
  [4, 'get', get],
  [4, 'getOrSet', getOrSet],
  [4, 'getMany', getMany],
  [5, 'peek', peek],
  [4, 'aborted lookup', aborted],
  [4, 'refresh', refresh],
  [8, 'set', set],
  [6, 'delete', removeAndRead],
  [7, 'invalidate', invalidate],
  [2, 'erase', erase],
  [2, 'broken set', brokenSet],
  [4, 'evict', evict],
];
const WEIGHTED = VERBS.flatMap(([weight, name, verb]) =>
  Array.from({ length: weight }, () => ({ name, verb })),
);

/** One of the keys is in demand. */
const [HOT_KEY = ''] = KEYS;

/** Somebody does something. */
export function act(world: World): void {
  const { time } = world;
  const instance = time.pick(world.instances);
  const key = time.chance(0.3) ? HOT_KEY : time.pick(KEYS);
  const { name, verb } = time.pick(WEIGHTED);
  world.run(instance, `${name} ${key}`, verb(world, instance, key));
}

// ------------------------------------------------------------ reading

async function lookup(
  world: World,
  instance: DerivedInstance,
  key: string,
  signal?: AbortSignal,
): Promise<void> {
  const { time } = world;
  const deadline = time.chance(0.1) ? 100 : 4000;
  const question = world.question(instance, key);
  const until = time.now + deadline;
  try {
    const found = await instance.space(key).lookup(key, { deadline, signal });
    world.judge(question, found.value, found.freshness);
  } finally {
    const isLate = instance.isAlive && time.now > until;
    if (isLate) world.lie('G5: a lookup took longer than its deadline');
  }
}

/** Several ask at once, here and elsewhere. */
async function crowd(world: World, instance: DerivedInstance, key: string): Promise<void> {
  for (const one of [instance, ...world.instances]) {
    world.run(one, `one of a crowd ${key}`, lookup(world, one, key));
  }
}

async function get(world: World, instance: DerivedInstance, key: string): Promise<void> {
  const question = world.question(instance, key);
  world.judge(question, await instance.space(key).get(key));
}

async function getOrSet(world: World, instance: DerivedInstance, key: string): Promise<void> {
  const question = world.question(instance, key);
  const value = await instance
    .space(key)
    .getOrSet(key, (_, context: LoadContext<Value>) => instance.load(key, context));
  world.judge(question, value);
}

async function getMany(world: World, instance: DerivedInstance): Promise<void> {
  const keys = KEYS.filter(isBatched);
  const questions = keys.map((key) => world.question(instance, key));
  const found = await instance.batched.getMany(keys);
  // Each may have waited for the other.
  for (const question of questions) {
    world.judge(question, found.get(question.key), undefined, question.asked.at);
  }
}

async function peek(world: World, instance: DerivedInstance, key: string): Promise<void> {
  const question = world.question(instance, key);
  const value = await instance.space(key).peek(key);
  if (value !== undefined) world.judge(question, value, 'fresh');
}

async function aborted(world: World, instance: DerivedInstance, key: string): Promise<void> {
  const controller = new AbortController();
  world.time.after(world.time.below(100), () => controller.abort(new Aborted()));
  await lookup(world, instance, key, controller.signal);
}

async function refresh(world: World, instance: DerivedInstance, key: string): Promise<void> {
  const question = world.question(instance, key);
  const value = await instance.space(key).refresh(key);
  // It was loaded since; storing it in every tier may have taken long.
  world.judge(question, value, 'fresh', question.asked.at);
}

// ------------------------------------------------------------ changing

async function set(world: World, instance: DerivedInstance, key: string): Promise<void> {
  const value = world.source.newValue();
  const told = world.oracle.setting(instance.name, key, value);
  world.trace(`${instance.name} sets ${key} to ${textOf(value)}`);
  try {
    await instance.space(key).set(key, value);
    told.acknowledged();
    await readBack(world, instance, key);
  } catch (error) {
    told.rejected(error instanceof CacheError ? error.outcome : 'unknown');
    throw error;
  }
}

export async function remove(world: World, instance: DerivedInstance, key: string): Promise<void> {
  const acknowledged = world.oracle.ending(instance.name, 'a delete', { key });
  await instance.space(key).delete(key);
  acknowledged();
}

async function removeAndRead(world: World, instance: DerivedInstance, key: string): Promise<void> {
  await remove(world, instance, key);
  await readBack(world, instance, key);
}

/** Who changed something may look at it at once, before any message has come. */
async function readBack(world: World, instance: DerivedInstance, key: string): Promise<void> {
  if (world.time.chance(0.3)) world.run(instance, `lookup ${key}`, lookup(world, instance, key));
}

/** The connection breaks while a value is set; soon after that the key is deleted. */
async function brokenSet(world: World, instance: DerivedInstance, key: string): Promise<void> {
  const { time, family } = world;
  if (family !== 'lines' && family !== 'all') return;
  time.after(time.below(5), () => instance.line.lose());
  time.after(150 + time.below(200), () =>
    world.run(instance, `delete ${key}`, remove(world, instance, key)),
  );
  await set(world, instance, key);
}

async function invalidate(world: World, instance: DerivedInstance, key: string): Promise<void> {
  const { time } = world;
  const tag = time.chance(0.8) ? time.pick(TAGS) : `key ${key}`;
  const tags = time.chance(0.3) ? [tag, time.pick(TAGS)] : [tag];
  const what = `an invalidation of ${tags.join(' and ')}`;
  world.trace(`${instance.name} ${what}`);
  const acknowledged = world.oracle.ending(instance.name, what, { tags });
  await instance.invalidateTags(tags);
  acknowledged();
}

async function erase(world: World, instance: DerivedInstance, key: string): Promise<void> {
  const [kind, scope] = scopeOf(key);
  const acknowledged = world.oracle.ending(instance.name, 'an erasure', { scope });
  if (await instance.erase(checkedScope(kind, scope))) acknowledged();
}

/** Memory is short, in L1 or in Redis. */
async function evict(world: World, instance: DerivedInstance, key: string): Promise<void> {
  const { derived } = world.redis;
  const roll = world.time.below(10);
  const of = address(instance.space(key).name, key);
  if (roll < 6) instance.evict(key);
  else if (roll < 8) derived.evict('entry', of);
  else if (roll < 9) derived.evict('lease', of);
  else derived.loseNotes(0);
}
