/** Many writers at once on two instances: nothing is lost, nothing doubled, one order. */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { ConflictError } from '../../../src/index.ts';
import { type Count, eventually, type Instance, Stage, turn, turns } from '../support.ts';

let stage: Stage;
let a: Instance;
let b: Instance;
beforeAll(async () => {
  stage = await Stage.start();
});
afterEach(async () => {
  await stage.closeInstances();
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
});

async function two(): Promise<void> {
  const options = { l2: { timeout: 5000 }, l3: { timeout: 15_000 } };
  [a, b] = await Promise.all([stage.ready(options), stage.ready(options)]);
}

const add = (current: Count | undefined): Count => ({ n: (current?.n ?? 0) + 1 });

it('G12: 1,000 concurrent appends to one log through two instances: all there, none twice, one order everywhere', async () => {
  await two();
  const key = stage.key('call');
  const all = turns(1000);
  await Promise.all(all.map((one, i) => (i % 2 ? a : b).logs.append(key, one)));
  const [here, there] = await Promise.all([a.logs.read(key), b.logs.read(key)]);
  const order = here.map(({ id }) => id);
  expect(order).toHaveLength(1000);
  expect(new Set(order)).toEqual(new Set(all.map(({ id }) => id)));
  expect(there.map(({ id }) => id)).toEqual(order);
  expect(await a.cache.sync()).toMatchObject({ failed: 0, remaining: 0, unknown: false });
  expect((await stage.items(key)).map(({ id }) => id)).toEqual(order);
  await stage.converges(key, [a, b], 'turns');
  expect((await b.logs.read(key)).map(({ id }) => id)).toEqual(order);
});

it('G12: appends while syncs run, retried and sent twice, are there once, in one order', async () => {
  await two();
  const key = stage.key('call');
  const all = turns(300);
  let isOver = false;
  const syncing = (async () => {
    while (!isOver) await Promise.all([a.cache.sync(), b.cache.scope('call', key).flush()]);
  })();
  for (let start = 0; start < all.length; start += 20) {
    const piece = all.slice(start, start + 20);
    await Promise.all(piece.flatMap((one) => [a.logs.append(key, one), b.logs.append(key, one)]));
    const ids = (await a.logs.read(key)).map(({ id }) => id);
    expect(ids).toHaveLength(start + 20);
    expect((await b.logs.read(key)).map(({ id }) => id)).toEqual(ids);
  }
  isOver = true;
  await syncing;
  await Promise.all([a.cache.sync(), b.cache.sync()]);
  const rows = (await stage.items(key)).map(({ id }) => id);
  expect(rows).toHaveLength(300);
  for (const { logs } of [a, b]) expect((await logs.read(key)).map(({ id }) => id)).toEqual(rows);
  await stage.converges(key, [a, b], 'turns');
});

it('G12: 200 concurrent updates that each add one, through two instances: 200', async () => {
  await two();
  const key = stage.key();
  await Promise.all(
    Array.from({ length: 200 }, (_, i) => (i % 2 ? a : b).records.update(key, add)),
  );
  expect(await stage.row(key)).toMatchObject({ value: { n: 200 } });
  await eventually(async () => {
    expect(await a.records.get(key)).toEqual({ n: 200 });
    expect(await b.records.get(key)).toEqual({ n: 200 });
  });
  await stage.converges(key, [a, b]);
});

it('G12: updates through an instance that is cut off from Redis and one that is not compose', async () => {
  const proxy = await stage.proxyToRedis();
  const l3 = { timeout: 15_000 };
  a = await stage.ready({ l2: { timeout: 5000 }, l3 });
  b = await stage.ready({ l2: { timeout: 100, url: proxy.url }, l3 });
  const key = stage.key();
  await a.records.set(key, { n: 0 });
  proxy.cut();
  await Promise.all(Array.from({ length: 60 }, (_, i) => (i % 2 ? a : b).records.update(key, add)));
  expect(await stage.row(key)).toMatchObject({ value: { n: 60 } });
  proxy.heal();
  await b.healthy();
  await eventually(async () => {
    expect(await a.records.get(key)).toEqual({ n: 60 });
    expect(await b.records.get(key)).toEqual({ n: 60 });
  });
});

