/**
 * L2: Redis, by scripts that compare, write, mark and publish in one step.
 *
 * Everything of one call travels in one round trip: a read is one MGET of the entries and of
 * the metas of their shards, any other command one script for each key. What is slow (packing)
 * is done before the epoch is asked for, so that a command leaves in the same turn of the event
 * loop in which its epoch was known to be right.
 *
 * Deadlines and the breaker are not here but around it. A rejection is a {@link TierError} and
 * says nothing about any key.
 */
import type { Clock } from '../../clock.ts';
import type { Cipher } from '../../codec/encryption.ts';
import type { Compressor } from '../../codec/payload.ts';
import { TierError } from '../../errors.ts';
import type { ValueWrite } from '../../model/entry.ts';
import { type Address, shardOf } from '../../model/key.ts';
import type { Stamp } from '../../model/version.ts';
import type * as tier from '../tier.ts';
import { BusSubscriber } from './bus.ts';
import * as calls from './calls.ts';
import { Cluster, lanesOf } from './cluster.ts';
import { ClusterBus } from './cluster-bus.ts';
import { RedisDerived } from './derived.ts';
import { clusterOf, connectionTo, type Endpoint } from './endpoint.ts';
import { toConnectError, toTierError } from './failures.ts';
import { RedisFleet } from './fleet.ts';
import { decodeMeta } from './handshake.ts';
import { Incarnation } from './incarnation.ts';
import { infoOf, type RedisInfo } from './info.ts';
import { metaKey, type Place, placeOf } from './keys.ts';
import { pendingIn } from './pending.ts';
import { NOTHING_READ, readOne } from './reading.ts';
import * as replies from './replies.ts';
import type { ScriptCall } from './scripts.ts';
import { Session } from './session.ts';
import type { Upstream } from './upstream.ts';

export type { RedisClient, RedisConnection } from './endpoint.ts';
export type { RedisInfo } from './info.ts';

/** Where Redis is: one of `url`, `client`, `cluster` and `sentinels`. */
export interface RedisTierOptions extends Endpoint {
  /** How long a settled entry stays. */
  readonly ttlMs: number;
  /** 1 to 99; every instance that shares the server has the same. */
  readonly shards: number;
  readonly clock: Clock;
  /** Decides for each namespace whether compressing pays. Left out: nothing is compressed. */
  readonly compressor?: ((namespace: string) => Compressor | undefined) | undefined;
  /** Left out: nothing is encrypted. */
  readonly cipher?: Cipher | undefined;
  /** What a value or an item may take here, packed. Larger ones live in L3 alone. */
  readonly maxValueBytes: number;
  /** How many tags a shard keeps notes of. Left out: 4,096. */
  readonly maxNotes?: number | undefined;
  /** L3's highest version; rejects where L3 can't say. Asked when a new epoch has to begin. */
  readonly floor: () => Promise<number>;
  /** The highest version that this process has seen. Left out: the clock's. */
  readonly lastVersion?: (() => number) | undefined;
  /** The server is another one, or was emptied. */
  readonly onEpoch: () => void;
  /** A connection stands and is through its handshake, or is lost. */
  readonly onConnection: (up: boolean) => void;
  /** A message of the bus. */
  readonly onMessage: (message: string) => void;
  /** The subscription stands, for the first time or again: messages may have been missed. */
  readonly onSubscribed: () => void;
}

/** How often a read is repeated where the epoch changed under it. */
const READ_ATTEMPTS = 2;

export class RedisTier implements tier.SharedTier {
  readonly #options: RedisTierOptions;
  readonly #upstream: Upstream;
  readonly #bus: BusSubscriber | ClusterBus;
  /** The nodes of a Cluster, each for itself; `undefined`: it is one server. */
  readonly lanes: tier.TierLanes | undefined;
  readonly partOf: ((address: Address) => number) | undefined;
  /** Who lives, leases, and the sending side of the bus. */
  readonly fleet: RedisFleet;
  readonly derived: RedisDerived;

