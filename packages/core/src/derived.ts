/**
 * Derived values: what can be computed again. Loaded once for all who ask (G11), never older than
 * an invalidation that was acknowledged (G3), and served stale rather than not at all where the
 * namespace allows it. May be forgotten at any time.
 */
import { boundsOf, type CallOptions, type DerivedEngine } from './calls.ts';
import type { Copy } from './coherence/copies.ts';
import { bounded } from './deadline.ts';
import type { DerivedOptions, Loader } from './derived-options.ts';
import { ConfigError, TierError, TimeoutError, UnavailableError } from './errors.ts';
import { type DerivedKey, derivedKeyText } from './model/derived-key.ts';
import { type Address, type AddressId, idOf, scopeOf } from './model/key.ts';
import type { Answer } from './read/flight.ts';
import { runLoader } from './read/load.ts';
import { loadTogether } from './read/load-many.ts';
import type { Request } from './read/obtain.ts';
import {
  answerOfCopy,
  copyOfDerived,
  type DerivedPolicy,
  type DerivedSpace,
  stateOf,
  stockOf,
} from './read/stocked.ts';
import type { DeepReadonly, Namespace } from './space.ts';
import { traced } from './tracing.ts';

/** What {@link Derived.lookup} says. */
export interface DerivedLookup<V> {
  readonly value: DeepReadonly<V>;
  /** Where it came from; `load`: the loader ran. */
  readonly tier: 'l1' | 'l2' | 'l3' | 'load';
  /** `stale`: its time is over, and its load failed or was slow. */
  readonly freshness: 'fresh' | 'stale';
}

/** What a namespace of derived values is made of. */
export interface DerivedParts {
  readonly engine: DerivedEngine;
  readonly namespace: Namespace;
  readonly policy: DerivedPolicy;
}

/** How often Redis may answer that it is another one by now, or that something is newer. */
const MAX_ATTEMPTS = 5;

export class Derived<K extends DerivedKey, V> {
  readonly #engine: DerivedEngine;
  readonly #namespace: Namespace;
  readonly #space: DerivedSpace;
  readonly #load: Loader<K, V> | undefined;

