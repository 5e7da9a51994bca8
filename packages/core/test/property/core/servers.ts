/**
 * The models of Redis and L3 as servers that can be away, and an instance's lines to them, which
 * delay, lose, and execute late. What a line says is what the real tiers say: data, or a
 * `TierError`. Redis has one shard here.
 */
import { TierError } from '../../../src/errors.ts';
import type { Address, AddressId } from '../../../src/model/key.ts';
import {
  type Stamp,
  type VersionClock,
  versionAt,
  WARNED_SKEW_MS,
} from '../../../src/model/version.ts';
import type { DurableDerived, SharedDerived } from '../../../src/tiers/derived.ts';
import type { SharedFleet } from '../../../src/tiers/fleet.ts';
import type { DurableTier, SharedTier } from '../../../src/tiers/tier.ts';
import { DerivedModel, type DerivedModelOptions } from '../../model/derived-model.ts';
import { DurableModel } from '../../model/durable-model.ts';
import { SharedModel } from '../../model/shared-model.ts';
import type { SharedSnapshot } from '../../model/shared-server.ts';
import { derivedOver } from './derived-line.ts';
import type { VirtualTime } from './virtual-time.ts';

const L3_TIMEOUT_MS = 2000;

function unreachable(outcome: 'none' | 'unknown'): TierError {
  return new TierError('the line is down', 'unreachable', { outcome });
}

export interface RedisHostOptions {
  /** Leaves out a rule on derived values. */
  readonly derived?: (model: SharedModel, options: DerivedModelOptions) => DerivedModel;
  readonly maxNotes?: number;
  /** Commands of a connection that broke may be executed so much later, in milliseconds. */
  readonly limboMs?: number;
  /** An answer takes less than this, in milliseconds. */
  readonly replyMs?: number;
}

/** Redis, as all instances share it. */
export class RedisHost {
  readonly model: SharedModel;
  readonly derived: DerivedModel;
  readonly limboMs: number;
  readonly replyMs: number;
  readonly lines: Set<RedisLine> = new Set<RedisLine>();
  state: 'up' | 'frozen' | 'down' = 'up';
  #stuck: (() => void)[] = [];
  #dump: SharedSnapshot | undefined;

  constructor(options: RedisHostOptions = {}) {
    this.limboMs = options.limboMs ?? 0;
    this.replyMs = options.replyMs ?? 4;
    this.model = new SharedModel({
      publish: ({ address, kind, version, intent }) => {
        for (const line of this.lines) line.publish(address.id, { version, intent }, kind);
      },
    });
    const derived = options.derived ?? ((model, given) => new DerivedModel(model, given));
    this.derived = derived(this.model, {
      publishTag: (tag) => this.say(`t ${tag}`),
      publishFree: ({ id }) => this.say(`f ${id}`),
      ...(options.maxNotes === undefined ? {} : { maxNotes: options.maxNotes }),
    });
  }

  /** Publishes a message that is not about a key. */
  say(message: string): void {
    for (const line of this.lines) line.say(message);
  }

  /** Now, after the thaw, or never. */
  execute(run: () => void): void {
    if (this.state === 'up') run();
    else if (this.state === 'frozen') this.#stuck.push(run);
  }

