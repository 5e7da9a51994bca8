/**
 * Misses of the same turn of the event loop as one call of the caller's `loadMany`, as a loader
 * for one key each. Each key keeps its own abort and its own failure.
 */
import { LoadError } from '../errors.ts';
import { Turn } from './turn.ts';

/** Keys in one call. */
const MAX_KEYS = 1000;

export interface Together<V> {
  readonly signal: AbortSignal;
  readonly stale: readonly (V | undefined)[];
}

/** A loader for one key, which shares its call with the others of its turn. */
export function loadTogether<K, V>(
  namespace: string,
  loadMany: (keys: readonly K[], context: Together<V>) => Promise<readonly (V | Error)[]>,
): (
  key: K,
  context: { readonly signal: AbortSignal; readonly stale: V | undefined },
) => Promise<V> {
  const turn = new Turn<{ key: K; signal: AbortSignal; stale: V | undefined }, V | Error>({
    maxBatch: MAX_KEYS,
    // Replies of one round trip to L2 arrive in one turn of the loop, each after some promises.
    schedule: (leave) => setImmediate(leave),
    async ask(wanted) {
      const all = allAborted(wanted.map(({ signal }) => signal));
      try {
        const values = await loadMany(
          wanted.map(({ key }) => key),
          { signal: all.signal, stale: wanted.map(({ stale }) => stale) },
        );
        if (values.length === wanted.length) return values;
      } finally {
        all.end();
      }
      throw new LoadError(
        `loadMany of ${namespace} has to answer in the order of its keys, one for each`,
      );
    },
  });
  return async (key, { signal, stale }) => {
    const value = await turn.ask({ key, signal, stale });
    if (value instanceof Error) throw value;
    return value;
  };
}

/** A signal that is aborted when all of these are. */
function allAborted(signals: readonly AbortSignal[]): { signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  let left = signals.length;
  const onAbort = () => {
    left -= 1;
    if (left === 0) controller.abort(signals[0]?.reason);
  };
  for (const signal of signals) {
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  }
  return {
    signal: controller.signal,
    end() {
      for (const signal of signals) signal.removeEventListener('abort', onAbort);
    },
  };
}
