/** The registry of instances, the leases and the sending side of the bus, in Redis. */

import type { LivingInstance, SharedFleet } from '../fleet.ts';
import type { CallOptions } from '../tier.ts';
import { toTierError } from './failures.ts';
import { BUS_CHANNEL, busChannel, leaseKey, REGISTRY_KEY } from './keys.ts';
import { type ScriptCall, scripts } from './scripts.ts';
import type { Command } from './session.ts';
import type { ShardCommand, Upstream } from './upstream.ts';

/** So long ago was the last heartbeat of who has resigned: dead for everybody, not yet forgotten. */
const RESIGNED_MS = 3_600_000;

export class RedisFleet implements SharedFleet {
  readonly #upstream: Upstream;

  constructor(upstream: Upstream) {
    this.#upstream = upstream;
  }

  /** Heard on the channels of every server, it proves that each of them tells what it should. */
  async heartbeat(instance: string, message: string, o: CallOptions = {}): Promise<void> {
    const call = { script: scripts.heartbeat, keys: [REGISTRY_KEY], args: [instance, message] };
    await this.#run(call, o);
    const [, ...others] = this.#upstream.heads;
    if (others.length === 0) return;
    const commands = others.map((shard) => this.#publication(shard, message));
    refuseErrors(await this.#upstream.send(commands, o.signal));
  }

  async instances(o: CallOptions = {}): Promise<readonly LivingInstance[]> {
    const [time, members] = await this.#send(
      [
        ['TIME', []],
        ['ZREVRANGE', [REGISTRY_KEY, 0, -1, 'WITHSCORES']],
      ],
      o,
    );
    const now = millisecondsIn(time);
    const texts = textsIn(members);
    return texts.flatMap((id, i) =>
      i % 2 === 1 ? [] : [{ id, ageMs: Math.max(0, now - Number(texts[i + 1])) }],
    );
  }

  async unregister(instance: string, o: CallOptions = {}): Promise<void> {
    await this.#send([['ZREM', [REGISTRY_KEY, instance]]], o);
  }

  async resign(instance: string, o: CallOptions = {}): Promise<void> {
    const [time] = await this.#send([['TIME', []]], o);
    const longAgo = Math.floor(millisecondsIn(time)) - RESIGNED_MS;
    await this.#send([['ZADD', [REGISTRY_KEY, 'XX', longAgo, instance]]], o);
  }

  async lease(name: string, holder: string, ttlMs: number, o: CallOptions = {}): Promise<boolean> {
    const ttl = String(Math.max(1, Math.floor(ttlMs)));
    const call = { script: scripts.lease, keys: [leaseKey(name)], args: [holder, ttl] };
    return (await this.#run(call, o)) === 1;
  }

  async release(name: string, holder: string, o: CallOptions = {}): Promise<void> {
    await this.#run({ script: scripts.lease, keys: [leaseKey(name)], args: [holder, '0'] }, o);
  }

  async publish(message: string, o: CallOptions = {}): Promise<number> {
    const replies = await this.#upstream.send([this.#publication(0, message)], o.signal);
    refuseErrors(replies);
    return Number(replies[0]);
  }

  #publication(shard: number, message: string): ShardCommand {
    return this.#upstream.isSplit
      ? [shard, ['SPUBLISH', [busChannel(shard), message]]]
      : [shard, ['PUBLISH', [BUS_CHANNEL, message]]];
  }

  async #run(call: ScriptCall, o: CallOptions): Promise<unknown> {
    const [reply] = await this.#upstream.run(() => [call], o.signal);
    return reply;
  }

  /** To the server that has the registry. */
  async #send(commands: readonly Command[], o: CallOptions): Promise<readonly unknown[]> {
    const toFirst = commands.map((command) => [0, command] as const);
    const replies = await this.#upstream.send(toFirst, o.signal);
    refuseErrors(replies);
    return replies;
  }
}

function refuseErrors(replies: readonly unknown[]): void {
  const refused = replies.find((reply) => reply instanceof Error);
  if (refused !== undefined) throw toTierError(refused);
}

/** The answer to TIME. */
function millisecondsIn(time: unknown): number {
  const [seconds, micros] = textsIn(time).map(Number);
  return (seconds ?? 0) * 1000 + (micros ?? 0) / 1000;
}

function textsIn(reply: unknown): readonly string[] {
  return Array.isArray(reply) ? reply.map(String) : [];
}
