/**
 * The counters that requests touch: plain fields, so that counting a hit costs one integer
 * increment and no allocation. A namespace asks for its counters once, when it is opened.
 *
 * Invariant: the number of label values is bounded. Namespaces beyond {@link MAX_NAMESPACES}
 * share the counters named {@link OTHER_NAMESPACES}, which no namespace can be called.
 */

/** Namespaces that have a label of their own. */
export const MAX_NAMESPACES = 100;
export const OTHER_NAMESPACES = '_other';

/** Where a lookup was answered, in the order in which it is asked. */
export const REQUEST_TIERS = ['l1', 'outbox', 'l2', 'l3'] as const;
export type RequestTier = (typeof REQUEST_TIERS)[number];

export const REQUEST_RESULTS = ['hit', 'miss', 'error', 'timeout'] as const;
export type RequestResult = (typeof REQUEST_RESULTS)[number];

export type TierCounters = Record<RequestResult, number>;

/**
 * What one namespace counts: `counters.l1.hit++`.
 *
 * Every tier that a lookup asked counts once. A cold lookup that L3 answers is a miss at L1 and
 * L2 and a hit at L3 and overall; a tier that was not asked counts nothing.
 */
export class NamespaceCounters {
  readonly l1: TierCounters = { hit: 0, miss: 0, error: 0, timeout: 0 };
  readonly outbox: TierCounters = { hit: 0, miss: 0, error: 0, timeout: 0 };
  readonly l2: TierCounters = { hit: 0, miss: 0, error: 0, timeout: 0 };
  readonly l3: TierCounters = { hit: 0, miss: 0, error: 0, timeout: 0 };
  /** What the caller got: a value, "there is none", or an error. */
  readonly overall: TierCounters = { hit: 0, miss: 0, error: 0, timeout: 0 };
}

export class RequestCounters {
  readonly #byName = new Map<string, NamespaceCounters>();

  /** The counters of a namespace, always the same object. */
  namespace(name: string): NamespaceCounters {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    const label = this.#byName.size < MAX_NAMESPACES ? name : OTHER_NAMESPACES;
    const counters = this.#byName.get(label) ?? new NamespaceCounters();
    this.#byName.set(label, counters);
    return counters;
  }

  /** The label under which a namespace is counted. */
  labelOf(name: string): string {
    this.namespace(name);
    return this.#byName.has(name) ? name : OTHER_NAMESPACES;
  }

  entries(): IterableIterator<[string, NamespaceCounters]> {
    return this.#byName.entries();
  }

  total(where: RequestTier | 'overall', result: RequestResult): number {
    let sum = 0;
    for (const counters of this.#byName.values()) sum += counters[where][result];
    return sum;
  }
}
