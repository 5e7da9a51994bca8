/**
 * The service in a process of its own, so that it can be killed and frozen as one that fails
 * does: for the tour, for replays and for tests. It dies with the process that started it.
 */
import { randomBytes } from 'node:crypto';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ServerProcess } from '@cache/testing';

export interface ServiceProcessOptions {
  /** Of the service. PORT is a free one and CACHE_ADMIN_TOKEN a random one where they are not given. */
  readonly env: Readonly<Record<string, string>>;
}

export interface ServiceProcess extends AsyncDisposable {
  readonly url: string;
  readonly adminToken: string;
  readonly pid: number;
  /** The last lines that it wrote. */
  readonly output: string;
  /** Default SIGKILL. Resolves when the process is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers. */
  freeze(): void;
  thaw(): void;
  /** SIGTERM: it drains first. Can be called twice. */
  stop(): Promise<void>;
}

/** Starts the service and waits until it listens. */
export async function startService(options: ServiceProcessOptions): Promise<ServiceProcess> {
  const { CACHE_ADMIN_TOKEN: adminToken = randomBytes(16).toString('hex'), ...env } = options.env;
  // The program beside this file: TypeScript in the repository, JavaScript where it was built.
  const kind = extname(import.meta.url);
  const program = fileURLToPath(new URL(`./main${kind}`, import.meta.url));
  const server = await ServerProcess.start({
    name: 'service',
    command: process.execPath,
    args: [...(kind === '.ts' ? ['--conditions=@cache/source'] : []), program],
    env: { HOST: '127.0.0.1', PORT: '0', NODE_OPTIONS: '', ...env, CACHE_ADMIN_TOKEN: adminToken },
    ready: /"msg":"listening"/,
  });
  const url = /"url":"([^"]+)"/.exec(server.output)?.[1] ?? '';
  const { pid } = server;
  return {
    url,
    adminToken,
    pid,
    get output() {
      return server.output;
    },
    async kill(signal = 'SIGKILL') {
      if (signal === 'SIGKILL') return await server.kill();
      if (server.alive) process.kill(pid, signal);
      await server.ended();
    },
    freeze: () => server.freeze(),
    thaw: () => server.thaw(),
    stop: () => server.stop(),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}
