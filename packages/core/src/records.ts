/**
 * Records: values whose truth is in L3. An acknowledged write is never lost (G1), a read never
 * goes back behind one (G2), and "there is none" is said only by a tier that knows.
 */
import { boundsOf, type CallOptions, type Engine, type PreloadReport } from './calls.ts';
import { bounded, type CallBounds } from './deadline.ts';
import { ConfigError, ConflictError } from './errors.ts';
import { preloadAll, type Settled, settleAll } from './many.ts';
import { type Duration, parseDuration } from './model/duration.ts';
import type { ValueWrite } from './model/entry.ts';
import { type Address, checkText } from './model/key.ts';
import { isLive } from './model/known.ts';
import { timeOfVersion, VERSION_EPOCH_MS } from './model/version.ts';
import { copyOf, type Found, type Space, type TierName } from './read/lookup.ts';
import { type ScanOptions, scanWrites } from './scan.ts';
import type { DeepReadonly, Namespace } from './space.ts';
import { traced } from './tracing.ts';
import type { Receipt } from './write/ladder.ts';
import type { Decision } from './write/update.ts';
import { writeValue } from './write/values.ts';

/** What {@link Records.lookup} says. */
export type LookupResult<V> =
  | {
      readonly status: 'hit';
      readonly value: DeepReadonly<V>;
      /** The slowest tier that was needed. */
      readonly tier: TierName;
      readonly freshness: 'fresh';
      /** Milliseconds since the value was written, or since what it says happened (`at` of `update`). */
      readonly ageMs: number;
      readonly version: number;
    }
  | {
      readonly status: 'miss';
      readonly tier: TierName;
      /**
       * `false`: no tier knows of the key, but L2 could not be asked, where another instance may
       * have it pending. To be repeated where "there is none" must not be wrong.
       */
      readonly isSure: boolean;
    };

export interface SetOptions extends CallOptions {
  /** The record's life; afterwards it is as if deleted. Default: for ever. */
  readonly ttl?: Duration | undefined;
  readonly tags?: readonly string[] | undefined;
  /** `through`: acknowledged by L3, not before. Default `'behind'`. */
  readonly durability?: 'behind' | 'through' | undefined;
  /** Set only where this version, or nothing, is stored; goes through L3. */
  readonly ifVersion?: number | 'absent' | undefined;
}

export interface UpdateOptions<V> extends CallOptions {
  /** What the function is given where there is no record. Without it: `undefined`. */
  readonly initial?: V | undefined;
  /** A new life for the record. Default: the one it has. */
  readonly ttl?: Duration | undefined;
  /**
   * When what is written happened, in milliseconds since 1970: from 2020 on, or `ConfigError`. A
   * `set` of since then that the function was not given stands: it is on its way to L3. One that
   * it was given is the function's to respect. A time ahead is now; one more than a week ago is a week ago; one before an erasure of
   * what is written is now. Default: now.
   */
  readonly at?: number | undefined;
}

export class Records<V> {
  readonly #engine: Engine;
  readonly #namespace: Namespace;
  readonly #space: Space<unknown>;

  /** @internal */
  constructor(engine: Engine, namespace: Namespace) {
    this.#engine = engine;
    this.#namespace = namespace;
    this.#space = namespace.space();
  }

  get name(): string {
    return this.#namespace.name;
  }

  /** The value, frozen; `undefined` where there is none. Rejects with `UnavailableError` where nobody can say. */
  async get(key: string, options?: CallOptions): Promise<DeepReadonly<V> | undefined> {
    this.#engine.check();
    const copy = this.#namespace.copy(this.#engine, key);
    if (copy !== undefined) return this.#lend(copy.value);
    const { value } = await this.#ask(key, options);
    return value === undefined ? undefined : this.#lend(value);
  }

