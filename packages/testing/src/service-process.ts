/**
 * A service in a process of its own, with the controls of the other servers. It answers to
 * signals, and can be frozen and killed without the process that started it.
 */
import { randomBytes } from 'node:crypto';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ServerProcess } from './server-process.ts';

/** What {@link startServiceProcess} takes. */
export interface ServiceProcessOptions {
  /** Its program, which logs `"msg":"listening"` and its `"url"`: `runService` of @cache/http does. */
  readonly program: URL;
  /** Of the service. PORT is a free one and CACHE_ADMIN_TOKEN a random one where they are not given. */
  readonly env: Readonly<Record<string, string>>;
}

/** A service that runs. */
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

/** Starts the service and waits until it listens. Rejects with `ServerError` where it ends first. */
export async function startServiceProcess(options: ServiceProcessOptions): Promise<ServiceProcess> {
  const { CACHE_ADMIN_TOKEN: adminToken = randomBytes(16).toString('hex'), ...env } = options.env;
  const program = fileURLToPath(options.program);
  const server = await ServerProcess.start({
    name: 'service',
    command: process.execPath,
    // TypeScript in the repository, JavaScript where it was built.
    args: [...(extname(program) === '.ts' ? ['--conditions=@cache/source'] : []), program],
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
