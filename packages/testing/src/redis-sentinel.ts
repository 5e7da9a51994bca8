/**
 * A private Redis with a replica and a Sentinel that looks after both: the primary can be killed or
 * frozen, and failovers happen when they are asked for.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from './directory.ts';
import { ServerError } from './errors.ts';
import { freePort } from './port.ts';
import { type RedisServer, startRedis } from './redis.ts';
import { redisCommand, redisText } from './redis-command.ts';
import { launchRedis } from './redis-process.ts';
import type { ServerProcess } from './server-process.ts';

export interface RedisSentinelOptions {
  /** What the Sentinel calls the two servers. Default `mymaster`. */
  readonly name?: string | undefined;
  /** Of the two servers. */
  readonly password?: string | undefined;
  /**
   * After how many ms of silence the primary is given up without being asked to. Default 60,000: so
   * that a busy machine causes no failover that nobody asked for.
   */
  readonly downAfterMs?: number | undefined;
}

export interface RedisSentinel extends AsyncDisposable {
  readonly name: string;
  /** Where the Sentinel is. */
  readonly host: string;
  readonly port: number;
  /** Both servers. Which of them is the primary changes. */
  readonly servers: readonly RedisServer[];
  /** The primary, by the word of the Sentinel. */
  primary(): Promise<RedisServer>;
  /** Resolves when there is a replica that has everything, so that a failover can be asked for. */
  complete(): Promise<void>;
  /** The replica takes the primary's place at once, whether that still lives or not. */
  failover(): Promise<void>;
  /** Ends all three. Can be called twice. */
  close(): Promise<void>;
}

/** A failover is over in a second; a machine that is busy takes its time. */
const PATIENCE_MS = 60_000;
/**
 * By itself it looks at its servers every ten seconds and takes eight to turn an old primary into a
 * replica. One that was not scheduled for two seconds does nothing for thirty (its TILT mode): on a
 * busy machine that is no sign of danger.
 */
const ITS_DEBUG_SETTINGS =
  'INFO-PERIOD 100 PUBLISH-PERIOD 500 TILT-TRIGGER 3600000 TILT-PERIOD 1000';
const HOST = '127.0.0.1';

/**
 * Starts two private `redis-server` and a Sentinel.
 * @throws MissingRedisError where the machine has none
 */
export async function startRedisSentinel(
  options: RedisSentinelOptions = {},
): Promise<RedisSentinel> {
  const { password, name = 'mymaster' } = options;
  const config = {
    'repl-diskless-sync-delay': '0',
    'repl-ping-replica-period': '1',
    ...(password === undefined ? {} : { masterauth: password }),
  };
  const primary = await startRedis({ password, config });
  const servers = [primary];
  const { path, remove } = await temporaryDirectory('cache-sentinel');
  try {
    const replicaof = { replicaof: `${HOST} ${primary.port}` };
    servers.push(await startRedis({ password, config: { ...config, ...replicaof } }));
    const port = await freePort();
    const lines = [
      `port ${port}`,
      `bind ${HOST}`,
      `dir ${path}`,
      `sentinel monitor ${name} ${HOST} ${primary.port} 1`,
      `sentinel down-after-milliseconds ${name} ${options.downAfterMs ?? 60_000}`,
      ...(password === undefined ? [] : [`sentinel auth-pass ${name} ${password}`]),
    ];
    const file = join(path, 'sentinel.conf');
    await writeFile(file, `${lines.join('\n')}\n`);
    const before = [file, '--sentinel'];
    const ready = /\+monitor master/;
    const process = await launchRedis({}, { before, name: 'redis-sentinel', ready });
    const group = new PrivateSentinel(name, port, servers, process, remove);
    try {
      await redisCommand(port, undefined, `SENTINEL DEBUG ${ITS_DEBUG_SETTINGS}`);
      await group.complete();
      return group;
    } catch (error) {
      await process.kill();
      throw error;
    }
  } catch (error) {
    for (const server of servers) await server.close();
    await remove();
    throw error;
  }
}

class PrivateSentinel implements RedisSentinel {
  readonly host = HOST;
  readonly name: string;
  readonly port: number;
  readonly servers: readonly RedisServer[];
  readonly #process: ServerProcess;
  readonly #remove: () => Promise<void>;

  constructor(
    name: string,
    port: number,
    servers: readonly RedisServer[],
    process: ServerProcess,
    remove: () => Promise<void>,
  ) {
    this.name = name;
    this.port = port;
    this.servers = servers;
    this.#process = process;
    this.#remove = remove;
  }

  async complete(): Promise<void> {
    await until(async () => {
      const text = await this.#ask(`SENTINEL REPLICAS ${this.name}`);
      return text.includes('master-link-status\nok');
    }, 'the Sentinel knows a replica');
  }

  async primary(): Promise<RedisServer> {
    const said = await this.#ask(`SENTINEL GET-MASTER-ADDR-BY-NAME ${this.name}`);
    const server = this.servers.find(({ port }) => said === `${HOST}\n${port}`);
    if (server === undefined) throw new ServerError('the Sentinel knows no primary', said);
    return server;
  }

  async failover(): Promise<void> {
    const { port } = await this.primary();
    await until(async () => {
      // Where it stands and what it does are in one answer, so none is begun twice.
      const known = new Map(pairs(await this.#ask(`SENTINEL MASTER ${this.name}`)));
      if (known.get('port') !== String(port)) return true;
      if (!known.get('flags')?.includes('failover_in_progress')) await this.#begin();
      return false;
    }, 'there is another primary');
  }

  /**
   * Refused while the replica is not known well enough. One that was begun is given up by the
   * Sentinel for the same reason, so whoever calls looks again.
   */
  async #begin(): Promise<void> {
    try {
      await redisCommand(this.port, undefined, `SENTINEL FAILOVER ${this.name}`);
    } catch (error) {
      const isEarly = error instanceof ServerError && /INPROG|NOGOODSLAVE/.test(error.output);
      if (!isEarly) throw error;
    }
  }

  async close(): Promise<void> {
    await this.#process.kill();
    await Promise.all(this.servers.map((server) => server.close()));
    await this.#remove();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #ask(command: string): Promise<string> {
    return redisText(this.port, undefined, command);
  }
}

function* pairs(lines: string): Generator<readonly [name: string, value: string]> {
  const words = lines.split('\n');
  for (let i = 0; i + 1 < words.length; i += 2) yield [words[i] ?? '', words[i + 1] ?? ''];
}

async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!(await condition())) {
    if (performance.now() > end) throw new ServerError(`never: ${what}`, '');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
