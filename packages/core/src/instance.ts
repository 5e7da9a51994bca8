/**
 * This process as a member of its fleet: its memory, its line to Redis, the bus between the two,
 * and what it has heard. It is there whether or not the cache has an L3, whose side of things
 * (assembly.ts) is told through {@link DurableHooks} what happens to L2.
 *
 * It owns the bus, the connections to Redis and the round that looks after them every second.
 */
import { Bus, type DrainAnswer, type PeerState, type Question } from './coherence/bus.ts';
import { Copies } from './coherence/copies.ts';
import { HeardTags } from './coherence/tags.ts';
import { Watches } from './coherence/watches.ts';
import { CacheError } from './errors.ts';
import type { MetricSources } from './metrics/counts.ts';
import type { AddressId } from './model/key.ts';
import { isScopeTag } from './model/tags.ts';
import { type Stamp, VERSIONS_PER_MS, VersionClock, versionAt } from './model/version.ts';
import { Opening } from './opening.ts';
import { type AssemblyInput, makeNear, makeShared, type SharedSide } from './parts.ts';
import type { MemoryTier } from './tiers/memory.ts';
import type { DurableTier, SharedTier } from './tiers/tier.ts';

/** What the side of L3 does where something happens to L2. */
export interface DurableHooks {
  /** L3 itself; it has to agree before anything is written. Absent where there is none. */
  readonly tier?: DurableTier | undefined;
  /** L3's highest version, before a new epoch begins; rejects where L3 can't say. */
  readonly floor: () => Promise<number>;
  /** The bus speaks of a key. */
  readonly heard?: ((id: AddressId, stamp: Stamp) => void) | undefined;
  /** What this process acknowledged may be in L2 alone, and L2 is away, or another one. */
  readonly drain: () => Promise<DrainAnswer>;
  /** Another instance asks. */
  readonly onQuestion: (question: Question) => Promise<DrainAnswer>;
  /** L2 is another one, or was emptied. */
  readonly onEpoch?: (() => void) | undefined;
  /** An instance was heard, this one included. */
  readonly onPeer?: ((instance: string, state: PeerState) => void) | undefined;
  /** The journal alone holds something. */
  readonly isAside?: (() => boolean) | undefined;
  /** The bus is proven again: what it said before was not heard. */
  readonly informed?: (() => void) | undefined;
  /** The last step of the breaker's trial. */
  readonly recover: (shared: SharedTier) => Promise<void>;
}

const nothingToDrain = () => Promise.resolve({ flushed: 0, refused: 0, failed: 0 });

/** A cache without L3 has nothing to lose. */
export const NO_DURABLE: DurableHooks = Object.freeze({
  floor: () => Promise.resolve(0),
  drain: nothingToDrain,
  onQuestion: nothingToDrain,
  recover: () => Promise.resolve(),
});

const ROUND_MS = 1000;
const WATCH_EVERY_ROUNDS = 15;
const TELL_EVERY_MS = 10_000;

export class Instance {
  readonly id: string;
  readonly versions: VersionClock;
  readonly near: MemoryTier | undefined;
  readonly copies: Copies;
  /** What was erased is not even kept (G8); what is merely old goes when somebody asks for it. */
  readonly tags: HeardTags = new HeardTags(undefined, (tag) => {
    if (isScopeTag(tag)) this.near?.deleteBearing(tag);
  });
  readonly watches: Watches = new Watches();
  readonly shared: SharedSide | undefined;
  readonly bus: Bus;
  readonly opening: Opening;
  readonly #input: AssemblyInput;
  readonly #hooks: DurableHooks;
  readonly #told = new Map<string, number>();
  #cancel: (() => void) | undefined;
  #round: Promise<void> = Promise.resolve();
  #isStopped = false;
  #watchIn = 0;
  #memoryBytes = 0;

  constructor(input: AssemblyInput, hooks: DurableHooks) {
    this.id = input.instance;
    this.#input = input;
    this.#hooks = hooks;
    this.versions = new VersionClock(input.options.clock);
    this.near = makeNear(input);
    this.copies = new Copies(this.near, { isAlive: () => this.isInformed });
    this.shared = this.#makeShared();
    this.bus = this.#makeBus();
    this.opening = new Opening(input, hooks.tier, this.shared, (ms) => this.bus.proven(ms));
  }

  /** There is no L2, so that nobody else could change anything; or the bus would have told. */
  get isInformed(): boolean {
    return this.shared === undefined || this.bus.alive;
  }

