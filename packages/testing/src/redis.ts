/**
 * A private redis-server: free port, private directory, no persistence unless asked for; and
 * the faults that a cache must survive. Not for production.
 */
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from './directory.ts';
import { ServerError } from './errors.ts';
import { countFault } from './injected.ts';
import { freePort } from './port.ts';
import { redisCommand } from './redis-command.ts';
import { launchRedis } from './redis-process.ts';
import type { ServerProcess } from './server-process.ts';

/** The bytes of a `dump.rdb`: what a server knew at one moment. */
export type RedisDump = Uint8Array;

export interface RedisOptions {
  /** Default: a free one. */
  readonly port?: number | undefined;
  readonly password?: string | undefined;
  /** As redis.conf has it: `'2mb'`. Default: no limit. */
  readonly maxmemory?: string | undefined;
  /** Redis' `maxmemory-policy`. Default: `noeviction`. */
  readonly policy?: string | undefined;
  /** Any other settings of redis.conf, by name. They win over the defaults. */
  readonly config?: Readonly<Record<string, string>> | undefined;
  /**
   * Keeps its data here, in an append-only file, beyond `close()`. Default: a temporary
   * directory and no persistence.
   */
  readonly dataDir?: string | undefined;
}

export interface RestartOptions {
  /** Comes back knowing what this dump knows. */
  readonly from?: RedisDump | undefined;
  /** Comes back with what its directory holds. Only with `dataDir` is that anything. */
  readonly keep?: boolean | undefined;
}

export interface RedisServer extends AsyncDisposable {
  /** `redis://…`, with the password where there is one. */
  readonly url: string;
  readonly port: number;
  readonly password: string | undefined;
  /** Changes with every restart. */
  readonly pid: number;
  /** SIGKILL. Connections break, new ones are refused. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers. */
  freeze(): void;
  /**
   * Lets a frozen server go on. It executes what it received meanwhile, also from
   * connections that are closed by now.
   */
  thaw(): void;
  /** FLUSHALL: everything gone, connections and incarnation stay. */
  empty(): Promise<void>;
  /** What it knows now, to come back from later. */
  snapshot(): Promise<RedisDump>;
  /** A new incarnation on the same port, empty unless told otherwise. Kills a running one. */
  restart(options?: RestartOptions): Promise<void>;
  /** Ends the server and removes a temporary directory. Can be called twice. */
  close(): Promise<void>;
}

const PORT_ATTEMPTS = 5;

/**
 * Starts a private `redis-server`.
 * @throws MissingRedisError where the machine has none
 */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort());
    const server = await PrivateRedis.open(port, options).catch((error: unknown) => error);
    if (server instanceof PrivateRedis) return server;
    // Between finding a free port and listening on it, another process may have been quicker.
    const taken = server instanceof ServerError && /Address already in use/.test(server.output);
    if (!taken || options.port !== undefined || attempt === PORT_ATTEMPTS) throw server;
  }
}

class PrivateRedis implements RedisServer {
  readonly port: number;
  readonly password: string | undefined;
  readonly #options: RedisOptions;
  readonly #directory: string;
  readonly #removeDirectory: () => Promise<void>;
  #process: ServerProcess;

  private constructor(
    port: number,
    options: RedisOptions,
    directory: string,
    removeDirectory: () => Promise<void>,
    process: ServerProcess,
  ) {
    this.port = port;
    this.password = options.password;
    this.#options = options;
    this.#directory = directory;
    this.#removeDirectory = removeDirectory;
    this.#process = process;
  }

  static async open(port: number, options: RedisOptions): Promise<PrivateRedis> {
    const { path, remove } =
      options.dataDir === undefined
        ? await temporaryDirectory('cache-redis')
        : { path: options.dataDir, remove: async () => {} };
    await mkdir(path, { recursive: true });
    try {
      const process = await launch(port, path, options);
      return new PrivateRedis(port, options, path, remove, process);
    } catch (error) {
      await remove();
      throw error;
    }
  }

  get url(): string {
    const auth = this.password === undefined ? '' : `:${encodeURIComponent(this.password)}@`;
    return `redis://${auth}127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#process.pid;
  }

  async kill(): Promise<void> {
    countFault('kill');
    await this.#process.kill();
  }

  freeze(): void {
    countFault('freeze');
    this.#process.freeze();
  }

  thaw(): void {
    this.#process.thaw();
  }

  async empty(): Promise<void> {
    countFault('empty');
    await redisCommand(this.port, this.password, 'FLUSHALL');
  }

  async snapshot(): Promise<RedisDump> {
    await redisCommand(this.port, this.password, 'SAVE');
    return await readFile(join(this.#directory, 'dump.rdb'));
  }

  async restart({ from, keep = false }: RestartOptions = {}): Promise<void> {
    if (this.#process.alive) countFault('restart');
    await this.#process.kill();
    if (!keep) {
      await rm(join(this.#directory, 'dump.rdb'), { force: true });
      await rm(join(this.#directory, 'appendonlydir'), { recursive: true, force: true });
    }
    if (from !== undefined) await this.#restore(from);
    this.#process = await launch(this.port, this.#directory, this.#options);
  }

  async close(): Promise<void> {
    if (this.#options.dataDir === undefined) await this.#process.kill();
    else await this.#process.stop();
    await this.#removeDirectory();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #restore(dump: RedisDump): Promise<void> {
    await writeFile(join(this.#directory, 'dump.rdb'), dump);
    if (this.#options.dataDir === undefined) return;
    // With an append-only file the server does not look at the dump: it becomes the base of one.
    const folder = join(this.#directory, 'appendonlydir');
    await mkdir(folder, { recursive: true });
    const base = 'appendonly.aof.1.base.rdb';
    const increment = 'appendonly.aof.1.incr.aof';
    await cp(join(this.#directory, 'dump.rdb'), join(folder, base));
    await writeFile(join(folder, increment), '');
    await writeFile(
      join(folder, 'appendonly.aof.manifest'),
      `file ${base} seq 1 type b\nfile ${increment} seq 1 type i\n`,
    );
  }
}

async function launch(
  port: number,
  directory: string,
  options: RedisOptions,
): Promise<ServerProcess> {
  const settings: Record<string, string | undefined> = {
    port: String(port),
    bind: '127.0.0.1',
    dir: directory,
    save: '',
    appendonly: options.dataDir === undefined ? 'no' : 'yes',
    requirepass: options.password,
    maxmemory: options.maxmemory,
    'maxmemory-policy': options.policy,
    ...options.config,
  };
  return await launchRedis(settings);
}