it('G12: of concurrent creates exactly one wins, of a record and of a log', async () => {
  await two();
  for (let round = 0; round < 10; round += 1) {
    const key = stage.key();
    const creates = await Promise.allSettled([
      ...[1, 2, 3, 4].map((n) => (n % 2 ? a : b).records.create(key, { n })),
    ]);
    const winners = creates.flatMap((one, i) => (one.status === 'fulfilled' ? [i + 1] : []));
    expect(winners).toHaveLength(1);
    for (const one of creates) {
      if (one.status === 'rejected') expect(one.reason).toBeInstanceOf(ConflictError);
    }
    await eventually(async () => {
      for (const { records } of [a, b]) expect(await records.get(key)).toEqual({ n: winners[0] });
    });
    const logs = await Promise.allSettled(
      [1, 2, 3, 4].map((n) => (n % 2 ? a : b).logs.create(key, turn(String(n)))),
    );
    const first = logs.flatMap((one, i) => (one.status === 'fulfilled' ? [String(i + 1)] : []));
    expect(first).toHaveLength(1);
    expect((await b.logs.read(key)).map(({ id }) => id)).toEqual(first);
  }
});

it('G12: of concurrent sets upon the same version exactly one wins', async () => {
  await two();
  const key = stage.key();
  const { version } = await a.records.set(key, { n: 0 }, { ifVersion: 'absent' });
  const sets = await Promise.allSettled(
    Array.from({ length: 10 }, (_, i) =>
      (i % 2 ? a : b).records.set(key, { n: i + 1 }, { ifVersion: version }),
    ),
  );
  const won = sets.flatMap((one, i) => (one.status === 'fulfilled' ? [i + 1] : []));
  expect(won).toHaveLength(1);
  expect(await stage.row(key)).toMatchObject({ value: { n: won[0] } });
});

it('G12: an exact write goes by what L3 holds, not by an older copy that Redis still has', async () => {
  const proxy = await stage.proxyToRedis();
  a = await stage.ready({ l2: { timeout: 5000 } });
  b = await stage.ready({ l2: { timeout: 100, url: proxy.url, breaker: { failures: 1 } } });
  proxy.cut();
  await b.said('breaker', ({ to }) => to === 'OPEN');
  for (let round = 0; round < 5; round += 1) {
    const key = stage.key();
    await a.records.set(key, { n: 1 }, { durability: 'through' });
    const { version } = await b.records.set(key, { n: 2 });
    // Redis has not been told yet.
    const seen: unknown[] = [];
    await a.records.update(key, (current) => {
      seen.push(current);
      return undefined;
    });
    expect(seen.at(-1)).toEqual({ n: 2 });
    await a.records.set(key, { n: 3 }, { ifVersion: version });
    expect(await stage.row(key)).toMatchObject({ value: { n: 3 } });
    const error = await a.records.set(key, { n: 4 }, { ifVersion: version }).catch((e) => e);
    expect(error).toBeInstanceOf(ConflictError);
  }
  // So that it can say goodbye.
  proxy.heal();
  await b.healthy();
});

it('G4: sets and deletes of the same keys through two instances, with syncs between them, converge', async () => {
  await two();
  const keys = Array.from({ length: 5 }, () => stage.key());
  let n = 0;
  for (let round = 0; round < 15; round += 1) {
    const writes = keys.flatMap((key) =>
      [a, b].map(({ records }) => {
        n += 1;
        return n % 5 === 0 ? records.delete(key) : records.set(key, { n });
      }),
    );
    await Promise.all([...writes, ...(round % 3 ? [a.cache.sync(), b.cache.sync()] : [])]);
  }
  await a.cache.sync();
  await b.cache.sync();
  for (const key of keys) {
    await stage.converges(key, [a, b]);
    const row = await stage.row(key);
    const value = row?.deleted ? undefined : row?.value;
    for (const { records } of [a, b]) {
      await eventually(async () => expect(await records.get(key)).toEqual(value));
    }
  }
});
