/**
 * Caches of L1 and L2 in this process, any number of them on one real Redis; and loaders that
 * count, and that answer when the test says so.
 */
import { type RedisServer, startRedis } from '@cache/testing';
import {
  type Cache,
  type CacheOptions,
  createCache,
  memory,
  type RedisOptions,
  redis,
} from '../../../src/index.ts';
import { until } from '../support.ts';

export interface CachesOptions extends Omit<CacheOptions, 'l1' | 'l2' | 'l3'> {
  /** `false`: no L1. */
  readonly l1?: CacheOptions['l1'] | false | undefined;
  readonly l2?: Partial<RedisOptions> | undefined;
}

export class Caches implements AsyncDisposable {
  readonly server: RedisServer;
  readonly #open: Cache[] = [];

  private constructor(server: RedisServer) {
    this.server = server;
  }

  static async start(): Promise<Caches> {
    return new Caches(await startRedis());
  }

  /** Patient, so that only what a test does to Redis is a fault. */
  open({ l1, l2, ...rest }: CachesOptions = {}): Cache {
    const cache = createCache({
      ...(l1 !== false && { l1: l1 ?? memory({ max: 10_000 }) }),
      l2: redis({
        url: this.server.url,
        timeout: 2000,
        breaker: { failures: 3, reset: 100, trial: 1 },
        ...l2,
      }),
      deadline: 15_000,
      ...rest,
    });
    this.#open.push(cache);
    return cache;
  }

  /** {@link open}, and ready to serve L1. */
  async ready(options: CachesOptions = {}): Promise<Cache> {
    const cache = this.open(options);
    await cache.ready();
    await healthy(cache);
    return cache;
  }

  async many(count: number, options: CachesOptions = {}): Promise<readonly Cache[]> {
    return Promise.all(Array.from({ length: count }, () => this.ready(options)));
  }

  async closeAll(): Promise<void> {
    this.server.thaw();
    await Promise.all(this.#open.splice(0).map((cache) => cache.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.closeAll();
    await this.server.close();
  }
}

/** Its breaker is closed, and its bus is proven alive: L1 may be served. */
export async function healthy(...caches: readonly Cache[]): Promise<void> {
  for (const cache of caches) {
    await until(() => {
      const { tiers, bus } = cache.stats();
      return tiers.l2.breaker.state === 'CLOSED' && bus.connected;
    }, 'a closed breaker and a living bus');
  }
}

/** A loader that answers `key:1`, `key:2` …, over all keys. */
export class Counter {
  readonly keys: string[] = [];

  readonly load = (key: string): string => {
    this.keys.push(key);
    return `${key}:${this.keys.length}`;
  };

  get loads(): number {
    return this.keys.length;
  }
}

/** A load that has begun and answers when it is told to. */
export interface Held<V> {
  readonly signal: AbortSignal;
  answer(value: V): void;
  fail(error: unknown): void;
}

/** A loader whose loads the test answers. */
export class Holder<V> {
  readonly loads: Held<V>[] = [];
  /** What loads answer at once that begin from now on. */
  next: V | undefined;

  readonly load = (_key: string, { signal }: { readonly signal: AbortSignal }): Promise<V> => {
    const { promise, resolve, reject } = Promise.withResolvers<V>();
    this.loads.push({ signal, answer: resolve, fail: reject });
    if (this.next !== undefined) resolve(this.next);
    return promise;
  };

  /** Resolves when so many loads have begun, with the last of them. */
  async begun(count: number): Promise<Held<V>> {
    await until(() => this.loads.length >= count, `load ${count} has begun`);
    const load = this.loads[count - 1];
    if (load === undefined) throw new Error('no load');
    return load;
  }
}

/** One value of one of the cache's own metrics; 0 where nothing was counted. */
export async function counted(
  cache: Cache,
  metric: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number> {
  const { values } = (await cache.registry.getSingleMetric(metric)?.get()) ?? { values: [] };
  return values
    .filter(({ labels: own }) =>
      Object.entries(labels).every(([name, value]) => own[name as keyof typeof own] === value),
    )
    .reduce((sum, { value }) => sum + value, 0);
}
