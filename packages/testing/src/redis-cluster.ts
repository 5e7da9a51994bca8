/**
 * A private Redis Cluster: masters with a replica each, every node a process of its own that can
 * be killed, frozen and restarted alone; failovers that happen when they are asked for, slots that
 * move. Slots are laid out directly (ADDSLOTSRANGE, MEET, REPLICATE): it stands within a second or two.
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from './directory.ts';
import { ServerError } from './errors.ts';
import { freePort } from './port.ts';
import { redisCommand, redisText } from './redis-command.ts';
import { launchRedis } from './redis-process.ts';
import type { ServerProcess } from './server-process.ts';

export interface RedisClusterOptions {
  /** Each has one replica. Default 3, the fewest that can agree on a failover. */
  readonly masters?: number | undefined;
  readonly password?: string | undefined;
  /**
   * After how many ms of silence a node is given up by the others, and its replica takes over.
   * Default 60,000: so that a busy machine causes no failover that nobody asked for.
   */
  readonly nodeTimeoutMs?: number | undefined;
  /** Any other settings of redis.conf, by name, for every node. */
  readonly config?: Readonly<Record<string, string>> | undefined;
}

export interface RedisNode {
  readonly host: string;
  readonly port: number;
  /** `redis://…`, with the password where there is one. */
  readonly url: string;
  /** The name that the cluster knows it by. */
  readonly id: string;
  readonly pid: number;
  readonly isAlive: boolean;
  /** It lives, and does not answer. */
  readonly isFrozen: boolean;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers. */
  freeze(): void;
  thaw(): void;
  /** Comes back under its name and with its slots, and without a single key. */
  restart(): Promise<void>;
  /** One command, words without spaces; the text of the reply. */
  command(command: string): Promise<string>;
}

export interface RedisCluster extends AsyncDisposable {
  /** Masters first, then their replicas in the same order, as they were at the start. */
  readonly nodes: readonly RedisNode[];
  readonly password: string | undefined;
  /** Who serves a slot now, by the word of the living nodes. */
  masterOf(slot: number): Promise<RedisNode>;
  /** A living replica of that node. */
  replicaOf(master: RedisNode): Promise<RedisNode>;
  /** The replica takes its master's place at once, whatever it has missed and whoever agrees. */
  takeOver(replica: RedisNode): Promise<void>;
  /**
   * Moves one slot with everything in it. `halfway` runs while only a part of its keys has moved.
   */
  moveSlot(slot: number, to: RedisNode, halfway?: () => Promise<void>): Promise<void>;
  /** Ends all nodes and removes their directories. Can be called twice. */
  close(): Promise<void>;
}

const SLOTS = 16_384;
const PATIENCE_MS = 30_000;

/**
 * Starts a private Redis Cluster of `redis-server` processes.
 * @throws MissingRedisError where the machine has none
 */
export async function startRedisCluster(options: RedisClusterOptions = {}): Promise<RedisCluster> {
  const { path, remove } = await temporaryDirectory('cache-cluster');
  const masters = options.masters ?? 3;
  const starting = Array.from({ length: masters * 2 }, (_, i) =>
    Node.start(join(path, String(i)), options),
  );
  const cluster = async () => new PrivateCluster(await Promise.all(starting), options, remove);
  try {
    const started = await cluster();
    await started.join(masters);
    return started;
  } catch (error) {
    for (const node of await Promise.allSettled(starting)) {
      if (node.status === 'fulfilled') await node.value.kill();
    }
    await remove();
    throw error;
  }
}

class Node implements RedisNode {
  readonly host = '127.0.0.1';
  readonly port: number;
  readonly id: string;
  readonly #busPort: number;
  readonly #directory: string;
  readonly #options: RedisClusterOptions;
  #process: ServerProcess;
  isFrozen = false;

