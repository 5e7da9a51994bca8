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
import { traced } from '../tracing.ts';
import type { SharedDerived } from './derived.ts';
import type { SharedFleet } from './fleet.ts';
import type { SharedTier } from './tier.ts';

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
}

/** What flushing and repair may wait for one call: nobody is on the line. */
const BACKGROUND_TIMEOUT_MS = 1000;

type Gate = 'closed' | 'always';

export class GuardedTier {
  readonly #tier: ProbedTier;
  readonly #options: GuardOptions;
  readonly #breaker: CircuitBreaker<[], void>;
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
    const patience = Math.max(options.timeoutMs, BACKGROUND_TIMEOUT_MS);
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
    await this.#trial;
  }

  #reason = '';

  /** Whether the server is still the one that it was: an idle instance would not notice. */
  check(): Promise<void> {
    const patience = Math.max(this.#options.timeoutMs, BACKGROUND_TIMEOUT_MS);
    return this.#call('check', patience, 'closed', () => this.#tier.check());
  }

  #onOpen(): void {
    this.#opened += 1;
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
    const patience = Math.max(this.#options.timeoutMs, BACKGROUND_TIMEOUT_MS);
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
    return {
      connect: () => tier.connect(),
      read: (addresses, o) => run('read', () => tier.read(addresses, o)),
      put: (puts, o) => run('put', () => tier.put(puts, o)),
      append: (appends, o) => run('append', () => tier.append(appends, o)),
      backfill: (fills, o) => run('backfill', () => tier.backfill(fills, o)),
      putSettled: (writes, o) => run('put_settled', () => tier.putSettled(writes, o)),
      settle: (settles, o) => run('settle', () => tier.settle(settles, o)),
      drop: (drops, o) => run('drop', () => tier.drop(drops, o)),
      repair: (repairs, o) => run('repair', () => tier.repair(repairs, o)),
      forget: (addresses, o) => run('forget', () => tier.forget(addresses, o)),
      purge: (purges, o) => run('purge', () => tier.purge(purges, o)),
      pending: (before, limit, o) => run('pending', () => tier.pending(before, limit, o)),
      close: () => tier.close(),
    };
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
    const { derived } = this.#tier;
    return {
      take: (takes, o) => run('derived_take', () => derived.take(takes, o)),
      fill: (fills, o) => run('derived_fill', () => derived.fill(fills, o)),
      place: (places, o) => run('derived_place', () => derived.place(places, o)),
      remove: (removals, o) => run('derived_remove', () => derived.remove(removals, o)),
      extend: (leases, o) => run('derived_extend', () => derived.extend(leases, o)),
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
  ): Promise<T> {
    if (gate === 'closed' && this.state !== 'CLOSED') {
      throw new TierError('Redis is bypassed: its breaker is open', 'unreachable', {
        outcome: 'none',
      });
    }
    const { clock } = this.#options;
    const start = clock.monotonic();
    try {
      const asked = traced(`cache.l2.${operation}`, {}, call);
      const answer = await within(asked, timeoutMs, () => late(operation, timeoutMs), clock);
      this.#consecutive = 0;
      this.#options.onCall(operation, clock.monotonic() - start, 'ok');
      return answer;
    } catch (error) {
      const timedOut = error instanceof TierError && error.reason === 'timeout';
      this.#options.onCall(operation, clock.monotonic() - start, timedOut ? 'timeout' : 'error');
      if (gate === 'closed') this.#failed(error);
      throw error;
    }
  }

  /** A server that says "full" is alive: the write goes around it, the breaker stays closed. */
  #failed(error: unknown): void {
    if (this.#isOpening || (error instanceof TierError && error.reason === 'full')) return;
    this.#consecutive += 1;
    if (this.#consecutive < this.#options.failures) return;
    const message = error instanceof Error ? error.message : String(error);
    this.open(`${this.#consecutive} consecutive failures, the last: ${message}`);
  }
}

function late(operation: string, ms: number): TierError {
  return new TierError(`Redis did not answer a ${operation} within ${ms} ms`, 'timeout', {
    outcome: 'unknown',
  });
}
