/**
 * The oracle's memory: every attempt of a write, who was asked, when it was sent and when it was
 * acknowledged, by one monotonic clock outside of every process that is killed. It judges nothing.
 */

export type Outcome = 'open' | 'acknowledged' | 'none' | 'unknown';

export interface Attempt {
  /** Of the write: an item's id, a counter's addition, a value's number. */
  readonly id: string;
  readonly kind: 'item' | 'set' | 'delete' | 'addition';
  /** The process that acknowledged it; before that, the one that was asked. */
  by: string;
  readonly sentAt: number;
  /** Asked again, elsewhere, because nobody knew how the first time had ended. */
  isRepeated: boolean;
  outcome: Outcome;
  ackAt: number;
  version: number;
  /** It went around Redis, straight to Supabase. */
  isAround: boolean;
  /** Supabase is known to have it, or something newer. */
  isSaved: boolean;
}

/** A log, a record or a counter, and everything that was tried on it. */
export interface Subject {
  readonly space: 'turns' | 'states' | 'counters';
  readonly key: string;
  readonly cycle: number;
  readonly attempts: Map<string, Attempt>;
  /** It was deleted or erased for good, and is never written again. */
  end:
    | { readonly by: string; readonly sentAt: number; ackAt: number; outcome: Outcome }
    | undefined;
}

/** A derived value: how often its source changed, and which of the changes every cache was told of. */
export interface Profile {
  readonly key: string;
  /** What the source says now. */
  n: number;
  readonly told: { readonly n: number; readonly by: string; readonly ackAt: number }[];
}

export class Ledger {
  readonly subjects = new Map<string, Subject>();
  readonly profiles = new Map<string, Profile>();
  readonly #unsaved = new Map<Attempt, Subject>();

  subject(space: Subject['space'], key: string, cycle: number): Subject {
    const name = `${space}/${key}`;
    const known = this.subjects.get(name);
    if (known !== undefined) return known;
    const subject: Subject = { space, key, cycle, attempts: new Map(), end: undefined };
    this.subjects.set(name, subject);
    return subject;
  }

  profile(key: string): Profile {
    const known = this.profiles.get(key);
    if (known !== undefined) return known;
    const profile: Profile = { key, n: 0, told: [] };
    this.profiles.set(key, profile);
    return profile;
  }

  attempt(subject: Subject, kind: Attempt['kind'], id: string, by: string): Attempt {
    const attempt: Attempt = {
      id,
      kind,
      by,
      sentAt: performance.now(),
      isRepeated: false,
      outcome: 'open',
      ackAt: Number.POSITIVE_INFINITY,
      version: 0,
      isAround: false,
      isSaved: false,
    };
    subject.attempts.set(id, attempt);
    return attempt;
  }

  acknowledge(
    subject: Subject,
    attempt: Attempt,
    { by, version, held }: Pick<Attempt, 'by' | 'version'> & { readonly held: readonly string[] },
  ): void {
    if (attempt.outcome === 'acknowledged') return;
    attempt.by = by;
    attempt.outcome = 'acknowledged';
    attempt.ackAt = performance.now();
    attempt.version = version;
    attempt.isAround = !held.includes('l2');
    if (held.includes('l3')) attempt.isSaved = true;
    else this.#unsaved.set(attempt, subject);
  }

  saved(attempt: Attempt): void {
    attempt.isSaved = true;
    this.#unsaved.delete(attempt);
  }

  /** What was acknowledged and is not known to be in Supabase. */
  unsaved(): ReadonlyMap<Attempt, Subject> {
    return this.#unsaved;
  }

  /** 0: of all cycles. */
  ofCycle(cycle: number): readonly Subject[] {
    const all = [...this.subjects.values()];
    return cycle === 0 ? all : all.filter((subject) => subject.cycle === cycle);
  }
}
