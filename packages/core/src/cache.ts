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
import { boundsOf, type CallOptions, type Engine } from './calls.ts';
import { bounded } from './deadline.ts';
import { ConfigError, UnavailableError } from './errors.ts';
import { type CacheListener, EventHub, eventLogger } from './events.ts';
import { type Health, healthOf } from './health.ts';
import { type Inspection, inspect } from './inspect.ts';
import { Logs } from './logs.ts';
import { Metrics } from './metrics/metrics.ts';
import type { CacheStats } from './metrics/snapshot.ts';
import { parseDuration } from './model/duration.ts';
import { type Address, checkText, scopeOf } from './model/key.ts';
import { type CacheOptions, resolveOptions } from './options.ts';
import { Records } from './records.ts';
import { CacheScope } from './scope.ts';
import { Namespace, type NamespaceOptions } from './space.ts';
import { type SyncReport, syncAll } from './sync.ts';

/** Options of {@link Cache.logs}. */
export interface LogsOptions<T> extends NamespaceOptions {
  /** An item's id, unique in its log: what makes an append idempotent. Default: a new UUIDv7. */
  readonly id?: ((item: T) => string) | undefined;
}

interface Opened {
  readonly options: NamespaceOptions & { readonly id?: unknown };
  readonly handle: object;
  readonly namespace: Namespace;
}

const DEFAULT_CLOSE_MS = 5000;

/** Opens a cache. Throws `ConfigError` for options that can't be used; connects in the background. */
export function createCache(options: CacheOptions): Cache {
  return new Cache(options);
}

export class Cache {
  readonly #events: EventHub = new EventHub();
  readonly #metrics: Metrics;
  readonly #opened = new Map<string, Opened>();
  readonly #assembly: Assembly | undefined;
  readonly #unregister: () => void;
  #closing: Promise<void> | undefined;
  /** Where the metrics are: the registry that was given, or the cache's own. */
  readonly registry: Registry;

