/**
 * A stage for tests of the whole cache: real servers, any number of caches on them in this
 * process, what each of them said in events, and a look at L3 and L2 from outside.
 *
 * Waiting is for conditions and events, bounded; nothing here sleeps for a fixed time.
 */
import { fileURLToPath } from 'node:url';
import {
  eventually,
  type RedisOptions as RedisServerOptions,
  type Stack,
  type SupabaseOptions as SupabaseServerOptions,
  startProxy,
  startStack,
  type Proxy as TcpProxy,
  until,
} from '@cache/testing';
import { createClient } from '@supabase/supabase-js';
import { Redis } from 'ioredis';
import { expect, vi } from 'vitest';
import {
  type Cache,
  type CacheEvent,
  type CacheOptions,
  createCache,
  type Logs,
  memory,
  type Records,
  type RedisOptions,
  redis,
  supabase,
} from '../../src/index.ts';

export { eventually, until };

export const MIGRATIONS: string = fileURLToPath(
  new URL('../../../../supabase/migrations', import.meta.url),
);

const SHARDS = 16;

// Servers are started and restarted in these tests, on machines that others use too.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

/** A turn of a conversation. */
export interface Turn {
  readonly id: string;
  readonly text: string;
}

/** What the tests keep as records. */
export interface Count {
  readonly n: number;
}

type EventOf<T extends CacheEvent['type']> = Extract<CacheEvent, { readonly type: T }>;

/** One cache on the stage, with everything that it said. */
export class Instance implements AsyncDisposable {
  readonly cache: Cache;
  readonly records: Records<Count>;
  readonly logs: Logs<Turn>;
  readonly events: CacheEvent[] = [];

  constructor(options: CacheOptions) {
    this.cache = createCache(options);
    this.cache.subscribe((event) => this.events.push(event));
    this.records = this.cache.records<Count>('counts', { scope: (key) => ['call', key] });
    this.logs = this.cache.logs<Turn>('turns', {
      scope: (key) => ['call', key],
      id: (turn) => turn.id,
    });
  }

  eventsOf<T extends CacheEvent['type']>(type: T): EventOf<T>[] {
    return this.events.filter((event): event is EventOf<T> => event.type === type);
  }

  /** Waits for an event, heard already or not. */
  async said<T extends CacheEvent['type']>(
    type: T,
    fits: (event: EventOf<T>) => boolean = () => true,
  ): Promise<void> {
    await until(() => this.eventsOf(type).some(fits), `an event "${type}"`);
  }

  /** The states of the breaker, in the order in which it was in them. */
  get breaker(): readonly string[] {
    return this.eventsOf('breaker').map(({ to }) => to);
  }

  /** Its breaker is closed, and its bus is proven alive: L1 may be served. */
  async healthy(): Promise<void> {
    const well = { breaker: 'CLOSED', isBusAlive: true };
    await eventually(() => {
      const { tiers, bus } = this.cache.stats();
      const now = { breaker: tiers.l2.breaker.state, isBusAlive: bus.connected };
      // With what it has said last, so that a failure explains itself.
      expect({ ...now, said: this.events.slice(-20) }).toMatchObject(well);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cache.close();
  }
}

export interface InstanceOptions extends Omit<CacheOptions, 'l1' | 'l2' | 'l3'> {
  /** Not the stage's Redis, but a proxy of it, or other settings. `false`: no L2. */
  readonly l2?: Partial<RedisOptions> | false | undefined;
  readonly l1?: CacheOptions['l1'] | false | undefined;
  readonly l3?: { readonly url?: string; readonly key?: string; readonly timeout?: number };
}

export interface StageOptions {
  readonly redis?: RedisServerOptions;
  readonly supabase?: Partial<SupabaseServerOptions>;
}

/** One row of `cache_entries`, as supabase-js gives it. */
export interface EntryRow {
  readonly version: number;
  readonly intent: number;
  readonly deleted: boolean;
  readonly value: unknown;
  readonly tags: readonly string[];
}

export interface ItemRow {
  readonly id: string;
  readonly version: number;
  readonly item: unknown;
}

export class Stage implements AsyncDisposable {
  readonly stack: Stack;
  readonly #instances: Instance[] = [];
  readonly #proxies: TcpProxy[] = [];
  readonly #client: ReturnType<typeof createClient>;
  #looking: Redis | undefined;
  #keys = 0;

  private constructor(stack: Stack) {
    this.stack = stack;
    this.#client = createClient(stack.supabase.url, stack.supabase.secretKey, {
      auth: { persistSession: false, autoRefreshToken: false },
    });
  }

  static async start(options: StageOptions = {}): Promise<Stage> {
    return new Stage(
      await startStack({
        ...(options.redis && { redis: options.redis }),
        supabase: { migrations: MIGRATIONS, ...options.supabase },
      }),
    );
  }

  /** A key that no other test of the file has. */
  key(name = 'key'): string {
    this.#keys += 1;
    return `${name}-${this.#keys}`;
  }

  /** A cache whose timeouts are generous, so that only what a test does to a server is a fault. */
  open(options: InstanceOptions = {}): Instance {
    const { l1, l2, l3, ...rest } = options;
    const { redis: server, supabase: durable } = this.stack;
    const instance = new Instance({
      ...(l1 !== false && { l1: l1 ?? memory({ max: 10_000 }) }),
      ...(l2 !== false && {
        l2: redis({
          url: server.url,
          timeout: 500,
          ...l2,
          breaker: { failures: 3, reset: 100, trial: 1, ...l2?.breaker },
        }),
      }),
      l3: supabase({ url: durable.url, key: durable.secretKey, timeout: 4000, ...l3 }),
      deadline: 15_000,
      ...rest,
    });
    this.#instances.push(instance);
    return instance;
  }

