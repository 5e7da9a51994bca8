/**
 * Reads of the same turn of the event loop travel together: one MGET, one query.
 *
 * Only reads that were asked for before the batch left are in it. A read never joins a batch
 * that is already under way: that batch may have been answered before a write which this
 * reader has seen acknowledged (G2).
 */
import { OverloadedError } from '../errors.ts';
import type { Address, AddressId } from '../model/key.ts';

interface Waiting<T> {
  readonly address: Address;
  readonly settle: { resolve(value: T): void; reject(error: unknown): void }[];
}

export interface CoalescerOptions<T> {
  readonly read: (addresses: readonly Address[]) => Promise<readonly T[]>;
  /** Runs the batch now or later; what is asked for until it runs is in it. Default: now. */
  readonly admit?: ((run: () => Promise<void>) => void) | undefined;
  /** How many keys may wait. */
  readonly maxWaiting: number;
  /** How many keys one batch may have. */
  readonly maxBatch: number;
}

export class Coalescer<T> {
  readonly #options: CoalescerOptions<T>;
  #waiting = new Map<AddressId, Waiting<T>>();
  #scheduled = false;

  constructor(options: CoalescerOptions<T>) {
    this.#options = options;
  }

  read(address: Address): Promise<T> {
    let waiting = this.#waiting.get(address.id);
    if (waiting === undefined) {
      if (this.#waiting.size >= this.#options.maxWaiting) {
        return Promise.reject(
          new OverloadedError(`more than ${this.#options.maxWaiting} reads wait for one tier`),
        );
      }
      waiting = { address, settle: [] };
      this.#waiting.set(address.id, waiting);
    }
    const { settle } = waiting;
    const answer = new Promise<T>((resolve, reject) => settle.push({ resolve, reject }));
    if (!this.#scheduled) {
      this.#scheduled = true;
      process.nextTick(() => queueMicrotask(() => this.#leave()));
    }
    return answer;
  }

  #leave(): void {
    this.#scheduled = false;
    const { admit } = this.#options;
    if (admit === undefined) void this.#run();
    else admit(() => this.#run());
  }

  async #run(): Promise<void> {
    const batch = this.#take();
    if (batch.length === 0) return;
    try {
      const answers = await this.#options.read(batch.map((one) => one.address));
      for (const [index, answer] of answers.entries()) {
        for (const waiter of batch[index]?.settle ?? []) waiter.resolve(answer);
      }
    } catch (error) {
      for (const one of batch) for (const waiter of one.settle) waiter.reject(error);
    }
  }

  #take(): Waiting<T>[] {
    const all = [...this.#waiting.values()];
    const batch = all.slice(0, this.#options.maxBatch);
    this.#waiting = new Map(all.slice(batch.length).map((one) => [one.address.id, one]));
    if (this.#waiting.size > 0) this.#leave();
    return batch;
  }
}
