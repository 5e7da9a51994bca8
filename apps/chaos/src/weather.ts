/**
 * Which faults were on when: what a stale answer, or a refusal, is held against. A fault's trace
 * stays for a while after it was taken away, because breakers are tried again, marks repaired and
 * dead instances adopted in seconds and not at once.
 */

/** So long after the last fault all is to be as if there had been none. */
export const RECOVERY_MS = 10_000;

interface Spell {
  readonly name: string;
  readonly from: number;
  to: number | undefined;
}

export class Weather {
  readonly #spells = new Map<number, Spell>();

  begin(id: number, name: string, at: number): void {
    this.#spells.set(id, { name, from: at, to: undefined });
  }

  end(id: number, at: number): void {
    const spell = this.#spells.get(id);
    if (spell !== undefined) spell.to = at;
  }

  /** Names of the faults, and of those just over, between the two. */
  between(from: number, to: number): readonly string[] {
    return this.#touching(from, to).map(({ name }) => name);
  }

  isCalm(from: number, to: number): boolean {
    return this.#touching(from, to).length === 0;
  }

  /** How much of the time between the two was not calm. */
  roughMs(from: number, to: number): number {
    let sum = 0;
    let reached = from;
    const spells = [...this.#touching(from, to)].sort((a, b) => a.from - b.from);
    for (const spell of spells) {
      const start = Math.max(reached, spell.from);
      const end = Math.min(to, (spell.to ?? to) + RECOVERY_MS);
      if (end <= start) continue;
      sum += end - start;
      reached = end;
    }
    return sum;
  }

  #touching(from: number, to: number): readonly Spell[] {
    return [...this.#spells.values()].filter(
      (spell) => spell.from <= to && (spell.to === undefined || spell.to + RECOVERY_MS >= from),
    );
  }
}
