/**
 * The other instances of the fleet, where what Redis says is not enough.
 *
 * The pending index in L2 names what L3 lacks, whoever wrote it: of this incarnation of Redis. What
 * an earlier one acknowledged may be in the outbox of its writer alone, until that has noticed and
 * drained.
 *
 *   trusted   what L3 lacks is in the index, or in the outbox here.
 *   doubted   Redis is another one, or was emptied: who was heard shortly before is awaited. Or an
 *             instance says that its journal alone holds something (*aside*): that one is.
 *
 * trusted → doubted: an epoch changes, or somebody says "aside", and again with each further one ·
 * doubted → trusted: everybody who lives, and everybody who is awaited, has drained since, and L3
 * answered for all of it.
 *
 * An instance that is awaited in vain for {@link AWAITED_MS} is given up: it died, and what it had
 * not drained is lost where Redis was too, unless its journal has it. A process that has just begun
 * trusts the Redis that it finds, because it can't know who was heard before.
 */
import type { Clock } from '../clock.ts';
import {
  type Bus,
  DRAIN,
  type DrainAnswer,
  type PeerState,
  type Question,
} from '../coherence/bus.ts';
import { TierError } from '../errors.ts';
import { DEAD_AFTER_MS, type SharedFleet } from '../tiers/fleet.ts';

const AWAITED_MS = 30_000;
/** Who was not heard for so long is gone, whatever became of it. */
const FORGOTTEN_MS = 60_000;

export interface OthersParts {
  readonly clock: Clock;
  readonly instance: string;
  /** Absent where there is no L2: then there are no others. */
  readonly fleet: Pick<SharedFleet, 'instances'> | undefined;
  readonly bus: Pick<Bus, 'ask'>;
}

export interface OthersAnswered {
  readonly answers: readonly DrainAnswer[];
  /** The question was put, and everybody has answered. */
  readonly hasAll: boolean;
}

export class Others {
  readonly #parts: OthersParts;
  /** When each was last heard, this one included, by the monotonic clock. */
  readonly #heard = new Map<string, number>();
  /** Until when, by the same clock. */
  readonly #awaited = new Map<string, number>();
  #asking: Promise<unknown> | undefined;
  #epochs = 0;
  #trusted = 0;

  constructor(parts: OthersParts) {
    this.#parts = parts;
  }

  /** The index names what L3 lacks, and is not here. */
  get isTrusted(): boolean {
    return this.#trusted === this.#epochs;
  }

  /** Somebody said something. */
  heard(instance: string, state: PeerState): void {
    if (state === 'leaving') {
      this.#heard.delete(instance);
      this.#awaited.delete(instance);
      return;
    }
    const now = this.#parts.clock.monotonic();
    this.#heard.set(instance, now);
    if (instance !== this.#parts.instance) {
      if (state !== 'aside') return;
      // Also where it is awaited: what it is asked for now may not have this.
      this.#distrust();
      this.#awaited.set(instance, now + AWAITED_MS);
      return;
    }
    for (const [id, at] of this.#heard) if (now - at > FORGOTTEN_MS) this.#heard.delete(id);
  }

  /**
   * Redis is another one, or was emptied. While it was away nobody could be heard: who was silent
   * is judged by the last moment at which this instance heard itself.
   */
  doubt(): void {
    this.#distrust();
    const { clock, instance } = this.#parts;
    const until = clock.monotonic() + AWAITED_MS;
    const last = this.#heard.get(instance) ?? Number.NEGATIVE_INFINITY;
    for (const [id, at] of this.#heard) {
      if (id !== instance && last - at < DEAD_AFTER_MS) this.#awaited.set(id, until);
    }
  }

  #distrust(): void {
    this.#epochs += 1;
  }

  /** Asks each of them, for `ms` at most. Rejects where L2 does not say who they are. */
  async ask(question: Question, ms: number): Promise<OthersAnswered> {
    const epochs = this.#epochs;
    const { answers, hasAll } = await this.#parts.bus.ask(question, () => this.#living(), ms);
    if (epochs === this.#epochs) {
      for (const [id, { failed }] of answers) if (failed === 0) this.#awaited.delete(id);
      const isDrained = [...answers.values()].every(({ failed }) => failed === 0);
      if (hasAll && isDrained && this.#stillAwaited().length === 0) this.#trusted = epochs;
    }
    return { answers: [...answers.values()], hasAll };
  }

  /**
   * Whether the index has what the others acknowledged before this call. Where Redis changed, they
   * are asked, for `ms` at most; many who want to know put one question.
   */
  async isIndexWhole(ms: number): Promise<boolean> {
    if (this.isTrusted) return true;
    this.#asking ??= this.ask(DRAIN, ms).finally(() => {
      this.#asking = undefined;
    });
    try {
      await this.#asking;
    } catch (error) {
      if (!(error instanceof TierError)) throw error;
    }
    return this.isTrusted;
  }

  async #living(): Promise<readonly string[]> {
    const { fleet, instance } = this.#parts;
    const known = (await fleet?.instances()) ?? [];
    const heard = known.flatMap(({ id, ageMs }) => (ageMs < DEAD_AFTER_MS ? [id] : []));
    const all = new Set([...heard, ...this.#stillAwaited()]);
    all.delete(instance);
    return [...all];
  }

  #stillAwaited(): readonly string[] {
    const now = this.#parts.clock.monotonic();
    for (const [id, until] of this.#awaited) if (now >= until) this.#awaited.delete(id);
    return [...this.#awaited.keys()];
  }
}
