/**
 * What a cache with an L3 is made of, put together around its {@link Instance}: the write path, the
 * read path of records and logs, and what brings L2 and L3 together. Knows who owns which timer
 * and connection, and in which order they start and stop.
 */
import type { Engine } from './calls.ts';
import { inChunks } from './chunks.ts';
import type { DrainAnswer, Question } from './coherence/bus.ts';
import { within } from './deadline.ts';
import { TierError, UnavailableError } from './errors.ts';
import type { EventHub } from './events.ts';
import { Instance } from './instance.ts';
import { type Address, type AddressId, addressOfId } from './model/key.ts';
import type { ResolvedOptions } from './options.ts';
import { type AssemblyInput, makeLookup } from './parts.ts';
import type { DurableDerived } from './tiers/derived.ts';
import { MeasuredTier } from './tiers/measured.ts';
import { sealedDerived, sealedTier } from './tiers/sealed.ts';
import { SupabaseTier } from './tiers/supabase/supabase.ts';
import type { SharedTier } from './tiers/tier.ts';
import { Drainer } from './write/drainer.ts';
import { Flusher } from './write/flusher.ts';
import { gathered } from './write/gathered.ts';
import { OpenJournal } from './write/journal/open.ts';
import { Ladder } from './write/ladder.ts';
import { Letters } from './write/letters.ts';
import { Others } from './write/others.ts';
import { Outbox } from './write/outbox.ts';
import { Repair } from './write/repair.ts';
import { Updates } from './write/update.ts';
import { Upkeep } from './write/upkeep.ts';

/** `undefined` where the cache has no L3: then there are no records and logs to serve. */
export function assembleEngine(input: AssemblyInput): Assembly | undefined {
  return input.options.l3 === undefined ? undefined : new Assembly(input, input.options.l3);
}

export class Assembly {
  readonly engine: Engine;
  readonly instance: Instance;
  readonly durable: MeasuredTier;
  readonly derived: DurableDerived;
  readonly flusher: Flusher;
  readonly drainer: Drainer;
  readonly letters: Letters;
  readonly events: EventHub;
  readonly removeCopy: (id: AddressId) => void;
  readonly others: Others;
  readonly #input: AssemblyInput;
  readonly #repair: Repair;
  readonly #upkeep: Upkeep | undefined;
  /** Absent where the cache has none. */
  readonly journal: OpenJournal | undefined;
  #restored: Promise<void> | undefined;
  #deadLetters = 0;

