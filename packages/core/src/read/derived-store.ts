/**
 * What a load brought, on its way up into L1, L2 and, where it persists, L3.
 *
 *   L2 took it          L1 has a copy, unless the key moved or a tag was heard meanwhile
 *   L2 found it old     nobody has it
 *   L2 did not answer   nobody has it but, where it persists, L3, which judges for itself
 *   there is no L2      L1 has a copy, unless the key moved meanwhile
 *
 * "There is nothing", where that is not remembered, sends away what was there in the same way. No
 * tier's failure reaches whoever waits for the value.
 */
import type { Clock } from '../clock.ts';
import type { Copies, Copy } from '../coherence/copies.ts';
import type { HeardTags } from '../coherence/tags.ts';
import { TierError } from '../errors.ts';
import type { Address } from '../model/key.ts';
import type { Stamp } from '../model/version.ts';
import type {
  DerivedHeld,
  DurableDerived,
  Fill,
  FillReply,
  Lifetime,
  SharedDerived,
} from '../tiers/derived.ts';
import type { Attempt, DerivedTales, DurableSaid, Found } from './derived-tiers.ts';
import type { Answer } from './flight.ts';
import type { Lease } from './lease.ts';
import { copyOfDerived, type DerivedSpace, type Stock } from './stocked.ts';
import { Turn } from './turn.ts';

export interface DerivedStoreParts {
  readonly clock: Clock;
  readonly proposeStamp: () => Stamp;
  readonly copies: Copies;
  readonly tags: HeardTags;
  /** L2, for what nobody waits for. */
  readonly shared: SharedDerived | undefined;
  readonly durable: DurableDerived | undefined;
  readonly tales: DerivedTales;
}

/** By which right L2 is given something. */
export interface Right {
  /** `undefined`: L2 was away when it was asked for, or there is none. */
  readonly lease: Lease | undefined;
  readonly sequence: number;
}

type Put = Lifetime & { readonly entry: DerivedHeld['entry']; readonly sequence: number };

const MAX_BATCH = 500;

export class DerivedStore {
  readonly #parts: DerivedStoreParts;
  readonly #fills: Turn<Fill, FillReply> | undefined;
  readonly #puts: Turn<Put, 'held' | 'voided'> | undefined;

  constructor(parts: DerivedStoreParts) {
    this.#parts = parts;
    const { shared, durable } = parts;
    this.#fills = shared && new Turn({ ask: (fills) => shared.fill(fills), maxBatch: MAX_BATCH });
    this.#puts = durable && new Turn({ ask: (puts) => durable.put(puts), maxBatch: MAX_BATCH });
  }

  /** L1 takes a copy of what L2 has. */
  keep(space: DerivedSpace, attempt: Attempt, { held, answer }: Found): void {
    const copy = this.#copy(space, held, answer);
    if (copy !== undefined) this.#parts.copies.offer(attempt.ticket, copy);
  }

  /** L3 has it fresh: L2 and L1 take copies that live for as long as it does there. */
  async copyUp(space: DerivedSpace, attempt: Attempt, right: Right, found: Found): Promise<void> {
    await this.#fill(space, attempt, right, found.held, found.answer);
  }

  /** A load's result. `isForced`: where it can't be stored, what was there goes from L1 at least. */
  async store(
    space: DerivedSpace,
    attempt: Attempt,
    right: Right,
    durable: DurableSaid | undefined,
    { entry, lifetime, answer }: Stock,
    isForced: boolean,
  ): Promise<void> {
    if (lifetime === undefined) return right.lease?.letGo();
    const held = { ...lifetime, entry: { ...entry, ...this.#parts.proposeStamp() } };
    const became = await this.#fill(space, attempt, right, held, answer);
    if (isForced && became !== 'held') this.#parts.copies.remove(attempt.address.id);
    if (became === 'old' || durable === undefined) return;
    if (held.lifeMs > 0) await this.#persist(space, { ...held, sequence: durable.sequence });
    else await this.#unpersist(space, attempt.address);
  }

  /** `old`: it may not be stored anywhere. `lost`: it is not in L2, for what reason ever. */
  async #fill(
    space: DerivedSpace,
    { ticket, watch, address }: Attempt,
    { lease, sequence }: Right,
    held: DerivedHeld,
    answer: Answer,
  ): Promise<'held' | 'old' | 'lost'> {
    const { copies, tales } = this.#parts;
    const keepCopy = () => {
      // The message of the fill itself may have come first: an older one may not come back.
      if (!watch.isMoved) copies.wrote(ticket, held.entry, this.#copy(space, held, answer));
    };
    if (this.#fills === undefined) {
      keepCopy();
      return watch.isMoved ? 'old' : 'held';
    }
    const otherwise = () => (watch.isMoved ? 'old' : 'lost');
    if (lease === undefined) {
      tales.discarded(space, 'alone');
      return otherwise();
    }
    lease.end();
    try {
      const reply = await this.#fills.ask({ ...held, token: lease.token, sequence });
      if (reply === 'held') keepCopy();
      else tales.discarded(space, reply);
      if (reply === 'full') copies.remove(address.id);
      return reply === 'held' ? 'held' : reply === 'voided' ? 'old' : otherwise();
    } catch (error) {
      if (!(error instanceof TierError)) throw error;
      tales.discarded(space, 'error');
      // A server that says no, full say, would keep everybody waiting for a lease that nobody uses.
      if (error.reason === 'full' || error.reason === 'refused') await lease.letGo();
      return otherwise();
    }
  }

  /** What was erased or invalidated meanwhile is not to lie in L1 until it is evicted. */
  #copy(space: DerivedSpace, held: DerivedHeld, answer: Answer): Copy | undefined {
    const { clock, tags } = this.#parts;
    if (held.lifeMs <= 0 || !tags.isValid(answer.tagIds, answer.seen)) return undefined;
    return copyOfDerived(space.policy, held, answer.value, answer, clock);
  }

  async #persist(space: DerivedSpace, put: Put): Promise<void> {
    await this.#attempt(space, async () => {
      const reply = await this.#puts?.ask(put);
      if (reply === 'voided') this.#parts.tales.discarded(space, 'voided');
    });
  }

  async #unpersist(space: DerivedSpace, address: Address): Promise<void> {
    await this.#attempt(space, async () => {
      await this.#parts.durable?.remove([address]);
    });
  }

  async #attempt(space: DerivedSpace, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      if (!(error instanceof TierError)) throw error;
      this.#parts.tales.discarded(space, 'error');
    }
  }
}
