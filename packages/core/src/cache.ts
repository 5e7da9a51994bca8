/**
 * `createCache`: wires the parts and owns their life.
 *
 *   opening   connections are being made; calls work, with what is there.
 *   open      `ready()` resolved: L3 answered, L2 answered or is bypassed.
 *   closing   `close()`: no new calls. Timers stop, the outbox drains within the deadline; what
 *             could not be drained stays pending in Redis, for others to adopt.
 *   closed    every timer and connection that the cache made is gone.
 */

import type { StandardSchemaV1 } from '@standard-schema/spec';
import { Registry } from 'prom-client';
import { v7 as uuidv7 } from 'uuid';
import { type Assembly, assembleEngine } from './assembly.ts';
import { boundsOf, type CallOptions, type DerivedEngine, type Engine } from './calls.ts';
import { DeadLetters } from './dead-letters.ts';
import { bounded } from './deadline.ts';
import { Derived } from './derived.ts';
import { type DerivedOptions, resolveDerived } from './derived-options.ts';
import { makeDeriving, stopDeriving } from './deriving.ts';
import { ConfigError } from './errors.ts';
import { type CacheListener, EventHub, eventLogger } from './events.ts';
import { type Health, healthOf } from './health.ts';
import { type Inspection, inspect, inspectDerived } from './inspect.ts';
import { Instance, NO_DURABLE } from './instance.ts';
import { type InvalidationReport, invalidate } from './invalidate.ts';
import { Logs } from './logs.ts';
import { Mappings, mappedTable } from './mappings.ts';
import { Metrics } from './metrics/metrics.ts';
import type { CacheStats } from './metrics/snapshot.ts';
import type { DerivedKey } from './model/derived-key.ts';
import { parseDuration } from './model/duration.ts';
import { type Address, scopeOf } from './model/key.ts';
import type { FieldsOf, RowTable, TableFor } from './model/mapped-table.ts';
import { Namespaces } from './namespaces.ts';
import { refuseUnknown } from './option-rules.ts';
import { type CacheOptions, type ResolvedOptions, resolveOptions } from './options.ts';
import { makePacking } from './parts.ts';
import { Records } from './records.ts';
import { CacheScope } from './scope.ts';
import { Namespace, type NamespaceOptions } from './space.ts';
import { type SyncReport, syncAll } from './sync.ts';

/** Options of {@link Cache.records}. */
export interface RecordsOptions<V> extends NamespaceOptions {
  /**
   * The table of the team's own where these records are kept for other programs to read and write,
   * as {@link table} describes it. Its mapping has to be in the database, `ready()` says whether it
   * is. Takes values of the codec `json`; the table says the scope. Default: none.
   */
  readonly table?: TableFor<FieldsOf<V>> | undefined;
}

/** Options of {@link Cache.logs}. */
export interface LogsOptions<T> extends NamespaceOptions {
  /** An item's id, unique in its log: what makes an append idempotent. Default: a new UUIDv7. */
  readonly id?: ((item: T) => string) | undefined;
}

const DEFAULT_CLOSE_MS = 5000;

/** Opens a cache. Throws `ConfigError` for options that can't be used; connects in the background. */
export function createCache(options: CacheOptions): Cache {
  return new Cache(options);
}

export class Cache {
  readonly #events: EventHub = new EventHub();
  readonly #metrics: Metrics;
  readonly #opened = new Namespaces();
  readonly #resolved: ResolvedOptions;
  readonly #instance: Instance;
  /** What records and logs stand on; `undefined` where there is no L3. */
  readonly #assembly: Assembly | undefined;
  /** Absent where there is no L3. */
  readonly #mappings: Mappings | undefined;
  readonly #deriving: DerivedEngine;
  readonly #unregister: () => void;
  #closing: Promise<void> | undefined;
  /** Where the metrics are: the registry that was given, or the cache's own. */
  readonly registry: Registry;
  /** Acknowledged writes that L3 refuses: what they are, again, never again. Needs the option l3. */
  readonly deadLetters: DeadLetters;