  constructor(options: RedisTierOptions) {
    this.#options = options;
    const { clock, onMessage, onSubscribed, lastVersion = () => 0 } = options;
    const shaking = { ...options, lastVersion };
    const source = clusterOf(options);
    if (source === undefined) {
      const open = () => new Session(connectionTo(options));
      this.#upstream = new Incarnation({ ...shaking, open });
      this.#bus = new BusSubscriber({ open, clock, onMessage, onSubscribed });
    } else {
      const bus = new ClusterBus({ source, clock, onMessage, onSubscribed });
      const cluster = new Cluster({ ...shaking, source, onRoutes: (to) => bus.follow(to) });
      this.#bus = bus;
      this.#upstream = cluster;
      this.lanes = lanesOf(cluster, options.shards);
      this.partOf = (address) => shardOf(address, options.shards);
    }
    this.fleet = new RedisFleet(this.#upstream);
    this.derived = new RedisDerived(this.#upstream, options);
  }

  // ---------------------------------------------------------- connection

  /**
   * Resolves when the first handshake is through. Rejects with `ConfigError` where the
   * credentials are refused, with {@link TierError} where nobody answers or L3 can't say; it
   * goes on trying until it is closed.
   */
  async connect(): Promise<void> {
    this.#bus.start();
    try {
      await this.#upstream.connect();
    } catch (error) {
      throw toConnectError(error);
    }
  }

  /** PING and handshake, on a new connection where there is none; rejects where either fails. */
  async probe(o: tier.CallOptions = {}): Promise<void> {
    await this.#upstream.probe(o.signal);
  }

  /** Compares every shard's epoch, so that a server that was emptied is noticed by who is idle. */
  async check(o: tier.CallOptions = {}): Promise<void> {
    if (this.lanes !== undefined) {
      await Promise.all(this.lanes.all().map((lane) => this.lanes?.check(lane)));
      return;
    }
    const known = await this.#upstream.known(o.signal, 0);
    const keys = known.epochs.map((_, shard) => metaKey(shard));
    const [reply] = await known.session.send([['MGET', keys]], o.signal);
    if (!Array.isArray(reply)) throw toTierError(reply);
    const isSame = known.epochs.every((epoch, shard) => decodeMeta(reply[shard])?.epoch === epoch);
    if (!isSame) this.#upstream.deny(known);
  }

  /** Drops all connections with everything that waits on them, and makes others at once. */
  reconnect(): void {
    this.#upstream.reconnect();
    this.#bus.reconnect();
  }

  /** The connections that listen go, and others are made. */
  resubscribe(): void {
    this.#bus.reconnect();
  }

  async close(): Promise<void> {
    await Promise.all([this.#upstream.close(), this.#bus.close()]);
  }

  /** Of a Cluster, what its nodes that answer say together. */
  info(o: tier.CallOptions = {}): Promise<RedisInfo> {
    return infoOf(this.#upstream, o.signal);
  }

  // ---------------------------------------------------------- reading

  async read(
    addresses: readonly Address[],
    o: tier.CallOptions = {},
  ): Promise<readonly tier.SharedRead[]> {
    if (addresses.length === 0) return [];
    const places = addresses.map((one) => this.#place(one));
    const [first] = places;
    if (!this.#upstream.isSplit || places.every(({ shard }) => shard === first?.shard)) {
      return await this.#readTogether(places, o);
    }
    // No command may name keys of two shards; all the same they leave in one piece.
    const parts = Map.groupBy(places, ({ shard }) => shard);
    const read = new Map<Place, tier.SharedRead>();
    const reading = [...parts.values()].map(async (part) => {
      for (const [i, one] of (await this.#readTogether(part, o)).entries()) {
        read.set(at(part, i), one);
      }
    });
    for (const outcome of await Promise.allSettled(reading)) {
      if (outcome.status === 'rejected') throw outcome.reason;
    }
    return places.map((place) => read.get(place) ?? NOTHING_READ);
  }

  async #readTogether(
    places: readonly Place[],
    o: tier.CallOptions,
  ): Promise<readonly tier.SharedRead[]> {
    const shards = [...new Set(places.map(({ shard }) => shard))];
    const keys = [...shards.map(metaKey), ...places.map(({ keys: [, , entry] }) => entry)];
    for (let attempt = 0; attempt < READ_ATTEMPTS; attempt += 1) {
      const known = await this.#upstream.known(o.signal, shards[0] ?? 0);
      const [reply] = await known.session.send([['MGET', keys]], o.signal);
      if (!Array.isArray(reply)) throw toTierError(reply);
      const metas = new Map(shards.map((shard, i) => [shard, decodeMeta(reply[i])] as const));
      if (shards.every((shard) => metas.get(shard)?.epoch === known.epochs[shard])) {
        const found = reply.slice(shards.length);
        return await Promise.all(
          places.map((place, i) => readOne(place, found[i], metas, this.#options.cipher)),
        );
      }
      this.#upstream.deny(known);
    }
    throw new TierError('the epoch of Redis changed under a read', 'refused');
  }

  pending(
    before: number,
    limit: number,
    o: tier.CallOptions = {},
  ): ReturnType<tier.SharedTier['pending']> {
    return pendingIn(this.#upstream, this.#options.shards, { before, limit }, o.signal);
  }

  // ---------------------------------------------------------- writing

  async put(
    puts: readonly tier.SharedPut[],
    o?: tier.CallOptions,
  ): Promise<readonly tier.PutReply[]> {
    const packed = await Promise.all(puts.map(({ write }) => this.#pack(write, false)));
    this.#refuseLarge(packed);
    const answers = await this.#run(puts, o, (aim, { create }, i) =>
      calls.putCall(aim, at(packed, i), create),
    );
    return answers.map(replies.putReply);
  }

  async append(
    appends: readonly tier.SharedAppend[],
    o?: tier.CallOptions,
  ): Promise<readonly tier.AppendReply[]> {
    const packed = await Promise.all(appends.map(({ write }) => this.#packLog(write, false)));
    this.#refuseLarge(packed);
    const answers = await this.#run(appends, o, (aim, { write, create }, i) =>
      write.items.length === 0 && write.erasedTo > 0
        ? calls.putCall(aim, at(packed, i), undefined)
        : calls.appendCall(aim, at(packed, i), create),
    );
    return answers.map(replies.appendReply);
  }

  async backfill(
    fills: readonly tier.SharedBackfill[],
    o?: tier.CallOptions,
  ): Promise<readonly tier.BackfillReply[]> {
    const packed = await Promise.all(fills.map(({ write }) => this.#pack(write, true)));
    const fitting = fills.flatMap((fill, i) => {
      const one = at(packed, i);
      return this.#isLarge(one) ? [] : [{ write: fill.write, fill, packed: one, i }];
    });
    const answers = await this.#run(fitting, o, (aim, { packed: one, fill }) =>
      calls.backfillCall(aim, one, fill),
    );
    const held = new Map(fitting.map(({ i }, nth) => [i, replies.backfillReply(answers[nth])]));
    return fills.map((_, i) => held.get(i) ?? 'refused');
  }

  async putSettled(
    writes: readonly ValueWrite[],
    o?: tier.CallOptions,
  ): Promise<readonly tier.ReleaseReply[]> {
    const packed = await Promise.all(writes.map((write) => this.#pack(write, true)));
    const all = packed.map((one) => ({ write: one.write, packed: one }));
    const answers = await this.#run(all, o, (aim, one, i) =>
      // What is too large to be held here still sends what is older away, pending or not.
      this.#isLarge(one.packed)
        ? calls.dropCall(aim, at(writes, i))
        : calls.putSettledCall(aim, one.packed),
    );
    return answers.map(replies.releaseReply);
  }

  // ---------------------------------------------------------- releasing

  async settle(
    settles: readonly tier.SharedSettle[],
    o?: tier.CallOptions,
  ): Promise<readonly tier.ReleaseReply[]> {
    return (await this.#run(settles, o, calls.settleCall)).map(replies.releaseReply);
  }

  async drop(
    drops: readonly { readonly address: Address; readonly newer: Stamp }[],
    o?: tier.CallOptions,
  ): Promise<readonly tier.ReleaseReply[]> {
    const answers = await this.#run(drops, o, (aim, { newer }) => calls.dropCall(aim, newer));
    return answers.map(replies.releaseReply);
  }

  async repair(
    repairs: Parameters<tier.SharedTier['repair']>[0],
    o?: tier.CallOptions,
  ): Promise<readonly tier.RepairReply[]> {
    const answers = await this.#run(repairs, o, (aim, { kind, stamp }) =>
      calls.repairCall(aim, kind, stamp),
    );
    return answers.map(replies.repairReply);
  }

  async forget(
    addresses: readonly Address[],
    o?: tier.CallOptions,
  ): Promise<readonly tier.ReleaseReply[]> {
    const all = addresses.map((one) => ({ address: one }));
    return (await this.#run(all, o, calls.forgetCall)).map(replies.releaseReply);
  }

  async purge(
    purges: readonly { readonly address: Address; readonly version: number }[],
    o?: tier.CallOptions,
  ): Promise<readonly tier.ReleaseReply[]> {
    const answers = await this.#run(purges, o, (aim, { version }) => calls.purgeCall(aim, version));
    return answers.map(replies.releaseReply);
  }

  // ---------------------------------------------------------- plumbing

  #place(of: Address): Place {
    return placeOf(of, this.#options.shards);
  }

  /** One script for each of `batch`, in one round trip; the answers in its order. */
  async #run<T extends Parameters<typeof calls.addressIn>[0]>(
    batch: readonly T[],
    o: tier.CallOptions | undefined,
    toCall: (aim: calls.Aim, one: T, index: number) => ScriptCall,
  ): Promise<readonly unknown[]> {
    if (batch.length === 0) return [];
    const { clock, ttlMs } = this.#options;
    return await this.#upstream.run((epochs) => {
      const now = Math.floor(clock.now());
      return batch.map((one, i) => {
        const place = this.#place(calls.addressIn(one));
        return toCall({ place, epoch: epochs[place.shard] ?? 0, now, ttlMs }, one, i);
      });
    }, o?.signal);
  }

  #pack(write: tier.SharedPut['write'], synced: boolean): Promise<calls.PackedWrite> {
    if (write.kind === 'log') return this.#packLog(write, synced);
    return calls.packValue(write, this.#packing(write));
  }

  #packLog(write: tier.SharedAppend['write'], synced: boolean): Promise<calls.PackedLog> {
    return calls.packLog(write, synced, this.#packing(write));
  }

  #packing({ address }: tier.SharedPut['write']): calls.Packing {
    const { compressor, cipher } = this.#options;
    return { compressor: compressor?.(address.namespace), cipher };
  }

  #isLarge(packed: calls.PackedWrite): boolean {
    return packed.largest > this.#options.maxValueBytes;
  }

  #refuseLarge(packed: readonly calls.PackedWrite[]): void {
    if (packed.some((one) => this.#isLarge(one))) {
      throw new TierError('a value is too large for Redis: `maxValueBytes`', 'full', {
        outcome: 'none',
      });
    }
  }
}

function at<T>(list: readonly T[], index: number): T {
  const found = list[index];
  if (found === undefined) throw new RangeError(`nothing at ${index}`);
  return found;
}
