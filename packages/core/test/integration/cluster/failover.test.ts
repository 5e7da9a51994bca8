/**
 * Nodes of a Redis Cluster die, freeze, come back empty, are replaced by replicas that lag, and hand
 * slots to each other, while two instances work. Afterwards L3 is read with supabase-js alone.
 */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { eventually, type Instance, turns, until } from '../support.ts';
import { ClusterStage, slotOfKey } from './support.ts';

let stage: ClusterStage;
beforeAll(async () => {
  stage = await ClusterStage.start();
});
afterEach(async () => {
  await stage.revive();
  await stage.stage.closeInstances();
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
});

it('G1, G2, G4, G5, G12: a master is killed under load, writes pending, and its replica takes over: nothing is lost, no call fails', async () => {
  const [a, b] = await stage.two();
  const { master, replica } = await stage.pair();
  const keys = await stage.keysOn(master, 20);
  await Promise.all(keys.map((key, n) => a.records.set(key, { n })));
  const all = await stage.loads([a, b], master);
  await Promise.all(all.map((load) => load.goesOn(5)));
  await master.kill();
  await Promise.all(all.map((load) => load.goesOn(5)));
  await stage.cluster.takeOver(replica);
  await Promise.all(all.map((load) => load.goesOn(5)));
  for (const [n, key] of keys.entries()) expect(await a.records.get(key)).toEqual({ n });
  await stage.settled(all);
  for (const [n, key] of keys.entries()) {
    expect(await stage.stage.row(key)).toMatchObject({ value: { n } });
    expect(await b.records.get(key)).toEqual({ n });
  }
});

it('G1, G4: the replica that takes over lacks the last writes: nothing regresses, nothing is lost', async () => {
  const [a, b] = await stage.two();
  const { master, replica } = await stage.pair();
  const [settled = '', deleted = '', pending = '', fresh = ''] = await stage.keysOn(master, 4);
  const log = await stage.logOn(master);
  await a.records.set(settled, { n: 1 });
  await a.records.set(deleted, { n: 1 });
  await a.logs.append(log, turns(3, 'old'));
  await a.cache.sync();
  await a.records.set(pending, { n: 1 });
  await until(async () => (await master.command('WAIT 1 1000')) === '1', 'the replica has it');
  // What is on its way to a frozen process still arrives: the line to it goes as well.
  replica.freeze();
  await master.command('CLIENT KILL TYPE replica');
  await a.records.set(settled, { n: 2 });
  await a.records.delete(deleted);
  await a.cache.sync();
  expect(await a.records.set(pending, { n: 2 })).toMatchObject({ held: ['l2'] });
  expect(await a.records.set(fresh, { n: 1 })).toMatchObject({ held: ['l2'] });
  await a.logs.append(log, turns(3, 'new'));
  await b.logs.append(log, turns(3, 'other'));
  await master.kill();
  replica.thaw();
  await stage.cluster.takeOver(replica);
  expect(await a.records.get(pending)).toEqual({ n: 2 });
  expect(await b.records.get(settled)).toEqual({ n: 2 });
  expect(await b.records.get(deleted)).toBeUndefined();
  // Their writers notice, and drain.
  await eventually(async () => {
    expect(await b.records.get(pending)).toEqual({ n: 2 });
    expect(await b.records.get(fresh)).toEqual({ n: 1 });
    expect(await a.logs.read(log)).toHaveLength(9);
    expect(await b.logs.read(log)).toHaveLength(9);
  }, 10_000);
  await stage.calm([a, b]);
  expect(a.eventsOf('epoch').length).toBeGreaterThan(0);
  expect(await stage.stage.row(settled)).toMatchObject({ value: { n: 2 } });
  expect(await stage.stage.row(deleted)).toMatchObject({ deleted: true });
  expect((await stage.stage.items(log)).map(({ id }) => id)).toHaveLength(9);
  for (const key of [settled, pending, fresh]) await stage.stage.converges(key, [a, b]);
  await stage.stage.converges(log, [a, b], 'turns');
});

it('G3, G5: one node freezes: its breaker opens, the others answer from L2, and what is pending there is seen', async () => {
  const [a, b] = await stage.two();
  const { master } = await stage.pair();
  const [frozen = '', absent = '', pending = ''] = await stage.keysOn(master, 3);
  const healthy = await stage.keysOn(await otherThan(master.port), 5);
  await a.records.set(frozen, { n: 1 });
  await a.cache.sync();
  expect(await a.records.set(pending, { n: 7 })).toMatchObject({ held: ['l2'] });
  master.freeze();
  const opened = a.breaker.length;
  await givenUp([a, b], absent);
  for (const [n, key] of healthy.entries()) {
    expect(await a.records.set(key, { n })).toMatchObject({ held: ['l2'] });
    // In one turn with a key of the frozen node: that one goes to L3, this one does not.
    expect(await Promise.all([b.records.get(frozen), b.records.get(key)])).toEqual([
      { n: 1 },
      { n },
    ]);
  }
  // What it alone had from a writer that lives is in L3 before long.
  await eventually(async () => expect(await b.records.get(pending)).toEqual({ n: 7 }));
  expect(await a.records.set(frozen, { n: 2 })).toMatchObject({ held: ['l3'] });
  expect(await a.records.get(frozen)).toEqual({ n: 2 });
  // What the node can't be told of holds up nobody else's marks.
  for (const key of healthy) await a.records.update(key, () => ({ n: 9 }));
  // One is that of `frozen`, another may be that of `pending`.
  await until(async () => (await stage.stage.count('cache_bypass_marks')) <= 2, 'marks repaired');
  expect(await stage.stage.count('cache_bypass_marks')).toBeGreaterThan(0);
  expect(a.breaker).toHaveLength(opened);
  expect((await a.cache.health()).status).toBe('degraded');
  master.thaw();
  await eventually(() => {
    for (const one of [a, b]) expect(one.eventsOf('redis-node').at(-1)?.state).toBe('back');
  });
  await stage.calm([a, b]);
  await eventually(async () => expect(await b.records.get(frozen)).toEqual({ n: 2 }), 5000);
  for (const key of [frozen, pending, ...healthy]) await stage.stage.converges(key, [a, b]);
});

