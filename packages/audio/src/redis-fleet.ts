/**
 * The fleet, over Redis: leases, broadcasts, news of deletions, and counts of uses. What it keeps
 * is small and short-lived; a Redis that is emptied costs a clip or two spoken twice.
 *
 *   {prefix}{<key>}:lease          the token that speaks the clip, for a second at a time
 *   {prefix}{<key>}:say:<token>    what it has said so far (`redis/broadcast.ts`)
 *   {prefix}{<key>}:ear:<token>    somebody follows it
 *   {prefix}{<key>}:use            it was asked for, for as long as the admission's window
 *   {prefix}used:<day>             how often each clip was heard on that day; the first 10,000
 *   {prefix}void                   the channel of deletions
 */
import { type Clock, type Duration, parseDuration, systemClock } from '@cache/core';
import type { Redis } from 'ioredis';
import type { Claim, Fleet, VoidNews } from './fleet.ts';
import { type BroadcastKeys, RedisBroadcast } from './redis/broadcast.ts';
import { follow } from './redis/follow.ts';
import { end, RedisLink, script } from './redis/link.ts';

export interface RedisFleetOptions {
  readonly url: string;
  /** Of every key. Default `'speech:'`. */
  readonly prefix?: string | undefined;
  /** What Redis may cost a caller. Default `'50ms'`. */
  readonly timeout?: Duration | undefined;
  /**
   * How long nobody else speaks a clip after the instance that was at it has fallen silent; it is
   * extended while it speaks. Default `'1s'`.
   */
  readonly lease?: Duration | undefined;
  readonly clock?: Clock | undefined;
}

const FLUSH_MS = 2000;
const MOST_COUNTED = 10_000;
const DAY_MS = 86_400_000;
const WRITE_MS = 1000;

const claim = script('claim');

/** One synthesis per fleet. See {@link Fleet}. */
export function redisFleet(options: RedisFleetOptions): Fleet {
  return new RedisFleet(options);
}

class RedisFleet implements Fleet {
  readonly #clock: Clock;
  readonly #prefix: string;
  readonly #link: RedisLink;
  readonly #leaseMs: number;
  readonly #bus: Redis;
  /** To tell one's own news from the others'. */
  readonly #instance: string;
  readonly #listeners = new Set<(news: VoidNews) => void>();
  #uses = new Map<string, number>();
  #cancelFlush: (() => void) | undefined;
  #flushing: Promise<void> = Promise.resolve();
  #isListening = false;
  #isClosed = false;

