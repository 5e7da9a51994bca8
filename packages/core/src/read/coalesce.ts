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
  /** How many reads may wait for them. Default: as many as keys. */
  readonly maxReaders?: number | undefined;
  /** One was turned away. */
  readonly onFull?: (() => void) | undefined;
  /** How many keys one batch may have. */
  readonly maxBatch: number;
  /** Keys of different parts are asked for apart: one part may fail without the others. */
  readonly partOf?: ((address: Address) => unknown) | undefined;
}

export class Coalescer<T> {
  readonly #options: CoalescerOptions<T>;
  #waiting = new Map<AddressId, Waiting<T>>();
  #scheduled = false;
  #readers = 0;

  constructor(options: CoalescerOptions<T>) {
    this.#options = options;
  }

  read(address: Address): Promise<T> {
    const { maxWaiting, maxReaders = maxWaiting, onFull } = this.#options;
    let waiting = this.#waiting.get(address.id);
    const isFull = waiting === undefined && this.#waiting.size >= maxWaiting;
    if (isFull || this.#readers >= maxReaders) {
      onFull?.();
      const message = `${this.#readers} reads of ${this.#waiting.size} keys wait for one tier, and no more may`;
      return Promise.reject(new OverloadedError(message));
    }
    if (waiting === undefined) {
      waiting = { address, settle: [] };
      this.#waiting.set(address.id, waiting);
    }
    const { settle } = waiting;
    this.#readers += 1;
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
    const { partOf } = this.#options;
    if (partOf === undefined) return await this.#ask(batch);
    const parts = Map.groupBy(batch, ({ address }) => partOf(address));
    await Promise.all([...parts.values()].map((part) => this.#ask(part)));
  }

  async #ask(batch: readonly Waiting<T>[]): Promise<void> {
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
    for (const { settle } of batch) this.#readers -= settle.length;
    if (this.#waiting.size > 0) this.#leave();
    return batch;
  }
}
