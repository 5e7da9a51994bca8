/**
 * L3 for writes that somebody waits for. A few calls are under way at once; what comes meanwhile
 * travels together in the next one, where each row has its own answer. So a crowd that finds L2
 * away costs L3 a few calls and not one each: the outage of Redis does not become one of Supabase.
 * Who comes alone does not wait.
 */
import { TierError } from '../errors.ts';
import type { DurableTier } from '../tiers/tier.ts';

/** Few enough that a call which is busy with all of them still answers in time. */
const MAX_TOGETHER = 100;

/**
 * The tier, its `apply` and `insert` gathered: of each, `atOnce` calls are under way at once, and
 * `maxWaiting` writes may wait to be sent.
 */
export function gathered(durable: DurableTier, atOnce: number, maxWaiting: number): DurableTier {
  const values = new Gathering(durable.apply, atOnce, maxWaiting);
  const logs = new Gathering(durable.insert, atOnce, maxWaiting);
  return {
    ...durable,
    apply: (writes) => values.send(writes),
    insert: (inserts) => logs.send(inserts),
  };
}

interface Waiting<Row, Reply> {
  readonly rows: readonly Row[];
  resolve(replies: readonly Reply[]): void;
  reject(error: unknown): void;
}

class Gathering<Row, Reply> {
  readonly #call: (rows: readonly Row[]) => Promise<readonly Reply[]>;
  readonly #atOnce: number;
  readonly #maxWaiting: number;
  readonly #waiting: Waiting<Row, Reply>[] = [];
  #underWay = 0;

  constructor(
    call: (rows: readonly Row[]) => Promise<readonly Reply[]>,
    atOnce: number,
    maxWaiting: number,
  ) {
    this.#call = call;
    this.#atOnce = atOnce;
    this.#maxWaiting = maxWaiting;
  }

  async send(rows: readonly Row[]): Promise<readonly Reply[]> {
    if (this.#waiting.length >= this.#maxWaiting) {
      const message = `more than ${this.#maxWaiting} writes wait for Supabase`;
      throw new TierError(message, 'unreachable', { outcome: 'none' });
    }
    return await new Promise((resolve, reject) => {
      this.#waiting.push({ rows, resolve, reject });
      this.#leave();
    });
  }

  #leave(): void {
    if (this.#underWay >= this.#atOnce || this.#waiting.length === 0) return;
    this.#underWay += 1;
    void this.#travel(this.#waiting.splice(0, MAX_TOGETHER)).finally(() => {
      this.#underWay -= 1;
      this.#leave();
    });
  }

  /** Answers everybody; never rejects. */
  async #travel(together: readonly Waiting<Row, Reply>[]): Promise<void> {
    try {
      const replies = await this.#call(together.flatMap(({ rows }) => rows));
      let from = 0;
      for (const { rows, resolve } of together) {
        resolve(replies.slice(from, from + rows.length));
        from += rows.length;
      }
    } catch (error) {
      for (const { reject } of together) reject(error);
    }
  }
}
