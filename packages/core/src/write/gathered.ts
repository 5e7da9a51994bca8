/**
 * L3 for writers that somebody waits for: all that they may ask of it. A few calls are under way at
 * once; what comes meanwhile travels together in the next one, where each row has its own answer.
 * So a crowd that finds L2 away costs L3 a few calls and not one each: the outage of Redis does not
 * become one of Supabase. Who comes alone does not wait. A swap travels alone, in its turn.
 *
 * Nobody joins a call that is under way: it may have been answered before what he has seen (G2).
 */
import { OverloadedError, TierError, type WriteOutcome } from '../errors.ts';
import type { LogWrite, ValueWrite } from '../model/entry.ts';
import type { Address } from '../model/key.ts';
import type { DurableLog, DurableTier } from '../tiers/tier.ts';

/** Few enough that a call which is busy with all of them still answers in time. */
const MAX_TOGETHER = 100;

export interface GatheredBounds {
  /** Batches of writes of each kind under way at once. */
  readonly atOnce: number;
  /** Reads, and swaps, under way at once: one row each, where nobody else waits. */
  readonly asksAtOnce: number;
  /** Calls of each kind that may wait to be sent. */
  readonly maxWaiting: number;
  /** What they may weigh together. */
  readonly maxBytes: number;
  /** One was turned away. */
  readonly onFull: () => void;
}

export interface GatheredTier extends Pick<DurableTier, 'apply' | 'insert' | 'maxVersion'> {
  read(addresses: readonly Address[]): Promise<readonly (ValueWrite | undefined)[]>;
  /** Of each log its newest item alone. */
  readNewest(addresses: readonly Address[]): Promise<readonly (DurableLog | undefined)[]>;
  /** As of L3; once `gone` is aborted it is not sent any more. */
  compareAndSet(
    write: ValueWrite,
    base: ValueWrite | undefined,
    gone: AbortSignal,
  ): ReturnType<DurableTier['compareAndSet']>;
}

export function gathered(durable: DurableTier, bounds: GatheredBounds): GatheredTier {
  const weigh = ({ write }: { readonly write: ValueWrite | LogWrite }) => bytesOf(write);
  const writes = { ...bounds, weigh };
  const asks = { ...bounds, atOnce: bounds.asksAtOnce, weigh: () => 0 };
  const values = new Gathering(durable.apply, writes);
  const logs = new Gathering(durable.insert, writes);
  const rows = new Gathering(durable.read, asks);
  const newest = new Gathering(
    (addresses: readonly Address[]) => durable.readLogs(addresses, { slice: { last: 1 } }),
    asks,
  );
  const versions = new Gathering(async (askers: readonly undefined[]) => {
    const version = await durable.maxVersion();
    return askers.map(() => version);
  }, asks);
  const swaps = new Gathering(
    (all: readonly { readonly write: ValueWrite; readonly base: ValueWrite | undefined }[]) =>
      Promise.all(all.map(({ write, base }) => durable.compareAndSet(write, base))),
    { ...asks, weigh, together: 1 },
  );
  return {
    apply: (some) => values.send(some),
    insert: (some) => logs.send(some),
    read: (addresses) => rows.send(addresses),
    readNewest: (addresses) => newest.send(addresses),
    maxVersion: () => versions.sendOne(undefined),
    compareAndSet: (write, base, gone) => swaps.sendOne({ write, base }, gone),
  };
}

/** What a writer is told whom a bound turned away; `undefined` where the error is another one. */
export function overloadOf(error: TierError, outcome: WriteOutcome): OverloadedError | undefined {
  if (!(error.cause instanceof OverloadedError)) return undefined;
  return new OverloadedError(error.message, { cause: error, outcome });
}

interface Waiting<Row, Reply> {
  readonly rows: readonly Row[];
  readonly bytes: number;
  resolve(replies: readonly Reply[]): void;
  reject(error: unknown): void;
}

interface GatheringOptions<Row>
  extends Pick<GatheredBounds, 'atOnce' | 'maxWaiting' | 'maxBytes' | 'onFull'> {
  readonly weigh: (row: Row) => number;
  /** How many calls may become one. */
  readonly together?: number;
}

class Gathering<Row, Reply> {
  readonly #call: (rows: readonly Row[]) => Promise<readonly Reply[]>;
  readonly #options: GatheringOptions<Row>;
  readonly #waiting: Waiting<Row, Reply>[] = [];
  #underWay = 0;
  #bytes = 0;

  constructor(
    call: (rows: readonly Row[]) => Promise<readonly Reply[]>,
    options: GatheringOptions<Row>,
  ) {
    this.#call = call;
    this.#options = options;
  }

  async sendOne(row: Row, gone?: AbortSignal): Promise<Reply> {
    const [reply] = await this.send([row], gone);
    if (reply !== undefined) return reply;
    throw new TierError('Supabase did not answer for this row', 'refused', { outcome: 'unknown' });
  }

  async send(rows: readonly Row[], gone?: AbortSignal): Promise<readonly Reply[]> {
    const { atOnce, maxWaiting, maxBytes, onFull, weigh } = this.#options;
    if (gone?.aborted) throw isGone();
    // Nobody waits before whoever leaves at once, so a bound of none still lets that one pass.
    const isFull = this.#waiting.length >= maxWaiting || this.#bytes >= maxBytes;
    if (isFull && this.#underWay >= atOnce) {
      onFull();
      const message = `${this.#waiting.length} writes wait for Supabase, and no more may`;
      const cause = new OverloadedError(message, { outcome: 'none' });
      throw new TierError(message, 'unreachable', { cause, outcome: 'none' });
    }
    const bytes = rows.reduce((sum, row) => sum + weigh(row), 0);
    return await new Promise((resolve, reject) => {
      const one = { rows, bytes, resolve, reject };
      this.#waiting.push(one);
      this.#bytes += bytes;
      gone?.addEventListener('abort', () => this.#drop(one), { once: true });
      this.#leave();
    });
  }

  #drop(one: Waiting<Row, Reply>): void {
    const at = this.#waiting.indexOf(one);
    if (at < 0) return;
    this.#waiting.splice(at, 1);
    this.#bytes -= one.bytes;
    one.reject(isGone());
  }

  #leave(): void {
    const { atOnce, together: most = MAX_TOGETHER } = this.#options;
    if (this.#underWay >= atOnce || this.#waiting.length === 0) return;
    this.#underWay += 1;
    const together = this.#waiting.splice(0, most);
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

function isGone(): TierError {
  const message = 'nobody waits for this write any more';
  return new TierError(message, 'timeout', { outcome: 'none' });
}

function bytesOf(write: ValueWrite | LogWrite): number {
  if (write.kind === 'value') return write.payload?.bytes.byteLength ?? 0;
  return write.items.reduce((sum, item) => sum + item.payload.bytes.byteLength, 0);
}
