/** A Redis whose memory is full and that evicts nothing: writes go around it, nothing is lost. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventually, type Instance, Stage, turn, turns } from '../support.ts';

let stage: Stage;
let a: Instance;
let b: Instance;
beforeAll(async () => {
  stage = await Stage.start({ redis: { maxmemory: '100mb', policy: 'noeviction' } });
  [a, b] = await Promise.all([stage.ready(), stage.ready()]);
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
});

/** Less than an empty Redis takes: everything that could grow is refused. */
async function fill(): Promise<void> {
  await stage.redis.config('SET', 'maxmemory', '100kb');
}

async function makeRoom(): Promise<void> {
  await stage.redis.config('SET', 'maxmemory', '100mb');
}

it('G1, G4: with memory full, what was pending is settled, new writes go to L3, and no older copy is served', async () => {
  const key = stage.key();
  const late = stage.key();
  await a.records.set(key, { n: 1 });
  await a.logs.append(key, turns(3));
  await b.records.get(key);
  await fill();
  expect((await a.records.set(late, { n: 1 })).held).toEqual(['l3']);
  await a.said('l2-full');
  expect((await a.logs.append(key, turn('late'))).held).toEqual(['l3']);
  expect((await a.logs.read(key)).map(({ id }) => id)).toEqual(['t0', 't1', 't2', 'late']);
  expect(await a.cache.sync()).toMatchObject({ failed: 0, remaining: 0, unknown: false });
  expect(await stage.pending()).toBe(0);
  expect((await a.records.set(key, { n: 2 })).held).toEqual(['l3']);
  await eventually(async () => expect(await b.records.get(key)).toEqual({ n: 2 }));
  await eventually(async () => expect(await b.logs.read(key)).toHaveLength(4));
  expect(await b.records.get(late)).toEqual({ n: 1 });
  expect(await b.records.update(key, (c) => ({ n: (c?.n ?? 0) + 1 }))).toMatchObject({
    value: { n: 3 },
  });
  await b.records.delete(late);
  await eventually(async () => expect(await a.records.get(late)).toBeUndefined());
  expect(a.breaker).toEqual([]);
  await makeRoom();
  await eventually(async () => {
    expect((await a.records.set(key, { n: 4 })).held).toEqual(['l2']);
  });
  await a.cache.sync();
  await stage.converges(key, [a, b]);
  await stage.converges(key, [a, b], 'turns');
  expect((await stage.items(key)).map(({ id }) => id)).toEqual(['t0', 't1', 't2', 'late']);
});
