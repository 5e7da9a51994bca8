/**
 * L2 behind a deadline and a breaker, so that a dead Redis costs a caller at most the timeout,
 * and after a few of those nothing at all (G5).
 *
 *   opening    the first connection is being made. CLOSED, but failures are not counted yet: calls
 *              that come too early for it go to L3, and say nothing about the server.
 *   CLOSED     calls pass, each at most its timeout. Consecutive failures are counted; a success
 *              sets the count to zero. At `failures`: OPEN.
 *   OPEN       no call passes. Entering drops the connection with everything queued on it, and
 *              `onOpen` is told (the outbox drains to L3). After `resetMs`: HALF_OPEN.
 *   HALF_OPEN  still no call of a user passes. The trial runs: `trial` probes (PING and
 *              handshake), then `recover` (own outbox drained, bypass marks repaired).
 *              It succeeds: CLOSED. It fails: OPEN.
 *
 * opossum is the state machine and the timer; its action is the trial, and nothing else is ever
 * fired through it, because it would close at the first success, a late one included.
 */
import CircuitBreaker from 'opossum';
import type { Clock } from '../clock.ts';
import { within } from '../deadline.ts';
import { TierError } from '../errors.ts';
import type { BreakerState } from '../events.ts';
import type { Address } from '../model/key.ts';
import { traced } from '../tracing.ts';
import type { SharedDerived } from './derived.ts';
import type { SharedFleet } from './fleet.ts';
import { byLane, Lanes } from './lanes.ts';
import type { SharedTier, TierLanes } from './tier.ts';

/** A tier that can be asked whether it is there at all. */
export interface ProbedTier extends SharedTier {
  /** PING and handshake; rejects where either fails. */
  probe(): Promise<void>;
  /** Compares the epochs; says `onEpoch` where the server is another one by now. */
  check(): Promise<void>;
  /** Drops the connection and what is queued on it, and connects anew. */
  reconnect(): void;
  readonly fleet: SharedFleet;
  readonly derived: SharedDerived;
  /** Servers that may fail one by one, and have a breaker each; absent where it is one. */
  readonly lanes?: TierLanes | undefined;
}

export interface GuardOptions {
  readonly timeoutMs: number;
  readonly failures: number;
  readonly resetMs: number;
  readonly trial: number;
  readonly clock: Clock;
  readonly onTransition: (to: BreakerState, reason: string) => void;
  /** How long one call took, and how it ended. */
  readonly onCall: (operation: string, ms: number, result: 'ok' | 'error' | 'timeout') => void;
  /** The last step of a trial. Calls go through the view it is given. */
  readonly recover: (tier: SharedTier) => Promise<void>;
  /** One of several servers is given up, or passes calls again. */
  readonly onLane?: ((lane: string, state: 'away' | 'back', reason: string) => void) | undefined;
}

/** What flushing and repair may wait for one call: nobody is on the line. */
const BACKGROUND_TIMEOUT_MS = 1000;

type Gate = 'closed' | 'always';

/** Of a batch: the address that says which lane one of it belongs to. */
type OnKey = { readonly address: Address } | { readonly write: { readonly address: Address } };

export class GuardedTier {
  readonly #tier: ProbedTier;
  readonly #options: GuardOptions;
  readonly #breaker: CircuitBreaker<[], void>;
  readonly #lanes: Lanes | undefined;
  /** What a call may take that nobody is on the line for. Never less than a caller waits. */
  readonly #patienceMs: number;
  #consecutive = 0;
  #isOpening = true;
  #opened = 0;
  #closing = false;
  #trial: Promise<void> | undefined;
  /** For calls that somebody waits for. */
  readonly foreground: SharedTier;
  /** For flushing, repair and adoption: more patient, behind the same breaker. */
  readonly background: SharedTier;
  /** The fleet, just as patient: its heartbeat is what notices a frozen server when nobody calls. */
  readonly fleet: SharedFleet;
  /** Derived values, for calls that somebody waits for. */
  readonly derived: SharedDerived;
  /** Derived values, for early refreshes, invalidations and erasures: more patient. */
  readonly derivedBackground: SharedDerived;