  thaw(): void {
    if (this.state === 'frozen') this.state = 'up';
    if (this.state === 'up') for (const run of this.#stuck.splice(0)) run();
  }

  kill(): void {
    this.state = 'down';
    this.#stuck = [];
    for (const line of this.lines) line.lose();
  }

  /** What a dump file has from now on. */
  save(): void {
    this.#dump = this.model.snapshot();
  }

  restart(fromDump: boolean): void {
    this.kill();
    this.model.restart(fromDump ? this.#dump : undefined);
    this.state = 'up';
  }
}

export interface RedisLineParts {
  readonly time: VirtualTime;
  readonly host: RedisHost;
  readonly versions: VersionClock;
  /** L3's highest version. */
  readonly floor: () => Promise<number>;
  readonly onEpoch: () => void;
  readonly onConnection: (up: boolean) => void;
  readonly onKey: (id: AddressId, stamp: Stamp, kind: 'value' | 'log') => void;
  /** What else is published. */
  readonly onMessage?: (message: string) => void;
}

/** One instance's connection: handshake, commands in order, subscription. */
export class RedisLine {
  readonly tier: SharedTier;
  readonly derived: SharedDerived;
  readonly fleet: Pick<SharedFleet, 'heartbeat' | 'publish'>;
  readonly #parts: RedisLineParts;
  #generation = 0;
  #epoch: number | undefined;
  #lastEpoch: number | undefined;
  #isCut = false;
  /** Nothing is heard any more, and nobody notices. */
  #isDeaf = false;
  #subscribedAt: number | undefined;
  #sentUntil = 0;
  #heardUntil = 0;
  #shaking: Promise<void> | undefined;

  constructor(parts: RedisLineParts) {
    this.#parts = parts;
    this.tier = this.#tier();
    this.derived = derivedOver(parts.host.derived, (batch, command) =>
      this.#run(batch, (_, epoch, one, now) => command(epoch, one, now)),
    );
    const say = async (message: string) => {
      await this.#send(() => parts.host.say(message));
    };
    this.fleet = {
      heartbeat: (_instance, message) => say(message),
      publish: (message) => say(message).then(() => parts.host.lines.size),
    };
    parts.host.lines.add(this);
  }

  /** The connection breaks; what was sent may be executed all the same. It is made anew. */
  lose(): void {
    this.#generation += 1;
    this.#epoch = undefined;
    this.#subscribedAt = undefined;
    this.#parts.onConnection(false);
    this.#reconnect();
  }

  #reconnect(): void {
    const { time, host } = this.#parts;
    const generation = this.#generation;
    time.after(10 + time.below(100), () => {
      if (generation !== this.#generation || !host.lines.has(this)) return;
      this.shake().catch(() => this.#reconnect());
    });
  }

  cut(): void {
    this.#isCut = true;
    this.lose();
  }

  heal(): void {
    this.#isCut = false;
  }

  /** Its process is gone. */
  end(): void {
    this.#parts.host.lines.delete(this);
    this.#generation += 1;
  }

  /** Since when it hears what is published; `undefined`: it does not. */
  get heardSince(): number | undefined {
    return this.#isDeaf ? undefined : this.#subscribedAt;
  }

  /** The subscription is dead without a word, until it is made anew. */
  deafen(): void {
    this.#isDeaf = true;
  }

  /** The dead subscription was noticed, and made anew. */
  resubscribe(): void {
    if (!this.#isDeaf || this.#epoch === undefined) return;
    this.#isDeaf = false;
    this.#subscribedAt = this.#parts.time.now;
    this.#parts.onConnection(true);
  }

  publish(id: AddressId, stamp: Stamp, kind: 'value' | 'log'): void {
    this.#deliver(() => this.#parts.onKey(id, stamp, kind));
  }

  say(message: string): void {
    this.#deliver(() => this.#parts.onMessage?.(message));
  }

  #deliver(message: () => void): void {
    if (this.#epoch === undefined || this.#isDeaf) return;
    const { time } = this.#parts;
    const generation = this.#generation;
    this.#heardUntil = Math.max(this.#heardUntil, time.now + time.below(6));
    time.after(this.#heardUntil - time.now, () => {
      if (generation === this.#generation && !this.#isDeaf) message();
    });
  }

  /** Compares the run id, and begins an epoch where it is another. One at a time. */
  shake(): Promise<void> {
    this.#shaking ??= this.#shake().finally(() => {
      this.#shaking = undefined;
    });
    return this.#shaking;
  }

  async #shake(): Promise<void> {
    const { host, time, versions, floor, onEpoch, onConnection } = this.#parts;
    const { model } = host;
    const generation = this.#generation;
    const cut = Math.max(await floor(), versions.last, versionAt(time.wall + WARNED_SKEW_MS));
    const meta = await this.#send(() =>
      model.handshake(0, model.runId, 1 + time.below(2 ** 31), cut),
    );
    if (generation !== this.#generation) throw unreachable('none');
    const before = this.#lastEpoch;
    this.#epoch = meta.epoch;
    this.#lastEpoch = meta.epoch;
    if (this.#isDeaf) this.#subscribedAt = time.now;
    this.#isDeaf = false;
    this.#subscribedAt ??= time.now;
    onConnection(true);
    if (before !== undefined && before !== meta.epoch) onEpoch();
  }

  /** Notices a server that was emptied. */
  async check(): Promise<void> {
    const epoch = this.#epoch;
    const [meta] = await this.#send(() => this.#parts.host.model.dump().metas);
    if (epoch !== undefined && meta?.epoch !== epoch) this.#deny(epoch);
  }

  #deny(epoch: number): void {
    if (this.#epoch !== epoch || this.#shaking !== undefined) return;
    this.#parts.onEpoch();
    this.shake().catch(() => this.lose());
  }

  /** There and back, in the order in which it was sent. */
  #send<T>(run: () => T): Promise<T> {
    const { time, host } = this.#parts;
    // A process that is gone sends nothing any more.
    const isAway = this.#isCut || host.state === 'down' || !host.lines.has(this);
    if (isAway) return Promise.reject(unreachable('none'));
    const generation = this.#generation;
    this.#sentUntil = Math.max(this.#sentUntil, time.now + time.below(4));
    return new Promise((resolve, reject) => {
      let cancel = () => {};
      const watch = () => {
        if (generation !== this.#generation) reject(unreachable('unknown'));
        else cancel = time.after(20, watch);
      };
      watch();
      const execute = () => {
        const reply = run();
        time.after(time.below(host.replyMs), () => {
          cancel();
          if (generation === this.#generation) resolve(reply);
          else reject(unreachable('unknown'));
        });
      };
      const arrive = () => host.execute(execute);
      time.after(this.#sentUntil - time.now, () => {
        // Between connections there is no order: what an old one sent may come after the new.
        const isLate = host.limboMs > 0 && generation !== this.#generation;
        if (isLate) time.after(time.below(host.limboMs), arrive);
        else arrive();
      });
    });
  }

  async #run<T, R>(
    batch: readonly T[],
    command: (model: SharedModel, epoch: number, one: T, now: number) => R,
  ): Promise<R[]> {
    const { host, time } = this.#parts;
    if (this.#shaking !== undefined) await this.#shaking;
    const epoch = this.#epoch;
    if (epoch === undefined) throw unreachable('none');
    const replies = await this.#send(() =>
      batch.map((one) => command(host.model, epoch, one, time.wall)),
    );
    const isDenied = (reply: R) => reply === 'epoch' || Object(reply).status === 'epoch';
    if (replies.some(isDenied)) this.#deny(epoch);
    return replies;
  }

  async #read(addresses: readonly Address[]) {
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const replies = await this.#run(addresses, (model, epoch, one, now) =>
        model.read(epoch, one, now),
      );
      const reads = replies.flatMap((reply) => (reply === 'epoch' ? [] : [reply]));
      if (reads.length === addresses.length) return reads;
    }
    throw new TierError('the epoch changed under a read', 'refused');
  }

  #tier(): SharedTier {
    return {
      connect: () => this.shake(),
      close: async () => {},
      read: (addresses) => this.#read(addresses),
      put: (puts) => this.#run(puts, (model, epoch, one, now) => model.put(epoch, one, now)),
      append: (all) => this.#run(all, (model, epoch, one, now) => model.append(epoch, one, now)),
      backfill: (all) => this.#run(all, (m, epoch, one, now) => m.backfill(epoch, one, now)),
      putSettled: (all) => this.#run(all, (m, epoch, one, now) => m.putSettled(epoch, one, now)),
      settle: (all) => this.#run(all, (model, epoch, one, now) => model.settle(epoch, one, now)),
      drop: (all) => this.#run(all, (model, epoch, one, now) => model.drop(epoch, one, now)),
      repair: (all) => this.#run(all, (model, epoch, one, now) => model.repair(epoch, one, now)),
      forget: (all) => this.#run(all, (model, epoch, one, now) => model.forget(epoch, one, now)),
      purge: (all) => this.#run(all, (model, epoch, one, now) => model.purge(epoch, one, now)),
      pending: (before, limit) => this.#send(() => this.#parts.host.model.pending(before, limit)),
    };
  }
}

