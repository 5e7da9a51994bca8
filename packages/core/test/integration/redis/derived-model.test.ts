/**
 * The scripts on derived values against their model, command by command: the same reply, the same
 * messages and the same content of the server after each one. Time passes in both, but what has a
 * life has a long one; that it is over is an event.
 */
import { type RedisServer, startRedis } from '@cache/testing';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Address, type AddressId, shardOf } from '../../../src/model/key.ts';
import { versionAt, WARNED_SKEW_MS } from '../../../src/model/version.ts';
import { numberBytes } from '../../../src/tiers/redis/handshake.ts';
import {
  derivedKey,
  loadKey,
  membersKey,
  metaKey,
  tagsKey,
} from '../../../src/tiers/redis/keys.ts';
import type { RedisTier } from '../../../src/tiers/redis/redis.ts';
import { SharedModel } from '../../model/shared-model.ts';
import { type Dump, dumpReal, steps, VisibleModel } from './derived-dump.ts';
import {
  DerivedSchedule,
  type DerivedStep,
  SCOPES,
  type Told,
  VALUES,
} from './derived-schedule.ts';
import {
  copyServer,
  dumpServer,
  openTier,
  plainClient,
  StillClock,
  seeded,
  until,
} from './support.ts';

const SHARDS = 2;
const SEEDS = 14;
const COMMANDS = 700;
const MAX_NOTES = 3;

let server: RedisServer;
let client: Redis;

beforeAll(async () => {
  server = await startRedis();
  client = plainClient(server.url);
});

afterAll(async () => {
  client.disconnect();
  await server.close();
});

/** One tier and one model, through the same events. */
class Pair {
  readonly schedule: DerivedSchedule;
  readonly expected: string[] = [];
  readonly tier: RedisTier;
  readonly heard: readonly string[];
  readonly #clock: StillClock;
  readonly #shared: SharedModel;
  readonly #model: VisibleModel;
  readonly #told = new Map<AddressId, Told>();
  #floors: readonly number[] = [];
  #epochs: readonly number[] = [];
  #restore: (() => Promise<void>) | undefined;
  #snapshot: ReturnType<SharedModel['snapshot']> | undefined;

