/**
 * `update`: an exact read-modify-write against L3.
 *
 *   base      the newest that can be seen (base.ts).
 *   decide    the caller's function, given the base.
 *   swap      compare-and-set in L3, with a bypass mark. applied: L2 gets its settled copy, then
 *             the write is acknowledged. mismatch: L3's word is the new base, decide again.
 *             no answer: the same call again, same stamp; own stamp found there: applied.
 *             Anything else after an unanswered swap: rejected as `unknown`, and the function is
 *             never run again, because its first result may stand.
 *
 * Updates of one key take turns inside a process, so that they compete only with other
 * processes; those retries back off. Who comes while a turn is under way shares the next one: each
 * function is given what the one before it made, and one swap stands for all of them, or for none.
 * So a crowd costs L3 a few swaps, and a process with much to do does not starve behind another.
 * Whose deadline has passed writes nothing any more, and nobody else waits for his function.
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
import { type Stamp, versionAt } from '../model/version.ts';
import { type Base, baseOf, isStill, rowOf, sureOf } from './base.ts';
import { overloadOf } from './gathered.ts';
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
  /** Given the newest that there is, tombstones and expired values included. May run several times. */
  readonly decide: (base: ValueWrite | undefined) => Decision<R> | Promise<Decision<R>>;
  /** When to give up competing, by the monotonic clock. */
  readonly until: number;
  /** When what is written happened, by the wall clock. Absent: now. */
  readonly at?: number | undefined;
}

export interface Updated<R> {
  readonly receipt: Receipt;
  readonly result: R;
}

const MAX_SAME_CALLS = 4;
const MAX_BACKOFF_MS = 50;
/** What is as old as what L3 was pruned of is not taken; what was set so long ago is in L3. */
const LONGEST_AGO_MS = 7 * 86_400_000;
/** Updates of one key that may wait for their turn. */
const MAX_WAITING = 1000;
/** Updates of one key that may share a turn. */
const MAX_TOGETHER = 100;

/** One update in the line of its key. Its first answer counts. */
interface Waiting {
  readonly request: UpdateRequest<unknown>;
  readonly isAnswered: boolean;
  /** Runs the function. Its last result is what {@link accept} answers with. */
  decide(base: ValueWrite | undefined): Promise<Decision<unknown>>;
  accept(receipt: Receipt): void;
  reject(error: unknown): void;
}

/** Whose turn it is. */
interface Turn {
  readonly address: Address;
  readonly together: readonly Waiting[];
  /** Aborted when the time of the last of them is over. */
  readonly gone: AbortSignal;
}

/** What the updates of one turn come to, in their order. */
interface Plan {
  /** Stands for all of them. `undefined`: nobody changes anything. */
  readonly write: ValueWrite | undefined;
  readonly decided: readonly { readonly one: Waiting; readonly version: number }[];
  /** What they refused is not there before the write is. */
  readonly refused: readonly { readonly one: Waiting; readonly error: unknown }[];
}

export class Updates {
  readonly #ladder: Ladder;
  readonly #lines = new Map<AddressId, Waiting[]>();

  constructor(ladder: Ladder) {
    this.#ladder = ladder;
  }

  async update<R>(request: UpdateRequest<R>): Promise<Updated<R>> {
    const { id, namespace } = request.address;
    const line = this.#lines.get(id);
    if (line !== undefined && line.length >= MAX_WAITING) {
      const message = `more than ${MAX_WAITING} updates of one key of ${namespace} wait`;
      throw new OverloadedError(message, { outcome: 'none' });
    }
    return await new Promise((resolve, reject) => {
      const one = waitingFor(request, resolve, reject);
      if (line !== undefined) line.push(one);
      else void this.#ladder.underway.follow(this.#serve(request.address, [one]));
    });
  }

