/**
 * An orderly end leaves no more behind than it says, whatever is under way when it begins.
 */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { REGISTRY_KEY } from '../../../src/tiers/redis/keys.ts';
import { Stage, turn } from '../support.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterEach(async () => {
  await stage.revive();
  await stage.closeInstances();
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
});

it('G1: a write under way when its process closes is acknowledged, and in Supabase, wherever it was', async () => {
  for (let later = 0; later < 12; later += 1) {
    const one = await stage.ready();
    const call = stage.key('call');
    const writes = [one.records.set(call, { n: 1 }), one.logs.append(call, turn('a'))];
    const outcomes = Promise.allSettled(writes);
    for (let turns = 0; turns < later; turns += 1) await new Promise(setImmediate);
    await one.cache.close();
    const of = `closed after ${later} turns`;
    const held = { status: 'fulfilled', value: { held: ['l2'] } };
    expect(await outcomes, of).toMatchObject([held, held]);
    expect(await stage.row(call), of).toMatchObject({ value: { n: 1 } });
    expect(await stage.items(call), of).toHaveLength(1);
    expect(one.eventsOf('closed'), of).toEqual([{ type: 'closed', pending: 0 }]);
  }
});

it('G1: an update under way when its process closes comes to its end', async () => {
  const one = await stage.ready();
  const key = stage.key();
  const updates = Promise.allSettled([1, 2].map((n) => one.records.update(key, () => ({ n }))));
  await one.cache.close();
  expect((await updates).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
  expect(await stage.row(key)).toMatchObject({ value: { n: 2 } });
});

it('G1: who closes while a write hangs brings the others to Supabase, and stays to be adopted', async () => {
  const one = await stage.ready();
  const key = stage.key();
  await one.records.set(key, { n: 1 });
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<{ n: number }>();
  const update = one.records.update(stage.key(), () => {
    asked.resolve();
    return answer.promise;
  });
  const ended = Promise.allSettled([update]);
  await asked.promise;
  const before = await stage.redis.zscore(REGISTRY_KEY, await registered());
  await one.cache.close({ deadline: '2s' });
  expect(await stage.row(key)).toMatchObject({ value: { n: 1 } });
  const after = await stage.redis.zscore(REGISTRY_KEY, await registered());
  expect(Number(after), 'known, and dead').toBeLessThan(Number(before));
  answer.resolve({ n: 2 });
  expect(await ended).toMatchObject([{ status: 'rejected' }]);
});

/** The only instance that Redis knows of. */
async function registered(): Promise<string> {
  const instances = await stage.redis.zrange(REGISTRY_KEY, '0', '-1');
  expect(instances).toHaveLength(1);
  return instances[0] ?? '';
}
