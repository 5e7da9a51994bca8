/**
 * The read path of derived values: L1 → L2, which gives the lease where it has nothing fresh → L3
 * where they persist there → the loader; and what was found or loaded is stored on the way back.
 *
 * One flight per key and process (flight.ts). What it does, beginning at `asking`:
 *
 *   asking   → found      L2 has it fresh
 *   asking   → loading    the lease is ours; or L2 is away, or there is none: then without a lease
 *   asking   → waiting    another process has the lease
 *   waiting  → asking     it stored its result, gave up, or its lease has ended
 *   loading  → found      L3 has it fresh
 *   loading  → storing    the loader answered: whoever waits has the answer now
 *   loading  → failed     it did not; the lease is given back
 *   storing  → ended      L2 took it and L1 has a copy, or L2 refused it as old and nobody has
 *
 * What was begun before a `set`, `delete` or invalidation is never given to who asked after it:
 *  - in this process and over the bus, a flight whose key moved is not joined any more, and what
 *    is stale in it is not served any more;
 *  - a flight's tags are known only when its load has ended: then whoever joined after one of them
 *    was invalidated asks again;
 *  - in L2 and L3 the lease and the sequence keep its result out (tiers/derived.ts).
 *
 * Without L2's word nothing is put into L1: nobody would hear that it is old.
 */
import type { Clock } from '../clock.ts';
import type { Copy } from '../coherence/copies.ts';
import type { HeardTags } from '../coherence/tags.ts';
import type { CallBounds } from '../deadline.ts';
import { OverloadedError } from '../errors.ts';
import type { Address, AddressId } from '../model/key.ts';
import type { DerivedHeld, TakeMode } from '../tiers/derived.ts';
import type { DerivedStore } from './derived-store.ts';
import type { Attempt, DerivedTales, DerivedTiers, Found, SharedSaid } from './derived-tiers.ts';
import { type Answer, Flight, type Waited } from './flight.ts';
import type { Loaded } from './load.ts';
import { answerOfCopy, type DerivedSpace, isEarly, stockOf } from './stocked.ts';

export interface ObtainParts {
  readonly clock: Clock;
  readonly tiers: DerivedTiers;
  readonly store: DerivedStore;
  readonly tags: HeardTags;
  /** Others could tell this process that something is old. */
  readonly hasOthers: boolean;
  /** Nobody could, or they would have. */
  readonly isInformed: () => boolean;
  /** How long ago a load may have begun that others join, while nobody could tell it is old. */
  readonly unheardMs: () => number;
  readonly tales: DerivedTales;
}

/** A key, and how to load it. */
export interface Request {
  readonly space: DerivedSpace;
  readonly address: Address;
  readonly key: unknown;
  /** `stale` is what there was. */
  readonly load: (signal: AbortSignal, stale: Answer | undefined) => Promise<Loaded>;
}

/** Keys that one process loads, or waits for, at once. */
const MAX_FLIGHTS = 10_000;

export class Obtain {
  readonly #parts: ObtainParts;
  readonly #flights = new Map<AddressId, Flight>();
  readonly #early = new Map<AddressId, Flight>();
  readonly #running = new Map<Flight, Promise<void>>();

  constructor(parts: ObtainParts) {
    this.#parts = parts;
  }

  /** Keys that are being loaded, waited for or stored. */
  get inFlight(): number {
    return this.#running.size;
  }

  /** `copy` is what L1 has that is stale. */
  async find(request: Request, bounds: CallBounds, copy: Copy | undefined): Promise<Waited> {
    const { clock, tags, tales } = this.#parts;
    const { space, address } = request;
    const until = clock.monotonic() + bounds.deadlineMs;
    for (let stale = copy; ; stale = undefined) {
      const asked = tags.sequence;
      const flight = this.#join(address.id) ?? this.#start(request, 'miss', stale);
      const waited = await flight.wait({
        signal: bounds.signal,
        deadlineMs: Math.max(0, until - clock.monotonic()),
        givenMs: bounds.deadlineMs,
        softMs: space.policy.softMs,
        isStaleWelcome: true,
        what: `a read of ${space.name}`,
      });
      const { tagIds, seen } = waited.answer;
      if (tags.isValidFor(tagIds, seen, asked)) {
        if (waited.stale !== undefined) tales.stale(space, waited.stale);
        return waited;
      }
      this.#leave(address.id, flight);
    }
  }

