/**
 * A breaker for each server of a tier that has several (the nodes of a Redis Cluster), so that five
 * healthy ones do not hide the sixth, and the sixth does not take the five along.
 *
 *   CLOSED   calls to the lane pass. Consecutive failures are counted; a success sets the count to
 *            zero. At `failures`: OPEN.
 *   OPEN     no call passes. Entering drops the lane's connection, and `onAway` is told (what this
 *            process acknowledged may be there alone). After `resetMs`: TRIED.
 *   TRIED    still no call of a user passes: `trial` probes, then `recover`. It succeeds: CLOSED,
 *            and `onBack`. It fails: OPEN.
 *   gone     a lane that has no shard any more is forgotten, whatever its state.
 *
 * Where no lane is left that passes calls, `onNone` is told: then it is the tier that is away.
 */
import type { Clock } from '../clock.ts';
import { within } from '../deadline.ts';
import { TierError } from '../errors.ts';
import type { TierLanes } from './tier.ts';

export interface LanesOptions {
  readonly lanes: TierLanes;
  readonly clock: Clock;
  readonly failures: number;
  readonly resetMs: number;
  readonly trial: number;
  /** What one probe may take. */
  readonly patienceMs: number;
  /** The last step of a trial. */
  readonly recover: () => Promise<void>;
  readonly onAway: (lane: string, reason: string) => void;
  readonly onBack: (lane: string, reason: string) => void;
  readonly onNone: (reason: string) => void;
}

interface Lane {
  failures: number;
  state: 'CLOSED' | 'OPEN' | 'TRIED';
  cancel: (() => void) | undefined;
}

export class Lanes {
  readonly #options: LanesOptions;
  readonly #lanes = new Map<string, Lane>();
  readonly #trials = new Set<Promise<void>>();
  #closed = false;

  constructor(options: LanesOptions) {
    this.#options = options;
  }

  /** Lanes that no call of a user passes. */
  get away(): readonly string[] {
    return [...this.#lanes].flatMap(([name, { state }]) => (state === 'CLOSED' ? [] : [name]));
  }

  passes(name: string): boolean {
    return (this.#lanes.get(name)?.state ?? 'CLOSED') === 'CLOSED';
  }

  /** No call passes, and none will before a trial that has not begun yet. */
  isOpen(name: string): boolean {
    return this.#lanes.get(name)?.state === 'OPEN';
  }

  succeeded(name: string): void {
    const lane = this.#lanes.get(name);
    if (lane?.state === 'CLOSED') this.#lanes.delete(name);
  }

  failed(name: string, error: unknown): void {
    // One that says "full", or "elsewhere", is alive.
    const isAlive =
      error instanceof TierError && (error.reason === 'full' || error.reason === 'moved');
    if (isAlive || this.#closed) return;
    const lane = this.#lanes.get(name) ?? { failures: 0, state: 'CLOSED', cancel: undefined };
    this.#lanes.set(name, lane);
    lane.failures += 1;
    if (lane.state !== 'CLOSED' || lane.failures < this.#options.failures) return;
    const message = error instanceof Error ? error.message : String(error);
    this.#open(name, lane, `${lane.failures} consecutive failures, the last: ${message}`);
  }

  /** It did not answer what a trial asked of it: no call passes before one of its own. */
  giveUp(name: string, reason: string): void {
    const lane = this.#lanes.get(name) ?? { failures: 0, state: 'CLOSED', cancel: undefined };
    this.#lanes.set(name, lane);
    if (lane.state === 'CLOSED' && !this.#closed) this.#open(name, lane, reason);
    // A trial of its own that is under way has failed.
    else lane.state = 'OPEN';
  }

  /** All are as if they had never failed: the tier as a whole is away, and has its own trial. */
  clear(): void {
    for (const lane of this.#lanes.values()) lane.cancel?.();
    this.#lanes.clear();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.clear();
    await Promise.all(this.#trials);
  }

  #open(name: string, lane: Lane, reason: string): void {
    const { lanes, onAway, onNone } = this.#options;
    lane.state = 'OPEN';
    lanes.drop(name);
    onAway(name, reason);
    this.#tryLater(name, lane);
    if (lanes.all().every((one) => !this.passes(one))) onNone(reason);
  }

  /** Nobody gave it up meanwhile. */
  #isTried({ state }: Lane): boolean {
    return state === 'TRIED';
  }

  #tryLater(name: string, lane: Lane): void {
    const { clock, resetMs } = this.#options;
    lane.cancel = clock.after(resetMs, () => {
      const trial = this.#try(name, lane).finally(() => this.#trials.delete(trial));
      this.#trials.add(trial);
    });
  }

  async #try(name: string, lane: Lane): Promise<void> {
    const { lanes, clock, trial, patienceMs, recover, onBack } = this.#options;
    if (!lanes.all().includes(name)) {
      this.#lanes.delete(name);
      return onBack(name, 'it has no shard any more');
    }
    lane.state = 'TRIED';
    const late = () => new TierError(`no answer within ${patienceMs} ms`, 'timeout');
    try {
      for (let probe = 0; probe < trial; probe += 1) {
        await within(lanes.probe(name), patienceMs, late, clock);
      }
      await recover();
      if (!this.#isTried(lane)) throw late();
    } catch {
      if (this.#lanes.get(name) !== lane) return;
      lane.state = 'OPEN';
      return this.#tryLater(name, lane);
    }
    if (this.#lanes.get(name) !== lane) return;
    this.#lanes.delete(name);
    onBack(name, 'the trial succeeded');
  }
}

/**
 * Asks each lane for its part; the answers in the order of the whole. `failed` says what the answer
 * is for a part that a lane did not answer; where it says nothing, that failure is the whole's, told
 * when all are done.
 */
export async function byLane<T, R>(
  all: readonly T[],
  laneOf: (one: T) => string,
  ask: (lane: string, some: readonly T[]) => Promise<readonly R[]>,
  failed: (lane: string, error: unknown) => R | undefined,
): Promise<readonly R[]> {
  const parts = [...Map.groupBy(all, laneOf)];
  const asked = await Promise.allSettled(parts.map(([lane, some]) => ask(lane, some)));
  const answers = new Map<T, R>();
  for (const [i, [lane, some]] of parts.entries()) {
    const part = asked[i];
    if (part?.status === 'rejected') {
      const answer = part.reason instanceof TierError ? failed(lane, part.reason) : undefined;
      if (answer === undefined) throw part.reason;
      for (const one of some) answers.set(one, answer);
      continue;
    }
    for (const [nth, one] of some.entries()) {
      const answer = part?.value[nth];
      if (answer !== undefined) answers.set(one, answer);
    }
  }
  return all.flatMap((one) => answers.get(one) ?? []);
}
