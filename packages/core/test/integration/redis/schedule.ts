/**
 * Random commands for the scripts and the model alike. Versions hug the cut and what is there,
 * intents and ids are few, so that ties, retries and late commands are common.
 */
import type { LogWrite, ValueWrite } from '../../../src/model/entry.ts';
import { type Address, address } from '../../../src/model/key.ts';
import type * as tier from '../../../src/tiers/tier.ts';
import { json, logOf, writeOf } from './support.ts';

export const VALUES: readonly Address[] = ['a', 'b', 'ä/ö', 'd'].map((key) => address('v', key));
export const LOGS: readonly Address[] = ['a', 'b', 'x y'].map((key) => address('log', key));

/** One of them hides in the payload of another, one in the id of another. */
const IDS = ['i1', 'i2', 'i3', 'i4', 'i5', 'i', '\u0001\u0002i1', 'ü'];

export type Step =
  | { readonly on: Address; readonly op: 'put'; readonly put: tier.SharedPut }
  | { readonly on: Address; readonly op: 'append'; readonly append: tier.SharedAppend }
  | { readonly on: Address; readonly op: 'backfill'; readonly fill: tier.SharedBackfill }
  | { readonly on: Address; readonly op: 'putSettled'; readonly write: ValueWrite }
  | { readonly on: Address; readonly op: 'settle'; readonly settle: tier.SharedSettle }
  | { readonly on: Address; readonly op: 'drop'; readonly version: number; readonly intent: number }
  | {
      readonly on: Address;
      readonly op: 'repair';
      readonly kind: 'value' | 'log';
      readonly version: number;
      readonly intent: number;
    }
  | { readonly on: Address; readonly op: 'forget' }
  | { readonly on: Address; readonly op: 'purge'; readonly version: number }
  | { readonly on: Address; readonly op: 'read' };

export class Schedule {
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  chance(probability: number): boolean {
    return this.#random() < probability;
  }

  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  pick<T>(list: readonly T[]): T {
    const found = list[this.below(list.length)];
    if (found === undefined) throw new Error('nothing to pick from');
    return found;
  }

  address(): Address {
    return this.pick([...VALUES, ...LOGS]);
  }

  /** `cut` is the shard's, `top` the version of what is there (0: nothing). */
  step(on: Address, cut: number, top: number, now: number): Step {
    // Now and then a command for the other kind: a namespace that changed its mind.
    const isLog = LOGS.includes(on) !== this.chance(0.02);
    switch (this.pick(WEIGHTED)) {
      case 'put':
        return { on, op: 'put', put: this.#put(on, isLog, cut, top, now) };
      case 'append':
        if (!isLog) return { on, op: 'put', put: this.#put(on, isLog, cut, top, now) };
        return { on, op: 'append', append: this.#append(on, cut, top) };
      case 'backfill':
        return { on, op: 'backfill', fill: this.#fill(on, isLog, cut, top, now) };
      case 'putSettled':
        if (isLog) return { on, op: 'append', append: this.#append(on, cut, top) };
        return { on, op: 'putSettled', write: this.#value(on, cut, top, now) };
      case 'settle':
        return { on, op: 'settle', settle: this.#settle(on, isLog, cut, top) };
      case 'drop':
        return { on, op: 'drop', version: this.#version(cut, top), intent: this.#intent() };
      case 'repair': {
        const kind = isLog ? 'log' : 'value';
        const [version, intent] = [this.#version(cut, top), isLog ? 0 : this.#intent()];
        return { on, op: 'repair', kind, version, intent };
      }
      case 'forget':
        return { on, op: 'forget' };
      case 'purge':
        return { on, op: 'purge', version: this.#version(cut, top) };
      case 'read':
        return { on, op: 'read' };
    }
  }

  #version(cut: number, top: number): number {
    const base = this.chance(0.5) ? cut : Math.max(cut, top);
    return Math.max(1, base + this.below(9) - 3);
  }

  #intent(): number {
    return this.pick([1, 2, Number.MAX_SAFE_INTEGER]);
  }

  #create(cut: number): tier.CreateAssertion | undefined {
    if (this.chance(0.6)) return undefined;
    return { cut: this.#quoted(cut), proven: this.chance(0.5) };
  }

  #quoted(cut: number): number {
    return this.chance(0.8) ? cut : cut + this.below(3) - 1;
  }

  #value(on: Address, cut: number, top: number, now: number): ValueWrite {
    return writeOf(
      on,
      this.chance(0.2) && top > 0 ? top : this.#version(cut, top),
      this.#intent(),
      {
        payload: this.chance(0.2) ? undefined : json({ n: this.below(1000) }),
        expiresAt: this.pick([0, 0, 0, now - 5, now + 100_000_000]),
        scope: this.chance(0.3) ? { kind: 'call', id: 'ß7' } : undefined,
        tags: this.chance(0.2) ? ['t1', 't2'] : [],
      },
    );
  }

  #log(on: Address, cut: number, top: number, most: number): LogWrite {
    const ids = IDS.filter(() => this.chance(0.35)).slice(0, most);
    return logOf(
      on,
      ids.map((id) => [id, this.#version(cut, top)]),
      {
        erasedTo: this.chance(0.3) ? this.#version(cut, top) : 0,
        scope: this.chance(0.3) ? { kind: 'call', id: 'ß7' } : undefined,
      },
    );
  }

  #put(on: Address, isLog: boolean, cut: number, top: number, now: number): tier.SharedPut {
    if (!isLog) return { write: this.#value(on, cut, top, now), create: this.#create(cut) };
    return { write: { ...this.#log(on, cut, top, 0), erasedTo: this.#version(cut, top) } };
  }

  #append(on: Address, cut: number, top: number): tier.SharedAppend {
    const write = this.#log(on, cut, top, 3);
    const isDeletion = write.items.length === 0 && this.chance(0.3);
    const erasedTo = isDeletion ? this.#version(cut, top) : 0;
    // An id and its version as bytes inside a payload: a search for the id must not trust it.
    const items = write.items.map((item) => ({ ...item, payload: json('\u0000\u0002i2ab i3') }));
    return { write: { ...write, items, erasedTo }, create: this.#create(cut) };
  }

  #fill(on: Address, isLog: boolean, cut: number, top: number, now: number): tier.SharedBackfill {
    const quoted = this.#quoted(cut);
    if (isLog) {
      const write = this.#log(on, cut, top, 5);
      // L3 gives no item that is dead.
      const items = write.items.filter(({ version }) => version > write.erasedTo);
      return { kind: 'log', write: { ...write, items }, cut: quoted };
    }
    return { kind: 'value', write: this.#value(on, cut, top, now), cut: quoted };
  }

  #settle(on: Address, isLog: boolean, cut: number, top: number): tier.SharedSettle {
    if (!isLog) {
      const version = this.chance(0.6) && top > 0 ? top : this.#version(cut, top);
      return { kind: 'value', address: on, version, intent: this.#intent() };
    }
    const { items, erasedTo } = this.#log(on, cut, top, 8);
    return { kind: 'log', address: on, items, erasedTo, others: this.chance(0.3) };
  }
}

const WEIGHTED: readonly Step['op'][] = [
  ...(['put', 'put', 'put', 'append', 'append', 'append', 'append'] as const),
  ...(['backfill', 'backfill', 'backfill', 'settle', 'settle', 'settle'] as const),
  ...(['putSettled', 'drop', 'repair', 'forget', 'purge', 'read', 'read'] as const),
];