/** L3, as all instances share it. */
export class DurableHost {
  readonly model: DurableModel;
  /** `lossy`: it does what it is asked, and now and then its answer gets lost. */
  state: 'up' | 'down' | 'lossy' = 'up';
  readonly tier: DurableTier & { readonly derived: DurableDerived };
  readonly #time: VirtualTime;

  constructor(time: VirtualTime, model: DurableModel = new DurableModel()) {
    this.#time = time;
    this.model = model;
    const refused = () => Promise.reject(new Error('not asked of in these schedules'));
    this.tier = {
      connect: () => this.#ask(() => undefined),
      close: async () => {},
      read: (addresses) => this.#ask(() => addresses.map((one) => model.read(one))),
      readLogs: (addresses) => this.#ask(() => addresses.map((one) => model.readLog(one))),
      apply: (rows) => this.#ask(() => rows.map((row) => model.apply(row, time.wall))),
      insert: (rows) => this.#ask(() => rows.map((row) => model.insert(row))),
      compareAndSet: (write, base) => this.#ask(() => model.compareAndSet(write, base, time.wall)),
      marks: (limit, after) => this.#ask(() => model.marks(limit, after)),
      unmark: (ids) => this.#ask(() => model.unmark(ids)),
      maxVersion: () => this.#ask(() => model.maxVersion()),
      deadLetters: () => this.#ask(() => model.deadLetters().length),
      scope: refused,
      scan: refused,
      tagged: refused,
      erase: (scope, version) => this.#ask(() => model.erase(scope, version)),
      derived: {
        read: (addresses) => this.#ask(() => model.derived.read(addresses, time.wall)),
        put: (puts) => this.#ask(() => model.derived.put(puts, time.wall)),
        remove: (addresses) => this.#ask(() => model.derived.remove(addresses)),
        invalidate: (tags) => this.#ask(() => model.derived.invalidate(tags)),
      },
    };
  }

  async #ask<T>(run: () => T): Promise<T> {
    const time = this.#time;
    await time.sleep(1 + time.below(8));
    if (this.state === 'down') throw unreachable(time.chance(0.5) ? 'none' : 'unknown');
    const answer = run();
    if (this.state === 'lossy' && time.chance(0.3)) {
      await time.sleep(L3_TIMEOUT_MS);
      throw new TierError('no answer', 'timeout', { outcome: 'unknown' });
    }
    await time.sleep(1 + time.below(8));
    return answer;
  }
}
