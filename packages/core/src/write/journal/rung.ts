/**
 * The journal as the ladder sees it.
 *
 *   fallback  the rung below L3: asked where neither L2 nor L3 could hold a write.
 *   always    under all of them: a write is in the journal before L2 is asked, and again under
 *             its final version before it is acknowledged.
 *
 * What is acknowledged by L3 alone (`durability: 'through'`, `ifVersion`, `update`) is not in it
 * in either mode: it is not acknowledged before L3 has it, so that there is nothing to lose, and
 * a swap that was never answered must not come back as an overwrite.
 */
import { CacheError, OverloadedError, UnavailableError, type WriteOutcome } from '../../errors.ts';
import type { LogWrite, ValueWrite } from '../../model/entry.ts';
import { type Journal, JournalError, type Ticket } from './journal.ts';
import type { Tickets } from './tickets.ts';

export type JournalMode = 'fallback' | 'always';

export interface JournalRungParts {
  readonly mode: JournalMode;
  readonly journal: Journal;
  readonly tickets: Tickets;
  /** It was at its bound, or the disk at its own. */
  readonly onFull: (reason: 'bound' | 'disk') => void;
}

export class JournalRung {
  readonly #parts: JournalRungParts;

  constructor(parts: JournalRungParts) {
    this.#parts = parts;
  }

  get mode(): JournalMode {
    return this.#parts.mode;
  }

  /** For one write that begins to climb. */
  begin(unproven: boolean): Pledge {
    return new Pledge(this.#parts, unproven);
  }
}

/** The records of one write while it climbs. */
export class Pledge {
  readonly #parts: JournalRungParts;
  readonly #unproven: boolean;
  readonly #tickets: Ticket[] = [];
  #kept: ValueWrite | LogWrite | undefined;

  constructor(parts: JournalRungParts, unproven: boolean) {
    this.#parts = parts;
    this.#unproven = unproven;
  }

  /** Whether the journal holds some version of the write. */
  get isKept(): boolean {
    return this.#kept !== undefined;
  }

  /**
   * Resolves when the journal holds the write as it is now. `sofar` is what is known of its
   * earlier attempts, should it be rejected.
   */
  async keep(write: ValueWrite | LogWrite, sofar: WriteOutcome): Promise<void> {
    if (this.#kept !== undefined && isSame(this.#kept, write)) return;
    try {
      this.#tickets.push(await this.#parts.journal.append(write, this.#unproven));
      this.#kept = write;
    } catch (error) {
      if (!(error instanceof JournalError)) throw error;
      throw this.#rejected(write, error, sofar);
    }
  }

  /** L3 has the write: none of its records is needed. */
  inL3(): void {
    for (const ticket of this.#tickets) this.#parts.journal.release(ticket);
  }

  /** It is acknowledged, and L3 lacks it: the last record stands for it, the ones before it go. */
  acknowledged(): void {
    const last = this.#tickets.pop();
    this.inL3();
    if (last !== undefined && this.#kept !== undefined) this.#parts.tickets.keep(this.#kept, last);
  }

  /**
   * The write is rejected. One that is said to have had no effect must not come back after a
   * crash; one that may have an effect may. Returns the error to reject with.
   */
  async abandon(error: unknown): Promise<unknown> {
    if (this.#tickets.length === 0) return error;
    const isNone = !(error instanceof CacheError) || error.outcome !== 'unknown';
    if (!isNone) {
      this.inL3();
      return error;
    }
    try {
      await this.#parts.journal.revoke(this.#tickets);
      return error;
    } catch (cause) {
      if (!(cause instanceof JournalError)) throw cause;
      const message = 'a write was rejected, and could not be taken back from the journal';
      return new UnavailableError(message, { cause: error, outcome: 'unknown' });
    }
  }

  #rejected(write: ValueWrite | LogWrite, cause: JournalError, sofar: WriteOutcome): CacheError {
    const outcome = cause.outcome === 'unknown' ? 'unknown' : sofar;
    const { namespace } = write.address;
    if (cause.reason === 'bound' || cause.reason === 'disk-full') {
      const reason = cause.reason === 'bound' ? 'bound' : 'disk';
      this.#parts.onFull(reason);
      const what = reason === 'bound' ? 'the journal is full' : 'the disk of the journal is full';
      return new OverloadedError(`${what}: it can not hold a write to ${namespace}`, {
        cause,
        outcome,
      });
    }
    return new UnavailableError(`the journal could not hold a write to ${namespace}`, {
      cause,
      outcome,
    });
  }
}

/** The same write under the same versions. */
function isSame(kept: ValueWrite | LogWrite, write: ValueWrite | LogWrite): boolean {
  if (kept === write) return true;
  if (kept.kind === 'value') return write.kind === 'value' && kept.version === write.version;
  return (
    write.kind === 'log' &&
    kept.erasedTo === write.erasedTo &&
    kept.items.every((item, index) => item.version === write.items[index]?.version)
  );
}
