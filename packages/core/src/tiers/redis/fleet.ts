/** The registry of instances, the leases and the sending side of the bus, in Redis. */

import type { LivingInstance, SharedFleet } from '../fleet.ts';
import type { CallOptions } from '../tier.ts';
import { toTierError } from './failures.ts';
import { BUS_CHANNEL, leaseKey, REGISTRY_KEY } from './keys.ts';
import { type ScriptCall, scripts } from './scripts.ts';
import type { Command, Session } from './session.ts';

/** So long ago was the last heartbeat of who has resigned: dead for everybody, not yet forgotten. */
const RESIGNED_MS = 3_600_000;

/** Where a session comes from that has been through its handshake. */
export type Ready = (signal: AbortSignal | undefined) => Promise<Session>;

export class RedisFleet implements SharedFleet {
  readonly #ready: Ready;

  constructor(ready: Ready) {
    this.#ready = ready;
  }

  async heartbeat(instance: string, message: string, o: CallOptions = {}): Promise<void> {
    const call = { script: scripts.heartbeat, keys: [REGISTRY_KEY], args: [instance, message] };
    await this.#run(call, o);
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
    const [listeners] = await this.#send([['PUBLISH', [BUS_CHANNEL, message]]], o);
    return Number(listeners);
  }

  async #run(call: ScriptCall, o: CallOptions): Promise<unknown> {
    const session = await this.#ready(o.signal);
    const [reply] = await session.run([call], o.signal);
    return reply;
  }

  async #send(commands: readonly Command[], o: CallOptions): Promise<readonly unknown[]> {
    const session = await this.#ready(o.signal);
    const replies = await session.send(commands, o.signal);
    const refused = replies.find((reply) => reply instanceof Error);
    if (refused !== undefined) throw toTierError(refused);
    return replies;
  }
}

/** The answer of TIME. */
function millisecondsIn(time: unknown): number {
  const [seconds, micros] = textsIn(time).map(Number);
  return (seconds ?? 0) * 1000 + (micros ?? 0) / 1000;
}

function textsIn(reply: unknown): readonly string[] {
  return Array.isArray(reply) ? reply.map(String) : [];
}
