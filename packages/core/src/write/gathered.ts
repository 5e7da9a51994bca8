/**
 * L3 for writes that somebody waits for. A few calls are under way at once; what comes meanwhile
 * travels together in the next one, where each row has its own answer. So a crowd that finds L2
 * away costs L3 a few calls and not one each: the outage of Redis does not become one of Supabase.
 * Who comes alone does not wait.
 */
import { OverloadedError, TierError } from '../errors.ts';
import type { LogWrite, ValueWrite } from '../model/entry.ts';
import type { DurableTier } from '../tiers/tier.ts';

/** Few enough that a call which is busy with all of them still answers in time. */
const MAX_TOGETHER = 100;

export interface GatheredBounds {
  /** Calls of each kind under way at once. */
  readonly atOnce: number;
  /** Writes of each kind that may wait to be sent. */
  readonly maxWaiting: number;
  /** What they may weigh together. */
  readonly maxBytes: number;
  /** One was turned away. */
  readonly onFull: () => void;
}

/** The tier, its `apply` and `insert` gathered. */
export function gathered(durable: DurableTier, bounds: GatheredBounds): DurableTier {
  const values = new Gathering(durable.apply, bounds);
  const logs = new Gathering(durable.insert, bounds);
  return {
    ...durable,
    apply: (writes) => values.send(writes),
    insert: (inserts) => logs.send(inserts),
  };
}

interface Waiting<Row, Reply> {
  readonly rows: readonly Row[];
  readonly bytes: number;
  resolve(replies: readonly Reply[]): void;
  reject(error: unknown): void;
}

class Gathering<Row extends { readonly write: ValueWrite | LogWrite }, Reply> {
  readonly #call: (rows: readonly Row[]) => Promise<readonly Reply[]>;
  readonly #bounds: GatheredBounds;
  readonly #waiting: Waiting<Row, Reply>[] = [];
  #underWay = 0;
  #bytes = 0;

  constructor(call: (rows: readonly Row[]) => Promise<readonly Reply[]>, bounds: GatheredBounds) {
    this.#call = call;
    this.#bounds = bounds;
  }

  async send(rows: readonly Row[]): Promise<readonly Reply[]> {
    const { maxWaiting, maxBytes, onFull } = this.#bounds;
    // Nobody waits before whoever leaves at once, so a bound of none still lets that one pass.
    const isFull = this.#waiting.length >= maxWaiting || this.#bytes >= maxBytes;
    if (isFull && this.#underWay >= this.#bounds.atOnce) {
      onFull();
      const message = `${this.#waiting.length} writes wait for Supabase, and no more may`;
      const cause = new OverloadedError(message, { outcome: 'none' });
      throw new TierError(message, 'unreachable', { cause, outcome: 'none' });
    }
    const bytes = rows.reduce((sum, row) => sum + bytesOf(row.write), 0);
    return await new Promise((resolve, reject) => {
      this.#waiting.push({ rows, bytes, resolve, reject });
      this.#bytes += bytes;
      this.#leave();
    });
  }

  #leave(): void {
    if (this.#underWay >= this.#bounds.atOnce || this.#waiting.length === 0) return;
    this.#underWay += 1;
    const together = this.#waiting.splice(0, MAX_TOGETHER);
    for (const { bytes } of together) this.#bytes -= bytes;
    void this.#travel(together).finally(() => {
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
      const isMixed = error instanceof TierError && error.reason === 'data' && together.length > 1;
      if (!isMixed) {
        for (const { reject } of together) reject(error);
        return;
      }
      // One of them is at fault, and the others have nothing to do with it.
      const half = together.length >> 1;
      await this.#travel(together.slice(0, half));
      await this.#travel(together.slice(half));
    }
  }
}

function bytesOf(write: ValueWrite | LogWrite): number {
  if (write.kind === 'value') return write.payload?.bytes.byteLength ?? 0;
  return write.items.reduce((sum, item) => sum + item.payload.bytes.byteLength, 0);
}
