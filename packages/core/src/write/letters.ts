/**
 * Dead letters, for an operator: looked at, sent again, dropped.
 *
 * What happens to the write that a letter stands for, which is pending in L2 and parked in the
 * outbox of whoever wrote it:
 *
 *   retry   L3 is told to take the stored write again. Whatever it says now (applied, superseded,
 *           erased, refused again), the key is flushed here, so that L2 hears it and settles, drops or
 *           purges. A letter without its payload is sent from where the write is pending.
 *   drop    L3 forgets the letter and keeps the write's name: from then on it is answered like
 *           something erased. The key is flushed here, so that L2 purges it.
 *   both    leave a mark, for the case that this process can't reach L2; and what L2 publishes makes the
 *           process that has the write parked send it once more, and be told the same.
 */
import { TierError, UnavailableError, type WriteOutcome } from '../errors.ts';
import type { Address, AddressId } from '../model/key.ts';
import type { DropReply, DurableLetters, KeptLetter, RetryReply } from '../tiers/letters.ts';
import { type FlushReport, NOTHING_FLUSHED } from './flusher.ts';
import type { Outbox } from './outbox.ts';

export interface LettersParts {
  readonly durable: DurableLetters;
  readonly outbox: Outbox;
  /** What the outbox and L2 hold of these keys goes to L3 now. */
  readonly flush: (ids: readonly AddressId[]) => Promise<FlushReport>;
  readonly removeCopy: (id: AddressId) => void;
  /** There may be fewer of them now, or more. */
  readonly onChanged: () => void;
}

export class Letters {
  readonly #parts: LettersParts;

  constructor(parts: LettersParts) {
    this.#parts = parts;
  }

  list(o: Parameters<DurableLetters['list']>[0]): Promise<readonly KeptLetter[]> {
    return this.#parts.durable.list(o).catch(unreachable('list dead letters'));
  }

  get(id: number): Promise<KeptLetter | undefined> {
    return this.#parts.durable.get(id).catch(unreachable('show a dead letter'));
  }

  async retry(id: number): Promise<Exclude<RetryReply, 'unsent'>> {
    const { durable } = this.#parts;
    const { status, address } = await durable
      .retry(id)
      .catch(unreachable('retry a dead letter', 'unknown'));
    const { flushed, refused } = await this.#tell(address);
    if (status !== 'unsent') return status;
    if ((await this.get(id)) === undefined) return 'applied';
    if (flushed + refused > 0) return 'refused';
    throw new UnavailableError('what this letter stands for could not be sent', {
      outcome: 'none',
    });
  }

  async drop(id: number): Promise<DropReply> {
    const { durable } = this.#parts;
    const { status, address } = await durable
      .drop(id)
      .catch(unreachable('drop a dead letter', 'unknown'));
    await this.#tell(address);
    return status;
  }

  async #tell(address: Address | undefined): Promise<FlushReport> {
    if (address === undefined) return NOTHING_FLUSHED;
    const { outbox, flush, removeCopy, onChanged } = this.#parts;
    outbox.unpark([address.id]);
    const report = await flush([address.id]);
    removeCopy(address.id);
    onChanged();
    return report;
  }
}

function unreachable(what: string, outcome?: WriteOutcome): (cause: unknown) => never {
  return (cause) => {
    if (!(cause instanceof TierError)) throw cause;
    const options = { cause, ...(outcome && { outcome }) };
    throw new UnavailableError(`Supabase can not be reached to ${what}`, options);
  };
}
