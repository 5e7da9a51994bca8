/**
 * The thread in which eSpeak NG runs: each call blocks it for as long as the program takes, and
 * leaves memory behind, so it is ended and started anew after a number of clips. It does one job
 * at a time, in the order in which they come.
 */
import { readFile } from 'node:fs/promises';
import { parentPort } from 'node:worker_threads';
import runProgram from 'espeak-ng';
import type { Job, JobDone } from './job.ts';

const TEXT = 'text.txt';
const SOUND = 'sound.wav';

const address = new URL('espeak-ng.wasm', import.meta.resolve('espeak-ng'));
// Compiled once for all the calls of this thread.
const compiled = readFile(address).then((bytes) => WebAssembly.compile(bytes));

async function perform({ args, text }: Job): Promise<Omit<JobDone, 'id'>> {
  const module = await compiled;
  const lines: string[] = [];
  const complaints: string[] = [];
  const program = await runProgram({
    arguments: text === undefined ? args : [...args, '-b', '1', '-w', SOUND, '-f', TEXT],
    print: (line) => lines.push(line),
    printErr: (line) => complaints.push(line),
    preRun: text === undefined ? [] : [({ FS }) => FS.writeFile(TEXT, Buffer.from(text))],
    instantiateWasm(imports, done) {
      void WebAssembly.instantiate(module, imports).then((instance) => done(instance, module));
      return {};
    },
  });
  const sound = text === undefined ? undefined : soundOf(program);
  const failure =
    text !== undefined && sound === undefined ? (complaints[0] ?? 'no sound') : undefined;
  return { lines, sound, failure };
}

function soundOf({ FS }: Awaited<ReturnType<typeof runProgram>>): Uint8Array | undefined {
  try {
    // Out of the memory of the program, which goes.
    return Uint8Array.from(FS.readFile(SOUND));
  } catch {
    return undefined;
  }
}

let before: Promise<void> = Promise.resolve();
parentPort?.on('message', (job: Job) => {
  before = before.then(async () => {
    const done = await perform(job).catch((error: unknown) => ({
      lines: [],
      sound: undefined,
      failure: String(error),
    }));
    const message: JobDone = { id: job.id, ...done };
    parentPort?.postMessage(message);
  });
});
