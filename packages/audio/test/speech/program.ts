/** A program of the tests in a process of its own, which the test may kill. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export class Program implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #gone: Promise<unknown>;
  readonly #lines: AsyncIterator<string>;

  constructor(name: string, ...args: readonly string[]) {
    const file = fileURLToPath(new URL(name, import.meta.url));
    const command = ['--conditions=@cache/source', file, ...args];
    const env = { ...process.env, NODE_OPTIONS: '' };
    const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'inherit'], env });
    this.#child = child;
    this.#gone = once(child, 'close');
    if (child.stdout === null) throw new Error('the program has no output');
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** The next line that it says. */
  async line(): Promise<string> {
    const { done, value } = await this.#lines.next();
    if (done === true) throw new Error('the program ended before it said anything');
    return value;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