  /** @internal Use {@link createCache}. */
  constructor(options: CacheOptions) {
    const resolved = resolveOptions(options);
    this.#metrics = new Metrics(resolved.clock);
    this.registry = resolved.registry ?? new Registry();
    this.#unregister = this.#metrics.register(this.registry);
    if (resolved.logger !== undefined) this.#events.subscribe(eventLogger(resolved.logger));
    this.#resolved = resolved;
    const input = {
      options: resolved,
      packing: makePacking(resolved, this.#metrics),
      events: this.#events,
      metrics: this.#metrics,
      instance: uuidv7(),
      isClosed: () => this.#closing !== undefined,
    };
    try {
      this.#assembly = assembleEngine(input);
    } catch (error) {
      this.#unregister();
      throw error;
    }
    this.#instance = this.#assembly?.instance ?? new Instance(input, NO_DURABLE);
    this.#mappings = this.#assembly && this.#makeMappings(this.#assembly);
    this.deadLetters = new DeadLetters({
      engine: () => this.#needs('deadLetters').engine,
      letters: () => this.#needs('deadLetters').letters,
    });
    this.#deriving = makeDeriving(input, this.#instance, this.#assembly?.derived);
    this.#metrics.connect(this.#instance.sources());
    this.#instance.start();
    this.#assembly?.start();
  }

  #makeMappings({ durable, instance }: Assembly): Mappings {
    return new Mappings({
      clock: this.#resolved.clock,
      tables: durable.tables,
      opened: () => instance.opening.ready(),
      isClosed: () => this.#closing !== undefined,
      isSealed: this.#resolved.cipher?.seals === true,
    });
  }

