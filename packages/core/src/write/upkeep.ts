/**
 * What one instance does for the fleet, every second, while L2 is there:
 *  - lifts the floor under its own writes that went around L2;
 *  - sends again what L3 refused of it, where L2 said that L3 has another answer by now;
 *  - where it holds the lease, repairs everybody's bypass marks;
 *  - where it holds the lease, adopts what dead instances left pending;
 *  - after Redis was emptied, asks the others, before somebody needs to know (others.ts).
 *
 * A lease only saves double work: two holders at once do harm to nobody. One round at a time; a
 * round that fails is tried again a second later.
 */
import type { Clock } from '../clock.ts';
import type { Bus } from '../coherence/bus.ts';
import { CacheError, TierError } from '../errors.ts';
import type { EventHub } from '../events.ts';
import { DEAD_AFTER_MS, type SharedFleet } from '../tiers/fleet.ts';
import type { SharedTier } from '../tiers/tier.ts';
import { adopt } from './adopt.ts';
import type { Flusher } from './flusher.ts';
import type { Others } from './others.ts';
import type { Outbox } from './outbox.ts';
import type { Repair } from './repair.ts';

const ROUND_MS = 1000;
const LEASE_MS = 3000;
const ADOPT_EVERY_MS = 2000;

export interface UpkeepParts {
  readonly clock: Clock;
  readonly instance: string;
  readonly fleet: SharedFleet;
  readonly bus: Pick<Bus, 'leave'>;
  readonly others: Pick<Others, 'isTrusted' | 'isIndexWhole'>;
  readonly shared: SharedTier;
  readonly outbox: Outbox;
  readonly repair: Repair;
  readonly flusher: Flusher;
  readonly events: EventHub;
  readonly adoptAfterMs: number;
  /** Whether L2 is there at all. */
  readonly healthy: () => boolean;
}

export class Upkeep {
  readonly #parts: UpkeepParts;
  #cancel: (() => void) | undefined;
  #round: Promise<void> = Promise.resolve();
  #adoptedAt = Number.NEGATIVE_INFINITY;
  #closed = false;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
  }

  start(): void {
    if (this.#closed) return;
    this.#cancel = this.#parts.clock.after(ROUND_MS, () => {
      this.#round = this.#run().finally(() => this.start());
    });
  }

  /** Stays registered, as dead, where it leaves something behind: that is what gets it adopted. */
  async close(leavesNothing: () => boolean): Promise<void> {
    this.#closed = true;
    this.#cancel?.();
    await this.#round;
    const { fleet, instance, bus } = this.#parts;
    await Promise.allSettled([
      fleet.release('upkeep', instance),
      ...(leavesNothing() ? [fleet.unregister(instance), bus.leave()] : [fleet.resign(instance)]),
    ]);
  }

  async #run(): Promise<void> {
    const { repair, shared, healthy, others } = this.#parts;
    if (!healthy()) return;
    await this.#attempt('own-repair', () => repair.own(shared));
    await this.#attempt('letters', () => this.#sendAnswered());
    await this.#attempt('upkeep', async () => {
      if (!(await this.#isMine())) return;
      await repair.marks(shared);
      await this.#adopt();
    });
    if (others.isTrusted) return;
    await this.#attempt('others', async () => void (await others.isIndexWhole(ROUND_MS)));
  }

  /** Where nobody can say whose turn it is (one node of a Cluster is away), it is everybody's. */
  async #isMine(): Promise<boolean> {
    const { fleet, instance } = this.#parts;
    try {
      return await fleet.lease('upkeep', instance, LEASE_MS);
    } catch (error) {
      if (!(error instanceof TierError)) throw error;
      return true;
    }
  }

  async #sendAnswered(): Promise<void> {
    const { outbox, flusher, shared } = this.#parts;
    const ids = outbox.takeAnswered();
    if (ids.length === 0) return;
    outbox.unpark(ids);
    await flusher.flush(ids, { shared, mark: false }, true);
  }

  async #adopt(): Promise<void> {
    const { clock, fleet, shared, adoptAfterMs } = this.#parts;
    if (clock.monotonic() - this.#adoptedAt < ADOPT_EVERY_MS) return;
    this.#adoptedAt = clock.monotonic();
    const dead = (await fleet.instances()).filter(({ ageMs }) => ageMs > DEAD_AFTER_MS);
    // Their clocks may have been ahead of this one.
    const before = dead.length > 0 ? Number.MAX_SAFE_INTEGER : clock.now() - adoptAfterMs;
    const report = await adopt(this.#parts, shared, before);
    if (!report.isComplete) return;
    for (const { id } of dead) await fleet.unregister(id);
  }

  async #attempt(task: string, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      const code = error instanceof CacheError ? error.code : 'UNKNOWN';
      this.#parts.events.emit({ type: 'background-error', task, code });
    }
  }
}
