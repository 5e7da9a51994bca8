/**
 * Sends rows to L3 so that one of them never holds up the others (G7).
 *
 * L3 answers per row, and most of what is wrong with a row is in its answer. What is not:
 *   data       the whole call was refused for what was in it (a body too large for a gateway,
 *              something that the functions can't even take apart). The batch is halved until the
 *              row at fault is alone.
 *   unanswered nobody answered. Where L3 answers a small question right after, it may be the size
 *              of this call: halved just the same, and a row alone is given up after
 *              {@link STRIKES} attempts. Where it does not, L3 is away, and nothing is known.
 * A row that is given up is kept in L3 as a dead letter without its payload, which stays where it
 * is: pending in L2, parked in the outbox.
 *
 * A log travels in pieces of at most {@link PIECE_BYTES}; a piece at fault is halved down to one item,
 * which does not hold up the deletion before it either.
 */
import type { Clock } from '../clock.ts';
import { TierError } from '../errors.ts';
import type { LogItem, LogWrite, ValueWrite } from '../model/entry.ts';
import type { AddressId } from '../model/key.ts';
import type { DurableLetters, UnsentReply } from '../tiers/letters.ts';
import type { ApplyReply, DurableTier, InsertReply } from '../tiers/tier.ts';
import type { Row } from './answers.ts';

/** A row with what L3 said of it; `undefined` where it did not answer. */
export interface Answered<W, R> {
  readonly row: Row<W>;
  readonly reply: R | undefined;
}

export interface SenderParts {
  readonly clock: Clock;
  readonly durable: DurableTier;
  readonly letters: Pick<DurableLetters, 'keepUnsent'>;
}

const PIECE_BYTES = 1024 * 1024;
/** What an item weighs beside its payload. */
const ITEM_OVERHEAD_BYTES = 100;
/** How often a row alone may go unanswered by an L3 that answers otherwise. */
const STRIKES = 3;
const MAX_STRUCK = 1000;

/** Whether a row leaves a bypass mark. */
export type Marked = (id: AddressId) => boolean;

/** Why rows have no answer. */
type Blame = 'data' | 'unanswered' | 'nobody';

export class Sender {
  readonly #parts: SenderParts;
  readonly #struck = new Map<string, number>();
  #awayAt: number | undefined;

  constructor(parts: SenderParts) {
    this.#parts = parts;
  }

  /** L3 was found away at or after `since` (monotonic), and has not answered again. */
  isAwaySince(since: number): boolean {
    return this.#awayAt !== undefined && this.#awayAt >= since;
  }