  /** @internal */
  constructor({ engine, namespace, policy }: DerivedParts, options: DerivedOptions<K, V>) {
    this.#engine = engine;
    this.#namespace = namespace;
    const { load, loadMany } = options;
    this.#load = load ?? (loadMany && loadTogether(namespace.name, loadMany));
    this.#space = {
      name: namespace.name,
      policy,
      encode: (value) => namespace.encode(value),
      decode: (payload) => namespace.decode(payload),
      // Whoever opened the namespace said what its keys and values are.
      tagsOf: (key, value) => options.tags?.(key as K, value as V) ?? [],
      scopeOf: (key) => {
        const scope = options.scope?.(key as K);
        return scope && scopeOf(scope[0], scope[1]);
      },
    };
  }

  get name(): string {
    return this.#namespace.name;
  }

  /**
   * The value, frozen; loaded where no tier has it fresh. Rejects with `LoadError` where its
   * load fails, with `TimeoutError` where that takes too long, and nothing stale may be served.
   */
  async get(key: K, options?: CallOptions): Promise<DeepReadonly<V>> {
    return this.#lend((await this.#answer(key, this.#loader(), options)).value);
  }

  /** As {@link get}, with a loader at hand. Where one is under way already, its answer is taken. */
  async getOrSet(key: K, load: Loader<K, V>, options?: CallOptions): Promise<DeepReadonly<V>> {
    return this.#lend((await this.#answer(key, load, options)).value);
  }

  /** The value with where it came from. */
  async lookup(key: K, options?: CallOptions): Promise<DerivedLookup<V>> {
    const { value, source, freshness } = await this.#answer(key, this.#loader(), options);
    return { value: this.#lend(value), tier: source, freshness };
  }

  /**
   * One round trip per tier for all of them, and one call of `loadMany` for what is missing.
   * Keys that have no value are not in the map. Rejects where one of them can't be loaded; `get`
   * tells them apart. At most 10,000 keys can be loaded at once.
   */
  async getMany(
    keys: readonly K[],
    options?: CallOptions,
  ): Promise<ReadonlyMap<K, DeepReadonly<V>>> {
    const values = await Promise.all(keys.map((key) => this.get(key, options)));
    const found = new Map<K, DeepReadonly<V>>();
    keys.forEach((key, index) => {
      const value = values[index];
      if (value !== undefined) found.set(key, value);
    });
    return found;
  }

  /** The value, where a tier has it fresh; loads nothing. */
  async peek(key: K, options?: CallOptions): Promise<DeepReadonly<V> | undefined> {
    const { value } = (await this.#look(key, options)) ?? {};
    return value === undefined ? undefined : this.#lend(value);
  }

  /** Whether a tier has a value fresh; loads nothing. "There is nothing" is none. */
  async has(key: K, options?: CallOptions): Promise<boolean> {
    return (await this.#look(key, options))?.value !== undefined;
  }

  /** Loads now, whatever there is, and resolves when it is stored; what others load is discarded. */
  async refresh(key: K, options?: CallOptions): Promise<DeepReadonly<V>> {
    const engine = this.#engine;
    const bounds = boundsOf(engine, options);
    const work = engine.obtain.refresh(this.#request(key, this.#loader()), bounds);
    const answer = await bounded(work, bounds, `a refresh of ${this.name}`, engine.clock);
    return this.#lend(answer.value);
  }

  /**
   * This is the value now, everywhere; loads under way are discarded. Rejects where L2, or L3
   * where the namespace persists, can't be told: others may still have what was there.
   */
  async set(key: K, value: V, options?: CallOptions): Promise<void> {
    const address = this.#namespace.address(derivedKeyText(key));
    await this.#change(address, options, 'a set', () => this.#place(address, key, value));
  }

  /** The value goes, everywhere; loads under way are discarded. Rejects as {@link set} does. */
  async delete(key: K, options?: CallOptions): Promise<void> {
    await this.deleteText(derivedKeyText(key), options);
  }

  /** @internal {@link delete} by the text that a key has in the tiers. */
  async deleteText(text: string, options?: CallOptions): Promise<void> {
    const address = this.#namespace.address(text);
    await this.#change(address, options, 'a delete', () => this.#remove(address));
  }

  // ------------------------------------------------------------ reading

  #answer(key: K, load: Loader<K, V>, options: CallOptions | undefined): Answer | Promise<Answer> {
    const engine = this.#engine;
    engine.check();
    const copy = this.#copy(idOf(this.name, derivedKeyText(key)));
    const state = copy && stateOf(copy, this.#space.policy, engine.tags, engine.clock);
    if (copy !== undefined && (state === 'fresh' || state === 'early')) {
      this.#namespace.counters.l1.hit += 1;
      this.#namespace.counters.overall.hit += 1;
      if (state === 'early') {
        engine.obtain.refreshEarly(this.#request(key, load), copy.version);
      }
      return answerOfCopy(copy, 'fresh');
    }
    this.#namespace.counters.l1.miss += 1;
    return this.#find(key, load, options, state === 'stale' ? copy : undefined);
  }

  async #find(
    key: K,
    load: Loader<K, V>,
    options: CallOptions | undefined,
    stale: Copy | undefined,
  ): Promise<Answer> {
    const { overall } = this.#namespace.counters;
    const bounds = boundsOf(this.#engine, options);
    const request = this.#request(key, load);
    try {
      const { answer } = await this.#traced('cache.get', () =>
        this.#engine.obtain.find(request, bounds, stale),
      );
      overall[answer.source === 'load' ? 'miss' : 'hit'] += 1;
      return answer;
    } catch (error) {
      overall[error instanceof TimeoutError ? 'timeout' : 'error'] += 1;
      throw error;
    }
  }

  async #look(key: K, options: CallOptions | undefined): Promise<Answer | undefined> {
    const engine = this.#engine;
    const bounds = boundsOf(engine, options);
    const address = this.#namespace.address(derivedKeyText(key));
    const copy = this.#copy(address.id);
    const state = copy && stateOf(copy, this.#space.policy, engine.tags, engine.clock);
    if (copy !== undefined && state !== 'stale' && state !== 'invalid') {
      return answerOfCopy(copy, 'fresh');
    }
    const work = engine.obtain.look(this.#space, address);
    const answer = await bounded(work, bounds, `a read of ${this.name}`, engine.clock);
    return answer?.freshness === 'fresh' ? answer : undefined;
  }

  /** L1's copy. Now and then, timed. */
  #copy(id: AddressId): Copy | undefined {
    const engine = this.#engine;
    const isTimed = engine.sampleL1();
    const start = isTimed ? engine.clock.monotonic() : 0;
    const copy = engine.copies.get(id);
    if (isTimed) engine.observeL1(engine.clock.monotonic() - start);
    return copy;
  }

  #loader(): Loader<K, V> {
    if (this.#load !== undefined) return this.#load;
    throw new ConfigError(`namespace "${this.name}" has neither load nor loadMany: use getOrSet`);
  }

  #request(key: K, load: Loader<K, V>): Request {
    const { clock, tales } = this.#engine;
    const space = this.#space;
    return {
      space,
      key,
      address: this.#namespace.address(derivedKeyText(key)),
      load: (signal, stale) =>
        runLoader((context) => load(key, context), {
          clock,
          signal,
          namespace: space.name,
          hardMs: space.policy.hardMs,
          stale: stale?.value === undefined ? undefined : this.#namespace.lend(stale.value),
          onOutcome: (outcome, ms) => tales.loaded(space, outcome, ms),
        }),
    };
  }

  #lend(held: unknown): DeepReadonly<V> {
    // The caller names V where it opens the namespace; a schema makes that more than a promise.
    return (held === undefined ? undefined : this.#namespace.lend(held)) as DeepReadonly<V>;
  }

  // ------------------------------------------------------------ changing

  /** L3 first: nobody is to fill L2 from there once L2 has been told. */
  async #change(
    address: Address,
    options: CallOptions | undefined,
    what: 'a set' | 'a delete',
    run: () => Promise<Copy | undefined>,
  ): Promise<void> {
    const engine = this.#engine;
    const bounds = boundsOf(engine, options);
    const work = async () => {
      // Before, so that nobody joins a load which this makes old; after, so that none of what
      // was read in between stays.
      engine.tiers.forget(address.id);
      let copy: Copy | undefined;
      try {
        copy = await run();
      } catch (cause) {
        if (!(cause instanceof TierError)) throw cause;
        // L3 comes first: it may have done what L2 was then not asked for.
        const outcome = this.#space.policy.persist ? 'unknown' : (cause.outcome ?? 'unknown');
        throw new UnavailableError(`${what} to ${this.name} could not be told to every tier`, {
          cause,
          outcome,
        });
      } finally {
        engine.tiers.forget(address.id);
      }
      if (copy === undefined) return;
      const attempt = engine.tiers.begin(address);
      engine.copies.offer(attempt.ticket, copy);
      engine.tiers.end(attempt);
    };
    const done = this.#traced(what === 'a set' ? 'cache.set' : 'cache.delete', work);
    await bounded(done, bounds, `${what} to ${this.name}`, engine.clock, 'unknown');
  }

  /** The copy that L1 is to have: where there is no L2 it is the only one. */
  async #place(address: Address, key: K, value: V): Promise<Copy | undefined> {
    const { clock, shared, durable, tags, propose } = this.#engine;
    const { policy } = this.#space;
    const given = { value, ms: 0, store: 'store', ttlMs: undefined, tags: [] } as const;
    const parts = { seen: tags.sequence, clock };
    const { entry, lifetime, answer } = stockOf(this.#space, { address, key }, given, parts);
    if (lifetime === undefined || lifetime.lifeMs <= 0) return this.#remove(address);
    let held = { ...lifetime, entry: { ...entry, ...propose() } };
    if (policy.persist) {
      const [reply] = (await durable?.put([{ ...held, sequence: undefined }])) ?? [];
      // What L3 has is newer by a clock that is ahead, and yet it is not the value any more.
      if (reply === 'voided') await durable?.remove([address]);
    }
    if (shared === undefined) return copyOfDerived(policy, held, answer.value, answer, clock);
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const [reply] = await shared.place([held]);
      if (reply?.status === 'held') return undefined;
      const floor = reply?.status === 'too-low' ? reply.floor : 0;
      held = { ...held, entry: { ...held.entry, ...propose(floor) } };
    }
    throw new TierError('Redis went on changing under a set', 'refused', { outcome: 'none' });
  }

  async #remove(address: Address): Promise<undefined> {
    const { shared, durable, propose } = this.#engine;
    if (this.#space.policy.persist) await durable?.remove([address]);
    if (shared === undefined) return;
    const { version } = propose();
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const [reply] = await shared.remove([{ address, version }]);
      if (reply === 'done') return;
    }
    throw new TierError('Redis went on changing under a delete', 'refused', { outcome: 'unknown' });
  }

  #traced<T>(name: string, work: () => Promise<T>): Promise<T> {
    return traced(name, { 'cache.namespace': this.name }, work);
  }
}