  /** The value with where it came from and how old it is. */
  async lookup(key: string, options?: CallOptions): Promise<LookupResult<V>> {
    const { value, tier, version, isSure } = await this.#find(key, options);
    if (value === undefined) return { status: 'miss', tier, isSure };
    const ageMs = Math.max(0, this.#engine.clock.now() - timeOfVersion(version));
    return { status: 'hit', value: this.#lend(value), tier, freshness: 'fresh', ageMs, version };
  }

  async has(key: string, options?: CallOptions): Promise<boolean> {
    return (await this.#find(key, options)).value !== undefined;
  }

  async #find(key: string, options: CallOptions | undefined): Promise<Found<unknown>> {
    this.#engine.check();
    const copy = this.#namespace.copy(this.#engine, key);
    if (copy !== undefined) {
      return { tier: 'l1', value: copy.value, version: copy.version, isSure: true };
    }
    return this.#ask(key, options);
  }

  #ask(key: string, options: CallOptions | undefined): Promise<Found<unknown>> {
    const bounds = boundsOf(this.#engine, options);
    return this.#engine.lookup.find(this.#space, this.#namespace.address(key), bounds);
  }

  #lend(held: unknown): DeepReadonly<V> {
    // The caller names V where it opens the namespace; a schema makes that more than a promise.
    return this.#namespace.lend(held) as DeepReadonly<V>;
  }

  /** This is the value now: the last writer wins, by version. */
  async set(key: string, value: V, options: SetOptions = {}): Promise<Receipt> {
    const bounds = boundsOf(this.#engine, options);
    const address = this.#namespace.address(key);
    if (options.ifVersion !== undefined) {
      return this.#setIf(address, value, options.ifVersion, options, bounds);
    }
    return this.#write(address, value, options, bounds, { create: false });
  }

  /** The key is new. Rejects with `ConflictError` where a tier knows better; where L3 can't be asked, it is accepted. */
  async create(key: string, value: V, options: SetOptions = {}): Promise<Receipt> {
    const bounds = boundsOf(this.#engine, options);
    return this.#write(this.#namespace.address(key), value, options, bounds, { create: true });
  }

  /** There is nothing under this key now. */
  async delete(
    key: string,
    options: Pick<SetOptions, 'durability'> & CallOptions = {},
  ): Promise<Receipt> {
    const bounds = boundsOf(this.#engine, options);
    const address = this.#namespace.address(key);
    const work = this.#traced('cache.delete', () =>
      writeValue(this.#engine.ladder, {
        address,
        payload: undefined,
        expiresAt: 0,
        scope: this.#namespace.scopeOf(address.key),
        tags: [],
        through: options.durability === 'through',
        create: false,
        copy: () => undefined,
      }),
    );
    return this.#bounded(work, bounds, 'a delete');
  }

  /**
   * Reads, changes and writes, exactly: of concurrent updates none is lost. `fn` must be pure,
   * because it may run again; where it returns `undefined` nothing is written. Goes through L3.
   */
  async update(
    key: string,
    fn: (current: DeepReadonly<V> | undefined) => V | undefined | Promise<V | undefined>,
    options: UpdateOptions<V> = {},
  ): Promise<Receipt & { readonly value: DeepReadonly<V> | undefined }> {
    const bounds = boundsOf(this.#engine, options);
    const address = this.#namespace.address(key);
    const decide = async (base: ValueWrite | undefined) => {
      const live = base !== undefined && isLive(base, this.#engine.clock.now()) ? base : undefined;
      const current =
        live?.payload === undefined ? undefined : this.#namespace.decode(live.payload);
      const given = current === undefined ? this.#initial(options) : this.#lend(current);
      const next = await fn(given);
      if (next === undefined) return unchanged(given);
      return this.#decided(next, options, live);
    };
    const { receipt, result } = await this.#updated(address, decide, bounds, checkTime(options.at));
    return { ...receipt, value: result };
  }

  #initial(options: UpdateOptions<V>): DeepReadonly<V> | undefined {
    if (options.initial === undefined) return undefined;
    return this.#lend(this.#namespace.encode(options.initial).value);
  }

  #decided(
    next: V,
    options: { readonly ttl?: Duration | undefined; readonly tags?: readonly string[] | undefined },
    live: ValueWrite | undefined,
  ): Decision<DeepReadonly<V>> {
    const { payload, value } = this.#namespace.encode(next);
    return {
      write: true,
      payload,
      expiresAt: options.ttl === undefined ? (live?.expiresAt ?? 0) : this.#expiry(options.ttl),
      tags: options.tags === undefined ? (live?.tags ?? []) : checkTags(options.tags),
      result: this.#lend(value),
    };
  }

  async #setIf(
    address: Address,
    value: V,
    expected: number | 'absent',
    options: SetOptions,
    bounds: CallBounds,
  ): Promise<Receipt> {
    const decide = (base: ValueWrite | undefined) => {
      const live = base !== undefined && isLive(base, this.#engine.clock.now()) ? base : undefined;
      const matches = expected === 'absent' ? live === undefined : live?.version === expected;
      if (!matches) {
        throw new ConflictError(
          `${this.name} holds ${live === undefined ? 'nothing' : `version ${live.version}`} under this key, expected ${expected === 'absent' ? 'nothing' : `version ${expected}`}`,
          { outcome: 'none' },
        );
      }
      const { ttl, tags = [] } = options;
      return this.#decided(value, { ttl, tags }, undefined);
    };
    return (await this.#updated(address, decide, bounds)).receipt;
  }

  #updated<R>(
    address: Address,
    decide: (base: ValueWrite | undefined) => Decision<R> | Promise<Decision<R>>,
    bounds: CallBounds,
    at?: number,
  ) {
    const until = this.#engine.clock.monotonic() + bounds.deadlineMs;
    const scope = this.#namespace.scopeOf(address.key);
    const work = this.#traced('cache.update', () =>
      this.#engine.updates.update({ address, scope, decide, until, at }),
    );
    return this.#bounded(work, bounds, 'an update');
  }

  #write(
    address: Address,
    value: V,
    options: SetOptions,
    bounds: CallBounds,
    { create }: { readonly create: boolean },
  ): Promise<Receipt> {
    const encoded = this.#namespace.encode(value);
    const request = {
      address,
      payload: encoded.payload,
      expiresAt: options.ttl === undefined ? 0 : this.#expiry(options.ttl),
      scope: this.#namespace.scopeOf(address.key),
      tags: checkTags(options.tags ?? []),
      through: options.durability === 'through',
      create,
      copy: (write: ValueWrite) => copyOf(write, encoded.value, this.#engine.clock.now()),
    };
    const work = this.#traced('cache.set', () => writeValue(this.#engine.ladder, request));
    return this.#bounded(work, bounds, 'a write');
  }

  #expiry(ttl: Duration): number {
    const ms = parseDuration('ttl', ttl);
    if (ms === 0)
      throw new ConfigError('option "ttl" takes a time above 0: what is over is deleted');
    return Math.ceil(this.#engine.clock.now() + ms);
  }

  #traced<T>(name: string, work: () => Promise<T>): Promise<T> {
    return traced(name, { 'cache.namespace': this.name }, work);
  }

