/**
 * The parts of one cache, put together. The only module that names the concrete tiers; knows
 * who owns which timer and connection, and in which order they start and stop.
 */
import type { Engine } from './calls.ts';
import { inChunks } from './chunks.ts';
import { Bus, type DrainAnswer } from './coherence/bus.ts';
import { Copies } from './coherence/copies.ts';
import { within } from './deadline.ts';
import { TierError, UnavailableError } from './errors.ts';
import type { EventHub } from './events.ts';
import type { Address, AddressId } from './model/key.ts';
import { VERSIONS_PER_MS, VersionClock, versionAt } from './model/version.ts';
import { Opening } from './opening.ts';
import type { ResolvedOptions } from './options.ts';
import { type AssemblyInput, makeLookup, makeNear, makeShared, type SharedSide } from './parts.ts';
import { MeasuredTier } from './tiers/measured.ts';
import type { MemoryTier } from './tiers/memory.ts';
import { SupabaseTier } from './tiers/supabase/supabase.ts';
import type { SharedTier } from './tiers/tier.ts';
import { Drainer } from './write/drainer.ts';
import { Flusher } from './write/flusher.ts';
import { gathered } from './write/gathered.ts';
import { Ladder } from './write/ladder.ts';
import { Outbox } from './write/outbox.ts';
import { Repair } from './write/repair.ts';
import { Updates } from './write/update.ts';
import { DEAD_AFTER_MS, Upkeep } from './write/upkeep.ts';

const WATCH_EVERY_ROUNDS = 15;
const TELL_EVERY_MS = 10_000;

/** `undefined` where the cache has no L3: then there are no records and logs to serve. */
export function assembleEngine(input: AssemblyInput): Assembly | undefined {
  return input.options.l3 === undefined ? undefined : new Assembly(input, input.options.l3);
}

export class Assembly {
  readonly engine: Engine;
  readonly shared: SharedSide | undefined;
  readonly durable: MeasuredTier;
  readonly bus: Bus;
  readonly copies: Copies;
  readonly near: MemoryTier | undefined;
  readonly flusher: Flusher;
  readonly drainer: Drainer;
  readonly instance: string;
  readonly opening: Opening;
  readonly events: EventHub;
  readonly removeCopy: (id: AddressId) => void;
  readonly drainOthers: (
    ms: number,
  ) => Promise<{ readonly asked: number; readonly answers: ReadonlyMap<string, DrainAnswer> }>;
  readonly #input: AssemblyInput;
  readonly #repair: Repair;
  readonly #upkeep: Upkeep | undefined;
  readonly #told = new Map<string, number>();
  #watchIn = 0;
  #deadLetters = 0;
  #memoryBytes = 0;

  constructor(input: AssemblyInput, l3: NonNullable<ResolvedOptions['l3']>) {
    const { options, events, metrics, instance } = input;
    const { clock } = options;
    this.#input = input;
    this.instance = instance;
    this.events = events;
    const versions = new VersionClock(clock);
    const observe = (version: number) => this.#observe(versions, version);
    const source = { ...l3.source, timeoutMs: l3.timeoutMs, clock };
    this.durable = new MeasuredTier(new SupabaseTier(source), {
      clock,
      onCall: (operation, ms) => metrics.observe('l3', operation, ms),
      onState: (state, reason) => this.#onDurable(state, reason),
    });
    const durable = this.durable.tier;
    this.near = makeNear(input);
    this.copies = new Copies(this.near, { isAlive: () => this.bus.alive });
    const { copies } = this;
    this.removeCopy = (id) => copies.remove(id);
    this.shared = this.#makeShared(versions, observe);
    const foreground = this.shared?.guard.foreground;
    const outbox = new Outbox(options.sync);
    this.bus = this.#makeBus(observe);
    this.flusher = new Flusher({
      clock,
      outbox,
      durable,
      events,
      batchSize: options.sync.batchSize,
      concurrency: options.sync.concurrency,
      observe,
      removeCopy: (id) => copies.remove(id),
      onRows: (outcome, rows) => {
        metrics.rows[outcome] += rows;
        if (outcome === 'refused') void this.deadLetters().catch(() => {});
      },
    });
    this.drainer = new Drainer({
      clock,
      outbox,
      flusher: this.flusher,
      intervalMs: options.sync.intervalMs,
      via: (patience) => this.#via(patience),
      onRun: (ms) => metrics.syncRan(ms),
    });
    this.#repair = new Repair({ clock, outbox, flusher: this.flusher, durable, events });
    const ladder = new Ladder({
      clock,
      versions,
      copies,
      outbox,
      shared: foreground,
      durable: gathered(durable, options.sync.concurrency, options.bulkhead.queue),
      // Marks left from now on are repaired by the trial, before anybody reads L2 again.
      isBypassed: () => this.shared?.guard.state === 'OPEN',
      onHeld: () => this.drainer.nudge(),
      onFull: (what) => this.#onFull(what),
    });
    this.engine = {
      clock,
      deadlineMs: options.deadlineMs,
      lookup: makeLookup(input, {
        copies,
        outbox,
        observe,
        durable,
        isDurableAway: () => this.durable.away,
        foreground,
      }),
      ladder,
      updates: new Updates(ladder, (id) => this.drainer.flush([id], true)),
      outbox,
      shared: foreground,
      durable,
      sampleL1: () => metrics.sampleL1(),
      observeL1: (ms) => metrics.observe('l1', 'read', ms),
      forget: (addresses) => this.#forget(addresses),
      flush: (ids) => this.drainer.flush(ids, true),
      check: () => this.opening.check(),
    };
    this.opening = new Opening(input, durable, this.shared, (ms) => this.bus.proven(ms));
    this.drainOthers = (ms) => this.#drainOthers(ms);
    this.#upkeep = this.#makeUpkeep();
    this.#connectMetrics(outbox);
  }

