/**
 * The journal: acknowledged writes of this process on its own disk, until L3 has them. The third
 * rung of the ladder, or, in mode `always`, what stands under every acknowledgement.
 *
 * A file of it, a *segment*:
 *   active   the newest, appended to (appender.ts).
 *   sealed   never written to again. Deleted when the last of its records was released; where
 *            few of them hold up much, or after an erasure, what is needed of it moves on first.
 *   gone     deleted.
 *
 * A record's life is its {@link Ticket}: appended → kept, until somebody calls `release` (L3 has
 * the write, or something newer) or takes it back with `revoke` (it was rejected, and must not
 * come back).
 *
 * Invariants:
 *  - what was released may be read again after a crash: it is the same write, with the same
 *    stamp. What was taken back is not, because that is written down too, and is needed as long
 *    as what it takes back is on disk;
 *  - it never takes more than `maxBytes` on disk, but for what takes records back, and while the
 *    records of one file move into another.
 */
import type { Cipher } from '../../codec/encryption.ts';
import type { LogWrite, ValueWrite } from '../../model/entry.ts';
import { Appender, JournalError } from './appender.ts';
import type { Disk } from './disk.ts';
import { encodeRecord, SEGMENT_MAGIC } from './record.ts';
import { replay } from './replay.ts';
import { type Kept, newSegment, readSegment, type Segment, wasteOf } from './segment.ts';

export { JournalError } from './appender.ts';

/** A record that is kept. */
export interface Ticket {
  readonly number: number;
}

/** A write that was in the journal when it was opened. */
export interface OpenedWrite {
  readonly ticket: Ticket;
  readonly write: ValueWrite | LogWrite;
  /** Made by a `create`: L3 may hold an older one. */
  readonly unproven: boolean;
}

export interface JournalSettings {
  /** What encrypts payloads; they are in the clear without one. */
  readonly cipher?: Cipher | undefined;
  readonly maxBytes: number;
  readonly segmentBytes: number;
}

/** What a journal tells while it works. */
export interface JournalTales {
  /** One per record that was to be appended. */
  readonly onAppend: (outcome: 'synced' | 'full' | 'failed') => void;
  readonly onCorrupt: (damage: string) => void;
  /** A file could not be deleted, read or closed. Its records are read again at the next start. */
  readonly onTrouble: (cause: unknown) => void;
}

/** Where the journal is half full, a file of which so small a part is needed moves on. */
const WORTH_MOVING = 4;
/** An active segment of which nothing is needed is given up from this part of its size on. */
const WORTH_GIVING_UP = 8;

export class Journal {
  readonly #disk: Disk;
  readonly #settings: JournalSettings;
  readonly #tales: JournalTales;
  readonly #appender: Appender;
  #opened: readonly OpenedWrite[];
  readonly #segments = new Set<Segment>();
  readonly #kept = new Map<number, Kept>();
  /** Records that are being taken back: they stay where they are. */
  readonly #revoking = new Set<number>();
  /** To be deleted, in this order. */
  readonly #doomed: Segment[] = [];
  readonly #under = new Set<Promise<void>>();
  #removing: Promise<void> | undefined;
  #bytes = 0;
  #nextNumber: number;
  #isRefusing = false;
  #isFailing = false;
  #isClosed = false;

