/** A Redis Cluster in which nothing goes wrong: everything works across its slots. */
import { Cluster } from 'ioredis';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { eventually, turns } from '../support.ts';
import { ClusterStage } from './support.ts';

let stage: ClusterStage;
beforeAll(async () => {
  stage = await ClusterStage.start();
});
afterEach(async () => {
  await stage.stage.closeInstances();
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
});

it('G3, G4: records on every node are set, read, changed and deleted, one by one and many at once', async () => {
  const [a, b] = await stage.two();
  const keys = Array.from({ length: 60 }, () => stage.stage.key());
  const nodes = new Set(await Promise.all(keys.map(async (key) => (await stage.nodeOf(key)).port)));
  expect(nodes.size).toBe(3);
  const receipts = await Promise.all(keys.map((key, n) => a.records.set(key, { n })));
  expect(new Set(receipts.map(({ held }) => String(held)))).toEqual(new Set(['l2']));
  const read = await b.records.getMany(keys);
  expect([...read.values()]).toEqual(keys.map((_, n) => ({ n })));
  await eventually(async () => {
    for (const [n, key] of keys.entries()) {
      expect(await b.records.lookup(key)).toMatchObject({ tier: 'l1', value: { n } });
    }
  }, 5000);
  const [first = '', second = '', ...rest] = keys;
  await a.records.update(first, (value) => ({ n: (value?.n ?? 0) + 1000 }));
  await a.records.delete(second);
  await eventually(async () => {
    expect(await b.records.get(first)).toEqual({ n: 1000 });
    expect(await b.records.get(second)).toBeUndefined();
  }, 5000);
  expect(await a.cache.sync()).toMatchObject({ failed: 0, remaining: 0, unknown: false });
  expect(await stage.stage.row(second)).toMatchObject({ deleted: true });
  for (const key of rest.slice(0, 10)) await stage.stage.converges(key, [a, b]);
});

it('G12: logs on every node are appended to by two instances, and read whole', async () => {
  const [a, b] = await stage.two();
  const logs = Array.from({ length: 9 }, () => stage.stage.key('call'));
  await Promise.all(
    logs.flatMap((log) => [
      ...turns(4, 'a').map((item) => a.logs.append(log, item)),
      ...turns(4, 'b').map((item) => b.logs.append(log, item)),
    ]),
  );
  for (const log of logs) {
    const read = (await a.logs.read(log)).map(({ id }) => id);
    expect(read).toHaveLength(8);
    expect((await b.logs.read(log)).map(({ id }) => id)).toEqual(read);
  }
  expect(await b.cache.sync()).toMatchObject({ failed: 0, remaining: 0, unknown: false });
  for (const log of logs) {
    expect(await stage.stage.items(log)).toHaveLength(8);
    await stage.stage.converges(log, [a, b], 'turns');
  }
});

it('G3, G11: a derived value is loaded once for the fleet on every node, and a tag is told to all', async () => {
  const [a, b] = await stage.two();
  let loads = 0;
  const options = {
    load: async (key: string) => {
      loads += 1;
      return `${key} ${loads}`;
    },
    tags: () => ['crm'],
  };
  const [one, two] = [a.cache.derived('names', options), b.cache.derived('names', options)];
  const keys = Array.from({ length: 12 }, (_, i) => `k${i}`);
  await Promise.all(keys.flatMap((key) => [one.get(key), two.get(key)]));
  expect(loads).toBe(12);
  await a.cache.invalidateTags(['crm']);
  await eventually(async () => {
    for (const key of keys) expect(Number((await two.get(key)).split(' ')[1])).toBeGreaterThan(12);
  }, 5000);
  expect(loads).toBe(24);
});

it("a caller's own Cluster is copied from, never used, and left open", async () => {
  const nodes = stage.cluster.nodes.map(({ host, port }) => ({ host, port }));
  const client = new Cluster(nodes, { keyPrefix: 'theirs:' });
  try {
    const a = await stage.stage.ready({ l2: { url: undefined, client } });
    const b = await stage.ready();
    const keys = Array.from({ length: 20 }, () => stage.stage.key());
    await Promise.all(keys.map((key, n) => a.records.set(key, { n })));
    for (const [n, key] of keys.entries()) expect(await b.records.get(key)).toEqual({ n });
    await stage.stage.close(a);
    expect(await client.set('x', '1')).toBe('OK');
  } finally {
    client.disconnect();
  }
});

it('health speaks of all nodes together', async () => {
  const a = await stage.ready();
  const health = await a.cache.health();
  expect(health).toMatchObject({ status: 'ok', redis_cache: { connected: true } });
  // 16 metas, and what the others have written.
  expect(health.redis_cache?.dbSize).toBeGreaterThanOrEqual(16);
});
