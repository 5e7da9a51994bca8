/**
 * L3 with a watch on it: how long each call took, and whether anybody is there at all.
 *
 *   THERE   → AWAY    a call was not answered
 *   AWAY    → THERE   a call was answered, be it with a refusal
 */
import type { Clock } from '../clock.ts';
import { TierError } from '../errors.ts';
import { traced } from '../tracing.ts';
import type { DurableDerived } from './derived.ts';
import type { DurableLetters } from './letters.ts';
import type { DurableTables } from './tables.ts';
import type { DurableTier } from './tier.ts';

export interface MeasureOptions {
  readonly clock: Clock;
  readonly onCall: (operation: string, ms: number) => void;
  readonly onState: (state: 'away' | 'back', reason: string) => void;
}

export class MeasuredTier {
  readonly #options: MeasureOptions;
  readonly tier: DurableTier;
  readonly derived: DurableDerived;
  readonly letters: DurableLetters;
  readonly tables: DurableTables;
  #away = false;

  constructor(
    tier: DurableTier & {
      readonly derived: DurableDerived;
      readonly letters: DurableLetters;
      readonly tables: DurableTables;
    },
    options: MeasureOptions,
  ) {
    this.#options = options;
    const run = <T>(operation: string, call: () => Promise<T>) => this.#call(operation, call);
    this.tier = {
      connect: (shards, o) => run('connect', () => tier.connect(shards, o)),
      read: (addresses, o) => run('read', () => tier.read(addresses, o)),
      readLogs: (addresses, o) => run('read_logs', () => tier.readLogs(addresses, o)),
      apply: (rows, o) => run('apply', () => tier.apply(rows, o)),
      insert: (rows, o) => run('insert', () => tier.insert(rows, o)),
      compareAndSet: (write, base, o) =>
        run('compare_and_set', () => tier.compareAndSet(write, base, o)),
      marks: (limit, after, o) => run('marks', () => tier.marks(limit, after, o)),
      unmark: (ids, o) => run('unmark', () => tier.unmark(ids, o)),
      maxVersion: (o) => run('max_version', () => tier.maxVersion(o)),
      scope: (scope, o) => run('scope', () => tier.scope(scope, o)),
      scan: (o) => run('scan', () => tier.scan(o)),
      tagged: (tags, o) => run('tagged', () => tier.tagged(tags, o)),
      erase: (scope, version, o) => run('erase', () => tier.erase(scope, version, o)),
      deadLetters: (o) => run('dead_letters', () => tier.deadLetters(o)),
      close: () => tier.close(),
    };
    const { derived, letters, tables } = tier;
    this.tables = {
      faults: (namespace, table, o) =>
        run('check_mapping', () => tables.faults(namespace, table, o)),
    };
    this.letters = {
      list: (o) => run('letters', () => letters.list(o)),
      get: (id, o) => run('letter', () => letters.get(id, o)),
      keepUnsent: (unsent, o) => run('keep_unsent', () => letters.keepUnsent(unsent, o)),
      retry: (id, o) => run('retry_letter', () => letters.retry(id, o)),
      drop: (id, o) => run('drop_letter', () => letters.drop(id, o)),
    };
    this.derived = {
      read: (addresses, o) => run('derived_read', () => derived.read(addresses, o)),
      put: (puts, o) => run('derived_put', () => derived.put(puts, o)),
      remove: (addresses, o) => run('derived_remove', () => derived.remove(addresses, o)),
      invalidate: (tags, o) => run('derived_invalidate', () => derived.invalidate(tags, o)),
    };
  }

  get away(): boolean {
    return this.#away;
  }

  async #call<T>(operation: string, call: () => Promise<T>): Promise<T> {
    const { clock, onCall } = this.#options;
    const start = clock.monotonic();
    try {
      const answer = await traced(`cache.l3.${operation}`, {}, call);
      this.#is(false, 'it answers');
      return answer;
    } catch (error) {
      const unanswered =
        error instanceof TierError &&
        (error.reason === 'unreachable' || error.reason === 'timeout');
      this.#is(unanswered, error instanceof Error ? error.message : String(error));
      throw error;
    } finally {
      onCall(operation, clock.monotonic() - start);
    }
  }

  #is(away: boolean, reason: string): void {
    if (away === this.#away) return;
    this.#away = away;
    this.#options.onState(away ? 'away' : 'back', reason);
  }
}
