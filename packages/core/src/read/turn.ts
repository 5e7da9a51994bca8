/**
 * Questions of the same turn of the event loop travel together, each with an answer of its own.
 * Unlike `coalesce.ts` it never makes one question of two: who asks for a lease asks for himself.
 */

export interface TurnOptions<Q, A> {
  /** The answers in the order of the questions. */
  readonly ask: (questions: readonly Q[]) => Promise<readonly A[]>;
  readonly maxBatch: number;
  /** Questions of different parts are asked apart: one part may fail without the others. */
  readonly partOf?: ((question: Q) => unknown) | undefined;
  /** When the batch leaves. Default: when the promises of this turn have run. */
  readonly schedule?: ((leave: () => void) => void) | undefined;
}

interface Waiting<Q, A> {
  readonly question: Q;
  resolve(answer: A): void;
  reject(error: unknown): void;
}

export class Turn<Q, A> {
  readonly #options: TurnOptions<Q, A>;
  #waiting: Waiting<Q, A>[] = [];

  constructor(options: TurnOptions<Q, A>) {
    this.#options = options;
  }

  ask(question: Q): Promise<A> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ question, resolve, reject });
      if (this.#waiting.length === 1)
        (this.#options.schedule ?? afterThisTurn)(() => this.#leave());
    });
  }

  #leave(): void {
    const all = this.#waiting;
    this.#waiting = [];
    const { partOf } = this.#options;
    const parts = partOf && Map.groupBy(all, ({ question }) => partOf(question));
    for (const part of parts?.values() ?? [all]) this.#leaveTogether(part);
  }

  #leaveTogether(all: readonly Waiting<Q, A>[]): void {
    for (let at = 0; at < all.length; at += this.#options.maxBatch) {
      void this.#run(all.slice(at, at + this.#options.maxBatch));
    }
  }

  async #run(batch: readonly Waiting<Q, A>[]): Promise<void> {
    try {
      const answers = await this.#options.ask(batch.map(({ question }) => question));
      if (answers.length !== batch.length) {
        throw new RangeError(`${answers.length} answers to ${batch.length} questions`);
      }
      for (const [index, answer] of answers.entries()) batch[index]?.resolve(answer);
    } catch (error) {
      for (const one of batch) one.reject(error);
    }
  }
}

function afterThisTurn(leave: () => void): void {
  process.nextTick(() => queueMicrotask(leave));
}
