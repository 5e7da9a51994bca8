/** What a caller felt: how long each operation took, by the tier that was needed. */

export interface Figures {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

/** The tier that a read needed, the tiers that hold a write, or nothing of the kind. */
export interface Measured {
  readonly operation: string;
  readonly tier: string;
}

export class Stopwatch {
  readonly #samples = new Map<string, { readonly of: Measured; readonly ms: number[] }>();

  add(of: Measured, ms: number): void {
    const name = `${of.operation} ${of.tier}`;
    const samples = this.#samples.get(name) ?? { of, ms: [] };
    samples.ms.push(ms);
    this.#samples.set(name, samples);
  }

  /** In the order in which they first happened, tiers of one operation together. */
  figures(): readonly (Measured & Figures)[] {
    const operations = [...new Set([...this.#samples.values()].map(({ of }) => of.operation))];
    const all = [...this.#samples.values()].map(({ of, ms }) => ({ ...of, ...figuresOf(ms) }));
    return operations.flatMap((operation) =>
      all
        .filter((one) => one.operation === operation)
        .sort((a, b) => TIERS.indexOf(a.tier) - TIERS.indexOf(b.tier)),
    );
  }

  /** How often a tier was the slowest that a read needed. */
  reads(tier: string): number {
    const named = [...this.#samples.values()].filter(({ of }) => of.tier === tier);
    return named.reduce((sum, { ms }) => sum + ms.length, 0);
  }
}

const TIERS = ['', 'l1', 'outbox', 'l2', 'file', 'coalesced', 'miss', 'l3', 'l2,l3'];

export function figuresOf(ms: readonly number[]): Figures {
  const sorted = [...ms].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.ceil(sorted.length * share) - 1] ?? 0;
  return { count: sorted.length, p50: at(0.5), p95: at(0.95), p99: at(0.99), max: at(1) };
}
