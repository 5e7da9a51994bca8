/**
 * The real scripts on a real server against the model, command by command: the same reply, the
 * same message on the bus and the same content of the server after each one.
 */
import { type RedisServer, startRedis } from '@cache/testing';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { encodeHeader } from '../../../src/codec/envelope.ts';
import { type Address, shardOf } from '../../../src/model/key.ts';
import { versionAt, WARNED_SKEW_MS } from '../../../src/model/version.ts';
import { entryKey, indexKey, metaKey } from '../../../src/tiers/redis/keys.ts';
import type { RedisTier } from '../../../src/tiers/redis/redis.ts';
import { SharedModel } from '../../model/shared-model.ts';
import type { BusMessage } from '../../model/shared-server.ts';
import { dumpPayload } from '../../model/stored.ts';
import { Schedule, type Step } from './schedule.ts';
import {
  copyServer,
  dumpServer,
  openTier,
  plainClient,
  StillClock,
  seeded,
  TTL_MS,
  until,
} from './support.ts';

const SHARDS = 2;
const SEEDS = 14;
const COMMANDS = 700;

class VisibleModel extends SharedModel {
  versionAt(of: Address): number {
    const stored = this.entries.get(of.id);
    return stored === undefined || stored.kind === 'garbage' ? 0 : stored.version;
  }

  /** It would expire while the test runs; time stands still in the model. */
  isShortLived(of: Address, now: number): boolean {
    const stored = this.entries.get(of.id);
    return (
      stored !== undefined &&
      stored.kind !== 'garbage' &&
      (stored.evictAt ?? now * 2) < now + 60_000
    );
  }
}

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
  readonly clock: StillClock;
  readonly model: VisibleModel;
  readonly tier: RedisTier;
  readonly heard: readonly string[];
  readonly expected: string[] = [];
  readonly schedule: Schedule;
  floor: number;
  #epochs: readonly number[] = [];
  #restore: (() => Promise<void>) | undefined;
  #snapshot: ReturnType<SharedModel['snapshot']> | undefined;

  constructor(seed: number) {
    const random = seeded(seed);
    this.clock = new StillClock(Date.UTC(2026, 0, 1), random);
    this.schedule = new Schedule(random);
    // Every fourth run counts just below the largest number that is exact.
    this.floor = seed % 4 === 0 ? Number.MAX_SAFE_INTEGER - 1_000_000 : 0;
    this.model = new VisibleModel({
      shards: SHARDS,
      ttl: TTL_MS,
      publish: (message) => this.expected.push(textOf(message)),
    });
    const opened = openTier(server.url, {
      clock: this.clock,
      shards: SHARDS,
      floor: () => Promise.resolve(this.floor),
    });
    this.tier = opened.tier;
    this.heard = opened.heard.messages;
  }

  async start(): Promise<void> {
    await client.flushall();
    await this.tier.connect();
    await this.handshake();
    const before = this.heard.length;
    await until(async () => {
      await client.publish('c:bus', 'here');
      return this.heard.length > before;
    }, 'the subscription stands');
  }

  /** The tier learns the incarnation; the model begins the epochs that the tier began. */
  async handshake(): Promise<void> {
    await this.tier.probe();
    const floor = Math.max(this.floor, versionAt(this.clock.now() + WARNED_SKEW_MS));
    const { metas } = await dumpServer(client, SHARDS);
    this.#epochs = metas.map((meta, shard) => {
      this.model.handshake(shard, this.model.runId, meta?.epoch ?? 0, floor);
      return meta?.epoch ?? 0;
    });
  }

  epoch(of: Address): number {
    return this.#epochs[shardOf(of, SHARDS)] ?? 0;
  }

  cut(of: Address): number {
    return this.model.dump().metas[shardOf(of, SHARDS)]?.cut ?? 0;
  }

  /** FLUSHALL: the next command is denied its epoch, and the tier finds the new one. */
  async empty(): Promise<void> {
    await client.flushall();
    this.model.empty();
    const on = this.schedule.address();
    const write = { on, op: 'forget' } as const;
    expect(await this.command(write)).toEqual(this.expect(write));
    await this.handshake();
  }

  /** What a server does that comes back with what it knew at some time. */
  async restart(): Promise<void> {
    await this.#restore?.();
    const snapshot = this.#snapshot ?? this.model.snapshot();
    for (let shard = 0; shard < SHARDS; shard += 1) {
      if ((await client.exists(metaKey(shard))) === 1) {
        await client.setrange(metaKey(shard), 16, 'f'.repeat(40));
      }
    }
    this.model.restart(snapshot);
    await this.handshake();
  }

  async remember(): Promise<void> {
    this.#restore = await copyServer(client);
    this.#snapshot = this.model.snapshot();
  }

  async evict(of: Address): Promise<void> {
    if (this.model.evict(of)) await client.del(entryKey(shardOf(of, SHARDS), of.id));
  }

  /** Another build's entry, or garbage. */
  async plant(of: Address): Promise<void> {
    const shard = shardOf(of, SHARDS);
    const key = entryKey(shard, of.id);
    const now = this.clock.now();
    await client.zrem(indexKey(shard), of.id);
    if (this.schedule.chance(0.4)) {
      this.model.plant(of, { kind: 'garbage' }, now);
      await client.set(key, this.schedule.pick(['', 'rubbish', '@', '@c', 'x'.repeat(100)]));
      return;
    }
    const pending = this.schedule.chance(0.5);
    const version = this.cut(of) + this.schedule.below(6) - 2;
    const intent = this.schedule.below(3);
    const epoch = this.schedule.chance(0.7) ? this.epoch(of) : 7;
    const flags = (pending ? 1 : 0) | this.schedule.pick([0, 2, 4, 64]);
    const evictAt = pending ? undefined : now + TTL_MS;
    this.model.plant(of, { kind: 'foreign', pending, version, intent, epoch, evictAt }, now);
    const header = encodeHeader({
      format: 9,
      flags,
      version,
      intent,
      epoch,
      expiresAt: 0,
      erasedTo: 0,
    });
    const bytes = Buffer.concat([header, Buffer.from('in another way')]);
    if (pending) {
      await client.set(key, bytes);
      await client.zadd(indexKey(shard), now, of.id);
    } else {
      await client.set(key, bytes, 'PX', TTL_MS);
    }
  }

  /** Time stands still in the model and goes on in the server. */
  async expire(of: Address): Promise<void> {
    if (!this.model.isShortLived(of, this.clock.now())) return;
    await client.del(entryKey(shardOf(of, SHARDS), of.id));
    this.model.evict(of);
  }

  expect(step: Step): unknown {
    const { on } = step;
    const { model } = this;
    const [epoch, now] = [this.epoch(on), this.clock.now()];
    switch (step.op) {
      case 'put':
        return model.put(epoch, step.put, now);
      case 'append':
        return model.append(epoch, step.append, now);
      case 'backfill':
        return model.backfill(epoch, step.fill, now);
      case 'putSettled':
        return model.putSettled(epoch, step.write, now);
      case 'settle':
        return model.settle(epoch, step.settle, now);
      case 'drop':
        return model.drop(epoch, { address: on, newer: step }, now);
      case 'repair':
        return model.repair(epoch, { address: on, kind: step.kind, stamp: step }, now);
      case 'forget':
        return model.forget(epoch, on, now);
      case 'purge':
        return model.purge(epoch, { address: on, version: step.version }, now);
      case 'read':
        return readable(model.read(epoch, on, now));
    }
  }

  async command(step: Step): Promise<unknown> {
    const { on } = step;
    const { tier } = this;
    switch (step.op) {
      case 'put':
        return (await tier.put([step.put]))[0];
      case 'append':
        return (await tier.append([step.append]))[0];
      case 'backfill':
        return (await tier.backfill([step.fill]))[0];
      case 'putSettled':
        return (await tier.putSettled([step.write]))[0];
      case 'settle':
        return (await tier.settle([step.settle]))[0];
      case 'drop':
        return (await tier.drop([{ address: on, newer: step }]))[0];
      case 'repair':
        return (await tier.repair([{ address: on, kind: step.kind, stamp: step }]))[0];
      case 'forget':
        return (await tier.forget([on]))[0];
      case 'purge':
        return (await tier.purge([{ address: on, version: step.version }]))[0];
      case 'read':
        return readable((await tier.read([on]))[0]);
    }
  }

  async event(): Promise<void> {
    const { schedule } = this;
    const on = schedule.address();
    if (schedule.chance(0.05)) await this.evict(on);
    if (schedule.chance(0.015)) await this.plant(on);
    if (schedule.chance(0.005)) await this.remember();
    if (schedule.chance(0.004)) await this.restart();
    if (schedule.chance(0.004)) await this.empty();
  }
}

