/**
 * The copies in L1, and the fences that keep them from going back.
 *
 * A copy may be served only while the bus is proven alive, and may be stored only
 *  - by a read that L2 answered, or by an own write that L2 answered as held;
 *  - when nothing moved the key's fence since that read or write began;
 *  - when nothing newer was heard of the key meanwhile.
 *
 * A fence exists only for keys in flight. It moves with every own write, every message of the
 * bus about the key and every emptying. An L1 miss never means absence.
 */
import type { Copy } from '../model/copy.ts';
import type { AddressId } from '../model/key.ts';
import { compareStamps, type Stamp } from '../model/version.ts';

export type { Copy };

/** What L1 has to offer. */
export interface NearTier {
  get(id: AddressId): Copy | undefined;
  set(id: AddressId, copy: Copy): void;
  delete(id: AddressId): void;
  clear(): void;
}

/** Says whether the bus would have told us of other instances' writes. */
export interface Proof {
  isAlive(): boolean;
}

interface Fence {
  holders: number;
  generation: number;
  heard: Stamp;
}

const NOTHING_HEARD: Stamp = Object.freeze({ version: 0, intent: 0 });

/** Held from before a read or write asks until after it stored its copy. */
export interface Ticket {
  readonly id: AddressId;
  readonly generation: number;
  /** How often L1 had been emptied. */
  readonly emptied: number;
}

export class Copies {
  readonly #near: NearTier | undefined;
  readonly #proof: Proof;
  readonly #fences = new Map<AddressId, Fence>();
  #emptied = 0;

  constructor(near: NearTier | undefined, proof: Proof) {
    this.#near = near;
    this.#proof = proof;
  }

  /** There is an L1, and what it holds may be answered now. */
  get isServed(): boolean {
    return this.#near !== undefined && this.#proof.isAlive();
  }

  get(id: AddressId): Copy | undefined {
    return this.#proof.isAlive() ? this.#near?.get(id) : undefined;
  }

  /** Every `enter` is followed by one `leave`. */
  enter(id: AddressId): Ticket {
    let fence = this.#fences.get(id);
    if (fence === undefined) {
      fence = { holders: 0, generation: 0, heard: NOTHING_HEARD };
      this.#fences.set(id, fence);
    }
    fence.holders += 1;
    return { id, generation: fence.generation, emptied: this.#emptied };
  }

  leave(ticket: Ticket): void {
    const fence = this.#fences.get(ticket.id);
    if (fence === undefined) return;
    fence.holders -= 1;
    if (fence.holders === 0) this.#fences.delete(ticket.id);
  }

  /** A write of our own begins or ended: what reads in flight bring may be older. */
  move(id: AddressId): void {
    const fence = this.#fences.get(id);
    if (fence !== undefined) fence.generation += 1;
  }

  /** Stores what a read brought, unless the key moved since the ticket was taken. */
  offer(ticket: Ticket, copy: Copy): void {
    if (this.#fences.get(ticket.id)?.generation !== ticket.generation) return;
    this.#store(ticket.id, copy);
  }

  /**
   * An own write was acknowledged. Its copy is stored where L2 holds the write, unless something
   * newer was heard or L1 was emptied meanwhile; without a copy the key's goes. Either way nothing
   * older may come in any more, from a read or from an older own write that is still under way.
   */
  wrote(ticket: Ticket, stamp: Stamp, copy: Copy | undefined): void {
    const { id } = ticket;
    this.move(id);
    const fence = this.#fences.get(id);
    const isOld = fence !== undefined && compareStamps(fence.heard, stamp) > 0;
    if (fence !== undefined && !isOld) fence.heard = stamp;
    if (copy === undefined || isOld || ticket.emptied !== this.#emptied) this.#near?.delete(id);
    else this.#store(id, copy);
  }

  #store(id: AddressId, copy: Copy): void {
    const there = this.#near?.get(id);
    if (there !== undefined && compareStamps(there, copy) > 0) return;
    this.#near?.set(id, copy);
  }

  /** The copy goes, and nothing in flight may bring it back. */
  remove(id: AddressId): void {
    this.move(id);
    this.#near?.delete(id);
  }

  /** Somebody wrote, settled or removed this key. Version 0: it is to go, whatever it is. */
  heard(id: AddressId, stamp: Stamp, kind: 'value' | 'log'): void {
    const fence = this.#fences.get(id);
    if (fence !== undefined) {
      fence.generation += 1;
      if (compareStamps(stamp, fence.heard) > 0) fence.heard = stamp;
    }
    const copy = this.#near?.get(id);
    if (copy === undefined) return;
    const isGone = kind === 'log' || copy.kind === 'log' || stamp.version === 0;
    if (isGone || compareStamps(copy, stamp) < 0) this.#near?.delete(id);
  }

  /** The bus had a gap, or the server is another one: nothing that is here can be trusted. */
  empty(): void {
    this.#emptied += 1;
    for (const fence of this.#fences.values()) fence.generation += 1;
    this.#near?.clear();
  }

  /** Keys in flight; zero when idle. */
  get inFlight(): number {
    return this.#fences.size;
  }
}
