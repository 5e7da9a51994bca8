/**
 * One rule of the protocol each, attacked in the shortest way that there is: the real core on
 * virtual time, one server at fault, and one moment at which a build without the rule answers
 * wrong. What seeded schedules find sooner or later is found here at once, and named.
 */
import { beforeEach, expect, it } from 'vitest';
import { UnavailableError } from '../../../src/errors.ts';
import { address } from '../../../src/model/key.ts';
import { SimulatedInstance } from './instance.ts';
import { DurableHost, RedisHost } from './servers.ts';
import { VirtualTime } from './virtual-time.ts';

const KEY = 'a';

let time: VirtualTime;
let redis: RedisHost;
let l3: DurableHost;

beforeEach(() => {
  time = new VirtualTime(1);
  redis = new RedisHost();
  l3 = new DurableHost(time);
});

/** Instances that are healthy. */
async function instances(count: number): Promise<SimulatedInstance[]> {
  const names = Array.from({ length: count }, (_, i) => `i${i}`);
  const all = names.map((name) => new SimulatedInstance(name, time, redis, l3, 0));
  await time.pass(500);
  expect(all.map((one) => one.isHealthy)).toEqual(all.map(() => true));
  return all;
}

/** Time passes until this is over. */
async function during<T>(work: Promise<T>): Promise<T> {
  let isOver = false;
  const watched = work.finally(() => {
    isOver = true;
  });
  watched.catch(() => {});
  for (let waits = 0; !isOver && waits < 5000; waits += 1) await time.pass(5);
  expect(isOver, 'the call ended').toBe(true);
  return await watched;
}

/** What Redis holds, whatever instances think. */
function inRedis(): number {
  return redis.model.dump().entries[address('numbers', KEY).id]?.version ?? 0;
}

it('G3: a write that went around Redis leaves a mark, and Redis does not go on serving what it replaced', async () => {
  const [writer, reader] = await instances(2);
  if (writer === undefined || reader === undefined) throw new Error('two instances');
  await during(writer.records.set(KEY, 1));
  await during(writer.sync());
  const old = await during(reader.version(KEY));
  writer.line.cut();
  const { version, held } = await during(writer.records.set(KEY, 2));
  expect(held).toEqual(['l3']);
  expect(inRedis(), 'Redis was gone around').toBe(old);
  expect(l3.model.marks(10), 'the mark of a write that went around Redis').toMatchObject([
    { stamp: { version } },
  ]);
  // The writer stays away: somebody else has to bring Redis up to date.
  await time.pass(3000);
  expect(await during(reader.version(KEY)), 'two seconds after a bypass').toBe(version);
});

it('G2: a read is never below an own write, although Redis still holds what that replaced', async () => {
  const [one] = await instances(1);
  if (one === undefined) throw new Error('one instance');
  await during(one.records.set(KEY, 1));
  await during(one.sync());
  const old = inRedis();
  one.line.cut();
  const { version, held } = await during(one.records.set(KEY, 2));
  one.line.heal();
  await time.pass(150);
  expect([held, one.isHealthy], 'it went around Redis, which is back').toEqual([['l3'], true]);
  expect(inRedis(), 'Redis was not told yet').toBe(old);
  expect(await during(one.version(KEY)), 'the outbox is a floor for what Redis says').toBe(version);
});

it('G2: what only L3 could say is unavailable while it is away, and not absent', async () => {
  const [writer, reader] = await instances(2);
  if (writer === undefined || reader === undefined) throw new Error('two instances');
  await during(writer.records.set(KEY, 1));
  await during(writer.sync());
  redis.model.empty();
  await time.pass(3000);
  l3.state = 'down';
  const answer = await during(
    reader.records.get(KEY).then(
      (value) => ({ value }),
      (error: unknown) => error,
    ),
  );
  expect(answer, '"I can not know" is not "there is none"').toBeInstanceOf(UnavailableError);
});

it('G3: what a read brings back is not kept in L1 where a newer write was heard of meanwhile', async () => {
  const [one, other] = await instances(2);
  if (one === undefined || other === undefined) throw new Error('two instances');
  await during(one.records.set(KEY, 1));
  const { id } = address('numbers', KEY);
  const ticket = one.copies.enter(id);
  const read = one.copies.get(id);
  if (read === undefined) throw new Error('L1 holds its own write');
  const { version } = await during(other.records.set(KEY, 2));
  await during(other.sync());
  await during(one.sync());
  // The read that began before the other's write ends after it was heard of.
  one.copies.offer(ticket, read);
  one.copies.leave(ticket);
  expect(await during(one.version(KEY)), 'a copy without a valid ticket').toBe(version);
});