  #bounded<T>(work: Promise<T>, bounds: CallBounds, what: string): Promise<T> {
    return bounded(work, bounds, `${what} to ${this.name}`, this.#engine.clock, 'unknown');
  }

  /** The cached copies go, here and on every instance; a pending one stays. L3 is not touched. */
  async forget(key: string, options?: CallOptions): Promise<void> {
    const bounds = boundsOf(this.#engine, options);
    const work = this.#engine.forget([this.#namespace.address(key)]);
    await this.#bounded(work, bounds, 'a forget');
  }

  /** One round trip per tier for all of them; keys that have no value are not in the map. */
  async getMany(
    keys: readonly string[],
    options?: CallOptions,
  ): Promise<ReadonlyMap<string, DeepReadonly<V>>> {
    const values = await Promise.all(keys.map((key) => this.get(key, options)));
    const found = new Map<string, DeepReadonly<V>>();
    for (const [index, value] of values.entries()) {
      const key = keys[index];
      if (key !== undefined && value !== undefined) found.set(key, value);
    }
    return found;
  }

  /** An outcome per key: one that is refused does not hold up the others. */
  setMany(
    entries: Iterable<readonly [key: string, value: V]>,
    options: Omit<SetOptions, 'ifVersion'> = {},
  ): Promise<ReadonlyMap<string, Settled<Receipt>>> {
    return settleAll(
      entries,
      ([key]) => key,
      ([key, value]) => this.set(key, value, options),
    );
  }

  deleteMany(
    keys: Iterable<string>,
    options: CallOptions = {},
  ): Promise<ReadonlyMap<string, Settled<Receipt>>> {
    return settleAll(
      keys,
      (key) => key,
      (key) => this.delete(key, options),
    );
  }

  /** Brings these into L1 and L2, before somebody waits for them. */
  async preload(keys: readonly string[], options?: CallOptions): Promise<PreloadReport> {
    const bounds = boundsOf(this.#engine, options);
    const addresses = keys.map((key) => this.#namespace.address(key));
    return preloadAll(addresses, (address) =>
      this.#engine.lookup.find(this.#space, address, { ...bounds, preload: true }),
    );
  }

  /** The records of L3 in key order, united with what this process has not synced yet. */
  async *scan(
    options: ScanOptions = {},
  ): AsyncGenerator<readonly [key: string, value: DeepReadonly<V>]> {
    for await (const write of scanWrites(this.#engine, this.name, options)) {
      yield [write.address.key, this.#lend(this.#namespace.decode(write.payload))];
    }
  }
}

function unchanged<V>(value: DeepReadonly<V> | undefined): Decision<DeepReadonly<V> | undefined> {
  return { write: false, result: value };
}

function checkTime(at: number | undefined): number | undefined {
  if (at === undefined || (Number.isFinite(at) && at >= VERSION_EPOCH_MS)) return at;
  throw new ConfigError(`option "at" takes milliseconds since 1970, from 2020 on, got ${at}`);
}

function checkTags(tags: readonly string[]): readonly string[] {
  return tags.map((tag) => checkText('tag', tag));
}
