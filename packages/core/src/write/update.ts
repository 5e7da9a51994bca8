/**
 * `update`: an exact read-modify-write against L3.
 *
 *   base      the newest that can be seen. Something pending is flushed first, so that L3 has it.
 *   decide    the caller's function, given the base.
 *   swap      compare-and-set in L3, with a bypass mark. applied: L2 gets its settled copy, then
 *             the write is acknowledged. mismatch: L3's word is the new base, decide again.
 *             no answer: the same call again, same stamp; own stamp found there: applied.
 *             Anything else after an unanswered swap: rejected as `unknown`, and the function is
 *             never run again, because its first result may stand.
 *
 * Updates of one key take turns inside a process, so that they compete only with other
 * processes; those retries back off. A turn whose deadline has passed writes nothing any more,
 * and whoever is next does not wait for it.
 */

import { within } from '../deadline.ts';
import {
  ConflictError,
  OverloadedError,
  TierError,
  TimeoutError,
  UnavailableError,
} from '../errors.ts';
import type { Payload, ValueWrite } from '../model/entry.ts';
import type { Address, AddressId, Scope } from '../model/key.ts';
import { versionOf } from '../model/known.ts';
import type { Stamp } from '../model/version.ts';
import type { Ladder, Receipt } from './ladder.ts';
import { settleThrough } from './values.ts';

/** What the function made of the base. */
export type Decision<R> =
  | { readonly write: false; readonly result: R }
  | {
      readonly write: true;
      readonly payload: Payload;
      readonly expiresAt: number;
      readonly tags: readonly string[];
      readonly result: R;
    };

export interface UpdateRequest<R> {
  readonly address: Address;
  readonly scope: Scope | undefined;
  /** Given what L3 has, tombstones and expired values included. May run several times. */
  readonly decide: (base: ValueWrite | undefined) => Decision<R> | Promise<Decision<R>>;
  /** When to give up competing, by the monotonic clock. */
  readonly until: number;
}

export interface Updated<R> {
  readonly receipt: Receipt;
  readonly result: R;
}

const MAX_SAME_CALLS = 4;
const MAX_BACKOFF_MS = 50;
/** Updates of one key that may wait for their turn. */
const MAX_WAITING = 1000;

export class Updates {
  readonly #ladder: Ladder;
  readonly #flush: (id: AddressId) => Promise<unknown>;
  readonly #turns = new Map<AddressId, { last: Promise<unknown>; waiting: number }>();

  constructor(ladder: Ladder, flush: (id: AddressId) => Promise<unknown>) {
    this.#ladder = ladder;
    this.#flush = flush;
  }

  async update<R>(request: UpdateRequest<R>): Promise<Updated<R>> {
    const { clock } = this.#ladder.parts;
    const { id, namespace } = request.address;
    const line = this.#turns.get(id) ?? { last: Promise.resolve(), waiting: 0 };
    if (line.waiting >= MAX_WAITING) {
      const message = `more than ${MAX_WAITING} updates of one key of ${namespace} wait`;
      throw new OverloadedError(message, { outcome: 'none' });
    }
    this.#turns.set(id, line);
    line.waiting += 1;
    const turn = line.last.then(() => this.#turn(request));
    const left = Math.max(0, request.until - clock.monotonic());
    line.last = within(turn, left, () => tooLate(namespace), clock).catch(() => {});
    try {
      return await turn;
    } finally {
      line.waiting -= 1;
      if (line.waiting === 0) this.#turns.delete(id);
    }
  }

  async #turn<R>(request: UpdateRequest<R>): Promise<Updated<R>> {
    const { copies } = this.#ladder.parts;
    const { id } = request.address;
    this.#checkTime(request);
    const ticket = copies.enter(id);
    copies.move(id);
    try {
      let base = await this.#base(request.address);
      for (let round = 0; ; round += 1) {
        const decision = await request.decide(base);
        this.#checkTime(request);
        if (!decision.write) {
          return { receipt: { version: versionOf(base), held: ['l3'] }, result: decision.result };
        }
        const { payload, expiresAt, tags, result } = decision;
        const { address, scope } = request;
        const stamp = this.#propose(base, id);
        const write: ValueWrite = {
          kind: 'value',
          address,
          payload,
          expiresAt,
          scope,
          tags,
          ...stamp,
        };
        const swapped = await this.#swap(write, base, request.until);
        if (swapped.applied) {
          const settled = await settleThrough(this.#ladder, write);
          // L2 was told, which is not to say that it holds this: it may have something newer.
          copies.wrote(ticket, write, undefined);
          const held = settled ? (['l2', 'l3'] as const) : (['l3'] as const);
          return { receipt: { version: write.version, held }, result };
        }
        base = swapped.current;
        await this.#backOff(request, round);
      }
    } finally {
      copies.leave(ticket);
    }
  }

  #checkTime(request: { readonly until: number; readonly address: Address }): void {
    if (this.#ladder.parts.clock.monotonic() < request.until) return;
    throw tooLate(request.address.namespace);
  }

  #propose(base: ValueWrite | undefined, id: AddressId): Stamp {
    const { versions, outbox } = this.#ladder.parts;
    if (base !== undefined) versions.observe(base.version);
    return versions.proposeStamp(Math.max(base?.version ?? 0, versionOf(outbox.floor(id))));
  }