  /** Loads, whatever there is. Others who ask meanwhile are given what there is, or wait along. */
  async refresh(request: Request, bounds: CallBounds): Promise<Answer> {
    // Without L2 there is no lease to take away from who is loading.
    if (!this.#parts.hasOthers) this.#parts.tiers.outdate(request.address.id);
    const flight = this.#start(request, 'force', undefined);
    const { answer } = await flight.wait({
      signal: bounds.signal,
      deadlineMs: bounds.deadlineMs,
      givenMs: bounds.deadlineMs,
      softMs: undefined,
      isStaleWelcome: false,
      what: `a refresh of ${request.space.name}`,
    });
    // Storing it is under way: whoever refreshes wants to find it afterwards.
    await this.#running.get(flight);
    return answer;
  }

  /**
   * Loads in the background, so that nobody has to wait when what there is has ended; unless
   * something newer than `version` is there by now.
   */
  refreshEarly(request: Request, version: number): void {
    const { id } = request.address;
    if (this.#early.has(id) || this.#running.size >= MAX_FLIGHTS) return;
    this.#start(request, 'early', undefined, version);
  }

  /** What L2, or L3, has under this key; loads nothing. */
  async look(space: DerivedSpace, address: Address): Promise<Answer | undefined> {
    const { tiers, store } = this.#parts;
    const attempt = tiers.begin(address);
    try {
      const said = await tiers.askShared(space, 'look', attempt);
      if (said.kind === 'fresh') {
        store.keep(space, attempt, said.found);
        return said.found.answer;
      }
      if (said.stale !== undefined) return said.stale.answer;
      return (await tiers.askDurable(space, attempt))?.found?.answer;
    } finally {
      tiers.end(attempt);
    }
  }

  /** Every load is aborted, and everything is let go of when this resolves. */
  async close(reason: Error): Promise<void> {
    for (const flight of this.#running.keys()) {
      flight.fail(reason);
      flight.abort(reason);
    }
    await Promise.all(this.#running.values());
  }

  // ------------------------------------------------------------ flights

  #join(id: AddressId): Flight | undefined {
    // With L2 it is the lease that keeps two loads of one process apart.
    const early = this.#parts.hasOthers ? undefined : this.#early.get(id);
    const flight = this.#flights.get(id) ?? early;
    const isOver = flight?.isOld || flight?.isOver || flight?.signal.aborted;
    return isOver || this.#isUnheard(flight) ? undefined : flight;
  }

  /** What made it old since it began may have been missed: the bus can't be heard. */
  #isUnheard(flight: Flight | undefined): boolean {
    const { clock, unheardMs, isInformed } = this.#parts;
    if (flight === undefined || isInformed()) return false;
    return clock.monotonic() - flight.beganAt > unheardMs();
  }

  #leave(id: AddressId, flight: Flight): void {
    for (const all of [this.#flights, this.#early]) if (all.get(id) === flight) all.delete(id);
  }

  #start(
    request: Request,
    mode: Exclude<TakeMode, 'look'>,
    copy: Copy | undefined,
    version = 0,
  ): Flight {
    const { clock, tags, tales, isInformed } = this.#parts;
    if (this.#running.size >= MAX_FLIGHTS) {
      tales.full(MAX_FLIGHTS);
      throw new OverloadedError(`more than ${MAX_FLIGHTS} derived values are being loaded`);
    }
    const isValid = (stale: Answer) => isInformed() && tags.isValid(stale.tagIds, stale.seen);
    const flight = new Flight(clock, mode === 'early', isValid);
    const { id } = request.address;
    (mode === 'early' ? this.#early : this.#flights).set(id, flight);
    const running = this.#run(flight, request, mode, copy, version)
      .catch((error: unknown) => flight.fail(error))
      .finally(() => {
        this.#leave(id, flight);
        this.#running.delete(flight);
      });
    this.#running.set(flight, running);
    return flight;
  }

  async #run(
    flight: Flight,
    request: Request,
    mode: TakeMode,
    copy: Copy | undefined,
    version: number,
  ): Promise<void> {
    const { tiers, store, tales, hasOthers } = this.#parts;
    const { space, address } = request;
    for (let isFirst = true; ; isFirst = false) {
      const attempt = tiers.begin(address, isFirst);
      flight.begin(attempt.watch);
      try {
        if (isFirst && copy !== undefined) flight.offerStale(answerOfCopy(copy, 'stale'));
        const said = await tiers.askShared(space, mode, attempt);
        if (said.kind === 'fresh') {
          store.keep(space, attempt, said.found);
          flight.answer(said.found.answer, said.found.held.freshMs);
          return this.#refreshDue(request, said.found.held);
        }
        if (said.stale !== undefined) flight.offerStale(said.stale.answer);
        if (said.kind === 'load') {
          // There is nowhere to put what nobody waits for.
          if (mode === 'early' && hasOthers && said.lease === undefined) return;
          if (mode === 'early' && said.stale !== undefined && isNewer(said.stale, version)) {
            store.keep(space, attempt, said.stale);
            return await said.lease?.letGo();
          }
          return await this.#load(flight, request, mode, attempt, said);
        }
        if (isFirst) tales.lease(space, 'waited');
        await this.#wait(flight, attempt, said.leaseMs);
        // Somebody else has done what this one was for.
        if (mode === 'early') return;
      } finally {
        tiers.end(attempt);
      }
    }
  }

  #refreshDue(request: Request, { entry, freshMs }: DerivedHeld): void {
    const { policy } = request.space;
    const isDue = isEarly(policy, freshMs, entry.loadMs, this.#parts.clock);
    if (isDue) this.refreshEarly(request, entry.version);
  }

  /** Until the key moves, or is stored, or the other's lease has ended; or nobody waits here. */
  async #wait(flight: Flight, { watch }: Attempt, leaseMs: number): Promise<void> {
    const { signal } = flight;
    signal.throwIfAborted();
    const ended = Promise.withResolvers<void>();
    const cancel = this.#parts.clock.after(leaseMs, ended.resolve);
    const onAbort = () => ended.reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await Promise.race([watch.next(), ended.promise]);
    } finally {
      cancel();
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #load(
    flight: Flight,
    request: Request,
    mode: TakeMode,
    attempt: Attempt,
    said: Extract<SharedSaid, { kind: 'load' }>,
  ): Promise<void> {
    const { tiers, store, clock } = this.#parts;
    const { space, address } = request;
    try {
      const durable = await tiers.askDurable(space, attempt);
      const found = durable?.found;
      if (found?.answer.freshness === 'fresh' && mode === 'miss') {
        flight.answer(found.answer, found.held.freshMs);
        return await store.copyUp(space, attempt, said, found);
      }
      if (found !== undefined && said.stale === undefined) flight.offerStale(found.answer);
      // Nobody may want it any more.
      flight.signal.throwIfAborted();
      const kept = flight.stale;
      const loaded = await request.load(flight.signal, kept);
      const stock = stockOf(space, request, loaded, { seen: attempt.seen, clock, kept });
      flight.answer(stock.answer, stock.lifetime?.freshMs ?? 0);
      await store.store(space, attempt, said, durable, stock, mode === 'force');
    } catch (error) {
      // First: whoever waits may still be content with what is stale here.
      flight.fail(error);
      this.#leave(address.id, flight);
      await said.lease?.letGo();
    } finally {
      said.lease?.end();
    }
  }
}

/** Somebody has refreshed it meanwhile. */
function isNewer({ held }: Found, version: number): boolean {
  return held.freshMs > 0 && held.entry.version > version;
}
