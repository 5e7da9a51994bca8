import { runningServers, startRedisCluster, startRedisSentinel } from '@cache/testing';
import { expect, test, vi } from 'vitest';

// Six servers are started, and one of them has to be missed, on machines that others use too.
vi.setConfig({ testTimeout: 120_000 });

const FOO = 12_182; // the slot of the key "foo"

test('a cluster of six nodes, in which a replica takes over what a killed master had', async () => {
  const cluster = await startRedisCluster({ password: 'p4ss' });
  try {
    expect(cluster.nodes).toHaveLength(6);
    const master = await cluster.masterOf(FOO);
    const replica = await cluster.replicaOf(master);
    expect(master.url).toBe(`redis://:p4ss@127.0.0.1:${master.port}`);
    await master.command('SET foo before');
    expect(await master.command('WAIT 1 5000')).toBe('1');
    await master.kill();
    expect([master.isAlive, replica.isAlive]).toEqual([false, true]);
    await cluster.takeOver(replica);
    expect((await cluster.masterOf(FOO)).port).toBe(replica.port);
    expect(await replica.command('GET foo')).toBe('before');
    const other = await cluster.masterOf(0);
    let halfway = 0;
    await cluster.moveSlot(FOO, other, async () => {
      halfway += 1;
    });
    expect([halfway, (await cluster.masterOf(FOO)).port]).toEqual([1, other.port]);
    expect(await other.command('GET foo')).toBe('before');
    await expect(replica.command('GET foo')).rejects.toThrow();
    const pid = master.pid;
    await master.restart();
    expect(master.pid).not.toBe(pid);
    expect(await master.command('DBSIZE')).toBe('0');
  } finally {
    await cluster.close();
  }
  expect(runningServers()).toEqual([]);
});

test('a Sentinel names another primary when it is told to, whether the first one lives or not', async () => {
  const group = await startRedisSentinel({ password: 'p4ss', name: 'calls' });
  try {
    const first = await group.primary();
    await group.failover();
    const second = await group.primary();
    expect(second.port).not.toBe(first.port);
    await group.complete();
    await second.kill();
    await group.failover();
    expect((await group.primary()).port).toBe(first.port);
  } finally {
    await group.close();
  }
  expect(runningServers()).toEqual([]);
});
