/**
 * The nodes of a Redis Cluster as one upstream: each shard is one slot, and the node that has it is
 * spoken to directly.
 *
 * A node here is an {@link Incarnation} of its own: its connection passes no command before the run
 * id under which each of its shards was written has been compared with its own. So each of these
 * begins a new epoch, for the shards that it is about and for no others:
 *   - a master that comes back empty: its shards have no meta;
 *   - a replica that took over, lagging or not: the run id in its metas is its master's;
 *   - a slot that moved: the run id is that of the node that it came from.
 *
 * Which node has a shard (the routes):
 *   unknown  → known     some nodes said who has which slots
 *   known    → looking   a node was lost, or said that a shard is elsewhere, or its breaker opened;
 *                        the routes go on as they are
 *   looking  → known     and again a little later, until each shard has a node that is up
 *
 * Shards without a node that is up are rejected at once; the others go on. Nothing is redirected:
 * who is told MOVED or ASK goes to L3 this time, because the node that has the shard by now must
 * go through its handshake first.
 */
import { TierError } from '../../errors.ts';
import { shardOf } from '../../model/key.ts';
import type { TierLanes } from '../tier.ts';
import type { ClusterSource } from './endpoint.ts';
import { closedError, toTierError } from './failures.ts';
import { decodeMeta, type Epochs, type HandshakeOptions } from './handshake.ts';
import { Incarnation, isDenial, waitFor } from './incarnation.ts';
import { hashTagOf, metaKey, shardOfKey } from './keys.ts';
import { ask, nameOf, type Route, type Routes, routesOf } from './routes.ts';
import type { ScriptCall } from './scripts.ts';
import { Session } from './session.ts';
import { ownersOf, slotOf } from './slots.ts';
import type { Known, ShardCommand, Upstream } from './upstream.ts';

export interface ClusterOptions extends HandshakeOptions {
  readonly source: ClusterSource;
  readonly onEpoch: () => void;
  readonly onConnection: (up: boolean) => void;
  /** Told whenever they change. */
  readonly onRoutes: (routes: Routes) => void;
}

interface Node {
  readonly route: Route;
  readonly incarnation: Incarnation;
}

const FIRST_LOOK_MS = 100;
const LAST_LOOK_MS = 1000;
/** How long the nodes that are up wait for the others when a cache begins. */
const TOGETHER_MS = 500;

