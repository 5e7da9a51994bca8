/**
 * The journal of one cache: opened under its lock, with what it held put back into the outbox
 * before anything is served.
 */
import type { Clock } from '../../clock.ts';
import type { Cipher } from '../../codec/encryption.ts';
import { CacheError, ConfigError } from '../../errors.ts';
import type { EventHub } from '../../events.ts';
import type { ResolvedJournal } from '../../journal-options.ts';
import type { JournalCounts } from '../../metrics/counts.ts';
import type { Stamp } from '../../model/version.ts';
import type { Outbox } from '../outbox.ts';
import { Directory } from './disk.ts';
import { Journal, type JournalTales } from './journal.ts';
import { lockDirectory } from './lock.ts';
import { JournalRung } from './rung.ts';
import { Tickets } from './tickets.ts';

/** Newer than every write: what the others may have done meanwhile. */
const UNHEARD_OF: Stamp = Object.freeze({ version: Number.MAX_SAFE_INTEGER, intent: 0 });

export interface JournalParts {
  readonly options: ResolvedJournal;
  readonly cipher: Cipher | undefined;
  readonly clock: Clock;
  readonly events: EventHub;
  readonly counts: JournalCounts;
  readonly observe: (version: number) => void;
  /** It is at a bound: told at every write that this concerns. */
  readonly onFull: (reason: 'bound' | 'disk') => void;
}

export class OpenJournal {
  readonly rung: JournalRung;
  readonly tickets: Tickets;
  readonly #parts: JournalParts;
  readonly #journal: Journal;
  readonly #unlock: () => void;
  readonly #ms: number;
  #damaged = 0;
  #replayed = 0;

  /** Synchronous. Throws `ConfigError` where the directory can't be used. */
  constructor(parts: JournalParts) {
    const { options, clock, counts, events, onFull } = parts;
    const { dir, mode, maxBytes, segmentBytes } = options;
    this.#parts = parts;
    this.#unlock = lockDirectory(dir);
    const start = clock.monotonic();
    const settings = { maxBytes, segmentBytes, cipher: parts.cipher };
    const tales: JournalTales = {
      onAppend: (outcome) => {
        counts.appends[outcome] += 1;
      },
      onCorrupt: () => {
        this.#damaged += 1;
        counts.corrupt += 1;
      },
      onTrouble: () => events.emit({ type: 'background-error', task: 'journal', code: 'UNKNOWN' }),
    };
    try {
      this.#journal = new Journal(new Directory(dir), settings, tales);
    } catch (cause) {
      this.#unlock();
      if (cause instanceof CacheError) throw cause;
      const message = 'option "journal.dir" names a journal that can not be opened';
      throw new ConfigError(message, { cause });
    }
    this.#ms = clock.monotonic() - start;
    this.tickets = new Tickets(this.#journal);
    this.rung = new JournalRung({ mode, journal: this.#journal, tickets: this.tickets, onFull });
  }

  get options(): ResolvedJournal {
    return this.#parts.options;
  }

  /** Writes that were in it when it was opened. */
  get replayed(): number {
    return this.#replayed;
  }

  /** Half of its bound is reached: time to bring to L3 what is in it. */
  get isFilling(): boolean {
    return this.#journal.bytes * 2 >= this.#parts.options.maxBytes;
  }

  get state(): {
    readonly bytes: number;
    readonly records: number;
    readonly isWritable: boolean;
  } {
    const { bytes, size, isWritable } = this.#journal;
    return { bytes, records: size, isWritable };
  }

  /**
   * Puts what it held into the outbox: a floor for every read from now on, and flushed next. It is
   * no answer alone: who knows what others have written since.
   */
  restore(outbox: Outbox): void {
    const opened = this.#journal.takeOpened();
    this.#replayed = opened.length;
    this.#parts.counts.replayed += opened.length;
    const now = this.#parts.clock.now();
    for (const { write, ticket, unproven } of opened) {
      this.tickets.keep(write, ticket);
      if (write.kind === 'value') {
        this.#parts.observe(write.version);
        outbox.holdValue(write, 'unsynced', now, unproven);
        outbox.overtake(write.address.id, UNHEARD_OF);
        outbox.setAside(write.address.id);
        continue;
      }
      const { address, scope, items, erasedTo } = write;
      for (const { version } of items) this.#parts.observe(version);
      this.#parts.observe(erasedTo);
      if (erasedTo > 0) outbox.holdErasure(address, scope, erasedTo, 'unsynced', now);
      if (items.length > 0) outbox.holdItems(address, scope, items, 'unsynced', now);
      outbox.setAside(address.id);
    }
  }

  /**
   * What was released is gone from the disk too, not only when its file is: after an erasure.
   * False where that could not be done now. Never rejects.
   */
  expunge(): Promise<boolean> {
    return this.#journal.expunge();
  }

  /** Tells what was found, once somebody can listen. */
  announce(): void {
    const { events } = this.#parts;
    if (this.#damaged > 0) events.emit({ type: 'journal-corrupt', segments: this.#damaged });
    if (this.replayed === 0) return;
    events.emit({ type: 'journal-replayed', writes: this.replayed, ms: this.#ms });
  }

  /** What L3 lacks stays in it. */
  async close(): Promise<void> {
    await this.#journal.close();
    this.#unlock();
  }
}