  /** {@link open}, and ready to serve L1. */
  async ready(options: InstanceOptions = {}): Promise<Instance> {
    const instance = this.open(options);
    await instance.cache.ready();
    if (options.l2 !== false) await instance.healthy();
    return instance;
  }

  /** A way to the stage's Redis that can be cut. */
  async proxyToRedis(): Promise<TcpProxy & { readonly url: string }> {
    return this.#proxy(this.stack.redis.port, this.stack.redis.url);
  }

  async proxyToSupabase(): Promise<TcpProxy & { readonly url: string }> {
    return this.#proxy(this.stack.supabase.port, this.stack.supabase.url);
  }

  async #proxy(port: number, url: string): Promise<TcpProxy & { readonly url: string }> {
    const proxy = await startProxy(port);
    this.#proxies.push(proxy);
    return Object.assign(proxy, { url: proxy.through(url) });
  }

  // ------------------------------------------------------------ L3, from outside

  async row(key: string, namespace = 'counts'): Promise<EntryRow | undefined> {
    const { data, error } = await this.#client
      .from('cache_entries')
      .select('key,version,intent,deleted,value,tags')
      .eq('namespace', namespace)
      // What would have to be quoted in a URL is looked for here.
      .like('key', /^[\w-]+$/.test(key) ? key.replaceAll('_', '\\_') : '%')
      .overrideTypes<(EntryRow & { readonly key: string })[], { merge: false }>();
    if (error !== null) throw new Error(error.message);
    return data.find((row) => row.key === key);
  }

  /** The items of a log, in log order, past the cap of one select. */
  async items(key: string, namespace = 'turns'): Promise<readonly ItemRow[]> {
    const all: ItemRow[] = [];
    for (;;) {
      const { data, error } = await this.#client
        .from('cache_log_items')
        .select('id,version,item')
        .eq('namespace', namespace)
        .eq('key', key)
        .order('version')
        .order('id')
        .range(all.length, all.length + 999)
        .overrideTypes<ItemRow[], { merge: false }>();
      if (error !== null) throw new Error(error.message);
      all.push(...data);
      if (data.length < 1000) return all;
    }
  }

  /** How many rows a table has. */
  async count(table: 'cache_bypass_marks' | 'cache_dead_letters'): Promise<number> {
    const { count, error } = await this.#client
      .from(table)
      .select('*', { count: 'exact', head: true });
    if (error !== null) throw new Error(error.message);
    return count ?? 0;
  }

  // ------------------------------------------------------------ L2, from outside

  /** A plain connection, for looking and for planting. */
  get redis(): Redis {
    if (this.#looking === undefined) {
      this.#looking = new Redis(this.stack.redis.url, { maxRetriesPerRequest: null });
      this.#looking.on('error', () => {});
    }
    return this.#looking;
  }

  /** Keys that L2 holds and L3 lacks something of. */
  async pending(): Promise<number> {
    const sizes = Array.from({ length: SHARDS }, (_, shard) =>
      this.redis.zcard(`c:{${String(shard).padStart(2, '0')}}:p`),
    );
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  }

  /** The name under which Redis holds an entry; `undefined` where it holds none. */
  async redisKey(namespace: string, key: string): Promise<string | undefined> {
    const keys = await this.redis.keys('c:{*}:e:*');
    return keys.find((name) => name.endsWith(`:e:${namespace}/${key}`));
  }

  // ------------------------------------------------------------ together

  /** G4: in the end L1, L2 and L3 hold the same version of this key, on all of these. */
  async converges(
    key: string,
    instances: readonly Instance[],
    namespace: 'counts' | 'turns' = 'counts',
  ): Promise<void> {
    await eventually(async () => {
      for (const { cache } of instances) {
        const { l1, l2, l3, outbox } = await cache.inspect(namespace, key);
        if (typeof l3 !== 'object') throw new Error(`L3 holds nothing of ${namespace}/${key}`);
        if (l1 !== undefined) expect(l1.version, 'L1').toBe(l3.version);
        if (l2 !== undefined)
          expect(l2, 'L2').toMatchObject({ version: l3.version, pending: false });
        expect(outbox, 'the outbox').toBeUndefined();
      }
    });
  }

  /** The servers run again, whatever a test did to them. */
  async revive(): Promise<void> {
    const { redis: server, supabase: durable } = this.stack;
    server.thaw();
    durable.thaw();
    const dead = [server, durable].filter(({ pid }) => !isRunning(pid));
    await Promise.all(dead.map((one) => one.restart()));
  }

  async close(instance: Instance): Promise<void> {
    this.#instances.splice(this.#instances.indexOf(instance), 1);
    await instance.cache.close();
  }

  /** Ends the instances of one test, which leaves the servers to the next. */
  async closeInstances(): Promise<void> {
    for (const proxy of this.#proxies) proxy.heal();
    await Promise.all(this.#instances.splice(0).map((instance) => instance.cache.close()));
    await Promise.all(this.#proxies.splice(0).map((proxy) => proxy.close()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.closeInstances();
    this.#looking?.disconnect();
    await this.stack.close();
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

export function turn(id: string, text: string = `text of ${id}`): Turn {
  return { id, text };
}

export function turns(count: number, prefix = 't'): readonly Turn[] {
  return Array.from({ length: count }, (_, i) => turn(`${prefix}${i}`));
}

/** The error that a promise rejects with. */
export async function errorOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}
