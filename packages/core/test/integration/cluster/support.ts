/** Caches on a Redis Cluster of six processes, and a look at which node has what. */
import { type RedisCluster, type RedisNode, startRedisCluster } from '@cache/testing';
import { expect } from 'vitest';
import type { RedisOptions } from '../../../src/index.ts';
import { address, shardOf } from '../../../src/model/key.ts';
import { hashTagOf } from '../../../src/tiers/redis/keys.ts';
import { claimsIn, ownersOf, slotOf } from '../../../src/tiers/redis/slots.ts';
import { Load } from '../faults/load.ts';
import { eventually, type Instance, type InstanceOptions, Stage, until } from '../support.ts';

const SHARDS = 16;
const SLOTS_OF_SHARDS = Array.from({ length: SHARDS }, (_, shard) => slotOf(hashTagOf(shard)));
export const TIMEOUT_MS = 200;

/** The slot that a record's or a log's shard is in. */
export function slotOfKey(namespace: string, key: string): number {
  return slotOf(hashTagOf(shardOf(address(namespace, key), SHARDS)));
}

export class ClusterStage implements AsyncDisposable {
  readonly stage: Stage;
  readonly cluster: RedisCluster;

  private constructor(stage: Stage, cluster: RedisCluster) {
    this.stage = stage;
    this.cluster = cluster;
  }

  static async start(): Promise<ClusterStage> {
    const [stage, cluster] = await Promise.all([Stage.start(), startRedisCluster()]);
    return new ClusterStage(stage, cluster);
  }

  /** What a cache is told of the cluster: two of its nodes. */
  get l2(): Partial<RedisOptions> {
    const cluster = this.cluster.nodes.slice(1, 3).map(({ host, port }) => ({ host, port }));
    const breaker = { failures: 3, reset: 100, trial: 2 };
    return { url: undefined, cluster, timeout: TIMEOUT_MS, breaker };
  }

  ready(options: Omit<InstanceOptions, 'l2'> = {}): Promise<Instance> {
    return this.stage.ready({ ...options, l2: this.l2 });
  }

  two(): Promise<[Instance, Instance]> {
    return Promise.all([this.ready(), this.ready()]);
  }

  /** A node that serves some of our shards. */
  nodeOf(key: string, namespace = 'counts'): Promise<RedisNode> {
    return this.cluster.masterOf(slotOfKey(namespace, key));
  }

  /** Keys of records that are on this node, no two tests have the same. */
  async keysOn(node: RedisNode, count: number): Promise<readonly string[]> {
    const ports = await this.#ports();
    const keys: string[] = [];
    while (keys.length < count) {
      const key = this.stage.key();
      if (ports.get(slotOfKey('counts', key)) === node.port) keys.push(key);
    }
    return keys;
  }

  /** The ports of the nodes that have our slots, by the word of all that live. */
  async #ports(): Promise<ReadonlyMap<number, number | undefined>> {
    const living = this.cluster.nodes.filter(({ isAlive, isFrozen }) => isAlive && !isFrozen);
    const views = living.map(async (node) =>
      claimsIn(await node.command('CLUSTER NODES'), node, false),
    );
    const owners = ownersOf(SLOTS_OF_SHARDS, await Promise.all(views));
    return new Map(SLOTS_OF_SHARDS.map((slot, shard) => [slot, owners[shard]?.port]));
  }

  /** A master, never the one that has the registry of instances, and a replica that has all it has. */
  async pair(): Promise<{ readonly master: RedisNode; readonly replica: RedisNode }> {
    let found: { master: RedisNode; replica: RedisNode } | undefined;
    await until(async () => {
      for (const replica of this.cluster.nodes) {
        const info = await replica.command('INFO replication');
        if (!info.includes('master_link_status:up')) continue;
        const port = Number(/master_port:(\d+)/.exec(info)?.[1]);
        const master = this.cluster.nodes.find((node) => node.port === port);
        const isFit = master !== undefined && (await this.#isFit(master));
        if (isFit) found = { master, replica };
      }
      return found !== undefined;
    }, 'a master with a replica');
    if (found === undefined) throw new Error('unreachable');
    return found;
  }

  async #isFit(node: RedisNode): Promise<boolean> {
    const [first, ...others] = [...(await this.#ports()).values()];
    return first !== node.port && others.includes(node.port);
  }

  /** Resolves when this instance has sent so many more heartbeats. */
  async beats(count: number): Promise<void> {
    const node = await this.cluster.masterOf(SLOTS_OF_SHARDS[0] ?? 0);
    const scores = () => node.command('ZRANGE c:{00}:i 0 -1 WITHSCORES');
    for (let beat = 0; beat < count; beat += 1) {
      const before = await scores();
      await until(async () => (await scores()) !== before, 'a heartbeat');
    }
  }

  /** A key of a log that is on this node. */
  async logOn(node: RedisNode): Promise<string> {
    const ports = await this.#ports();
    for (;;) {
      const log = this.stage.key('call');
      if (ports.get(slotOfKey('turns', log)) === node.port) return log;
    }
  }

  /** Steady loads on all of these, on one log of this node. */
  async loads(instances: readonly Instance[], node: RedisNode): Promise<readonly Load[]> {
    const log = await this.logOn(node);
    return instances.map((instance, i) => new Load(instance, { name: `w${i}`, log }).start());
  }

  /** The loads end, and all that was acknowledged is in L3, everywhere the same. */
  async settled(all: readonly Load[]): Promise<void> {
    await Promise.all(all.map((load) => load.stop()));
    const instances = all.map(({ instance }) => instance);
    await this.calm(instances);
    for (const load of all) {
      expect(load.errors).toEqual([]);
      expect(load.lies).toEqual([]);
      await load.isWhole(this.stage, all);
      await this.stage.converges(load.record, instances);
    }
    await this.stage.converges(all[0]?.log ?? '', instances, 'turns');
  }

  /** Every node is used again, and L3 has everything. */
  async calm(instances: readonly Instance[]): Promise<void> {
    for (const instance of instances) await instance.healthy();
    await eventually(async () => {
      for (const { cache } of instances) {
        expect((await cache.health()).status).toBe('ok');
        expect(await cache.sync()).toMatchObject({ failed: 0, remaining: 0, unknown: false });
      }
    });
  }

  /** Every node runs again. */
  async revive(): Promise<void> {
    for (const node of this.cluster.nodes) node.thaw();
    const dead = this.cluster.nodes.filter(({ isAlive }) => !isAlive);
    await Promise.all(dead.map((node) => node.restart()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stage[Symbol.asyncDispose]();
    await this.cluster.close();
  }
}