  /** @internal Use {@link createCache}. */
  constructor(options: CacheOptions) {
    const resolved = resolveOptions(options);
    this.#metrics = new Metrics(resolved.clock);
    this.registry = resolved.registry ?? new Registry();
    this.#unregister = this.#metrics.register(this.registry);
    if (resolved.logger !== undefined) this.#events.subscribe(eventLogger(resolved.logger));
    this.#assembly = assembleEngine({
      options: resolved,
      events: this.#events,
      metrics: this.#metrics,
      instance: uuidv7(),
      isClosed: () => this.#closing !== undefined,
    });
    this.#assembly?.start();
  }

  /** Opens a namespace of records. */
  records<S extends StandardSchemaV1>(
    name: string,
    options: NamespaceOptions & { readonly schema: S },
  ): Records<StandardSchemaV1.InferOutput<S>>;
  records<V>(name: string, options?: NamespaceOptions): Records<V>;
  records(name: string, options: NamespaceOptions = {}): Records<unknown> {
    const engine = this.#engineFor(name);
    return this.#open(
      name,
      'value',
      options,
      Records,
      (namespace) => new Records(engine, namespace),
    );
  }

  /** Opens a namespace of logs. */
  logs<S extends StandardSchemaV1>(
    name: string,
    options: LogsOptions<StandardSchemaV1.InferOutput<S>> & { readonly schema: S },
  ): Logs<StandardSchemaV1.InferOutput<S>>;
  logs<T>(name: string, options?: LogsOptions<T>): Logs<T>;
  logs<T>(name: string, options: LogsOptions<T> = {}): Logs<T> {
    const engine = this.#engineFor(name);
    return this.#open(
      name,
      'log',
      options,
      Logs<T>,
      (namespace) => new Logs<T>(engine, namespace, options.id),
    );
  }

  #engineFor(name: string): Engine {
    if (this.#assembly === undefined) {
      throw new ConfigError(`${name}: records and logs need the option l3, which this cache lacks`);
    }
    return this.#assembly.engine;
  }

  #open<H extends object>(
    name: string,
    kind: 'value' | 'log',
    options: NamespaceOptions & { readonly id?: unknown },
    type: new (...args: never[]) => H,
    make: (namespace: Namespace) => H,
  ): H {
    refuseUnknown(name, options, kind);
    const opened = this.#opened.get(name);
    if (opened !== undefined) {
      const same = NAMESPACE_OPTIONS.every((key) => opened.options[key] === options[key]);
      if (same && opened.handle instanceof type) return opened.handle;
      throw new ConfigError(`namespace "${name}" was opened before with other options`);
    }
    const namespace = new Namespace(name, kind, options, this.#metrics.namespace(name));
    const handle = make(namespace);
    this.#opened.set(name, { options, handle, namespace });
    return handle;
  }

  /** Everything that belongs to one call, one caller, one tenant. */
  scope(kind: string, id: string): CacheScope {
    const { engine, shared, removeCopy, drainOthers } = this.#needs('scope');
    const parts = {
      engine,
      shared: shared?.guard.foreground,
      removeCopy,
      drainOthers: async (ms: number) => {
        try {
          const { asked, answers } = await drainOthers(ms);
          const left = [...answers.values()].some(({ remaining }) => remaining > 0);
          return answers.size === asked && !left;
        } catch {
          return false;
        }
      },
      scopeOf: (address: Address) => {
        const opened = this.#opened.get(address.namespace);
        return opened === undefined ? 'unknown' : opened.namespace.scopeOf(address.key);
      },
      spaceOf: (address: Address) => this.#opened.get(address.namespace)?.namespace.space(),
    };
    return new CacheScope(parts, scopeOf(kind, id));
  }

  /** Copies of every record that bears one of these tags are forgotten everywhere; pending ones stay. */
  async invalidateTags(
    tags: readonly string[],
    options?: CallOptions,
  ): Promise<{ readonly forgotten: number }> {
    const { engine } = this.#needs('invalidateTags');
    const bounds = boundsOf(engine, options);
    for (const tag of tags) checkText('tag', tag);
    const forget = async () => {
      const addresses = await engine.durable.tagged(tags).catch((cause: unknown) => {
        throw new UnavailableError('Supabase can not say what bears these tags', { cause });
      });
      await engine.forget(addresses);
      return { forgotten: addresses.length };
    };
    return bounded(forget(), bounds, 'an invalidation', engine.clock);
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
   * `ConfigError` for a wrong password or key, or missing migrations; with `UnavailableError`
   * while L3 is away.
   */
  async ready(): Promise<void> {
    await this.#assembly?.opening.ready();
  }

  /** What each part says of itself. Never rejects. */
  health(): Promise<Health> {
    return healthOf(this.#needs('health'), this.#metrics);
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
    const assembly = this.#needs('inspect');
    const bounds = boundsOf(assembly.engine, options);
    const opened = this.#opened.get(namespace);
    if (opened === undefined) throw new ConfigError(`namespace "${namespace}" is not open`);
    const asked = inspect(assembly, opened.namespace, key, options.value === true);
    return bounded(asked, bounds, 'an inspection', assembly.engine.clock);
  }

  /** The cached copies of one key go; a pending one stays. */
  async forget(namespace: string, key: string, options?: CallOptions): Promise<void> {
    const { engine } = this.#needs('forget');
    const bounds = boundsOf(engine, options);
    const opened = this.#opened.get(namespace);
    if (opened === undefined) throw new ConfigError(`namespace "${namespace}" is not open`);
    const work = engine.forget([opened.namespace.address(key)]);
    await bounded(work, bounds, 'a forget', engine.clock);
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
    await this.#assembly?.close(ms);
    this.#events.emit({
      type: 'closed',
      pending: this.#assembly?.engine.outbox.unsynced().length ?? 0,
    });
    this.#events.clear();
    this.#unregister();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

const NAMESPACE_OPTIONS = ['scope', 'codec', 'schema', 'id'] as const satisfies readonly (
  | keyof NamespaceOptions
  | 'id'
)[];

function refuseUnknown(name: string, options: object, kind: 'value' | 'log'): void {
  for (const key of Object.keys(options)) {
    const known =
      NAMESPACE_OPTIONS.some((option) => option === key) && !(kind === 'value' && key === 'id');
    if (!known) throw new ConfigError(`namespace "${name}": unknown option "${key}"`);
  }
}