  constructor(tier: ProbedTier, options: GuardOptions) {
    this.#tier = tier;
    this.#options = options;
    this.#patienceMs = Math.max(options.timeoutMs, BACKGROUND_TIMEOUT_MS);
    this.#lanes = tier.lanes && this.#makeLanes(tier.lanes);
    const patience = this.#patienceMs;
    this.foreground = this.#view(options.timeoutMs, 'closed');
    this.background = this.#view(patience, 'closed');
    this.fleet = this.#fleetView(patience);
    this.derived = this.#derivedView(options.timeoutMs);
    this.derivedBackground = this.#derivedView(patience);
    this.#breaker = new CircuitBreaker(() => this.#runTrial(), {
      timeout: false,
      resetTimeout: options.resetMs,
      volumeThreshold: 0,
      errorThresholdPercentage: 1,
    });
    this.#breaker.on('open', () => this.#onOpen());
    this.#breaker.on('halfOpen', () => this.#onHalfOpen());
    this.#breaker.on('close', () => this.#onClose());
  }

  get state(): BreakerState {
    if (this.#breaker.halfOpen) return 'HALF_OPEN';
    return this.#breaker.opened ? 'OPEN' : 'CLOSED';
  }

  get consecutiveFailures(): number {
    return this.#consecutive;
  }

  /** The servers of a Cluster that no call passes. */
  get away(): readonly string[] {
    return this.#lanes?.away ?? [];
  }

  /** No call about this key passes, and none will before every mark in L3 has been repaired. */
  isBypassed(address: Address): boolean {
    if (this.state !== 'CLOSED') return this.state === 'OPEN';
    const lane = this.#tier.lanes?.of(address);
    return lane !== undefined && this.#lanes?.isOpen(lane) === true;
  }

  /** How often it opened. */
  get opened(): number {
    return this.#opened;
  }

  /** The first attempt to connect has ended, well or not. */
  began(): void {
    this.#isOpening = false;
  }

  /** Opens at once: the connection could not be made, or the handshake can't be trusted. */
  open(reason: string): void {
    if (this.state !== 'CLOSED' || this.#closing) return;
    this.#reason = reason;
    this.#breaker.open();
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#breaker.shutdown();
    await Promise.all([this.#trial, this.#lanes?.close()]);
  }

  #reason = '';

  /** Whether the server is still the one that it was: an idle instance would not notice. */
  check(): Promise<void> {
    const patience = this.#patienceMs;
    const { lanes } = this.#tier;
    if (lanes === undefined) {
      return this.#call('check', patience, 'closed', () => this.#tier.check());
    }
    const checks = lanes.all().map(async (lane) => {
      // Its trial looks after one that is given up.
      if (this.#lanes?.passes(lane) === false) return;
      await this.#call('check', patience, 'closed', () => lanes.check(lane), lane);
    });
    return Promise.all(checks).then(() => {});
  }

  #makeLanes(lanes: TierLanes): Lanes {
    const { onLane, onTransition: _, ...rest } = this.#options;
    return new Lanes({
      ...rest,
      lanes,
      patienceMs: this.#patienceMs,
      recover: () => this.#options.recover(this.#view(this.#patienceMs, 'always')),
      onAway: (lane, reason) => onLane?.(lane, 'away', reason),
      onBack: (lane, reason) => onLane?.(lane, 'back', reason),
      onNone: (reason) => this.open(`no node answers: ${reason}`),
    });
  }

  #onOpen(): void {
    this.#opened += 1;
    this.#lanes?.clear();
    this.#tier.reconnect();
    this.#options.onTransition('OPEN', this.#reason);
  }

  #onHalfOpen(): void {
    if (this.#closing) return;
    this.#options.onTransition('HALF_OPEN', `${this.#options.resetMs} ms have passed`);
    this.#trial = this.#breaker.fire().catch((error: unknown) => {
      this.#reason = `trial failed: ${error instanceof Error ? error.message : String(error)}`;
    });
  }

  #onClose(): void {
    this.#consecutive = 0;
    this.#options.onTransition('CLOSED', 'the trial succeeded');
  }

  async #runTrial(): Promise<void> {
    const patience = this.#patienceMs;
    for (let probe = 0; probe < this.#options.trial; probe += 1) {
      await within(
        this.#tier.probe(),
        patience,
        () => late('probe', patience),
        this.#options.clock,
      );
    }
    await this.#options.recover(this.#view(patience, 'always'));
  }

  #view(timeoutMs: number, gate: Gate): SharedTier {
    const run = <T>(operation: string, call: () => Promise<T>) =>
      this.#call(operation, timeoutMs, gate, call);
    const tier = this.#tier;
    const each = <T, R>(
      operation: string,
      batch: readonly T[],
      addressOf: (one: T) => Address,
      call: (some: readonly T[]) => Promise<readonly R[]>,
      whereAway?: R,
    ) => this.#each(operation, timeoutMs, gate, batch, addressOf, call, whereAway);
    return {
      connect: () => tier.connect(),
      partOf: tier.partOf,
      read: (addresses, o) => each('read', addresses, itself, (some) => tier.read(some, o)),
      put: (puts, o) => each('put', puts, addressIn, (some) => tier.put(some, o)),
      append: (appends, o) => each('append', appends, addressIn, (some) => tier.append(some, o)),
      backfill: (fills, o) => each('backfill', fills, addressIn, (some) => tier.backfill(some, o)),
      putSettled: (writes, o) =>
        each('put_settled', writes, addressIn, (some) => tier.putSettled(some, o), 'away'),
      settle: (settles, o) =>
        each('settle', settles, addressIn, (some) => tier.settle(some, o), 'away'),
      drop: (drops, o) => each('drop', drops, addressIn, (some) => tier.drop(some, o), 'away'),
      repair: (repairs, o) =>
        each('repair', repairs, addressIn, (some) => tier.repair(some, o), 'away'),
      forget: (addresses, o) =>
        each('forget', addresses, itself, (some) => tier.forget(some, o), 'away'),
      purge: (purges, o) => each('purge', purges, addressIn, (some) => tier.purge(some, o), 'away'),
      pending: (before, limit, o) => run('pending', () => tier.pending(before, limit, o)),
      close: () => tier.close(),
    };
  }

  /** One call, or where there are lanes, one for each that the batch is about. */
  #each<T, R>(
    operation: string,
    timeoutMs: number,
    gate: Gate,
    batch: readonly T[],
    addressOf: (one: T) => Address,
    call: (some: readonly T[]) => Promise<readonly R[]>,
    whereAway: R | undefined,
  ): Promise<readonly R[]> {
    const { lanes } = this.#tier;
    if (lanes === undefined || batch.length === 0) {
      return this.#call(operation, timeoutMs, gate, () => call(batch));
    }
    const away = (lane: string, error: unknown): R | undefined => {
      if (gate === 'always') {
        this.#lanes?.giveUp(lane, error instanceof Error ? error.message : String(error));
      }
      return whereAway;
    };
    return byLane(
      batch,
      (one) => lanes.of(addressOf(one)),
      (lane, some) => this.#call(operation, timeoutMs, gate, () => call(some), lane),
      away,
    );
  }

  #fleetView(timeoutMs: number): SharedFleet {
    const run = <T>(operation: string, call: () => Promise<T>) =>
      this.#call(operation, timeoutMs, 'closed', call);
    const { fleet } = this.#tier;
    return {
      heartbeat: (instance, message, o) =>
        run('heartbeat', () => fleet.heartbeat(instance, message, o)),
      instances: (o) => run('instances', () => fleet.instances(o)),
      unregister: (instance, o) => run('unregister', () => fleet.unregister(instance, o)),
      resign: (instance, o) => run('resign', () => fleet.resign(instance, o)),
      lease: (name, holder, ttlMs, o) => run('lease', () => fleet.lease(name, holder, ttlMs, o)),
      release: (name, holder, o) => run('release', () => fleet.release(name, holder, o)),
      publish: (message, o) => run('publish', () => fleet.publish(message, o)),
    };
  }

  #derivedView(timeoutMs: number): SharedDerived {
    const run = <T>(operation: string, call: () => Promise<T>) =>
      this.#call(operation, timeoutMs, 'closed', call);
    const each = <T, R>(
      operation: string,
      batch: readonly T[],
      addressOf: (one: T) => Address,
      call: (some: readonly T[]) => Promise<readonly R[]>,
    ) => this.#each(operation, timeoutMs, 'closed', batch, addressOf, call, undefined);
    const { derived } = this.#tier;
    return {
      partOf: this.#tier.partOf,
      take: (takes, o) => each('derived_take', takes, addressIn, (some) => derived.take(some, o)),
      fill: (fills, o) =>
        each(
          'derived_fill',
          fills,
          (fill) => fill.entry.address,
          (some) => derived.fill(some, o),
        ),
      place: (places, o) =>
        each(
          'derived_place',
          places,
          (place) => place.entry.address,
          (some) => derived.place(some, o),
        ),
      remove: (removals, o) =>
        each('derived_remove', removals, addressIn, (some) => derived.remove(some, o)),
      extend: (leases, o) =>
        each('derived_extend', leases, addressIn, (some) => derived.extend(some, o)),
      letGo: (leases, o) => run('derived_let_go', () => derived.letGo(leases, o)),
      invalidate: (tags, o) => run('derived_invalidate', () => derived.invalidate(tags, o)),
      erase: (scope, o) => run('derived_erase', () => derived.erase(scope, o)),
      members: (scope, o) => run('derived_members', () => derived.members(scope, o)),
    };
  }

  async #call<T>(
    operation: string,
    timeoutMs: number,
    gate: Gate,
    call: () => Promise<T>,
    lane?: string,
  ): Promise<T> {
    if (gate === 'closed' && this.state !== 'CLOSED') {
      throw new TierError('Redis is bypassed: its breaker is open', 'unreachable', {
        outcome: 'none',
      });
    }
    if (gate === 'closed' && lane !== undefined && this.#lanes?.passes(lane) === false) {
      throw new TierError('a node of Redis is bypassed: its breaker is open', 'unreachable', {
        outcome: 'none',
      });
    }
    const { clock } = this.#options;
    const start = clock.monotonic();
    try {
      const asked = traced(`cache.l2.${operation}`, {}, call);
      const answer = await within(asked, timeoutMs, () => late(operation, timeoutMs), clock);
      this.#consecutive = 0;
      if (lane !== undefined) this.#lanes?.succeeded(lane);
      this.#options.onCall(operation, clock.monotonic() - start, 'ok');
      return answer;
    } catch (error) {
      const timedOut = error instanceof TierError && error.reason === 'timeout';
      this.#options.onCall(operation, clock.monotonic() - start, timedOut ? 'timeout' : 'error');
      if (gate === 'closed') this.#failed(error, lane);
      throw error;
    }
  }

  /** A server that says "full" is alive: the write goes around it, the breaker stays closed. */
  #failed(error: unknown, lane: string | undefined): void {
    if (this.#isOpening || (error instanceof TierError && error.reason === 'full')) return;
    if (this.#lanes !== undefined) {
      // What concerns several servers says nothing about one.
      if (lane !== undefined) this.#lanes.failed(lane, error);
      return;
    }
    this.#consecutive += 1;
    if (this.#consecutive < this.#options.failures) return;
    const message = error instanceof Error ? error.message : String(error);
    this.open(`${this.#consecutive} consecutive failures, the last: ${message}`);
  }
}

function itself(address: Address): Address {
  return address;
}

function addressIn(of: OnKey): Address {
  return 'write' in of ? of.write.address : of.address;
}

function late(operation: string, ms: number): TierError {
  return new TierError(`Redis did not answer a ${operation} within ${ms} ms`, 'timeout', {
    outcome: 'unknown',
  });
}