  constructor(seed: number) {
    const random = seeded(seed);
    this.schedule = new DerivedSchedule(random);
    this.#clock = new StillClock(Date.UTC(2026, 0, 1), random);
    this.#shared = new SharedModel({
      shards: SHARDS,
      publish: ({ version, intent, address: of }) =>
        this.expected.push(`k ${version} v${intent} ${of.id}`),
    });
    this.#model = new VisibleModel(this.#shared, {
      maxNotes: MAX_NOTES,
      publishTag: (tag) => this.expected.push(`t ${tag}`),
      publishFree: ({ id }) => this.expected.push(`f ${id}`),
      firstSequence: (shard) => this.#floors[shard] ?? Number.NaN,
    });
    const opened = openTier(server.url, {
      clock: this.#clock,
      shards: SHARDS,
      maxNotes: MAX_NOTES,
    });
    this.tier = opened.tier;
    this.heard = opened.heard.messages;
  }

  async start(): Promise<void> {
    await client.flushall();
    await this.tier.connect();
    await this.#handshake();
    const before = this.heard.length;
    await until(async () => {
      await client.publish('c:bus', 'here');
      return this.heard.length > before;
    }, 'the subscription stands');
  }

  async #handshake(): Promise<void> {
    await this.tier.probe();
    const floor = versionAt(this.#clock.now() + WARNED_SKEW_MS);
    const { metas } = await dumpServer(client, SHARDS);
    this.#epochs = metas.map((meta, shard) => {
      this.#shared.handshake(shard, this.#shared.runId, meta?.epoch ?? 0, floor);
      return meta?.epoch ?? 0;
    });
  }

  cut(of: Address): number {
    return this.#shared.dump().metas[shardOf(of, SHARDS)]?.cut ?? 0;
  }

  told(of: Address): Told | undefined {
    return this.#told.get(of.id);
  }

  /** What only a look behind the server's back can say: where lost notes began again. */
  async look(): Promise<void> {
    const floors = this.#epochs.map((_, shard) => client.zscore(tagsKey(shard), ''));
    this.#floors = (await Promise.all(floors)).map((floor) => Number(floor ?? Number.NaN));
  }

  async event(): Promise<void> {
    const { schedule } = this;
    const on = schedule.pick(VALUES);
    const shard = shardOf(on, SHARDS);
    const entry = derivedKey(shard, on.id);
    if (schedule.chance(0.05)) {
      this.#model.evict('entry', on);
      await client.del(entry);
    }
    if (schedule.chance(0.03)) {
      this.#model.evict('lease', on);
      await client.del(loadKey(shard, on.id));
    }
    if (schedule.chance(0.02)) {
      const gone = schedule.pick(SCOPES);
      this.#model.evictMembers(shard, gone);
      await client.del(membersKey(shard, gone));
    }
    const scope = schedule.pick(SCOPES);
    if (schedule.chance(0.1) && this.#model.outlive(shard, scope, on)) {
      await client.zadd(membersKey(shard, scope), 1, on.id);
    }
    if (schedule.chance(0.01)) {
      this.#model.loseNotes(shard);
      await client.del(tagsKey(shard));
    }
    if (schedule.chance(0.02)) {
      this.#model.plant(on);
      await client.set(entry, schedule.pick(['', '@c', 'rubbish', 'x'.repeat(100)]));
    }
    if (schedule.chance(0.15) && this.#model.age(on)) {
      await client.setrange(entry, 36, numberBytes(1));
    }
    if (schedule.chance(0.006)) {
      this.#restore = await copyServer(client);
      this.#snapshot = this.#shared.snapshot();
    }
    if (schedule.chance(0.006)) await this.#restart();
    if (schedule.chance(0.004)) await this.#empty(on);
  }

  /** A server that comes back with what it knew at some time. */
  async #restart(): Promise<void> {
    await this.#restore?.();
    this.#shared.restart(this.#snapshot ?? this.#shared.snapshot());
    for (let shard = 0; shard < SHARDS; shard += 1) {
      if ((await client.exists(metaKey(shard))) === 1) {
        await client.setrange(metaKey(shard), 16, 'f'.repeat(40));
      }
    }
    await this.#handshake();
  }

  async #empty(on: Address): Promise<void> {
    await client.flushall();
    this.#shared.empty();
    const step = { op: 'letGo', lease: { address: on, token: 1 } } as const;
    await this.command(step);
    expect(this.expect(step)).toBeUndefined();
    await this.#handshake();
  }

  expect(step: DerivedStep): unknown {
    const now = Date.now();
    const model = this.#model;
    const epoch = (of: Address): number => this.#epochs[shardOf(of, SHARDS)] ?? 0;
    switch (step.op) {
      case 'take':
        return model.take(epoch(step.take.address), step.take, now);
      case 'fill':
        return model.fill(epoch(step.fill.entry.address), step.fill, now);
      case 'place':
        return model.place(epoch(step.place.entry.address), step.place, now);
      case 'remove':
        return model.remove(epoch(step.of.address), step.of);
      case 'extend':
        return model.extend(epoch(step.lease.address), step.lease, now);
      case 'letGo':
        model.letGo(epoch(step.lease.address), step.lease, now);
        return undefined;
      case 'invalidate':
        return model.invalidate(this.#epochs, step.tags, now);
      case 'erase':
        return model.erase(this.#epochs, step.scope, now);
      case 'members':
        return idsOf(model.members(step.scope, now));
    }
  }

  async command(step: DerivedStep): Promise<unknown> {
    const { derived } = this.tier;
    switch (step.op) {
      case 'take': {
        const { address: of, token } = step.take;
        const [reply] = await derived.take([step.take]);
        if (reply !== undefined && reply.status !== 'epoch') {
          const { status, sequence } = reply;
          if (status === 'leased') this.#told.set(of.id, { token, sequence });
        }
        return reply;
      }
      case 'fill':
        return (await derived.fill([step.fill]))[0];
      case 'place':
        return (await derived.place([step.place]))[0];
      case 'remove':
        return (await derived.remove([step.of]))[0];
      case 'extend':
        return (await derived.extend([step.lease]))[0];
      case 'letGo':
        return await derived.letGo([step.lease]);
      case 'invalidate':
        return await derived.invalidate(step.tags);
      case 'erase':
        return await derived.erase(step.scope);
      case 'members':
        return idsOf(await derived.members(step.scope));
    }
  }

  dump(): Dump {
    return this.#model.dump(SHARDS, Date.now());
  }
}

function idsOf(addresses: readonly Address[]): readonly string[] {
  return addresses.map(({ id }) => id).sort();
}

const TIMES = new Set(['freshMs', 'lifeMs', 'leaseMs']);

/** With payloads as text, and times in steps. */
function comparable(reply: unknown): unknown {
  const text = JSON.stringify(reply, (name, member: unknown) => {
    if (typeof member === 'number' && TIMES.has(name)) return steps(member);
    return member instanceof Uint8Array ? Buffer.from(member).toString('hex') : member;
  });
  return text === undefined
    ? undefined
    : JSON.parse(text, (_name, member: unknown) => member ?? undefined);
}

test.for(Array.from({ length: SEEDS }, (_, i) => i + 1))(
  'G3, G11: the scripts do to derived values exactly what the model says (seed %i)',
  { timeout: 60_000 },
  async (seed) => {
    const pair = new Pair(seed);
    const seen = new Map<string, number>();
    try {
      await pair.start();
      for (let i = 0; i < COMMANDS; i += 1) {
        await pair.event();
        const on = pair.schedule.pick(VALUES);
        const step = pair.schedule.step(on, pair.cut(on), pair.told(on));
        const context = `seed ${seed}, command ${i}: ${JSON.stringify(step)}`;
        const reply = await pair.command(step);
        await pair.look();
        expect(comparable(reply), context).toEqual(comparable(pair.expect(step)));
        expect(await dumpReal(client, SHARDS, Date.now()), context).toEqual(pair.dump());
        const word = typeof reply === 'object' && reply && 'status' in reply ? reply.status : reply;
        const name = `${step.op} ${typeof word === 'string' ? word : ''}`;
        seen.set(name, (seen.get(name) ?? 0) + 1);
      }
      await client.publish('c:bus', 'end');
      await until(() => pair.heard.at(-1) === 'end', 'the last message');
      expect(pair.heard.filter((message) => /^[kft] /.test(message))).toEqual(pair.expected);
      for (const often of OFTEN) expect(seen.get(often) ?? 0, often).toBeGreaterThan(0);
    } finally {
      await pair.tier.close();
    }
  },
);

/** A schedule that never comes to one of these proves nothing about it. */
const OFTEN = [
  ...['take fresh', 'take leased', 'take taken', 'take none', 'fill held', 'fill voided'],
  ...['place held', 'place too-low', 'extend held', 'extend lost', 'invalidate done'],
];
