/**
 * One instance of the real core over lines to the models: the lookup, the ladder, the outbox, the
 * flusher, the drainer, the updates, repair and adoption as they are; around them what
 * `assembly.ts` and `guarded.ts` do, on virtual time.
 */
import type { Engine } from '../../../src/calls.ts';
import { Copies } from '../../../src/coherence/copies.ts';
import { within } from '../../../src/deadline.ts';
import { TierError } from '../../../src/errors.ts';
import { EventHub } from '../../../src/events.ts';
import { Logs } from '../../../src/logs.ts';
import { Metrics } from '../../../src/metrics/metrics.ts';
import { address } from '../../../src/model/key.ts';
import { VersionClock } from '../../../src/model/version.ts';
import { memory, resolveOptions } from '../../../src/options.ts';
import { makeLookup, makeNear, makePacking } from '../../../src/parts.ts';
import type { Space } from '../../../src/read/lookup.ts';
import { Records } from '../../../src/records.ts';
import { Namespace } from '../../../src/space.ts';
import type { DurableLetters } from '../../../src/tiers/letters.ts';
import { MeasuredTier } from '../../../src/tiers/measured.ts';
import type { SharedTier } from '../../../src/tiers/tier.ts';
import { adopt } from '../../../src/write/adopt.ts';
import { Drainer } from '../../../src/write/drainer.ts';
import { Flusher } from '../../../src/write/flusher.ts';
import { gathered } from '../../../src/write/gathered.ts';
import { Ladder } from '../../../src/write/ladder.ts';
import { Outbox } from '../../../src/write/outbox.ts';
import { Repair } from '../../../src/write/repair.ts';
import { Updates } from '../../../src/write/update.ts';
import { type DurableHost, type RedisHost, RedisLine } from './servers.ts';
import type { VirtualTime } from './virtual-time.ts';

export interface Item {
  readonly id: string;
}

/** The model refuses no row, and none is too large for it. */
const NO_LETTERS: DurableLetters = {
  list: () => Promise.resolve([]),
  get: () => Promise.resolve(undefined),
  keepUnsent: () => Promise.reject(new TierError('the model keeps no letters', 'refused')),
  retry: () => Promise.resolve({ status: 'unknown', address: undefined }),
  drop: () => Promise.resolve({ status: 'unknown', address: undefined }),
};

const TIMEOUT_MS = 50;
const PATIENCE_MS = 1000;
const FAILURES = 3;
const RESET_MS = 500;
const UPKEEP_MS = 1000;

export class SimulatedInstance {
  readonly name: string;
  readonly records: Records<number>;
  readonly logs: Logs<Item>;
  readonly outbox: Outbox;
  readonly line: RedisLine;
  readonly drainer: Drainer;
  readonly copies: Copies;
  readonly engine: Engine;
  readonly #time: VirtualTime;
  readonly #flusher: Flusher;
  readonly #repair: Repair;
  readonly #events: EventHub = new EventHub();
  readonly #space: Space<unknown>;
  isAlive = true;
  #state: 'CLOSED' | 'OPEN' | 'HALF_OPEN' = 'OPEN';
  #failures = 0;
  #isSubscribed = false;

