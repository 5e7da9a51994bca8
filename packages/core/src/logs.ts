/**
 * Logs: records that only grow, item by item. Every acknowledged item is in the log exactly
 * once, in an order that every instance and tier agrees on (G12).
 */
import { v7 as uuidv7 } from 'uuid';
import { boundsOf, type CallOptions, type Engine, type PreloadReport } from './calls.ts';
import { bounded, type CallBounds } from './deadline.ts';
import { ConfigError } from './errors.ts';
import { preloadAll } from './many.ts';
import type { LogItem } from './model/entry.ts';
import { type Address, checkText } from './model/key.ts';
import type { Found, Space, TierName } from './read/lookup.ts';
import type { DeepReadonly, Namespace } from './space.ts';
import { traced } from './tracing.ts';
import { appendItems, deleteLog } from './write/items.ts';
import type { Receipt } from './write/ladder.ts';

export interface AppendOptions extends CallOptions {
  /** `through`: acknowledged by L3, not before. Default `'behind'`. */
  readonly durability?: 'behind' | 'through' | undefined;
}

export interface ReadOptions extends CallOptions {
  /** Only the newest so many. */
  readonly last?: number | undefined;
  /** Only what comes after the item with this id; all, where there is no such item. */
  readonly after?: string | undefined;
}

/** An item with the id that it has in its log. */
export interface Identified<T> {
  readonly id: string;
  readonly value: DeepReadonly<T>;
}

export interface LogSnapshot<T> {
  readonly items: readonly Identified<T>[];
  /** The slowest tier that was needed. */
  readonly tier: TierName;
  readonly version: number;
}

/** One item, or several in a list. One that is a list itself has to be in a list, too. */
export type LogItems<T> = (T extends readonly unknown[] ? never : T) | readonly T[];

interface HeldItem {
  readonly id: string;
  readonly value: unknown;
}

export class Logs<T> {
  readonly #engine: Engine;
  readonly #namespace: Namespace;
  readonly #space: Space<unknown>;
  readonly #id: ((item: T) => string) | undefined;

  /** @internal */
  constructor(engine: Engine, namespace: Namespace, id: ((item: T) => string) | undefined) {
    this.#engine = engine;
    this.#namespace = namespace;
    this.#space = namespace.space();
    this.#id = id;
  }

  get name(): string {
    return this.#namespace.name;
  }

  /** Adds one item or several, in their order. Idempotent by the item's id. */
  async append(key: string, items: LogItems<T>, options: AppendOptions = {}): Promise<Receipt> {
    return this.#append(key, items, options, false);
  }

  /**
   * Begins a log with these items: it is whole from its first item, so that it can be read
   * although L3 is away. `ConflictError` where a tier knows items of it.
   */
  async create(
    key: string,
    items: LogItems<T> = [],
    options: AppendOptions = {},
  ): Promise<Receipt> {
    return this.#append(key, items, options, true);
  }

  async #append(
    key: string,
    items: T | readonly T[],
    options: AppendOptions,
    create: boolean,
  ): Promise<Receipt> {
    const bounds = boundsOf(this.#engine, options);
    const address = this.#namespace.address(key);
    const given: readonly T[] = isList(items) ? items : [items];
    if (given.length === 0 && !create) {
      throw new ConfigError(`an append to ${this.name} takes at least one item`);
    }
    const request = {
      address,
      scope: this.#namespace.scopeOf(key),
      items: given.map((item) => this.#item(item)),
      through: options.durability === 'through',
      create,
    };
    const work = traced('cache.append', { 'cache.namespace': this.name }, () =>
      appendItems(this.#engine.ladder, request),
    );
    return this.#bounded(work, bounds, 'an append to');
  }

  #item(item: T): Omit<LogItem, 'version'> {
    const id = checkText('item id', this.#id === undefined ? uuidv7() : this.#id(item));
    return { id, payload: this.#namespace.encode(item).payload };
  }

  /** The items in log order; empty where there is no such log. */
  async read(key: string, options?: ReadOptions): Promise<readonly DeepReadonly<T>[]> {
    const { items } = await this.snapshot(key, options);
    return items.map((item) => item.value);
  }

  /** The items with their ids, and the tier that answered. */
  async snapshot(key: string, options?: ReadOptions): Promise<LogSnapshot<T>> {
    const { value, tier, version } = await this.#find(key, options);
    // The space of a log decodes to exactly this; see Namespace.space.
    const held = (value ?? []) as readonly HeldItem[];
    const items = slice(held, options).map((item) => ({
      id: item.id,
      value: this.#namespace.lend(item.value) as DeepReadonly<T>,
    }));
    return { items, tier, version };
  }

  async has(key: string, options?: CallOptions): Promise<boolean> {
    return (await this.#find(key, options)).value !== undefined;
  }

  async #find(key: string, options: CallOptions | undefined): Promise<Found<unknown>> {
    const engine = this.#engine;
    engine.check();
    const copy = this.#namespace.copy(engine, key);
    if (copy !== undefined) {
      return { tier: 'l1', value: copy.value, version: copy.version, isSure: true };
    }
    const bounds = boundsOf(engine, options);
    return engine.lookup.find(this.#space, this.#namespace.address(key), bounds);
  }

  /** Everything that is in the log now is gone; items that come late from before do not return. */
  async delete(key: string, options: AppendOptions = {}): Promise<Receipt> {
    const bounds = boundsOf(this.#engine, options);
    const address = this.#namespace.address(key);
    const work = traced('cache.delete', { 'cache.namespace': this.name }, () =>
      deleteLog(this.#engine.ladder, {
        address,
        scope: this.#namespace.scopeOf(key),
        through: options.durability === 'through',
      }),
    );
    return this.#bounded(work, bounds, 'a delete of');
  }

  /** Brings these into L1 and L2, before somebody waits for them. */
  async preload(keys: readonly string[], options?: CallOptions): Promise<PreloadReport> {
    const bounds = boundsOf(this.#engine, options);
    const addresses = keys.map((key) => this.#namespace.address(key));
    return preloadAll(addresses, (address: Address) =>
      this.#engine.lookup.find(this.#space, address, { ...bounds, preload: true }),
    );
  }

  #bounded<R>(work: Promise<R>, bounds: CallBounds, what: string): Promise<R> {
    return bounded(work, bounds, `${what} ${this.name}`, this.#engine.clock, 'unknown');
  }
}

function isList<T>(items: T | readonly T[]): items is readonly T[] {
  return Array.isArray(items);
}

function slice(items: readonly HeldItem[], options: ReadOptions | undefined): readonly HeldItem[] {
  let kept = items;
  if (options?.after !== undefined) {
    const index = items.findIndex((item) => item.id === options.after);
    kept = items.slice(index + 1);
  }
  if (options?.last === undefined) return kept;
  if (!(Number.isInteger(options.last) && options.last >= 0)) {
    throw new ConfigError('option "last" takes a whole number of at least 0');
  }
  return options.last === 0 ? [] : kept.slice(-options.last);
}
