/**
 * Which tags this process has heard being invalidated, and in which order.
 *
 * A reader takes the number as it stands before it asks. What it is given is valid here as long
 * as none of its tags was heard behind that number. Notes are bounded: the oldest are forgotten,
 * and a tag without a note counts as invalidated as late as the last one forgotten. Of each tag
 * the last two are known: what lies further back counts as near as it can have been.
 *
 * Nothing here outlives a gap of the bus: L1 is emptied then.
 */
import type { TagId } from '../model/tags.ts';

/** Tags that are noted down. */
const MAX_NOTES = 10_000;

/** When a tag was heard last, and the time before that. */
interface Note {
  readonly last: number;
  readonly before: number;
}

export class HeardTags {
  readonly #notes = new Map<TagId, Note>();
  readonly #maxNotes: number;
  readonly #onHeard: (tag: TagId) => void;
  #sequence = 0;
  #floor = 0;

  constructor(maxNotes: number = MAX_NOTES, onHeard: (tag: TagId) => void = () => {}) {
    this.#maxNotes = maxNotes;
    this.#onHeard = onHeard;
  }

  /** To be taken before asking. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Tags that are noted down at this moment. */
  get size(): number {
    return this.#notes.size;
  }

  hear(tag: TagId): void {
    this.#sequence += 1;
    const before = this.#notes.get(tag)?.last ?? this.#floor;
    // Set anew, so that the map's order is that of the numbers.
    this.#notes.delete(tag);
    this.#notes.set(tag, { last: this.#sequence, before });
    this.#onHeard(tag);
    if (this.#notes.size <= this.#maxNotes) return;
    const [oldest] = this.#notes;
    if (oldest === undefined) return;
    this.#notes.delete(oldest[0]);
    this.#floor = oldest[1].last;
  }

  /** None of these was invalidated since `seen`. */
  isValid(tags: readonly TagId[], seen: number): boolean {
    for (const tag of tags) if ((this.#notes.get(tag)?.last ?? this.#floor) > seen) return false;
    return true;
  }

  /**
   * Whether what was begun at `began` may be given to somebody who asked at `asked`: no tag was
   * invalidated in between. What was invalidated since they asked is none of their business; but
   * twice since then, and nobody knows any more: they ask again.
   */
  isValidFor(tags: readonly TagId[], began: number, asked: number): boolean {
    if (asked <= began) return true;
    return tags.every((tag) => {
      const note = this.#notes.get(tag);
      if (note === undefined) return this.#floor <= began;
      return note.last <= began || (note.last > asked && note.before <= began);
    });
  }
}