  private constructor(
    ports: readonly [port: number, busPort: number],
    directory: string,
    options: RedisClusterOptions,
    process: ServerProcess,
    id: string,
  ) {
    [this.port, this.#busPort] = ports;
    this.#directory = directory;
    this.#options = options;
    this.#process = process;
    this.id = id;
  }

  static async start(directory: string, options: RedisClusterOptions): Promise<Node> {
    await mkdir(directory, { recursive: true });
    for (let attempt = 1; ; attempt += 1) {
      const ports = [await freePort(), await freePort()] as const;
      try {
        const process = await launchRedis(settingsOf(ports, directory, options));
        const id = await redisText(ports[0], options.password, 'CLUSTER MYID');
        return new Node(ports, directory, options, process, id);
      } catch (error) {
        // Another process may have been quicker to take a free port.
        const taken = error instanceof ServerError && /Address already in use/.test(error.output);
        if (!taken || attempt === 5) throw error;
      }
    }
  }

  get url(): string {
    const { password } = this.#options;
    const auth = password === undefined ? '' : `:${encodeURIComponent(password)}@`;
    return `redis://${auth}${this.host}:${this.port}`;
  }

  get meeting(): string {
    return `CLUSTER MEET ${this.host} ${this.port} ${this.#busPort}`;
  }

  get pid(): number {
    return this.#process.pid;
  }

  get isAlive(): boolean {
    return this.#process.alive;
  }

  async kill(): Promise<void> {
    await this.#process.kill();
  }

  freeze(): void {
    this.isFrozen = true;
    this.#process.freeze();
  }

  thaw(): void {
    this.isFrozen = false;
    this.#process.thaw();
  }

  async restart(): Promise<void> {
    await this.#process.kill();
    this.isFrozen = false;
    await rm(join(this.#directory, 'dump.rdb'), { force: true });
    const ports = [this.port, this.#busPort] as const;
    this.#process = await launchRedis(settingsOf(ports, this.#directory, this.#options));
  }

  command(command: string): Promise<string> {
    return redisText(this.port, this.#options.password, command);
  }

  async order(command: string): Promise<void> {
    await redisCommand(this.port, this.#options.password, command);
  }
}

function settingsOf(
  [port, busPort]: readonly [number, number],
  directory: string,
  { password, nodeTimeoutMs, config }: RedisClusterOptions,
): Record<string, string | undefined> {
  return {
    port: String(port),
    bind: '127.0.0.1',
    dir: directory,
    save: '',
    'cluster-enabled': 'yes',
    'cluster-port': String(busPort),
    'cluster-config-file': 'nodes.conf',
    'cluster-node-timeout': String(nodeTimeoutMs ?? 60_000),
    'cluster-replica-validity-factor': '0',
    'cluster-require-full-coverage': 'no',
    'cluster-allow-replica-migration': 'no',
    'repl-diskless-sync-delay': '0',
    'repl-ping-replica-period': '1',
    requirepass: password,
    masterauth: password,
    ...config,
  };
}

class PrivateCluster implements RedisCluster {
  readonly nodes: readonly Node[];
  readonly password: string | undefined;
  readonly #remove: () => Promise<void>;

  constructor(
    nodes: readonly Node[],
    { password }: RedisClusterOptions,
    remove: () => Promise<void>,
  ) {
    this.nodes = nodes;
    this.password = password;
    this.#remove = remove;
  }

  /** The first `masters` nodes share the slots; each of the others follows one of them. */
  async join(masters: number): Promise<void> {
    const width = Math.ceil(SLOTS / masters);
    await Promise.all(
      this.nodes.map(async (node, i) => {
        await node.order(`CLUSTER SET-CONFIG-EPOCH ${i + 1}`);
        const last = Math.min(SLOTS, (i + 1) * width) - 1;
        if (i < masters) await node.order(`CLUSTER ADDSLOTSRANGE ${i * width} ${last}`);
      }),
    );
    // All with all: what is left to gossip takes a second and more.
    for (const node of this.nodes) {
      const others = this.nodes.filter((other) => other !== node);
      await Promise.all(others.map((other) => node.order(other.meeting)));
    }
    const all = async () => {
      const views = await Promise.all(this.nodes.map((node) => node.command('CLUSTER NODES')));
      const isMet = (view: string) => this.nodes.every(({ id }) => view.includes(id));
      return views.every((view) => isMet(view) && !/handshake|noaddr/.test(view));
    };
    await until(all, 'all nodes know each other');
    const replicas = this.nodes.slice(masters);
    for (const [i, replica] of replicas.entries()) {
      await replica.order(`CLUSTER REPLICATE ${this.nodes[i]?.id}`);
    }
    await until(async () => {
      const states = await Promise.all(this.nodes.map((node) => node.command('CLUSTER INFO')));
      const links = await Promise.all(replicas.map((node) => node.command('INFO replication')));
      return (
        states.every((state) => state.includes('cluster_state:ok')) &&
        links.every((link) => link.includes('master_link_status:up'))
      );
    }, 'the cluster is up');
  }

  async masterOf(slot: number): Promise<RedisNode> {
    let found: Node | undefined;
    await until(async () => {
      found = await this.#ownerOf(slot);
      return found !== undefined;
    }, `a node serves slot ${slot}`);
    if (found === undefined) throw new ServerError(`no node serves slot ${slot}`, '');
    return found;
  }

  /** The one that says so itself, under the highest epoch. */
  async #ownerOf(slot: number): Promise<Node | undefined> {
    const claims = await Promise.all(
      this.nodes.map(async (node) => {
        const isThere = node.isAlive && !node.isFrozen;
        const lines = isThere ? await node.command('CLUSTER NODES').catch(() => '') : '';
        const words = (lines.split('\n').find((line) => line.includes('myself')) ?? '').split(' ');
        const isHere = words.slice(8).some((range) => {
          const [first, last = first] = range.split('-').map(Number);
          return first !== undefined && last !== undefined && first <= slot && slot <= last;
        });
        return isHere ? [{ node, epoch: Number(words[6]) }] : [];
      }),
    );
    return claims.flat().sort((a, b) => b.epoch - a.epoch)[0]?.node;
  }

  async replicaOf(master: RedisNode): Promise<RedisNode> {
    for (const node of this.nodes) {
      if (!node.isAlive || node.isFrozen || node.id === master.id) continue;
      const lines = (await node.command('CLUSTER NODES').catch(() => '')).split('\n');
      const words = (lines.find((line) => line.includes('myself')) ?? '').split(' ');
      if (words[3] === master.id) return node;
    }
    throw new ServerError(`no living replica of ${master.port}`, '');
  }

  async takeOver(replica: RedisNode): Promise<void> {
    await replica.command('CLUSTER FAILOVER TAKEOVER');
    const isMaster = async () => (await replica.command('ROLE')).includes('master');
    await until(isMaster, 'the replica has taken over');
  }

  async moveSlot(slot: number, to: RedisNode, halfway?: () => Promise<void>): Promise<void> {
    const from = await this.masterOf(slot);
    await to.command(`CLUSTER SETSLOT ${slot} IMPORTING ${from.id}`);
    await from.command(`CLUSTER SETSLOT ${slot} MIGRATING ${to.id}`);
    const listed = await from.command(`CLUSTER GETKEYSINSLOT ${slot} 10000`);
    const keys = listed.split('\n').filter((key) => key !== '');
    const auth = this.password === undefined ? '' : ` AUTH ${this.password}`;
    for (const [i, key] of keys.entries()) {
      if (i === Math.ceil(keys.length / 2)) await halfway?.();
      await from.command(`MIGRATE ${to.host} ${to.port} "${escaped(key)}" 0 5000${auth}`);
    }
    if (keys.length < 2) await halfway?.();
    const living = this.nodes.filter(({ isAlive, isFrozen }) => isAlive && !isFrozen);
    // The new owner first: it has to say so before the old one sends anybody to it.
    for (const node of [to, from, ...living.filter((one) => one !== to && one !== from)]) {
      const isMaster = (await node.command('ROLE')).includes('master');
      if (isMaster) await node.command(`CLUSTER SETSLOT ${slot} NODE ${to.id}`);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
    await this.#remove();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** As the inline form of the protocol wants it between quotes. */
function escaped(key: string): string {
  return key.replaceAll(/["\\]/g, '\\$&');
}

async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!(await condition())) {
    if (performance.now() > end) throw new ServerError(`never: ${what}`, '');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