function textOf({ version, intent, kind, address }: BusMessage): string {
  return `k ${version} ${kind === 'value' ? `v${intent}` : 'l'} ${address.id}`;
}

/** Why an entry can't be read is said in words of one's own. */
function readable(read: unknown): unknown {
  return JSON.parse(
    JSON.stringify(read, (name, member: unknown) => {
      if (name === 'reason') return undefined;
      if (name === 'payload' && typeof member === 'object' && member !== null) {
        if ('codec' in member && 'bytes' in member) return hexOf(member.bytes);
      }
      return member;
    }) ?? 'null',
  );
}

function hexOf(bytes: unknown): string {
  if (bytes instanceof Uint8Array) return dumpPayload({ codec: 'json', bytes }) ?? '';
  return JSON.stringify(bytes);
}

test.for(Array.from({ length: SEEDS }, (_, i) => i + 1))(
  'G4: the scripts do to the server exactly what the model says (seed %i)',
  { timeout: 60_000 },
  async (seed) => {
    const pair = new Pair(seed);
    try {
      await pair.start();
      const history: unknown[] = [];
      for (let i = 0; i < COMMANDS; i += 1) {
        await pair.event();
        const on = pair.schedule.address();
        const step = pair.schedule.step(
          on,
          pair.cut(on),
          pair.model.versionAt(on),
          pair.clock.now(),
        );
        history.push(step);
        const expected = pair.expect(step);
        const context = `seed ${seed}, command ${i}: ${JSON.stringify(step)}`;
        expect(await pair.command(step), context).toEqual(expected);
        await pair.expire(on);
        expect(await dumpServer(client, SHARDS), context).toEqual(pair.model.dump());
        pair.clock.time += 1;
      }
      await client.publish('c:bus', 'end');
      await until(() => pair.heard.at(-1) === 'end', 'the last message');
      const messages = pair.heard.filter((message) => message.startsWith('k '));
      expect(messages).toEqual(pair.expected);
    } finally {
      await pair.tier.close();
    }
  },
);
