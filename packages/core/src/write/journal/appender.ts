/**
 * Brings records to the end of the newest segment, many of them with one sync: while one batch is
 * on its way, what comes shares the next one. Who comes alone does not wait.
 *
 * The newest segment is the only file that is open. It is sealed, never to be written to again,
 * when it has its size, when somebody asks, and after every failed write or sync: what the system
 * says of it from then on proves nothing.
 *
 * Invariants:
 *  - `done` is called after the bytes, and the name of their file, are synced, not before;
 *  - a batch that failed left nothing behind, or its error says that this is not known.
 */
import type { WriteOutcome } from '../../errors.ts';
import type { Disk, DiskFile } from './disk.ts';
import { SEGMENT_MAGIC } from './record.ts';
import { type Segment, segmentName } from './segment.ts';

/** Why an append was not done. */
export class JournalError extends Error {
  override readonly name = 'JournalError';
  readonly reason: 'bound' | 'disk-full' | 'failed' | 'closed';
  /** `unknown`: what was written could not be cut off again, and may be read after a crash. */
  readonly outcome: WriteOutcome;

  constructor(reason: JournalError['reason'], outcome: WriteOutcome, cause?: unknown) {
    super(`the journal did not take a record: ${reason}`, { cause });
    this.reason = reason;
    this.outcome = outcome;
  }
}

export interface AppenderParts {
  readonly disk: Disk;
  readonly segmentBytes: number;
  /** The number of the next segment. */
  readonly nextSegment: number;
  /** A file was begun, and is `active` until it is sealed. */
  readonly onBegun: (name: string) => Segment;
  readonly onGrown: (bytes: number) => void;
  readonly onSealed: (segment: Segment) => void;
  /** Nothing is under way any more. */
  readonly onIdle: () => void;
  readonly onTrouble: (cause: unknown) => void;
}

/** One record on its way. */
export interface Passenger {
  readonly bytes: Buffer;
  /** It is in this segment, and safe. Called before anything else happens to the segment. */
  done(segment: Segment): void;
  failed(error: JournalError): void;
}

/** Records that travel with one sync. */
const MAX_BATCH_BYTES = 1024 * 1024;

interface Open {
  readonly segment: Segment;
  readonly file: DiskFile;
}

export class Appender {
  readonly #parts: AppenderParts;
  readonly #waiting: Passenger[] = [];
  readonly #rotations: (() => void)[] = [];
  #active: Open | undefined;
  #working: Promise<void> | undefined;
  #nextSegment: number;
  #waitingBytes = 0;

  constructor(parts: AppenderParts) {
    this.#parts = parts;
    this.#nextSegment = parts.nextSegment;
  }

  get active(): Segment | undefined {
    return this.#active?.segment;
  }

  get isWorking(): boolean {
    return this.#working !== undefined;
  }

  /** Of what is on its way. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  send(passenger: Passenger): void {
    this.#waitingBytes += passenger.bytes.length;
    this.#waiting.push(passenger);
    this.#working ??= this.#work();
  }

  /** Resolves when what is the newest segment now is sealed. */
  async rotate(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#rotations.push(resolve);
      this.#working ??= this.#work();
    });
  }

  /** Resolves when nothing is under way, and no file is open. */
  async close(): Promise<void> {
    await this.#working;
    await this.rotate();
    await this.#working;
  }

  /** One thing at a time. Never rejects. */
  async #work(): Promise<void> {
    while (this.#waiting.length + this.#rotations.length > 0) {
      if (this.#rotations.length > 0) {
        const asked = this.#rotations.splice(0);
        await this.#seal();
        for (const resolve of asked) resolve();
      } else {
        await this.#commit(this.#nextBatch());
      }
    }
    this.#working = undefined;
    this.#parts.onIdle();
  }

  #nextBatch(): readonly Passenger[] {
    let bytes = 0;
    const over = this.#waiting.findIndex((one, index) => {
      bytes += one.bytes.length;
      return index > 0 && bytes > MAX_BATCH_BYTES;
    });
    return this.#waiting.splice(0, over === -1 ? this.#waiting.length : over);
  }

  async #commit(batch: readonly Passenger[]): Promise<void> {
    const bytes = Buffer.concat(batch.map((one) => one.bytes));
    try {
      const segment = await this.#write(bytes);
      this.#waitingBytes -= bytes.length;
      for (const one of batch) one.done(segment);
    } catch (error) {
      this.#waitingBytes -= bytes.length;
      const failure = failureOf(error, 'unknown');
      for (const one of batch) one.failed(failure);
    }
  }

  /** Resolves when the bytes are safe at the end of the segment that it returns. */
  async #write(bytes: Buffer): Promise<Segment> {
    const { segment, file } = await this.#roomFor(bytes.length);
    const at = segment.bytes;
    const isNew = at === 0;
    const all = isNew ? Buffer.concat([SEGMENT_MAGIC, bytes]) : bytes;
    try {
      await file.write(all, at);
      await file.sync();
      if (isNew) await this.#parts.disk.syncNames();
    } catch (error) {
      const outcome = await this.#cutOff(file, at);
      await this.#seal();
      throw failureOf(error, outcome);
    }
    segment.bytes += all.length;
    this.#parts.onGrown(all.length);
    return segment;
  }

  async #roomFor(bytes: number): Promise<Open> {
    const there = this.#active;
    if (there !== undefined && there.segment.bytes + bytes <= this.#parts.segmentBytes) {
      return there;
    }
    await this.#seal();
    const name = segmentName(this.#nextSegment);
    this.#nextSegment += 1;
    try {
      const file = await this.#parts.disk.create(name);
      this.#active = { segment: this.#parts.onBegun(name), file };
      return this.#active;
    } catch (error) {
      throw failureOf(error, 'none');
    }
  }

  /** Nothing of a batch that failed stays. Whether that is sure is what it returns. */
  async #cutOff(file: DiskFile, size: number): Promise<WriteOutcome> {
    try {
      await file.cut(size);
      await file.sync();
      return 'none';
    } catch (error) {
      this.#parts.onTrouble(error);
      return 'unknown';
    }
  }

  async #seal(): Promise<void> {
    const there = this.#active;
    if (there === undefined) return;
    this.#active = undefined;
    await there.file.close().catch(this.#parts.onTrouble);
    this.#parts.onSealed(there.segment);
  }
}

function failureOf(cause: unknown, outcome: WriteOutcome): JournalError {
  if (cause instanceof JournalError) return cause;
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  // A quota, and a limit on the size of a file, are full disks for this process alone.
  const isFull = code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG';
  return new JournalError(isFull ? 'disk-full' : 'failed', outcome, cause);
}