  constructor(name: string, time: VirtualTime, host: RedisHost, l3: DurableHost, skewMs: number) {
    this.name = name;
    this.#time = time;
    const clock = time.clock(skewMs, () => this.isAlive);
    const options = resolveOptions({ l1: memory({ max: 50 }), clock, sync: { batchSize: 3 } });
    const metrics = new Metrics(clock);
    const packing = makePacking(options, metrics);
    const events = this.#events;
    const input = { options, packing, metrics, events, instance: name, isClosed: () => false };
    const versions = new VersionClock(clock);
    const observe = (version: number) => void versions.observe(version);
    const measured = new MeasuredTier(
      { ...l3.tier, letters: NO_LETTERS, tables: { faults: async () => [] } },
      { clock, onCall: () => {}, onState: () => {} },
    );
    const durable = measured.tier;
    this.copies = new Copies(makeNear(input), { isAlive: () => this.#isSubscribed });
    const { copies } = this;
    this.outbox = new Outbox(options.sync);
    const { outbox } = this;
    this.line = new RedisLine({
      time,
      host,
      versions,
      floor: () => durable.maxVersion(),
      onEpoch: () => {
        copies.empty();
        void this.drainer.drain();
      },
      onConnection: (up) => {
        this.#isSubscribed = up;
        copies.empty();
      },
      onKey: (id, stamp, kind) => {
        observe(stamp.version);
        copies.heard(id, stamp, kind);
      },
    });
    const foreground = this.#view(TIMEOUT_MS, false);
    const background = this.#view(PATIENCE_MS, false);
    this.#flusher = new Flusher({
      clock,
      outbox,
      durable,
      letters: NO_LETTERS,
      events: this.#events,
      batchSize: options.sync.batchSize,
      concurrency: 2,
      observe,
      onRows: () => {},
      removeCopy: (id) => copies.remove(id),
    });
    this.drainer = new Drainer({
      clock,
      outbox,
      flusher: this.#flusher,
      intervalMs: 3000,
      via: () => {
        const isHealthy = this.#state === 'CLOSED';
        return { shared: isHealthy ? background : undefined, mark: !isHealthy };
      },
      onRun: () => {},
    });
    this.#repair = new Repair({
      clock,
      outbox,
      flusher: this.#flusher,
      durable,
      events: this.#events,
    });
    const ladder = new Ladder({
      clock,
      versions,
      copies,
      outbox,
      shared: foreground,
      durable: gathered(durable, {
        atOnce: 2,
        asksAtOnce: 2,
        maxWaiting: 100,
        maxBytes: 1e6,
        onFull: () => {},
      }),
      isBypassed: () => this.#state === 'OPEN',
      flush: (id) => this.drainer.flush([id], true),
      onHeld: () => this.drainer.nudge(),
      onFull: () => {},
    });
    this.engine = {
      clock,
      deadlineMs: 20_000,
      lookup: makeLookup(input, {
        copies,
        outbox,
        observe,
        durable,
        isDurableAway: () => measured.away,
        foreground,
        onFull: () => {},
      }),
      ladder,
      updates: new Updates(ladder),
      outbox,
      shared: foreground,
      durable,
      sampleL1: () => false,
      observeL1: () => {},
      forget: async () => {},
      flush: (ids) => this.drainer.flush(ids, true),
      check: () => {},
    };
    const open = (space: string, kind: 'value' | 'log') =>
      new Namespace(space, kind, {}, metrics.namespace(space));
    const numbers = open('numbers', 'value');
    this.records = new Records<number>(this.engine, numbers);
    this.#space = numbers.space();
    this.logs = new Logs<Item>(this.engine, open('items', 'log'), (item) => item.id);
    this.drainer.start();
    this.#trialLater(0);
    this.#upkeepLater(background);
  }

  get isHealthy(): boolean {
    return this.#state === 'CLOSED';
  }

  /** The version that a `get` is answered with, that of a deletion too. */
  async version(key: string): Promise<number> {
    const { lookup, deadlineMs } = this.engine;
    const of = address('numbers', key);
    return (lookup.copy(of.id) ?? (await lookup.find(this.#space, of, { deadlineMs }))).version;
  }

  /** SIGKILL. */
  crash(): void {
    this.isAlive = false;
    this.line.end();
  }

  // ------------------------------------------------------------ the breaker

  #view(timeoutMs: number, always: boolean): SharedTier {
    const call = <A extends unknown[], R>(command: (...args: A) => Promise<R>) => {
      return async (...args: A): Promise<R> => {
        if (!always && this.#state !== 'CLOSED') {
          throw new TierError('the breaker is open', 'unreachable', { outcome: 'none' });
        }
        const late = () => new TierError('no answer', 'timeout', { outcome: 'unknown' });
        try {
          const answer = await within(command(...args), timeoutMs, late, this.engine.clock);
          this.#failures = 0;
          return answer;
        } catch (error) {
          if (!always) this.#failed();
          throw error;
        }
      };
    };
    const { tier } = this.line;
    return {
      connect: tier.connect,
      close: tier.close,
      read: call(tier.read),
      put: call(tier.put),
      append: call(tier.append),
      backfill: call(tier.backfill),
      putSettled: call(tier.putSettled),
      settle: call(tier.settle),
      drop: call(tier.drop),
      repair: call(tier.repair),
      forget: call(tier.forget),
      purge: call(tier.purge),
      pending: call(tier.pending),
    };
  }

  #failed(): void {
    this.#failures += 1;
    if (this.#failures < FAILURES || this.#state !== 'CLOSED') return;
    this.#open();
  }

  #open(): void {
    this.#state = 'OPEN';
    this.line.lose();
    void this.drainer.drain();
    this.#trialLater(RESET_MS);
  }

  #trialLater(ms: number): void {
    this.engine.clock.after(ms, () => {
      this.#state = 'HALF_OPEN';
      this.#trial().then(
        () => {
          this.#failures = 0;
          this.#state = 'CLOSED';
        },
        () => this.#open(),
      );
    });
  }

  async #trial(): Promise<void> {
    const late = () => new TierError('no answer', 'timeout', { outcome: 'unknown' });
    await within(this.line.shake(), PATIENCE_MS, late, this.engine.clock);
    const shared = this.#view(PATIENCE_MS, true);
    const report = await this.#flusher.flush(this.outbox.unsynced(), { shared, mark: true });
    if (report.failed > 0) throw new Error('L3 does not take the outbox');
    await this.#repair.own(shared);
    await this.#repair.marks(shared);
  }

  // ------------------------------------------------------------ upkeep

  #upkeepLater(shared: SharedTier): void {
    this.engine.clock.after(UPKEEP_MS, () => {
      const round = this.isHealthy ? this.upkeep(shared, this.#time.wall - 10_000) : undefined;
      Promise.resolve(round)
        .catch(() => {})
        .finally(() => this.#upkeepLater(shared));
    });
  }

  async upkeep(shared: SharedTier, before: number): Promise<void> {
    await this.line.check();
    await this.#repair.own(shared);
    await this.#repair.marks(shared);
    await adopt({ flusher: this.#flusher, events: this.#events }, shared, before);
  }

  /** What `sync` does beside asking the others. */
  async sync(): Promise<void> {
    await this.drainer.drain();
    await this.upkeep(this.#view(PATIENCE_MS, false), Number.MAX_SAFE_INTEGER);
  }
}
