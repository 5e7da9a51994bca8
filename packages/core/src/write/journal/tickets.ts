/**
 * Which records of the journal stand for which acknowledged writes, and when they may go: when L3
 * has given its word for the write (it has it, has something newer, erased it, or keeps it as a
 * dead letter), or when a newer record of the same value is in the journal.
 *
 * The outbox says what L3's word was; see {@link Outcomes}.
 */
import type { ItemStamp, LogWrite, ValueWrite } from '../../model/entry.ts';
import type { AddressId } from '../../model/key.ts';
import { compareStamps, type Stamp } from '../../model/version.ts';
import type { Outcomes } from '../outcomes.ts';
import type { Journal, Ticket } from './journal.ts';

interface KeptValue {
  readonly ticket: Ticket;
  readonly stamp: Stamp;
}

interface KeptLog {
  readonly ticket: Ticket;
  /** What of it L3 has not given its word for, with the versions. */
  readonly items: Map<string, number>;
  /** 0: no deletion. */
  erasedTo: number;
}

export class Tickets implements Outcomes {
  readonly #journal: Journal;
  readonly #values = new Map<AddressId, readonly KeptValue[]>();
  readonly #logs = new Map<AddressId, KeptLog[]>();

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  /** This record stands for an acknowledged write, which the outbox is about to hold. */
  keep(write: ValueWrite | LogWrite, ticket: Ticket): void {
    const { id } = write.address;
    if (write.kind === 'log') {
      const items = new Map(write.items.map((item) => [item.id, item.version]));
      const kept = { ticket, items, erasedTo: write.erasedTo };
      const there = this.#logs.get(id);
      if (!isNeeded(kept)) this.#journal.release(ticket);
      else if (there === undefined) this.#logs.set(id, [kept]);
      else there.push(kept);
      return;
    }
    const { version, intent } = write;
    const there = this.#values.get(id) ?? [];
    const isNewest = there.every(({ stamp }) => compareStamps(stamp, write) <= 0);
    if (isNewest) for (const kept of there) this.#journal.release(kept.ticket);
    const mine = { ticket, stamp: { version, intent } };
    this.#values.set(id, isNewest ? [mine] : [...there, mine]);
  }

  valueDone(id: AddressId, upTo: Stamp): void {
    const there = this.#values.get(id);
    if (there === undefined) return;
    const isDone = ({ stamp }: KeptValue) => compareStamps(stamp, upTo) <= 0;
    for (const kept of there.filter(isDone)) this.#journal.release(kept.ticket);
    const left = there.filter((kept) => !isDone(kept));
    if (left.length === 0) this.#values.delete(id);
    else this.#values.set(id, left);
  }

  itemsDone(id: AddressId, done: Iterable<ItemStamp>): void {
    const there = this.#logs.get(id);
    if (there === undefined) return;
    const upTo = new Map(Array.from(done, (item) => [item.id, item.version]));
    for (const { items } of there) {
      for (const [itemId, version] of items) {
        if (version <= (upTo.get(itemId) ?? 0)) items.delete(itemId);
      }
    }
    this.#letGo(id, there);
  }

  erasureDone(id: AddressId, upTo: number): void {
    const there = this.#logs.get(id);
    if (there === undefined || upTo === 0) return;
    for (const kept of there) {
      if (kept.erasedTo <= upTo) kept.erasedTo = 0;
      for (const [itemId, version] of kept.items) if (version <= upTo) kept.items.delete(itemId);
    }
    this.#letGo(id, there);
  }

  #letGo(id: AddressId, kept: readonly KeptLog[]): void {
    const left = kept.filter(isNeeded);
    for (const one of kept) if (!isNeeded(one)) this.#journal.release(one.ticket);
    if (left.length === 0) this.#logs.delete(id);
    else this.#logs.set(id, left);
  }
}

function isNeeded({ items, erasedTo }: KeptLog): boolean {
  return items.size > 0 || erasedTo > 0;
}