  constructor(options: RedisFleetOptions) {
    const {
      url,
      prefix = 'speech:',
      timeout = '50ms',
      lease = '1s',
      clock = systemClock,
    } = options;
    this.#clock = clock;
    this.#prefix = prefix;
    this.#instance = this.#token();
    this.#leaseMs = parseDuration('option "lease"', lease);
    const timeoutMs = parseDuration('option "timeout"', timeout);
    this.#link = new RedisLink({
      url,
      clock,
      timeoutMs,
      onDrop: () => {
        if (this.#bus.status === 'ready') this.#bus.disconnect(true);
      },
    });
    this.#bus = this.#link.duplicate();
    this.#bus.on('message', (_channel: string, text: string) => this.#heard(text));
    this.#bus.on('ready', () => void this.#subscribe());
  }

  async claim(
    key: string,
    { force, signal }: { readonly force: boolean; readonly signal: AbortSignal },
  ): Promise<Claim> {
    const token = this.#token();
    const mine = this.#keys(key, token);
    try {
      const args = [token, this.#leaseMs, force ? '1' : '0'];
      const reply = await this.#link.script(claim, [mine.lease, mine.stream], args, { signal });
      if (!Buffer.isBuffer(reply)) return { status: 'alone' };
      const holder = reply.toString();
      if (holder === token) {
        return {
          status: 'mine',
          broadcast: new RedisBroadcast({
            link: this.#link,
            clock: this.#clock,
            keys: mine,
            token,
            leaseMs: this.#leaseMs,
          }),
        };
      }
      const now = () => this.#clock.monotonic();
      const theirs = this.#keys(key, holder);
      return { status: 'theirs', follow: (until) => follow(this.#link, theirs, now, until) };
    } catch {
      return { status: 'alone' };
    }
  }

  async void(key: string | undefined): Promise<void> {
    await this.#link.run(
      async (client) => {
        if (key !== undefined) await client.del(this.#keys(key, '').lease);
        await client.publish(`${this.#prefix}void`, `${this.#instance} ${key ?? '*'}`);
      },
      { ms: WRITE_MS },
    );
  }

  async renewed(key: string): Promise<void> {
    const news = `${this.#instance} ${key}`;
    await this.#link.run((client) => client.publish(`${this.#prefix}void`, news), { ms: WRITE_MS });
  }

  onVoid(listener: (news: VoidNews) => void): void {
    this.#listeners.add(listener);
  }

  async isSecondUse(key: string, windowMs: number, signal: AbortSignal): Promise<boolean> {
    const name = `${this.#prefix}{${key}}:use`;
    const before = await this.#link.run(
      (client) => client.call('SET', name, '1', 'PX', Math.ceil(windowMs), 'NX', 'GET'),
      { signal },
    );
    return before !== null;
  }

  used(key: string): void {
    if (this.#isClosed || (this.#uses.size >= MOST_COUNTED && !this.#uses.has(key))) return;
    this.#uses.set(key, (this.#uses.get(key) ?? 0) + 1);
    this.#cancelFlush ??= this.#clock.after(FLUSH_MS, () => {
      this.#cancelFlush = undefined;
      this.#flushing = this.#flush();
    });
  }

  async usedYesterday(): Promise<ReadonlyMap<string, number>> {
    const name = this.#usedOn(this.#clock.now() - DAY_MS);
    const flat = await this.#link.run(
      (client) => client.zrange(name, '0', `${MOST_COUNTED - 1}`, 'REV', 'WITHSCORES'),
      { ms: WRITE_MS },
    );
    const uses = new Map<string, number>();
    for (let at = 0; at + 1 < flat.length; at += 2) {
      const key = flat[at];
      if (key !== undefined) uses.set(key, Number(flat[at + 1]));
    }
    return uses;
  }

  async ready(signal?: AbortSignal): Promise<void> {
    await this.#link.ready(signal);
    while (!this.#isListening) {
      signal?.throwIfAborted();
      await this.#link.pause(10);
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#cancelFlush?.();
    await this.#flushing;
    await this.#flush();
    this.#listeners.clear();
    await Promise.all([end(this.#bus), this.#link.close()]);
  }

  async #flush(): Promise<void> {
    const uses = this.#uses;
    if (uses.size === 0) return;
    this.#uses = new Map();
    const name = this.#usedOn(this.#clock.now());
    try {
      await this.#link.run(
        (client) => {
          const pipeline = client.pipeline();
          for (const [key, count] of uses) pipeline.zincrby(name, `${count}`, key);
          pipeline.zremrangebyrank(name, 0, -MOST_COUNTED - 1);
          pipeline.pexpire(name, 3 * DAY_MS);
          return pipeline.exec();
        },
        { ms: WRITE_MS },
      );
    } catch {
      // Only an order of warming up is lost.
    }
  }

  async #subscribe(): Promise<void> {
    try {
      await this.#bus.subscribe(`${this.#prefix}void`);
    } catch {
      this.#bus.disconnect(!this.#isClosed);
      return;
    }
    this.#isListening = true;
    // What was said before it listened, nobody knows.
    for (const listener of this.#listeners) listener({ what: 'unknown' });
  }

  #heard(text: string): void {
    const [instance, key] = text.split(' ', 2);
    if (instance === this.#instance) return;
    if (key === undefined) return;
    const news: VoidNews = key === '*' ? { what: 'all' } : { what: 'clip', key };
    for (const listener of this.#listeners) listener(news);
  }

  #keys(key: string, token: string): BroadcastKeys {
    const base = `${this.#prefix}{${key}}:`;
    return {
      lease: `${base}lease`,
      stream: `${base}say:${token}`,
      followers: `${base}ear:${token}`,
    };
  }

  #usedOn(at: number): string {
    return `${this.#prefix}used:${new Date(at).toISOString().slice(0, 10)}`;
  }

  #token(): string {
    return this.#clock.random53().toString(36) + this.#clock.random53().toString(36);
  }
}
