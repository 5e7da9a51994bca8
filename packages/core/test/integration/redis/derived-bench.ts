/** A server for the tests of derived values, an instance on it, and what they do again and again. */
import { type RedisServer, startRedis } from '@cache/testing';
import type { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { type Address, address, type Scope, shardOf } from '../../../src/model/key.ts';
import type {
  DerivedEntry,
  Lifetime,
  PlaceReply,
  TakeMode,
  TakeReply,
} from '../../../src/tiers/derived.ts';
import type { RedisDerived } from '../../../src/tiers/redis/derived.ts';
import { derivedKey, loadKey, tagsKey } from '../../../src/tiers/redis/keys.ts';
import type { RedisTierOptions } from '../../../src/tiers/redis/redis.ts';
import { json, type Opened, openTier, plainClient, until } from './support.ts';

export const SHARDS = 2;
export const VALUE: Address = address('d', 'a');
export const OTHER: Address = address('d', 'b');
export const CALL: Scope = { kind: 'call', id: '7 of 9' };
export const LONG: Lifetime = { freshMs: 600_000, lifeMs: 900_000 };
export const LEASE_MS = 60_000;

export const keyOf = (of: Address): string => derivedKey(shardOf(of, SHARDS), of.id);
export const leaseOf = (of: Address): string => loadKey(shardOf(of, SHARDS), of.id);
export const tagsOf = (of: Address): string => tagsKey(shardOf(of, SHARDS));

export function entry(version: number, more: Partial<DerivedEntry> = {}): DerivedEntry {
  return {
    address: VALUE,
    version,
    intent: 1,
    payload: json({ version }),
    loadMs: 40,
    tags: [],
    scope: undefined,
    ...more,
  };
}

/** What the tests of a file work on: one server for all, emptied and with a new instance for each. */
export interface At {
  readonly server: RedisServer;
  /** A look behind the instance's back. */
  readonly client: Redis;
  /** Of the first instance. */
  readonly derived: RedisDerived;
  readonly open: readonly Opened[];
}

type Answer = Exclude<TakeReply, { readonly status: 'epoch' }>;
type Told = Pick<Answer, 'sequence'>;

export interface Bench {
  readonly at: At;
  /** One more instance. */
  opened(options?: Partial<RedisTierOptions>): Promise<Opened>;
  take(mode: TakeMode, token?: number, of?: Address, on?: RedisDerived): Promise<Answer>;
  fill(one: DerivedEntry, told: Told, token?: number, life?: Lifetime): Promise<string | undefined>;
  /** Loads it, whatever is there. */
  load(one: DerivedEntry, life?: Lifetime): Promise<void>;
  place(one: DerivedEntry, life?: Lifetime): Promise<PlaceReply | undefined>;
  /** All that the first instance has heard until now. */
  messages(): Promise<readonly string[]>;
}

export function bench(): Bench {
  const servers: RedisServer[] = [];
  const clients: Redis[] = [];
  const open: Opened[] = [];
  const at: At = {
    get server() {
      return first(servers);
    },
    get client() {
      return first(clients);
    },
    get derived() {
      return first(open).tier.derived;
    },
    open,
  };

  async function opened(options: Partial<RedisTierOptions> = {}): Promise<Opened> {
    const one = openTier(at.server.url, { shards: SHARDS, ...options });
    open.push(one);
    await one.tier.connect();
    await until(() => one.heard.subscriptions > 0, 'subscribed');
    return one;
  }

  beforeAll(async () => {
    const server = await startRedis();
    servers.push(server);
    clients.push(plainClient(server.url));
  });
  beforeEach(async () => {
    await at.client.config('SET', 'maxmemory', '0');
    await at.client.flushall();
    await opened();
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map(({ tier }) => tier.close()));
  });
  afterAll(async () => {
    at.client.disconnect();
    await at.server.close();
  });

  async function take(
    mode: TakeMode,
    token = 1,
    of: Address = VALUE,
    on: RedisDerived = at.derived,
  ): Promise<Answer> {
    const [reply] = await on.take([{ address: of, mode, token, leaseMs: LEASE_MS }]);
    if (reply === undefined || reply.status === 'epoch') throw new Error('the epoch is another');
    return reply;
  }

  const fill: Bench['fill'] = async (one, { sequence }, token = 1, life = LONG) =>
    (await at.derived.fill([{ entry: one, token, sequence, ...life }]))[0];

  async function load(one: DerivedEntry, life: Lifetime = LONG): Promise<void> {
    const { status, ...rest } = await take('force', 1, one.address);
    expect(status).toBe('leased');
    expect(await fill(one, rest, 1, life)).toBe('held');
  }

  const place: Bench['place'] = async (one, life = LONG) =>
    (await at.derived.place([{ entry: one, ...life }]))[0];

  async function messages(): Promise<readonly string[]> {
    const { messages: heard } = first(open).heard;
    await at.client.publish('c:bus', 'end');
    await until(() => heard.at(-1) === 'end', 'the last message');
    return heard.filter((message) => message !== 'end');
  }

  return { at, opened, take, fill, load, place, messages };
}

function first<T>(list: readonly T[]): T {
  const [one] = list;
  if (one === undefined) throw new Error('it is not there yet, or not any more');
  return one;
}