  apply(
    rows: readonly Row<ValueWrite>[],
    marked: Marked,
  ): Promise<readonly Answered<ValueWrite, ApplyReply>[]> {
    return this.#send(rows, {
      ask: (some) =>
        this.#parts.durable.apply(some.map((row) => ({ write: row.write, mark: marked(row.id) }))),
      halve: () => [],
      giveUp: async ({ write }, reason) => {
        const reply = await this.#parts.letters.keepUnsent({ write, reason });
        return reply === 'refused' ? { status: reply, reason, unsent: true } : { status: 'erased' };
      },
    });
  }

  /** Where L3 refuses several items of a log, each is sent alone: one must not hold up the others. */
  async insert(
    rows: readonly Row<LogWrite>[],
    marked: Marked,
  ): Promise<readonly Answered<LogWrite, InsertReply>[]> {
    const answered = await this.#send(rows.flatMap(piecesOf), {
      ask: (some) =>
        this.#parts.durable.insert(some.map((row) => ({ write: row.write, mark: marked(row.id) }))),
      halve: halvesOf,
      giveUp: async ({ write }, reason) => {
        const { address, scope } = write;
        const [item] = write.items;
        if (item === undefined) return undefined;
        const unsent = { write: { address, scope, item }, reason };
        return replyOfUnsent(await this.#parts.letters.keepUnsent(unsent), item, reason);
      },
    });
    const isMixed = ({ row, reply }: Answered<LogWrite, InsertReply>) =>
      reply?.status === 'refused' && partsOf(row).length > 1;
    const mixed = answered.filter(isMixed);
    if (mixed.length === 0) return answered;
    const alone = mixed.flatMap(({ row }) => partsOf(row));
    return [...answered.filter((one) => !isMixed(one)), ...(await this.insert(alone, marked))];
  }

  async #send<W extends ValueWrite | LogWrite, R>(
    rows: readonly Row<W>[],
    how: {
      readonly ask: (rows: readonly Row<W>[]) => Promise<readonly R[]>;
      /** Smaller rows that are the same as this one; none where it can't be divided. */
      readonly halve: (row: Row<W>) => readonly Row<W>[];
      readonly giveUp: (row: Row<W>, reason: string) => Promise<R | undefined>;
    },
  ): Promise<readonly Answered<W, R>[]> {
    if (rows.length === 0) return [];
    try {
      const replies = await how.ask(rows);
      this.#awayAt = undefined;
      if (this.#struck.size > 0) for (const row of rows) this.#struck.delete(nameOf(row));
      return rows.map((row, index) => ({ row, reply: replies[index] }));
    } catch (error) {
      const blame = await this.#blame(error);
      if (blame === 'nobody') return rows.map((row) => ({ row, reply: undefined }));
      const [first, ...others] = rows;
      if (first === undefined) return [];
      const smaller = others.length > 0 ? rows : how.halve(first);
      if (smaller.length > 1) {
        const half = smaller.length >> 1;
        const left = await this.#send(smaller.slice(0, half), how);
        return [...left, ...(await this.#send(smaller.slice(half), how))];
      }
      if (blame === 'unanswered' && !this.#isOut(first)) return [{ row: first, reply: undefined }];
      const reason = `not sent: ${error instanceof Error ? error.message : 'no answer'}`;
      // Where even this can't be said, nothing is known, and the row is sent again.
      const reply = await how.giveUp(first, reason).catch(() => undefined);
      return [{ row: first, reply }];
    }
  }

  async #blame(error: unknown): Promise<Blame> {
    if (!(error instanceof TierError) || error.reason === 'refused') return 'nobody';
    if (error.reason === 'data') return 'data';
    try {
      await this.#parts.durable.maxVersion();
      return 'unanswered';
    } catch {
      this.#awayAt = this.#parts.clock.monotonic();
      return 'nobody';
    }
  }

  /** Whether this row, alone, has gone unanswered too often. */
  #isOut(row: Row<ValueWrite | LogWrite>): boolean {
    const name = nameOf(row);
    const strikes = (this.#struck.get(name) ?? 0) + 1;
    this.#struck.delete(name);
    if (strikes >= STRIKES) return true;
    this.#struck.set(name, strikes);
    const oldest = this.#struck.keys().next();
    if (this.#struck.size > MAX_STRUCK && !oldest.done) this.#struck.delete(oldest.value);
    return false;
  }
}

function nameOf({ id, write }: Row<ValueWrite | LogWrite>): string {
  const stamp = write.kind === 'value' ? write : write.items[0];
  return `${stamp?.version ?? 0} ${id}`;
}

function withItems(row: Row<LogWrite>, items: readonly LogItem[]): Row<LogWrite> {
  return { ...row, write: { ...row.write, items } };
}

/** The deletion, where there is one, and each item alone. */
function partsOf(row: Row<LogWrite>): readonly Row<LogWrite>[] {
  const { items, erasedTo } = row.write;
  const alone = { ...row, write: { ...row.write, erasedTo: 0 } };
  const deletion = erasedTo > 0 ? [withItems(row, [])] : [];
  return [...deletion, ...items.map((item) => withItems(alone, [item]))];
}

function halvesOf(row: Row<LogWrite>): readonly Row<LogWrite>[] {
  const { items } = row.write;
  if (items.length < 2) return partsOf(row);
  const half = items.length >> 1;
  return [withItems(row, items.slice(0, half)), withItems(row, items.slice(half))];
}

/** In log order, so that the versions that come first are never above those that come later. */
function piecesOf(row: Row<LogWrite>): readonly Row<LogWrite>[] {
  const pieces: LogItem[][] = [];
  let piece: LogItem[] = [];
  let bytes = 0;
  for (const item of row.write.items) {
    const size = ITEM_OVERHEAD_BYTES + item.payload.bytes.byteLength;
    if (piece.length > 0 && bytes + size > PIECE_BYTES) {
      pieces.push(piece);
      piece = [];
      bytes = 0;
    }
    piece.push(item);
    bytes += size;
  }
  if (pieces.length === 0) return [row];
  return [...pieces, piece].map((items) => withItems(row, items));
}

function replyOfUnsent(reply: UnsentReply, item: LogItem, reason: string): InsertReply {
  const versions = [item.version];
  switch (reply) {
    case 'refused':
      return { status: 'refused', reason, unsent: true };
    case 'erased':
      return {
        status: 'erased',
        dead: [item.id],
        versions,
        others: true,
        erasedTo: 0,
        dropped: [],
      };
    case 'dropped':
      return { status: 'applied', versions, others: true, erasedTo: 0, dropped: [item.id] };
    default:
      return reply satisfies never;
  }
}