  async #serve({ id, namespace }: Address, line: Waiting[]): Promise<void> {
    const { clock } = this.#ladder.parts;
    this.#lines.set(id, line);
    while (line.length > 0) {
      const together = line.splice(0, MAX_TOGETHER);
      const left = Math.max(0, lastOf(together) - clock.monotonic());
      const gone = new AbortController();
      const turn = this.#turn(together, gone.signal);
      await within(turn, left, () => tooLate(namespace), clock).catch(() => gone.abort());
    }
    this.#lines.delete(id);
  }

  /** Answers everybody; never rejects. */
  async #turn(together: readonly Waiting[], gone: AbortSignal): Promise<void> {
    const { copies } = this.#ladder.parts;
    const [first] = this.#inTime(together);
    if (first === undefined) return;
    const { address } = first.request;
    const ticket = copies.enter(address.id);
    copies.move(address.id);
    try {
      const base = await baseOf(this.#ladder.parts, address);
      await this.#compete({ address, together, gone }, base, (write) =>
        copies.wrote(ticket, write, undefined),
      );
    } catch (error) {
      for (const one of together) one.reject(error);
    } finally {
      copies.leave(ticket);
    }
  }

  async #compete(
    { address, together, gone }: Turn,
    first: Base,
    // L2 was told, which is not to say that it holds this: it may have something newer.
    onWritten: (write: ValueWrite) => void,
  ): Promise<void> {
    const { parts } = this.#ladder;
    let base = first;
    let above = 0;
    for (let round = 0; ; round += 1) {
      const plan = await this.#plan(together, base, above);
      if (plan === 'unsure') {
        base = await rowOf(parts, address);
        continue;
      }
      if (plan.write === undefined) return answer(plan, base.held);
      if (!(await isStill(parts, address, base))) {
        base = await baseOf(parts, address);
        continue;
      }
      // The look may have taken a while.
      if (!this.#isInTime(plan)) continue;
      const swapped = await this.#swap(plan.write, base.row, gone);
      if (swapped.applied) {
        const settled = await settleThrough(this.#ladder, plan.write);
        onWritten(plan.write);
        return answer(plan, settled ? ['l2', 'l3'] : ['l3']);
      }
      above = swapped.above ?? above;
      // What L3 lacks may be gone together with the row that it was seen beside.
      const isRow = base.seen === base.row;
      base = isRow ? sureOf(swapped.current) : await baseOf(parts, address);
      await this.#backOff(together, round);
    }
  }

  /**
   * Asks each in turn what it makes of what the one before it made. `unsure`: somebody refuses
   * what is there, or nobody changes it, and only L3 could say that it is what is there.
   */
  async #plan(
    together: readonly Waiting[],
    { seen, row, isSure }: Base,
    above: number,
  ): Promise<Plan | 'unsure'> {
    for (;;) {
      const decided: { one: Waiting; version: number }[] = [];
      const refused: { one: Waiting; error: unknown }[] = [];
      let current = seen;
      for (const one of this.#inTime(together)) {
        try {
          const decision = await this.#decision(one, current);
          // What is made of what L3 lacks is right above it: below the fence of an erasure since.
          const request = { ...one.request, at: seen === row ? one.request.at : 0 };
          if (decision.write) current = this.#made(request, decision, current, above);
          decided.push({ one, version: versionOf(current) });
        } catch (error) {
          if (!isSure) return 'unsure';
          if (current === seen) one.reject(error);
          else refused.push({ one, error });
        }
      }
      const plan = { write: current === seen ? undefined : current, decided, refused };
      const isInTime = this.#isInTime(plan);
      if (!isSure && current === seen) return 'unsure';
      if (isInTime) return plan;
    }
  }

  #isInTime({ decided }: Plan): boolean {
    return this.#inTime(decided.map(({ one }) => one)).length === decided.length;
  }

  #decision(one: Waiting, base: ValueWrite | undefined): Promise<Decision<unknown>> {
    const { clock } = this.#ladder.parts;
    const { until, address } = one.request;
    const left = Math.max(0, until - clock.monotonic());
    return within(one.decide(base), left, () => tooLate(address.namespace), clock);
  }

  #made(
    { address, scope, at }: UpdateRequest<unknown>,
    { payload, expiresAt, tags }: Decision<unknown> & { readonly write: true },
    base: ValueWrite | undefined,
    above: number,
  ): ValueWrite {
    const stamp = this.#propose(base, address.id, above, at);
    return { kind: 'value', address, payload, expiresAt, scope, tags, ...stamp };
  }

  /** Who has not been answered. Whose time is over is told so. */
  #inTime(
    together: readonly Waiting[],
    late: (namespace: string) => Error = tooLate,
  ): readonly Waiting[] {
    const now = this.#ladder.parts.clock.monotonic();
    for (const one of together) {
      if (now >= one.request.until) one.reject(late(one.request.address.namespace));
    }
    return together.filter((one) => !one.isAnswered);
  }

  /**
   * What happened a while ago is above what it was made from, and no newer than its time: a `set`
   * of since then stands, which may be on its way to L3, or be this process's own.
   */
  #propose(base: ValueWrite | undefined, id: AddressId, above: number, at?: number): Stamp {
    const { versions, outbox, clock } = this.#ladder.parts;
    if (base !== undefined) versions.observe(base.version);
    const least = Math.max(base?.version ?? 0, above);
    const stamp = versions.proposeStamp(Math.max(least, versionOf(outbox.floor(id))));
    if (at === undefined) return stamp;
    const then = versionAt(Math.max(at, clock.now() - LONGEST_AGO_MS));
    return { ...stamp, version: Math.min(stamp.version, Math.max(least + 1, then)) };
  }

  async #swap(
    write: ValueWrite,
    base: ValueWrite | undefined,
    gone: AbortSignal,
  ): Promise<
    | { readonly applied: true }
    | {
        readonly applied: false;
        readonly current: ValueWrite | undefined;
        readonly above?: number;
      }
  > {
    const { durable } = this.#ladder.parts;
    const { namespace } = write.address;
    for (let call = 0; ; call += 1) {
      try {
        const reply = await durable.compareAndSet(write, base, gone);
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
        // Expired or erased: it happened before that, or its clock is behind.
        const above = await durable.maxVersion();
        this.#ladder.parts.versions.observe(above);
        return { applied: false, current: base, above };
      } catch (error) {
        const away = error instanceof TierError && error.reason !== 'data';
        if (!away) throw error;
        const isAgain = call + 1 < MAX_SAME_CALLS && error.outcome !== 'none';
        if (isAgain && !gone.aborted) continue;
        const outcome = error.outcome === 'none' && call === 0 ? 'none' : 'unknown';
        if (gone.aborted && outcome === 'none') throw tooLate(namespace);
        const message = `Supabase does not answer an update of ${namespace}`;
        throw (
          overloadOf(error, outcome) ?? new UnavailableError(message, { cause: error, outcome })
        );
      }
    }
  }

  async #backOff(together: readonly Waiting[], round: number): Promise<void> {
    const { clock } = this.#ladder.parts;
    const lost = (namespace: string) =>
      new ConflictError(`an update of ${namespace} lost against others ${round + 1} times`, {
        outcome: 'none',
      });
    if (this.#inTime(together, lost).length === 0) return;
    const ceiling = Math.min(MAX_BACKOFF_MS, 2 ** round);
    const ms = (clock.random53() / 2 ** 53) * ceiling;
    await new Promise<void>((resolve) => void clock.after(ms, resolve));
  }
}

function waitingFor<R>(
  request: UpdateRequest<R>,
  resolve: (updated: Updated<R>) => void,
  reject: (error: unknown) => void,
): Waiting {
  let decision: Decision<R> | undefined;
  let isAnswered = false;
  return {
    request,
    get isAnswered() {
      return isAnswered;
    },
    async decide(base) {
      decision = await request.decide(base);
      return decision;
    },
    accept(receipt) {
      isAnswered = true;
      if (decision !== undefined) resolve({ receipt, result: decision.result });
    },
    reject(error) {
      isAnswered = true;
      reject(error);
    },
  };
}

function answer({ decided, refused }: Plan, held: Receipt['held']): void {
  for (const { one, version } of decided) one.accept({ version, held });
  for (const { one, error } of refused) one.reject(error);
}

/** When the last of them gives up. */
function lastOf(together: readonly Waiting[]): number {
  return Math.max(...together.map(({ request }) => request.until));
}

function tooLate(namespace: string): TimeoutError {
  const message = `the deadline of an update of ${namespace} passed before its turn`;
  return new TimeoutError(message, { outcome: 'none' });
}