  constructor(input: AssemblyInput, l3: NonNullable<ResolvedOptions['l3']>) {
    const { options, events, metrics } = input;
    const { clock } = options;
    this.#input = input;
    this.events = events;
    const source = { ...l3.source, timeoutMs: l3.timeoutMs, clock };
    this.durable = new MeasuredTier(new SupabaseTier(source), {
      clock,
      onCall: (operation, ms) => metrics.observe('l3', operation, ms),
      onState: (state, reason) => this.#onDurable(state, reason),
    });
    const durable = sealedTier(this.durable.tier, input.packing);
    this.derived = sealedDerived(this.durable.derived, input.packing);
    this.instance = new Instance(input, {
      tier: durable,
      floor: () => durable.maxVersion(),
      drain: () => this.drainer.drainAll(),
      onQuestion: (question) => this.#answer(question),
      onEpoch: () => this.others.doubt(),
      onPeer: (id, state) => this.others.heard(id, state),
      isAside: () => {
        const { outbox } = this.engine;
        return outbox.unsynced().some((id) => outbox.isAside(id));
      },
      informed: () => {
        // What was erased meanwhile is not to stay on the disk: nobody could ask for that.
        void this.journal?.expunge();
        // What L3 refused may have another answer by now, and nobody heard so.
        if (this.engine.outbox.parked().length > 0) void this.drainer.drainAll();
      },
      recover: (shared) => this.#recover(shared),
      heard: (id, stamp) => this.engine.outbox.heard(id, stamp),
    });
    const { copies, versions, shared, bus } = this.instance;
    const fleet = shared?.guard.fleet;
    this.others = new Others({ clock, instance: this.instance.id, fleet, bus });
    const observe = (version: number) => this.instance.observe(version);
    this.removeCopy = (id) => copies.remove(id);
    const foreground = shared?.guard.foreground;
    // Last of what may throw: it holds a lock.
    this.journal = this.#openJournal(observe);
    const outbox = new Outbox(options.sync, this.journal?.tickets);
    this.journal?.restore(outbox);
    this.flusher = new Flusher({
      clock,
      outbox,
      durable,
      letters: this.durable.letters,
      events,
      batchSize: options.sync.batchSize,
      concurrency: options.sync.concurrency,
      observe,
      removeCopy: (id) => copies.remove(id),
      onRows: (outcome, rows) => {
        metrics.rows[outcome] += rows;
        if (outcome === 'erased') void this.journal?.expunge();
        if (outcome === 'refused' || this.#deadLetters > 0) this.#countLetters();
      },
    });
    this.drainer = new Drainer({
      clock,
      outbox,
      flusher: this.flusher,
      intervalMs: options.sync.intervalMs,
      via: (patience) => this.#via(patience),
      isPressed: () => this.journal?.isFilling === true,
      onRun: (ms) => metrics.syncRan(ms),
    });
    this.letters = new Letters({
      durable: this.durable.letters,
      outbox,
      flush: (ids) => this.drainer.flush(ids, true),
      removeCopy: this.removeCopy,
      onChanged: () => this.#countLetters(),
    });
    this.#repair = new Repair({ clock, outbox, flusher: this.flusher, durable, events });
    const ladder = new Ladder({
      clock,
      versions,
      copies,
      outbox,
      shared: foreground,
      journal: this.journal?.rung,
      durable: gathered(durable, {
        atOnce: options.sync.concurrency,
        asksAtOnce: options.bulkhead.concurrency,
        maxWaiting: options.bulkhead.queue,
        maxBytes: options.sync.maxBytes,
        onFull: () => this.#onFull('through'),
      }),
      // Marks left from now on are repaired by the trial, before anybody reads L2 again.
      isBypassed: (id) => shared?.guard.isBypassed(addressOfId(id)) === true,
      flush: (id) => this.drainer.flush([id], true),
      onHeld: ({ held }) => {
        this.drainer.nudge();
        if (held[0] === 'journal') bus.tellAside();
      },
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
        onFull: () => this.#onFull('bulkhead'),
      }),
      ladder,
      updates: new Updates(ladder),
      outbox,
      shared: foreground,
      durable,
      sampleL1: () => metrics.sampleL1(),
      observeL1: (ms) => metrics.observe('l1', 'read', ms),
      forget: (addresses) => this.#forget(addresses),
      flush: (ids) => this.drainer.flush(ids, true),
      check: () => this.instance.opening.check(),
    };
    this.#upkeep = this.#makeUpkeep();
    this.#connectMetrics(outbox);
  }

  // ------------------------------------------------------------ parts