  /** A settled copy of L2 is good enough: the swap compares. Everything else is L3's to say. */
  async #base(address: Address): Promise<ValueWrite | undefined> {
    const { shared, durable, outbox } = this.#ladder.parts;
    const floor = outbox.floor(address.id);
    try {
      const entry = (await shared?.read([address]))?.[0]?.entry;
      if (entry?.kind === 'value' && !entry.pending && entry.write.version >= versionOf(floor)) {
        return entry.write;
      }
      if (entry?.pending === true || outbox.toFlush(address.id) !== undefined) {
        await this.#flush(address.id);
      }
    } catch (error) {
      if (!(error instanceof TierError)) throw error;
      if (outbox.toFlush(address.id) !== undefined) await this.#flush(address.id);
    }
    const unsent = outbox.toFlush(address.id);
    if (unsent !== undefined) {
      throw new UnavailableError(`Supabase does not take the last write to ${address.namespace}`, {
        outcome: 'none',
      });
    }
    return this.#known(() => durable.read([address]).then(([row]) => row), address, 'none');
  }

  async #swap(
    write: ValueWrite,
    base: ValueWrite | undefined,
    until: number,
  ): Promise<
    | { readonly applied: true }
    | { readonly applied: false; readonly current: ValueWrite | undefined }
  > {
    const { durable } = this.#ladder.parts;
    const { namespace } = write.address;
    for (let call = 0; ; call += 1) {
      try {
        const reply = await durable.compareAndSet(write, base);
        if (reply.status === 'applied') return { applied: true };
        if (reply.status === 'refused') {
          throw new TierError(`Supabase refuses this row of ${namespace}`, 'data', {
            cause: new Error(reply.reason),
            outcome: 'none',
          });
        }
        if (call > 0) {
          throw new UnavailableError(
            `an update of ${namespace} was not answered, and something newer is there now`,
            { outcome: 'unknown' },
          );
        }
        if (reply.status === 'mismatch') return { applied: false, current: reply.current };
        // Expired or erased: proposed by a clock that is behind what was there.
        this.#ladder.parts.versions.observe(await durable.maxVersion());
        return { applied: false, current: base };
      } catch (error) {
        const away = error instanceof TierError && error.reason !== 'data';
        if (!away) throw error;
        const isTime = this.#ladder.parts.clock.monotonic() < until;
        if (isTime && call + 1 < MAX_SAME_CALLS && error.outcome !== 'none') continue;
        throw new UnavailableError(`Supabase does not answer an update of ${namespace}`, {
          cause: error,
          outcome: error.outcome === 'none' && call === 0 ? 'none' : 'unknown',
        });
      }
    }
  }

  async #known<T>(ask: () => Promise<T>, address: Address, outcome: 'none'): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof TierError)) throw error;
      throw new UnavailableError(`no tier can say what ${address.namespace} holds under this key`, {
        cause: error,
        outcome,
      });
    }
  }

  async #backOff<R>(request: UpdateRequest<R>, round: number): Promise<void> {
    const { clock } = this.#ladder.parts;
    if (clock.monotonic() >= request.until) {
      throw new ConflictError(
        `an update of ${request.address.namespace} lost against others ${round + 1} times`,
        { outcome: 'none' },
      );
    }
    const ceiling = Math.min(MAX_BACKOFF_MS, 2 ** round);
    const ms = (clock.random53() / 2 ** 53) * ceiling;
    await new Promise<void>((resolve) => void clock.after(ms, resolve));
  }
}

function tooLate(namespace: string): TimeoutError {
  const message = `the deadline of an update of ${namespace} passed before its turn`;
  return new TimeoutError(message, { outcome: 'none' });
}