it('G3: while one node can not be heard, L1 is not served, however well the others are', async () => {
  const [a] = await stage.two();
  const { master } = await stage.pair();
  const [key = ''] = await stage.keysOn(await otherThan(master.port), 1);
  const [frozen = ''] = await stage.keysOn(master, 1);
  await a.records.set(key, { n: 1 });
  await eventually(async () => {
    expect(await a.records.lookup(key)).toMatchObject({ tier: 'l1' });
  });
  master.freeze();
  await givenUp([a], frozen);
  await until(() => !a.cache.stats().bus.connected, 'the bus is silent');
  const before = a.eventsOf('bus-alive').length;
  // Heartbeats go on, and are heard at the other two.
  await stage.beats(3);
  expect(a.eventsOf('bus-alive')).toHaveLength(before);
  expect(await a.records.lookup(key)).not.toMatchObject({ tier: 'l1' });
  master.thaw();
  await a.healthy();
});

it('G3: where a slot left its node and came back, which lets go of who listened to it, nobody stays behind', async () => {
  const [a, b] = await stage.two();
  const { master } = await stage.pair();
  const [key = ''] = await stage.keysOn(master, 1);
  const slot = slotOfKey('counts', key);
  await a.records.set(key, { n: 1 });
  await eventually(async () => {
    expect(await b.records.lookup(key)).toMatchObject({ tier: 'l1', value: { n: 1 } });
  });
  // The connections stay, and nobody says that they are deaf.
  await master.command(`CLUSTER DELSLOTS ${slot}`);
  await master.command(`CLUSTER ADDSLOTS ${slot}`);
  await a.records.set(key, { n: 2 });
  await eventually(async () => expect(await b.records.get(key)).toEqual({ n: 2 }));
  await stage.calm([a, b]);
});

it('G1, G3: one of three masters comes back empty: its writer drains, and the other nodes lose nothing', async () => {
  const [a, b] = await stage.two();
  const { master } = await stage.pair();
  const elsewhere = await stage.keysOn(await otherThan(master.port), 3);
  const keys = await stage.keysOn(master, 10);
  await Promise.all([...keys, ...elsewhere].map((key) => a.records.set(key, { n: 1 })));
  await a.cache.sync();
  await Promise.all(keys.map((key, n) => a.records.set(key, { n: n + 10 })));
  await master.restart();
  for (const [n, key] of keys.entries()) expect(await a.records.get(key)).toEqual({ n: n + 10 });
  await eventually(async () => {
    for (const [n, key] of keys.entries()) expect(await b.records.get(key)).toEqual({ n: n + 10 });
  }, 10_000);
  await stage.calm([a, b]);
  for (const [n, key] of keys.entries()) {
    expect(await stage.stage.row(key)).toMatchObject({ value: { n: n + 10 } });
  }
  for (const key of elsewhere) {
    expect((await b.cache.inspect('counts', key)).l2).toMatchObject({ pending: false });
  }
});

it('G4: a master that was frozen while it was replaced wakes up, and its word counts for nothing', async () => {
  const [a, b] = await stage.two();
  const { master, replica } = await stage.pair();
  const [key = '', other = ''] = await stage.keysOn(master, 2);
  await a.records.set(key, { n: 1 });
  await a.cache.sync();
  await b.records.get(key);
  master.freeze();
  const late = a.records.set(key, { n: 2 });
  await stage.cluster.takeOver(replica);
  await late;
  await b.records.set(other, { n: 3 });
  await a.records.delete(key);
  master.thaw();
  await stage.calm([a, b]);
  await eventually(async () => {
    for (const { records } of [a, b]) {
      expect(await records.get(key)).toBeUndefined();
      expect(await records.get(other)).toEqual({ n: 3 });
    }
  });
  expect(await stage.stage.row(key)).toMatchObject({ deleted: true });
  for (const one of [key, other]) await stage.stage.converges(one, [a, b]);
});

it('G1, G2, G4, G5: a slot moves to another node under load, key by key: no call fails, nothing is lost', async () => {
  const [a, b] = await stage.two();
  const { master } = await stage.pair();
  const all = await stage.loads([a, b], master);
  await Promise.all(all.map((load) => load.goesOn(5)));
  const slot = slotOfKey('turns', all[0]?.log ?? '');
  const to = await otherThan(master.port);
  await stage.cluster.moveSlot(slot, to, async () => {
    await Promise.all(all.map((load) => load.goesOn(5)));
  });
  await Promise.all(all.map((load) => load.goesOn(5)));
  await stage.settled(all);
  expect((await stage.nodeOf(all[0]?.log ?? '', 'turns')).port).toBe(to.port);
});

/** These instances ask for a key of a node that does not answer until they ask it no more. */
async function givenUp(instances: readonly Instance[], key: string): Promise<void> {
  await until(async () => {
    await Promise.all(instances.map(({ records }) => records.get(key)));
    const isAway = (one: Instance) =>
      one.eventsOf('redis-node').some(({ state }) => state === 'away');
    return instances.every(isAway);
  }, 'the node is given up');
}

/** Another master. */
async function otherThan(port: number) {
  for (const slot of [100, 6000, 12_000, 16_000]) {
    const node = await stage.cluster.masterOf(slot);
    if (node.port !== port) return node;
  }
  throw new Error('one node has all slots');
}