  // ------------------------------------------------------------ parts

  #makeShared(versions: VersionClock, observe: (version: number) => void): SharedSide | undefined {
    return makeShared(this.#input, {
      floor: async () => {
        const version = await this.durable.tier.maxVersion();
        observe(version);
        return version;
      },
      lastVersion: () => versions.last,
      onEpoch: () => this.#onEpoch(),
      onConnection: (up) => this.#onConnection(up),
      onMessage: (message) => this.bus.hear(message),
      onSubscribed: () => this.bus.subscribed(),
      // What this process acknowledged is in L2 alone: bring it to L3 while L2 is away.
      onOpen: () => void this.drainer.drain(),
      recover: (shared) => this.#recover(shared),
    });
  }

  #makeBus(observe: (version: number) => void): Bus {
    const { options, events, metrics, instance } = this.#input;
    return new Bus({
      clock: options.clock,
      instance,
      gapMs: options.bus.gapTtlMs,
      line: this.shared?.guard.fleet,
      onKey: (id, stamp, kind) => {
        if (stamp.version > 0) observe(stamp.version);
        this.copies.heard(id, stamp, kind);
      },
      onGap: (silentMs, isNew) => {
        this.copies.empty();
        if (!isNew) return;
        metrics.bus.gaps += 1;
        events.emit({ type: 'bus-gap', silentMs });
      },
      onAlive: () => events.emit({ type: 'bus-alive' }),
      onReceived: () => {
        metrics.bus.received += 1;
      },
      onPublished: () => {
        metrics.bus.published += 1;
      },
      onDrain: () => this.#drainForOthers(),
    });
  }

  #makeUpkeep(): Upkeep | undefined {
    const { shared } = this;
    if (shared === undefined) return undefined;
    const { options, events, instance } = this.#input;
    return new Upkeep({
      clock: options.clock,
      instance,
      fleet: shared.guard.fleet,
      shared: shared.guard.background,
      repair: this.#repair,
      flusher: this.flusher,
      events,
      adoptAfterMs: options.sync.adoptAfterMs,
      healthy: () => shared.guard.state === 'CLOSED',
      check: () => shared.guard.check(),
      watch: () => this.#watch(),
    });
  }

  #connectMetrics(outbox: Outbox): void {
    const { options, metrics } = this.#input;
    const { clock, sync } = options;
    metrics.connect({
      l1: () => ({
        entries: this.near?.size ?? 0,
        maxEntries: options.l1?.max ?? 0,
        bytes: this.near?.bytes ?? 0,
      }),
      l2: () => ({ memoryBytes: this.#memoryBytes }),
      outbox: () => ({ entries: outbox.size, bytes: outbox.bytes }),
      breaker: () => ({
        state: this.shared?.guard.state ?? 'CLOSED',
        consecutiveFailures: this.shared?.guard.consecutiveFailures ?? 0,
      }),
      sync: () => {
        const oldest = outbox.oldestUnsynced();
        return {
          pending: outbox.unsynced().length,
          oldestPendingSeconds: oldest === undefined ? 0 : Math.max(0, clock.now() - oldest) / 1000,
          inFlight: this.flusher.inFlight,
          deadLetters: this.#deadLetters,
          intervalSeconds: sync.intervalMs / 1000,
          batchSize: sync.batchSize,
        };
      },
      bus: () => ({ connected: this.bus.alive }),
    });
  }

  // ------------------------------------------------------------ life

  start(): void {
    this.opening.start();
    this.bus.start();
    this.drainer.start();
    this.#upkeep?.start();
  }

  /**
   * Heartbeats end first, and the outbox drains within `ms`. Then L3 is let go of, so that whatever
   * is still under way ends at once. What could not be drained is pending in Redis, and the
   * instance stays registered there, so that the others notice its silence and adopt it.
   */
  async close(ms: number): Promise<void> {
    const { clock } = this.#input.options;
    const { outbox } = this.engine;
    this.bus.stop();
    this.opening.close();
    const late = () => new TierError('the outbox was not drained in time', 'timeout');
    await within(this.drainer.drain(), ms, late, clock).catch(() => {});
    await this.durable.tier.close();
    await Promise.allSettled([
      this.#upkeep?.close(() => outbox.unsynced().length === 0),
      this.bus.close(),
      this.drainer.close(),
      this.engine.lookup.close(),
      this.shared?.guard.close(),
    ]);
    await this.shared?.tier.close();
  }

  // ------------------------------------------------------------ reactions

  /** How L2 is to be told of a flush; `patience`: whether somebody waits for it. */
  #via(patience: 'foreground' | 'background') {
    if (this.shared === undefined) return { shared: undefined, mark: false };
    const { guard } = this.shared;
    const healthy = guard.state === 'CLOSED';
    return { shared: healthy ? guard[patience] : undefined, mark: !healthy };
  }

  /** The last step of the breaker's trial. */
  async #recover(shared: SharedTier): Promise<void> {
    const { clock } = this.#input.options;
    const start = clock.monotonic();
    const report = await this.flusher.flush(this.engine.outbox.unsynced(), { shared, mark: true });
    if (report.failed > 0) throw new UnavailableError('Supabase does not take the outbox');
    await this.#repair.own(shared);
    const repaired = await this.#repair.marks(shared);
    const ms = clock.monotonic() - start;
    this.#input.events.emit({ type: 'recovered', drained: report.flushed, repaired, ms });
  }

  #onEpoch(): void {
    this.copies.empty();
    this.#input.events.emit({
      type: 'epoch',
      reason: 'Redis restarted, was emptied or failed over',
    });
    void this.drainer.drain();
  }

  #onConnection(up: boolean): void {
    if (up) {
      this.bus.connected();
      void this.#watch();
    } else {
      this.bus.disconnected();
    }
  }

  #onDurable(state: 'away' | 'back', reason: string): void {
    this.#input.events.emit({ type: 'l3', state, reason });
    if (state === 'back' && this.engine.outbox.unsynced().length > 0) void this.drainer.drain();
  }

  #onFull(what: 'outbox' | 'l2'): void {
    const { events, metrics, options } = this.#input;
    if (what === 'outbox') metrics.overloaded.outbox += 1;
    if (!this.#isTimely(what)) return;
    if (what === 'l2') events.emit({ type: 'l2-full' });
    else {
      events.emit({ type: 'overloaded', bound: 'outbox', limit: options.sync.maxPending });
    }
  }

  #observe(versions: VersionClock, version: number): void {
    const seen = versions.observe(version);
    if (seen === 'fine') return;
    const { events, metrics, options } = this.#input;
    metrics.clockAhead[seen === 'ahead' ? 'warned' : 'refused'] += 1;
    if (!this.#isTimely(seen)) return;
    const aheadMs = (version - versionAt(options.clock.now())) / VERSIONS_PER_MS;
    events.emit({ type: 'clock-skew', aheadMs, refused: seen === 'refused' });
  }

  /** What may happen with every request is told once in ten seconds. */
  #isTimely(what: string): boolean {
    const now = this.#input.options.clock.monotonic();
    const last = this.#told.get(what) ?? Number.NEGATIVE_INFINITY;
    if (now - last < TELL_EVERY_MS) return false;
    this.#told.set(what, now);
    return true;
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

  async #forget(addresses: readonly Address[]): Promise<void> {
    for (const { id } of addresses) this.copies.remove(id);
    if (this.shared === undefined || addresses.length === 0) return;
    const { foreground } = this.shared.guard;
    const replies = await inChunks(addresses, (some) => foreground.forget(some)).catch(
      (cause: unknown) => {
        throw new UnavailableError('Redis can not be reached to forget its copies', { cause });
      },
    );
    if (!replies.includes('epoch')) return;
    // Under a new epoch every settled copy is a miss anyway.
    this.copies.empty();
  }

  async #drainForOthers(): Promise<DrainAnswer> {
    const { flushed, failed, refused } = await this.drainer.drain();
    const remaining = this.engine.outbox.unsynced().length;
    return { flushed, failed: failed + refused, remaining };
  }

  async #drainOthers(ms: number) {
    const instances = (await this.shared?.guard.fleet.instances()) ?? [];
    const others = instances
      .filter(({ id, ageMs }) => id !== this.instance && ageMs < DEAD_AFTER_MS)
      .map(({ id }) => id);
    const request = String(this.#input.options.clock.random53());
    return this.bus.askToDrain(request, others, ms);
  }

  /** What `health()` asks for, and the gauges learn on the way. */
  async deadLetters(): Promise<number> {
    this.#deadLetters = await this.durable.tier.deadLetters();
    return this.#deadLetters;
  }
}
