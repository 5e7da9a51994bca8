/**
 * One server in a process of its own: started until it says that it is ready, frozen, thawed,
 * killed, stopped. States: running → frozen → running; running or frozen → gone. A process
 * that is gone never comes back: a restart is a new one.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { ServerError } from './errors.ts';
import { holdOpen } from './hold-open.ts';
import { forgetProcess, watchProcess } from './watchdog.ts';

const START_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 10_000;
const OUTPUT_KEPT = 4_000;

export interface ServerCommand {
  /** What it is called in messages. */
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Whom it runs as. Default: whom this process runs as. */
  readonly uid?: number;
  readonly gid?: number;
  /** In its output, where this stands, it is ready. */
  readonly ready: RegExp;
}

const running = new Set<ServerProcess>();

/**
 * The servers that this process started and that still run, by name and process number.
 * A test suite asserts after each file that there are none.
 */
export function runningServers(): readonly string[] {
  return [...running].map((server) => `${server.name} (process ${server.pid})`);
}

export class ServerProcess {
  readonly name: string;
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #gone: Promise<void>;
  #output = '';
  #exited = false;

  private constructor(name: string, child: ChildProcess, pid: number) {
    this.name = name;
    this.pid = pid;
    this.#child = child;
    this.#gone = new Promise((resolve) => {
      child.once('exit', () => {
        this.#exited = true;
        running.delete(this);
        forgetProcess(pid);
      });
      // After `exit` there may still be output to read, and it is what says why.
      child.once('close', () => resolve());
    });
    const keep = (chunk: string) => {
      this.#output = (this.#output + chunk).slice(-OUTPUT_KEPT);
    };
    child.stdout?.setEncoding('utf8').on('data', keep);
    child.stderr?.setEncoding('utf8').on('data', keep);
  }

  /**
   * Resolves when the server is ready.
   * @throws ServerError where it exits first or is not ready within a minute
   * @throws the error of `spawn` (`code: 'ENOENT'`) where there is no such program
   */
  static async start(spec: ServerCommand): Promise<ServerProcess> {
    const child = spawn(spec.command, [...spec.args], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...spec.env },
      cwd: spec.cwd,
      ...(spec.uid === undefined ? {} : { uid: spec.uid }),
      ...(spec.gid === undefined ? {} : { gid: spec.gid }),
    });
    if (child.pid === undefined) {
      throw await new Promise((resolve) => child.once('error', resolve));
    }
    watchProcess(child.pid);
    const server = new ServerProcess(spec.name, child, child.pid);
    running.add(server);
    try {
      await server.#ready(spec.ready);
    } catch (error) {
      await server.kill();
      throw error;
    }
    // A program that forgets to close it can still end; the watchdog does the rest.
    holdOpen(child, false);
    return server;
  }

  get alive(): boolean {
    return !this.#exited;
  }

  /** The last lines that it wrote. */
  get output(): string {
    return this.#output;
  }

  /** SIGSTOP: connections stay, nothing answers. */
  freeze(): void {
    this.#signal('SIGSTOP');
  }

  /** SIGCONT: it goes on, also with commands whose senders have given up. */
  thaw(): void {
    this.#signal('SIGCONT');
  }

  /** SIGKILL, frozen or not. Resolves when the process is gone. */
  async kill(): Promise<void> {
    holdOpen(this.#child, true);
    this.#signal('SIGKILL');
    await this.#gone;
  }

  /** SIGTERM, so that it can save; SIGKILL where it does not end within ten seconds. */
  async stop(): Promise<void> {
    holdOpen(this.#child, true);
    this.thaw();
    this.#signal('SIGTERM');
    const timer = setTimeout(() => this.#signal('SIGKILL'), STOP_DEADLINE_MS);
    await this.#gone;
    clearTimeout(timer);
  }

  /** Waits for it to end by itself. */
  async ended(): Promise<void> {
    holdOpen(this.#child, true);
    await this.#gone;
  }

  #signal(signal: NodeJS.Signals): void {
    if (!this.#exited) this.#child.kill(signal);
  }

  async #ready(pattern: RegExp): Promise<void> {
    const outputs = [this.#child.stdout, this.#child.stderr];
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(
      () => reject(new ServerError(`${this.name} was not ready in time`, this.#output)),
      START_DEADLINE_MS,
    );
    const look = () => {
      if (pattern.test(this.#output)) resolve();
    };
    for (const output of outputs) output?.on('data', look);
    this.#gone.then(() => reject(new ServerError(`${this.name} did not start`, this.#output)));
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      for (const output of outputs) output?.off('data', look);
    }
  }
}