  /**
   * Reads the segments that are there, synchronously. Throws `ConfigError` where they are sound,
   * and can't be read all the same.
   */
  constructor(disk: Disk, settings: JournalSettings, tales: JournalTales) {
    this.#disk = disk;
    this.#settings = settings;
    this.#tales = tales;
    const found = replay(disk, tales.onCorrupt, settings.cipher);
    this.#nextNumber = found.nextNumber;
    this.#appender = new Appender({
      disk,
      segmentBytes: settings.segmentBytes,
      nextSegment: found.nextSegment,
      onBegun: (name) => this.#begin(name),
      onGrown: (bytes) => {
        this.#bytes += bytes;
      },
      onSealed: (segment) => this.#tidy(segment),
      onIdle: () => this.#idle(),
      onTrouble: tales.onTrouble,
    });
    this.#opened = this.#take(found.segments);
  }

  /** Gives out, once, the writes that were there at the start, in the order of their appending. */
  takeOpened(): readonly OpenedWrite[] {
    const opened = this.#opened;
    this.#opened = [];
    return opened;
  }

  /** On disk, with what is being appended. */
  get bytes(): number {
    return this.#bytes + this.#appender.waitingBytes;
  }

  /** Records that are needed. */
  get size(): number {
    return this.#kept.size;
  }

  /** It would take another record, as far as it knows. */
  get isWritable(): boolean {
    return !this.#isRefusing && !this.#isFailing;
  }

  /** Resolves when the write is safe on disk. Rejects with {@link JournalError}. */
  async append(write: ValueWrite | LogWrite, unproven: boolean): Promise<Ticket> {
    const number = this.#number();
    const bytes = encodeRecord({ kind: 'write', number, write, unproven }, this.#settings.cipher);
    if (this.bytes + bytes.length + SEGMENT_MAGIC.length > this.#settings.maxBytes) {
      this.#isRefusing = true;
      this.#tales.onAppend('full');
      throw new JournalError('bound', 'none');
    }
    this.#isRefusing = false;
    await this.#send(number, bytes);
    return { number };
  }

  /** The write of this record is in L3, or something newer is. */
  release(ticket: Ticket): void {
    const kept = this.#kept.get(ticket.number);
    if (kept === undefined) return;
    this.#kept.delete(ticket.number);
    kept.segment.kept.delete(ticket.number);
    this.#tidy(kept.segment);
  }

  /**
   * These writes were rejected as if they had never been made: after a crash they are not read.
   * Rejects where that could not be written down; then they may be.
   */
  async revoke(tickets: readonly Ticket[]): Promise<void> {
    const isKept = ({ number }: Ticket) => this.#kept.get(number) ?? [];
    while (tickets.flatMap(isKept).some(({ segment }) => segment.moving !== undefined)) {
      await Promise.all(tickets.flatMap(isKept).map(({ segment }) => segment.moving));
    }
    const kept = tickets.flatMap(isKept);
    if (kept.length === 0) return;
    const number = this.#number();
    const numbers = kept.map((one) => one.number);
    for (const one of numbers) this.#revoking.add(one);
    try {
      await this.#send(number, encodeRecord({ kind: 'void', number, numbers }));
      this.#need(
        number,
        kept.map(({ segment }) => segment),
      );
    } finally {
      for (const one of numbers) this.#revoking.delete(one);
      for (const one of kept) this.release(one);
    }
  }

  /**
   * What was released is not on disk any more either. False where it may be: a file could not be
   * read, written or deleted. Never rejects.
   */
  async expunge(): Promise<boolean> {
    const wasted = [...this.#segments].filter((segment) => wasteOf(segment) > 0);
    const moved = await Promise.all(wasted.map((segment) => this.#moveOn(segment)));
    await this.#removing;
    return moved.every((done) => done) && this.#doomed.length === 0;
  }

  /** What was appended is safe already. Files of which nothing is needed go. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#appender.close();
    await Promise.all(this.#under);
    await this.#removing;
  }

  // ------------------------------------------------------------ records

  #take(found: ReturnType<typeof replay>['segments']): readonly OpenedWrite[] {
    const opened = found.map((there) => ({ there, segment: this.#begin(there.name) }));
    const writes = new Map<number, OpenedWrite>();
    for (const { there, segment } of opened) {
      segment.bytes = there.bytes;
      this.#bytes += there.bytes;
      for (const { number, bytes, write, unproven } of there.writes) {
        this.#keep(segment, number, bytes);
        writes.set(number, { ticket: { number }, write, unproven });
      }
    }
    for (const { there, segment } of opened) {
      for (const { number, numbers } of there.revocations) {
        this.#keep(segment, number, 0);
        const homes = opened.filter((one) => numbers.some((of) => one.there.revoked.has(of)));
        this.#need(
          number,
          homes.map((home) => home.segment),
        );
      }
    }
    for (const { segment } of opened) this.#tidy(segment);
    return [...writes.values()].sort((a, b) => a.ticket.number - b.ticket.number);
  }

  #number(): number {
    const number = this.#nextNumber;
    this.#nextNumber += 1;
    return number;
  }

  #send(number: number, bytes: Buffer, isMoving = false): Promise<void> {
    if (this.#isClosed) return Promise.reject(new JournalError('closed', 'none'));
    return new Promise((resolve, reject) => {
      this.#appender.send({
        bytes,
        done: (segment) => {
          this.#isFailing = false;
          if (!isMoving) this.#tales.onAppend('synced');
          // What was released while it moved is not needed where it is now either.
          if (!isMoving || this.#kept.has(number)) this.#keep(segment, number, bytes.length);
          resolve();
        },
        failed: (error) => {
          this.#isFailing = true;
          if (!isMoving) this.#tales.onAppend(error.reason === 'disk-full' ? 'full' : 'failed');
          reject(error);
        },
      });
    });
  }

  #keep(segment: Segment, number: number, bytes: number): void {
    const kept = { number, bytes, segment };
    // In two segments: it moved, or the machine went down while it was being saved from damage.
    this.#kept.get(number)?.segment.kept.delete(number);
    this.#kept.set(number, kept);
    segment.kept.set(number, kept);
  }

  /** A record that takes others back is needed as long as the segments that those are in. */
  #need(number: number, segments: readonly Segment[]): void {
    const own = this.#kept.get(number)?.segment;
    const needed = new Set(segments.filter((segment) => segment !== own));
    const revocation = { number, needed };
    for (const segment of needed) segment.revokedBy.add(revocation);
    if (needed.size === 0) this.release(revocation);
  }

  // ------------------------------------------------------------ segments

  #begin(name: string): Segment {
    const segment = newSegment(name);
    this.#segments.add(segment);
    return segment;
  }

  #idle(): void {
    const { active } = this.#appender;
    if (active !== undefined) this.#tidy(active);
    this.#relieve();
    this.#removeDoomed();
  }

  /** Deletes it, where nothing of it is needed. */
  #tidy(segment: Segment): void {
    if (segment.kept.size > 0 || !this.#segments.has(segment)) return;
    if (segment !== this.#appender.active) {
      this.#remove(segment);
      return;
    }
    // Somebody is about to append to it; asked again when that is done.
    if (this.#appender.isWorking) return;
    const { segmentBytes, maxBytes } = this.#settings;
    const isWorth = segment.bytes * WORTH_GIVING_UP >= segmentBytes || this.#bytes * 2 >= maxBytes;
    if (isWorth) this.#later(this.#appender.rotate());
  }

  /** An old record that nobody releases must not hold up a file full of released ones. */
  #relieve(): void {
    if (this.#bytes * 2 < this.#settings.maxBytes || this.#isClosed) return;
    for (const segment of this.#segments) {
      const needed = segment.bytes - wasteOf(segment);
      if (segment === this.#appender.active || needed * WORTH_MOVING > segment.bytes) continue;
      this.#later(this.#moveOn(segment));
      return;
    }
  }

  /** Appends again what is needed of it, and deletes it. False where that failed. */
  async #moveOn(segment: Segment): Promise<boolean> {
    segment.moving ??= this.#move(segment).finally(() => {
      segment.moving = undefined;
    });
    return segment.moving;
  }

  async #move(segment: Segment): Promise<boolean> {
    try {
      if (segment === this.#appender.active) await this.#appender.rotate();
      if (segment.kept.size > 0) {
        const { records } = readSegment(await this.#disk.read(segment.name), this.#settings.cipher);
        const needed = records.filter(
          ({ record: { number } }) => segment.kept.has(number) && !this.#revoking.has(number),
        );
        await Promise.all(
          needed.map(({ record, bytes }) => this.#send(record.number, bytes, true)),
        );
      }
      this.#tidy(segment);
      return !this.#segments.has(segment);
    } catch (error) {
      this.#tales.onTrouble(error);
      return false;
    }
  }

  #remove(segment: Segment): void {
    this.#segments.delete(segment);
    this.#doomed.push(segment);
    this.#removeDoomed();
  }

  #removeDoomed(): void {
    if (this.#doomed.length > 0) this.#removing ??= this.#removeInOrder();
  }

  /**
   * What takes records back must not be gone before they are: a name is removed when those before
   * it are gone for good. One that can't be removed holds up the others, and is tried again.
   */
  async #removeInOrder(): Promise<void> {
    try {
      for (let next = this.#doomed[0]; next !== undefined; next = this.#doomed[0]) {
        await this.#disk.syncNames();
        await this.#disk.remove(next.name);
        this.#doomed.shift();
        this.#bytes -= next.bytes;
        this.#isRefusing = false;
        for (const revocation of next.revokedBy) {
          revocation.needed.delete(next);
          if (revocation.needed.size === 0) this.release(revocation);
        }
      }
    } catch (error) {
      this.#tales.onTrouble(error);
    }
    // In the same turn as the last look at what is to be deleted.
    this.#removing = undefined;
  }

  /** Of which somebody has to see the end. */
  #later(work: Promise<unknown>): void {
    const done = work.then(() => {}, this.#tales.onTrouble).finally(() => this.#under.delete(done));
    this.#under.add(done);
  }
}