  /** What the metrics ask for when somebody looks. */
  sources(): Pick<MetricSources, 'l1' | 'l2' | 'breaker' | 'bus'> {
    const guard = this.shared?.guard;
    return {
      l1: () => ({
        entries: this.near?.size ?? 0,
        maxEntries: this.#input.options.l1?.max ?? 0,
        bytes: this.near?.bytes ?? 0,
      }),
      l2: () => ({ memoryBytes: this.#memoryBytes }),
      breaker: () => ({
        state: guard?.state ?? 'CLOSED',
        consecutiveFailures: guard?.consecutiveFailures ?? 0,
      }),
      bus: () => ({ connected: this.bus.alive }),
    };
  }

  /** The highest version that came by advances the clock. */
  observe(version: number): void {
    const seen = this.versions.observe(version);
    if (seen === 'fine') return;
    const { events, metrics, options } = this.#input;
    metrics.clockAhead[seen === 'ahead' ? 'warned' : 'refused'] += 1;
    if (!this.isTimely(seen)) return;
    const aheadMs = (version - versionAt(options.clock.now())) / VERSIONS_PER_MS;
    events.emit({ type: 'clock-skew', aheadMs, refused: seen === 'refused' });
  }

  /** What may happen with every request is told once in ten seconds. */
  isTimely(what: string): boolean {
    const now = this.#input.options.clock.monotonic();
    const last = this.#told.get(what) ?? Number.NEGATIVE_INFINITY;
    if (now - last < TELL_EVERY_MS) return false;
    this.#told.set(what, now);
    return true;
  }

  start(): void {
    this.opening.start();
    this.bus.start();
    if (this.shared !== undefined) this.#roundLater();
  }

  /** Heartbeats end: the others will notice. */
  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
    this.opening.close();
    this.bus.stop();
  }

  async close(): Promise<void> {
    this.stop();
    await Promise.allSettled([this.#round, this.bus.close(), this.shared?.guard.close()]);
    await this.shared?.tier.close();
  }

  // ------------------------------------------------------------ parts

  #makeShared(): SharedSide | undefined {
    return makeShared(this.#input, {
      floor: async () => {
        const version = await this.#hooks.floor();
        this.observe(version);
        return version;
      },
      lastVersion: () => this.versions.last,
      onEpoch: () => this.#onEpoch(),
      onConnection: (up) => this.#onConnection(up),
      onMessage: (message) => this.bus.hear(message),
      onSubscribed: () => this.bus.subscribed(),
      // What this process acknowledged is in L2 alone: bring it to L3 while L2 is away.
      onOpen: () => void this.#hooks.drain(),
      recover: (shared) => this.#hooks.recover(shared),
    });
  }

  #makeBus(): Bus {
    const { options, events, metrics } = this.#input;
    return new Bus({
      clock: options.clock,
      instance: this.id,
      gapMs: options.bus.gapTtlMs,
      line: this.shared?.guard.fleet,
      onKey: (id, stamp, kind) => {
        if (stamp.version > 0) this.observe(stamp.version);
        this.copies.heard(id, stamp, kind);
        this.#hooks.heard?.(id, stamp);
        this.watches.heard(id, stamp.version === 0);
      },
      onFree: (id) => this.watches.heard(id, false),
      onTag: (tag) => this.tags.hear(tag),
      onGap: (silentMs, isNew) => {
        this.#forgetAll();
        if (!isNew) return;
        metrics.bus.gaps += 1;
        events.emit({ type: 'bus-gap', silentMs });
      },
      onAlive: () => {
        events.emit({ type: 'bus-alive' });
        this.#hooks.informed?.();
      },
      onReceived: () => {
        metrics.bus.received += 1;
      },
      onPublished: () => {
        metrics.bus.published += 1;
      },
      onPeer: (instance, state) => this.#hooks.onPeer?.(instance, state),
      onDeaf: () => this.shared?.tier.resubscribe(),
      isAside: () => this.#hooks.isAside?.() === true,
      onQuestion: (question) => this.#hooks.onQuestion(question),
    });
  }

  // ------------------------------------------------------------ reactions

  /** Nothing that is here, or under way, can be trusted. */
  #forgetAll(): void {
    this.copies.empty();
    this.watches.empty();
  }

  #onEpoch(): void {
    this.#forgetAll();
    this.#hooks.onEpoch?.();
    this.#input.events.emit({
      type: 'epoch',
      reason: 'Redis restarted, was emptied or failed over',
    });
    void this.#hooks.drain();
  }

  #onConnection(up: boolean): void {
    if (up) {
      this.bus.connected();
      void this.#watch();
    } else {
      this.bus.disconnected();
    }
  }

  // ------------------------------------------------------------ the round

  #roundLater(): void {
    if (this.#isStopped) return;
    this.#cancel = this.#input.options.clock.after(ROUND_MS, () => {
      this.#round = this.#look().finally(() => this.#roundLater());
    });
  }

  /** Notices a Redis that was emptied or replaced, also where nobody asks for anything. */
  async #look(): Promise<void> {
    const { shared } = this;
    if (shared?.guard.state !== 'CLOSED') return;
    await this.#watch();
    try {
      await shared.guard.check();
    } catch (error) {
      const code = error instanceof CacheError ? error.code : 'UNKNOWN';
      this.#input.events.emit({ type: 'background-error', task: 'check', code });
    }
  }

  /** What Redis says about itself now and then: its memory, and a policy that endangers writes. */
  async #watch(): Promise<void> {
    if (this.#watchIn > 0) {
      this.#watchIn -= 1;
      return;
    }
    this.#watchIn = WATCH_EVERY_ROUNDS;
    const info = await this.shared?.tier.info().catch(() => undefined);
    if (info === undefined || !info.connected) return;
    this.#memoryBytes = info.usedMemoryBytes;
    if (!info.maxmemoryPolicy.startsWith('allkeys')) return;
    this.#input.events.emit({ type: 'eviction-policy', policy: info.maxmemoryPolicy });
  }
}