  #openJournal(observe: (version: number) => void): OpenJournal | undefined {
    const { options, events, metrics, packing } = this.#input;
    if (options.journal === undefined) return undefined;
    return new OpenJournal({
      options: options.journal,
      cipher: packing.cipher,
      clock: options.clock,
      events,
      counts: metrics.journal,
      observe,
      onFull: (reason) => {
        metrics.overloaded.journal += 1;
        // What it holds may be in L3 soon, and then it has room again.
        this.drainer.nudge();
        if (!this.instance.isTimely('journal')) return;
        events.emit({ type: 'journal-full', reason, bytes: this.journal?.state.bytes ?? 0 });
      },
    });
  }

  #makeUpkeep(): Upkeep | undefined {
    const { shared, id, bus } = this.instance;
    if (shared === undefined) return undefined;
    const { options, events } = this.#input;
    return new Upkeep({
      clock: options.clock,
      instance: id,
      fleet: shared.guard.fleet,
      bus,
      others: this.others,
      shared: shared.guard.background,
      outbox: this.engine.outbox,
      repair: this.#repair,
      flusher: this.flusher,
      events,
      adoptAfterMs: options.sync.adoptAfterMs,
      healthy: () => shared.guard.state === 'CLOSED',
    });
  }

  #connectMetrics(outbox: Outbox): void {
    const { options, metrics } = this.#input;
    const { clock, sync } = options;
    metrics.connect({
      outbox: () => ({ entries: outbox.size, bytes: outbox.bytes }),
      journal: () => ({ bytes: this.journal?.state.bytes ?? 0 }),
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
    });
  }

  // ------------------------------------------------------------ life

  start(): void {
    this.drainer.start();
    this.#upkeep?.start();
    if (this.journal === undefined) return;
    // Whoever creates the cache listens to it from this turn on.
    queueMicrotask(() => this.journal?.announce());
    // Where L3 is away, its return starts a drain too.
    void this.instance.opening
      .ready()
      .then(() => this.restored())
      .catch(() => {});
  }

  /**
   * Resolves when L3 has what was in the journal at the start, or keeps it as dead letters. Rejects
   * where it did not answer for all of that; who asks again has it sent again.
   */
  async restored(): Promise<void> {
    if (this.journal === undefined || this.journal.replayed === 0) return;
    this.#restored ??= this.#restore();
    await this.#restored;
  }

  async #restore(): Promise<void> {
    const { failed } = await this.drainer.drain();
    if (failed === 0) return;
    this.#restored = undefined;
    throw new UnavailableError(
      'Supabase does not answer for all that was in the journal: it is sent again, and ready() can be called again',
    );
  }

  /**
   * Within `ms` writes under way end, the outbox drains and upkeep ends its round: cut off, it would
   * speak of a fault. What could not be drained is pending in Redis; the others notice the silence,
   * and adopt it.
   */
  async close(ms: number): Promise<void> {
    const { clock, ladder } = this.engine;
    const { underway } = ladder;
    const until = clock.monotonic() + ms;
    this.instance.stop();
    const late = () => new TierError('the outbox was not drained in time', 'timeout');
    // One that hangs must not hold up what is acknowledged already.
    const drained = Promise.all([underway.ended(), this.drainer.drainAll()]);
    const rest = drained.then(() => this.drainer.drainAll());
    await within(rest, ms, late, clock).catch(() => {});
    const leavesNothing = () => underway.size === 0 && this.lacked === 0;
    const upkeep = this.#upkeep?.close(leavesNothing) ?? Promise.resolve();
    await within(upkeep, Math.max(0, until - clock.monotonic()), late, clock).catch(() => {});
    await this.durable.tier.close();
    await Promise.allSettled([upkeep, this.drainer.close(), this.engine.lookup.close()]);
    await this.journal?.close();
  }

  // ------------------------------------------------------------ reactions

  /** How L2 is to be told of a flush; `patience`: whether somebody waits for it. */
  #via(patience: 'foreground' | 'background') {
    const { shared } = this.instance;
    if (shared === undefined) return { shared: undefined, mark: false };
    const { guard } = shared;
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

  #onDurable(state: 'away' | 'back', reason: string): void {
    this.#input.events.emit({ type: 'l3', state, reason });
    if (state === 'back' && this.engine.outbox.unsynced().length > 0) void this.drainer.drain();
  }

  #onFull(what: keyof ReturnType<typeof limitsOf> | 'l2'): void {
    const { events, metrics, options } = this.#input;
    if (what !== 'l2') metrics.overloaded[what] += 1;
    if (!this.instance.isTimely(what)) return;
    if (what === 'l2') events.emit({ type: 'l2-full' });
    else events.emit({ type: 'overloaded', bound: what, limit: limitsOf(options)[what] });
  }

  async #forget(addresses: readonly Address[]): Promise<void> {
    const { copies, shared } = this.instance;
    for (const { id } of addresses) copies.remove(id);
    if (shared === undefined || addresses.length === 0) return;
    const { foreground } = shared.guard;
    const replies = await inChunks(addresses, (some) => foreground.forget(some)).catch(
      (cause: unknown) => {
        throw new UnavailableError('Redis can not be reached to forget its copies', { cause });
      },
    );
    if (replies.includes('away')) {
      throw new UnavailableError('a node of Redis can not be reached to forget its copies');
    }
    if (!replies.includes('epoch')) return;
    // Under a new epoch every settled copy is a miss anyway.
    copies.empty();
  }

  async #answer(question: Question): Promise<DrainAnswer> {
    const { erasedTo } = question;
    // What is acknowledged after an erasure is not to be taken for what it erased.
    if (erasedTo > 0) this.instance.observe(erasedTo);
    const report = await this.drainer.drainAll();
    if (erasedTo === 0 || this.journal === undefined) return report;
    const isExpunged = await this.journal.expunge();
    return isExpunged ? report : { ...report, failed: report.failed + 1 };
  }

  #countLetters(): void {
    void this.deadLetters().catch(() => {});
  }

  /** Keys of which L3 lacks, or refuses, something that was acknowledged here. */
  get lacked(): number {
    const { outbox } = this.engine;
    return new Set([...outbox.unsynced(), ...outbox.parked()]).size;
  }

  /** What `health()` asks for, and the gauges learn on the way. */
  async deadLetters(): Promise<number> {
    this.#deadLetters = await this.durable.tier.deadLetters();
    return this.#deadLetters;
  }
}

/** The bounds of the write path and of reads of L3, as an operator set them. */
function limitsOf({ sync, bulkhead }: ResolvedOptions) {
  return {
    outbox: sync.maxPending,
    'outbox-bytes': sync.maxBytes,
    bulkhead: bulkhead.queue,
    through: bulkhead.queue,
  } as const;
}
