/** `main.ts` as a program that is started and ends: what it wrote, and with which code. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stderr: string;
  readonly stdout: string;
}

export interface MainProgram {
  /** Of its standard output, so far. */
  readonly output: string;
  /** Resolves when this was written. */
  wrote(text: string): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<Ended>;
}

const OWN = ['HOST', 'PORT', 'CACHE_', 'REDIS_', 'SUPABASE_', 'SYNC_', 'BREAKER_', 'COMPRESSION_'];

/** With these variables and none of the tester's own. */
export function runMain(env: Readonly<Record<string, string>>): MainProgram {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !OWN.some((own) => name.startsWith(own)),
  );
  const child = spawn(process.execPath, ['--conditions=@cache/source', PROGRAM], {
    env: { ...Object.fromEntries(inherited), NODE_OPTIONS: '', PORT: '0', ...env },
  });
  const output = { stdout: '', stderr: '' };
  const heard = new Set<() => void>();
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      output[name] += chunk;
      for (const look of heard) look();
    });
  }
  const ended = once(child, 'close').then(([code]: (number | null)[]) => ({
    code: code ?? null,
    ...output,
  }));
  return {
    get output() {
      return output.stdout;
    },
    kill: (signal) => void child.kill(signal),
    ended,
    wrote: (text) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (!output.stdout.includes(text)) return;
          heard.delete(look);
          resolve();
        };
        heard.add(look);
        look();
        ended.then(({ stderr }) => reject(new Error(`it ended first: ${stderr}`)));
      }),
  };
}
