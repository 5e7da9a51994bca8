/**
 * Where derived values come from: a source that is slow, fails, hangs, has nothing, keeps what was
 * there, or says how long its answer lives. What it answers is told to the oracle, as an origin.
 *
 * Most values carry the number of their load. The falsy ones can't: of those any load that
 * answered the same may have been meant.
 */
import type { Kept, LoadContext } from '../../../src/read/load.ts';
import type { VirtualTime } from '../core/virtual-time.ts';
import type { Asker, Oracle } from './oracle.ts';
import { FALSY, POLICY, TAGS, type Value } from './values.ts';

export class Source {
  readonly #time: VirtualTime;
  readonly #oracle: Oracle;
  readonly #loads = new Map<string, number>();
  #numbers = 0;
  /** It answers soon, and stores what it answers. */
  isCalm = false;

  readonly #onLie: (lie: string) => void;

  constructor(time: VirtualTime, oracle: Oracle, onLie: (lie: string) => void) {
    this.#time = time;
    this.#oracle = oracle;
    this.#onLie = onLie;
  }

  /** How often this key was loaded. */
  loadsOf(key: string): number {
    return this.#loads.get(key) ?? 0;
  }

  /** A value that was never there before, but for the falsy ones. */
  newValue(): Value {
    this.#numbers += 1;
    if (this.#time.chance(0.4)) return FALSY[this.#time.below(FALSY.length)];
    return { n: this.#numbers, tag: this.#time.pick(TAGS) };
  }

  async load(key: string, context: LoadContext<Value>, asker: Asker): Promise<Value | Kept> {
    const time = this.#time;
    this.#shown(key, context.stale, asker);
    const loading = this.#began(key);
    const roll = this.isCalm ? 1 : time.random();
    const isKept = roll < 0.06 && context.stale !== undefined;
    const isSkipped = !isKept && roll < 0.1;
    const ttlMs = !isSkipped && roll > 0.85 && roll < 0.95 ? 100 + time.below(5000) : undefined;
    const further = roll > 0.7 && roll < 0.8 ? [time.pick(TAGS)] : [];
    if (isSkipped) context.skip();
    if (ttlMs !== undefined) context.ttl(ttlMs);
    context.tag(...further);
    await this.#toil();
    context.signal.throwIfAborted();
    const value = isKept && context.stale !== undefined ? context.stale : this.newValue();
    loading({ value, ttlMs: isSkipped ? 0 : ttlMs, tags: further });
    return isKept ? context.keep() : value;
  }

  /** One value, or error, for each key. */
  async loadMany(
    keys: readonly string[],
    stale: readonly Value[],
    asker: Asker,
  ): Promise<readonly (Value | Error)[]> {
    for (const [index, key] of keys.entries()) this.#shown(key, stale[index], asker);
    const loads = keys.map((key) => this.#began(key));
    await this.#toil();
    return loads.map((loading) => {
      if (!this.isCalm && this.#time.chance(0.1)) return new Error('this one failed');
      const value = this.newValue();
      loading({ value, ttlMs: undefined, tags: [] });
      return value;
    });
  }

  /** What a loader is shown, and may keep, is what a reader might be given. */
  #shown(key: string, stale: Value, asker: Asker): void {
    if (stale === undefined) return;
    const question = { ...asker, key, asked: this.#oracle.moment() };
    const given = { value: stale, freshness: 'stale', foundAt: this.#time.now } as const;
    const lie = this.#oracle.judge(question, given);
    if (lie !== undefined) this.#onLie(`shown to a loader: ${lie}`);
  }

  #began(key: string) {
    this.#loads.set(key, this.loadsOf(key) + 1);
    const began = this.#oracle.moment();
    return (answer: { value: Value; ttlMs: number | undefined; tags: readonly string[] }) =>
      this.#oracle.loaded(key, began, answer);
  }

  async #toil(): Promise<void> {
    const time = this.#time;
    const roll = this.isCalm ? 1 : time.random();
    if (roll < 0.04) await time.sleep(POLICY.hardMs + 500);
    else if (roll < 0.25) await time.sleep(50 + time.below(400));
    else await time.sleep(time.below(40));
    if (roll > 0.88 && roll < 1) throw new Error('the source failed');
  }
}
