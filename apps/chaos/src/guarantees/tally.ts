/**
 * Which tests attack which guarantee, and how it went. A test attacks those whose numbers it, or
 * a group around it, bears: `G4: …`, `G1, G2: …`, `(G3) …`.
 */

/** One test that ran, in plain terms. */
export interface Attack {
  /** With the titles of its groups. */
  readonly title: string;
  readonly file: string;
  readonly state: 'passed' | 'failed';
  readonly ms: number;
  /** How often it played each fault on real servers. */
  readonly faults: Readonly<Record<string, number>>;
}

export interface Guarantee {
  /** `G1` */
  readonly number: string;
  /** What it promises, in a few words. */
  readonly words: string;
}

export interface Row extends Guarantee {
  readonly passed: number;
  readonly failed: number;
  readonly files: number;
  readonly faults: number;
  readonly ms: number;
}

/** As `docs/guarantees.md` numbers and calls them. */
export function guaranteesIn(document: string): readonly Guarantee[] {
  return [...document.matchAll(/^## (G\d+) (.+)$/gm)].map(([, number = '', words = '']) => ({
    number,
    words,
  }));
}

const NUMBERS = /\((G\d+(?:, G\d+)*)\)|\b(G\d+(?:, G\d+)*):/g;

/** The guarantees that a title names. */
export function numbersIn(title: string): ReadonlySet<string> {
  const groups = [...title.matchAll(NUMBERS)].map(([, inBrackets, before]) => inBrackets ?? before);
  return new Set(groups.flatMap((group) => group?.split(', ') ?? []));
}

/** One row per guarantee, in their order. A test that attacks several counts for each. */
export function rowsOf(
  guarantees: readonly Guarantee[],
  attacks: readonly Attack[],
): readonly Row[] {
  return guarantees.map((guarantee) => {
    const own = attacks.filter(({ title }) => numbersIn(title).has(guarantee.number));
    return {
      ...guarantee,
      passed: own.filter(({ state }) => state === 'passed').length,
      failed: own.filter(({ state }) => state === 'failed').length,
      files: new Set(own.map(({ file }) => file)).size,
      faults: own.reduce((sum, { faults }) => sum + total(faults), 0),
      ms: own.reduce((sum, { ms }) => sum + ms, 0),
    };
  });
}

/** How often each fault was played, by all of these tests, each counted once. */
export function faultsOf(attacks: readonly Attack[]): ReadonlyMap<string, number> {
  const kinds = new Map<string, number>();
  for (const { faults } of attacks) {
    for (const [kind, count] of Object.entries(faults)) {
      kinds.set(kind, (kinds.get(kind) ?? 0) + count);
    }
  }
  return new Map([...kinds].sort(([, a], [, b]) => b - a));
}

function total(faults: Attack['faults']): number {
  return Object.values(faults).reduce((sum, count) => sum + count, 0);
}
