/** Programs of this app that are started and end: what they wrote, and with which code. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export interface Ended {
  readonly code: number | null;
  readonly stderr: string;
  readonly stdout: string;
}

export interface Program {
  /** Of its standard output, so far. */
  readonly output: string;
  /** Resolves when this was written. */
  wrote(text: string): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<Ended>;
}

const OWN = [
  'HOST',
  'PORT',
  'CACHE_',
  'REDIS_',
  'SUPABASE_',
  'SYNC_',
  'BREAKER_',
  'COMPRESSION_',
  'CRM_',
  'AUDIO_CACHE_',
  'SPEECH_',
  'ELEVENLABS_',
];

/** `main.ts`, with these variables and none of the tester's own. */
export function runMain(env: Readonly<Record<string, string>>): Program {
  return runProgram('main', [], env);
}

/** A program in `src`, by its name. */
export function runProgram(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Program {
  const file = fileURLToPath(new URL(`../../src/${name}.ts`, import.meta.url));
  const inherited = Object.entries(process.env).filter(
    ([name]) => !OWN.some((own) => name.startsWith(own)),
  );
  const child = spawn(process.execPath, ['--conditions=@cache/source', file, ...args], {
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