  /** Opens a namespace of records. */
  records<S extends StandardSchemaV1>(
    name: string,
    options: RecordsOptions<StandardSchemaV1.InferOutput<S>> & { readonly schema: S },
  ): Records<StandardSchemaV1.InferOutput<S>>;
  records<V>(name: string, options?: RecordsOptions<V>): Records<V>;
  records(
    name: string,
    options: NamespaceOptions & { readonly table?: RowTable | undefined } = {},
  ): Records<unknown> {
    const engine = this.#engineFor(name);
    refuseUnknown(name, options, ['scope', 'codec', 'schema', 'table']);
    return this.#opened.open('records', options, Records, name, () => {
      const mapped = this.#mappings && mappedTable(this.#mappings, name, options);
      const counters = this.#metrics.namespace(name);
      const namespace = new Namespace(name, 'value', options, counters, mapped);
      return { namespace, handle: new Records(engine, namespace) };
    });
  }

  /** Opens a namespace of logs. */
  logs<S extends StandardSchemaV1>(
    name: string,
    options: LogsOptions<StandardSchemaV1.InferOutput<S>> & { readonly schema: S },
  ): Logs<StandardSchemaV1.InferOutput<S>>;
  logs<T>(name: string, options?: LogsOptions<T>): Logs<T>;
  logs<T>(name: string, options: LogsOptions<T> = {}): Logs<T> {
    const engine = this.#engineFor(name);
    refuseUnknown(name, options, ['scope', 'codec', 'schema', 'id']);
    return this.#opened.open('logs', options, Logs<T>, name, () => {
      const namespace = this.#namespace(name, 'log', options);
      return { namespace, handle: new Logs<T>(engine, namespace, options.id) };
    });
  }

  /**
   * Opens a namespace of derived values: what `load`, or the loader given to `getOrSet`, can
   * compute again. Needs no L3.
   */
  derived<
    K extends DerivedKey,
    S extends StandardSchemaV1,
    V extends StandardSchemaV1.InferOutput<S> | undefined = StandardSchemaV1.InferOutput<S>,
  >(name: string, options: DerivedOptions<K, V> & { readonly schema: S }): Derived<K, V>;
  derived<K extends DerivedKey, V>(name: string, options?: DerivedOptions<K, V>): Derived<K, V>;
  derived<K extends DerivedKey, V>(
    name: string,
    options: DerivedOptions<K, V> = {},
  ): Derived<K, V> {
    const { l1, l2 } = this.#resolved;
    const policy = resolveDerived(name, options, {
      l1Ms: l1?.ttlMs ?? 0,
      l2Ms: l2?.ttlMs ?? l1?.ttlMs ?? 0,
      hasShared: l2 !== undefined,
      hasDurable: this.#assembly !== undefined,
    });
    return this.#opened.open('derived', options, Derived<K, V>, name, () => {
      const { codec, schema } = options;
      const namespace = this.#namespace(name, 'value', { codec, schema });
      const parts = { engine: this.#deriving, namespace, policy };
      return { namespace, handle: new Derived<K, V>(parts, options) };
    });
  }

  #namespace(name: string, kind: 'value' | 'log', options: NamespaceOptions): Namespace {
    return new Namespace(name, kind, options, this.#metrics.namespace(name));
  }

  #engineFor(name: string): Engine {
    if (this.#assembly === undefined) {
      throw new ConfigError(`${name}: records and logs need the option l3, which this cache lacks`);
    }
    return this.#assembly.engine;
  }

  /** Everything that belongs to one call, one caller, one tenant. */
  scope(kind: string, id: string): CacheScope {
    const { engine, removeCopy, others } = this.#needs('scope');
    const parts = {
      engine,
      deriving: this.#deriving,
      shared: this.#instance.shared?.guard.background,
      removeCopy,
      expunge: async () => (await this.#assembly?.journal?.expunge()) ?? true,
      others,
      scopeOf: (address: Address) => {
        const opened = this.#opened.get(address.namespace);
        return opened === undefined ? 'unknown' : opened.namespace.scopeOf(address.key);
      },
      spaceOf: (address: Address) => {
        const opened = this.#opened.get(address.namespace);
        return opened?.kind === 'derived' ? undefined : opened?.namespace.space();
      },
    };
    return new CacheScope(parts, scopeOf(kind, id));
  }

  /**
   * Derived values that bear one of these tags are misses from now on, everywhere, those that are
   * being loaded included. Copies of records that bear one are forgotten; pending ones stay.
   * Rejects with `UnavailableError` where a tier could not be told.
   */
  async invalidateTags(
    tags: readonly string[],
    options?: CallOptions,
  ): Promise<InvalidationReport> {
    const bounds = boundsOf(this.#deriving, options);
    const work = invalidate(this.#deriving, this.#assembly?.engine, tags);
    return bounded(work, bounds, 'an invalidation', this.#deriving.clock, 'unknown');
  }

  /**
   * Flushes everything that L3 lacks, of every instance: the living ones are asked over the
   * bus, what dead ones left is adopted. `unknown` where L2 can't say what there is.
   */
  async sync(options?: CallOptions): Promise<SyncReport> {
    const assembly = this.#needs('sync');
    const bounds = boundsOf(assembly.engine, options);
    const { clock } = assembly.engine;
    return bounded(syncAll(assembly, bounds.deadlineMs), bounds, 'a sync', clock);
  }

  /**
   * Resolves when calls can be answered: L3 is there, L2 is there or bypassed. Rejects with
   * `ConfigError` for a wrong password or key, missing migrations, or a mapped table that is not as
   * its namespace says; with `UnavailableError` while L3 is away, or has not taken all that was in
   * the journal: it can be called again.
   */
  async ready(): Promise<void> {
    await this.#instance.opening.ready();
    await this.#mappings?.ready();
    await this.#assembly?.restored();
  }

  /** What each part says of itself. Never rejects. */
  health(): Promise<Health> {
    return healthOf(this.#instance, this.#assembly, this.#metrics, this.#resolved.clock);
  }

  stats(): CacheStats {
    return this.#metrics.snapshot();
  }

  /** Which tiers hold a key, under which version, and how large; the value only where asked for. */
  inspect(
    namespace: string,
    key: string,
    options: CallOptions & { readonly value?: boolean | undefined } = {},
  ): Promise<Inspection> {
    const bounds = boundsOf(this.#deriving, options);
    const { kind, namespace: opened } = this.#openedAs(namespace);
    const withValue = options.value === true;
    const asked =
      kind === 'derived'
        ? inspectDerived(this.#deriving, opened, key, withValue)
        : inspect(this.#needs('inspect'), opened, key, withValue);
    return bounded(asked, bounds, 'an inspection', this.#deriving.clock);
  }

  /** The cached copies of one key go; a pending one stays. A derived value is deleted. */
  async forget(namespace: string, key: string, options?: CallOptions): Promise<void> {
    const { handle, namespace: opened } = this.#openedAs(namespace);
    if (handle instanceof Derived) return handle.deleteText(key, options);
    const { engine } = this.#needs('forget');
    const bounds = boundsOf(engine, options);
    const work = engine.forget([opened.address(key)]);
    await bounded(work, bounds, 'a forget', engine.clock);
  }

  #openedAs(name: string) {
    const opened = this.#opened.get(name);
    if (opened === undefined) throw new ConfigError(`namespace "${name}" is not open`);
    return opened;
  }

  #needs(what: string): Assembly {
    if (this.#assembly !== undefined) return this.#assembly;
    throw new ConfigError(`${what} needs the option l3, which this cache lacks`);
  }

  /** Events of the cache's life, without keys and values. The returned function unsubscribes. */
  subscribe(listener: CacheListener): () => void {
    return this.#events.subscribe(listener);
  }

  /** Stops intake, drains what it can within the deadline, releases timers and connections. Idempotent. */
  close(options: Pick<CallOptions, 'deadline'> = {}): Promise<void> {
    this.#closing ??= this.#close(
      options.deadline === undefined
        ? DEFAULT_CLOSE_MS
        : parseDuration('deadline', options.deadline),
    );
    return this.#closing;
  }

  async #close(ms: number): Promise<void> {
    this.#mappings?.close();
    await stopDeriving(this.#deriving);
    await this.#assembly?.close(ms);
    await this.#instance.close();
    this.#events.emit({
      type: 'closed',
      pending: this.#assembly?.lacked ?? 0,
    });
    this.#events.clear();
    this.#unregister();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