export class Cluster implements Upstream {
  readonly isSplit = true;
  readonly #options: ClusterOptions;
  readonly #slots: readonly number[];
  readonly #ledger: (number | undefined)[] = [];
  readonly #closing = new Set<Promise<void>>();
  #nodes = new Map<string, Node>();
  /** The node of each shard, by its number. */
  #owners: readonly (Node | undefined)[] = [];
  #looking: Promise<void> | undefined;
  #cancelLook: (() => void) | undefined;
  #looks = 0;
  #closed = false;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: options.shards }, (_, shard) => slotOf(hashTagOf(shard)));
  }

  get isUp(): boolean {
    return [...this.#nodes.values()].some(({ incarnation }) => incarnation.isUp);
  }

  get heads(): readonly number[] {
    const first = this.#owners[0];
    const others = [...this.#nodes.values()].filter((node) => node !== first);
    return [0, ...others.flatMap(({ route }) => route.shards.slice(0, 1))];
  }

  // ------------------------------------------------------------ lanes

  /** The node that has a shard, by its address. Shards that nobody has share a name. */
  laneOf(shard: number): string {
    const owner = this.#owners[shard];
    return owner === undefined ? 'none' : nameOf(owner.route);
  }

  get lanes(): readonly string[] {
    return [...new Set(this.#slots.map((_, shard) => this.laneOf(shard)))];
  }

  /** Whether a node answers, and is through its handshake. One that has no shard any more is fine. */
  async probeLane(lane: string, signal?: AbortSignal): Promise<void> {
    const node = this.#nodes.get(lane);
    if (node !== undefined) return node.incarnation.probe(signal);
    if (this.lanes.includes(lane)) throw this.#nobody();
  }

  /** Compares the epochs of a node's shards. */
  async checkLane(lane: string, signal?: AbortSignal): Promise<void> {
    const node = this.#nodes.get(lane);
    if (node === undefined) throw this.#nobody();
    const { incarnation } = node;
    const shards = incarnation.serves;
    const known = await incarnation.known(signal);
    const replies = await known.session.send(
      shards.map((shard) => ['GET', [metaKey(shard)]] as const),
      signal,
    );
    const refused = replies.find((reply) => reply instanceof Error);
    if (refused !== undefined) throw toTierError(refused);
    const isSame = shards.every(
      (shard, i) => decodeMeta(replies[i])?.epoch === known.epochs[shard],
    );
    if (!isSame) incarnation.deny(known);
  }

  /** A node is given up: its connection goes, with all that waits on it. */
  dropLane(lane: string): void {
    this.#nodes.get(lane)?.incarnation.reconnect();
    this.#lookSoon();
  }

  // ------------------------------------------------------------ upstream

  async connect(signal?: AbortSignal): Promise<void> {
    if (!this.#isServed()) await waitFor(this.#look(), signal);
    const { clock } = this.#options;
    const attempts = [...this.#nodes.values()].map(({ incarnation }) => incarnation.connect());
    const all = Promise.allSettled(attempts);
    const late = Promise.withResolvers<void>();
    const cancel = clock.after(TOGETHER_MS, late.resolve);
    await waitFor(Promise.race([all, late.promise]), signal);
    cancel();
    if (this.isUp) return;
    const failed = (await waitFor(all, signal)).find(({ status }) => status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
    if (!this.isUp) throw this.#nobody();
  }

  async known(signal: AbortSignal | undefined, shard: number): Promise<Known> {
    const owner = this.#owners[shard];
    if (owner === undefined) {
      this.#lookSoon();
      throw this.#nobody();
    }
    return await owner.incarnation.known(signal);
  }

  async send(commands: readonly ShardCommand[], signal?: AbortSignal): Promise<readonly unknown[]> {
    return await this.#each(
      commands,
      ([shard]) => shard,
      signal,
      ({ session }, mine) =>
        session.send(
          mine.map(([, command]) => command),
          signal,
        ),
    );
  }

  async run(
    toCalls: (epochs: Epochs) => readonly ScriptCall[],
    signal?: AbortSignal,
  ): Promise<readonly unknown[]> {
    // Which shards are concerned only the calls say; what they quote may be renewed meanwhile.
    const quoted = this.#slots.map((_, shard) => this.#ledger[shard] ?? 0);
    const made = toCalls(quoted).map((call, i) => ({
      call,
      i,
      shard: shardOfKey(call.keys[0] ?? ''),
    }));
    return await this.#each(
      made,
      ({ shard }) => shard,
      signal,
      async (known, mine) => {
        const isRight = mine.every(({ shard }) => known.epochs[shard] === quoted[shard]);
        const again = isRight ? [] : toCalls(known.epochs);
        const answers = await known.session.run(
          mine.map(({ call, i }) => again[i] ?? call),
          signal,
        );
        if (answers.some(isDenial)) this.deny(known);
        return answers;
      },
    );
  }

  deny(known: Known): void {
    // Only the one whose epochs these are reacts.
    for (const { incarnation } of this.#nodes.values()) incarnation.deny(known);
  }

  async probe(signal?: AbortSignal): Promise<void> {
    await this.connect(signal);
    const probes = [...this.#nodes.values()]
      .filter(({ incarnation }) => incarnation.isUp)
      .map(({ incarnation }) => incarnation.probe(signal));
    const outcomes = await Promise.allSettled(probes);
    if (outcomes.some(({ status }) => status === 'fulfilled')) return;
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    throw this.#nobody();
  }

  reconnect(): void {
    for (const { incarnation } of this.#nodes.values()) incarnation.reconnect();
    this.#lookSoon();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelLook?.();
    const nodes = [...this.#nodes.values()].map(({ incarnation }) => incarnation.close());
    await Promise.all([...nodes, ...this.#closing]);
    await this.#looking?.catch(() => {});
  }

  // ------------------------------------------------------------ routes

  #nobody(): TierError {
    const message = 'no node of the Redis Cluster that is known has this shard';
    return new TierError(message, 'unreachable', { outcome: 'none' });
  }

  /** One look at a time; who asks meanwhile waits for it. */
  #look(): Promise<void> {
    if (this.#closed) return Promise.reject(closedError());
    this.#looking ??= this.#lookNow().finally(() => {
      this.#looking = undefined;
      if (this.#isServed()) this.#looks = 0;
      else this.#lookLater();
    });
    return this.#looking;
  }

  async #lookNow(): Promise<void> {
    const { source, clock } = this.#options;
    const nodes = [...this.#nodes.values()];
    const witnesses = await Promise.all(
      nodes.map(async ({ route, incarnation }) => {
        if (!incarnation.isUp) return [];
        const known = await incarnation.known().catch(() => undefined);
        return known === undefined ? [] : [{ session: known.session, address: route }];
      }),
    );
    const routes = nodes.map(({ route }) => route);
    const views = await ask(source, clock, witnesses.flat(), routes);
    if (!this.#closed) this.#follow(routesOf(ownersOf(this.#slots, views)));
  }

  #isServed(): boolean {
    const owners = this.#slots.map((_, shard) => this.#owners[shard]);
    return owners.every((owner) => owner?.incarnation.isUp === true);
  }

  #lookSoon(): void {
    if (this.#looking !== undefined || this.#cancelLook !== undefined) return;
    this.#looks = 0;
    this.#lookLater();
  }

  #lookLater(): void {
    if (this.#closed || this.#cancelLook !== undefined) return;
    const ms = Math.min(LAST_LOOK_MS, FIRST_LOOK_MS * 2 ** Math.min(this.#looks, 10));
    this.#looks += 1;
    this.#cancelLook = this.#options.clock.after(ms, () => {
      this.#cancelLook = undefined;
      this.#look().catch(() => {});
    });
  }

  #follow(routes: Routes): void {
    const before = this.#nodes;
    this.#nodes = new Map();
    let isChanged = before.size !== routes.nodes.size;
    for (const [name, route] of routes.nodes) {
      const there = before.get(name);
      before.delete(name);
      isChanged ||= String(there?.route.shards) !== String(route.shards);
      const incarnation = there?.incarnation ?? this.#open(route);
      if (there !== undefined) incarnation.serve(route.shards);
      this.#nodes.set(name, { route, incarnation });
    }
    const nodes = [...this.#nodes.values()];
    this.#owners = this.#slots.map((_, shard) =>
      nodes.find(({ route }) => route.shards.includes(shard)),
    );
    for (const { incarnation } of before.values()) this.#end(incarnation);
    if (isChanged) this.#options.onRoutes(routes);
  }

  #open(route: Route): Incarnation {
    const { source, onConnection } = this.#options;
    const incarnation = new Incarnation({
      ...this.#options,
      serves: route.shards,
      ledger: this.#ledger,
      open: () => new Session(source.node(route), 'sharded', () => this.#lookSoon()),
      onConnection: (up) => {
        onConnection(up);
        if (!up) this.#lookSoon();
      },
    });
    incarnation.connect().catch(() => {});
    return incarnation;
  }

  #end(incarnation: Incarnation): void {
    const closing = incarnation.close().finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }

  /** Each part of a batch to its node; the answers in the order of the whole. */
  async #each<T>(
    batch: readonly T[],
    shardOf: (one: T) => number,
    signal: AbortSignal | undefined,
    send: (known: Known, mine: readonly T[]) => Promise<readonly unknown[]>,
  ): Promise<readonly unknown[]> {
    const parts = new Map<Node | undefined, { shard: number; mine: T[]; places: number[] }>();
    for (const [place, one] of batch.entries()) {
      const shard = shardOf(one);
      const part = parts.get(this.#owners[shard]) ?? { shard, mine: [], places: [] };
      parts.set(this.#owners[shard], part);
      part.mine.push(one);
      part.places.push(place);
    }
    const answers = new Array<unknown>(batch.length);
    const all = [...parts.values()].map(async ({ shard, mine, places }) => {
      const known = await this.known(signal, shard);
      for (const [nth, answer] of (await send(known, mine)).entries()) {
        const place = places[nth];
        if (place !== undefined) answers[place] = answer;
      }
    });
    // Settled together, so that a failure is not told while others are still under way.
    for (const outcome of await Promise.allSettled(all)) {
      if (outcome.status === 'rejected') throw outcome.reason;
    }
    return answers;
  }
}

/** Its nodes, as whoever guards the tier sees them. */
export function lanesOf(cluster: Cluster, shards: number): TierLanes {
  return {
    of: (address) => cluster.laneOf(shardOf(address, shards)),
    all: () => cluster.lanes,
    probe: (lane) => cluster.probeLane(lane),
    check: (lane) => cluster.checkLane(lane),
    drop: (lane) => cluster.dropLane(lane),
  };
}
