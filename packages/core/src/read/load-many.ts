/**
 * Misses of the same turn of the event loop as one call of the caller's `loadMany`, as a loader
 * for one key each. Each key keeps its own abort and its own failure.
 */
import { LoadError } from '../errors.ts';
import { Turn } from './turn.ts';

/** What {@link LoadMany} is given besides the keys. */
export interface LoadManyContext<V> {
  /** Aborted when nobody waits for any of the keys any more, and at the hard timeout. */
  readonly signal: AbortSignal;
  /** What the cache has for each key, in the order of the keys. */
  readonly stale: readonly (V | undefined)[];
}

/**
 * Loads many values at once, in the order of the keys. An `Error` in a place fails that key alone;
 * a rejection fails all of them.
 */
export type LoadMany<K, V> = (
  keys: readonly K[],
  context: LoadManyContext<V>,
) => Promise<readonly (V | Error)[]>;

/** Keys in one call. */
export const MAX_KEYS = 1000;

interface Wanted<K> {
  readonly key: K;
  readonly signal: AbortSignal;
  readonly stale: unknown;
}

/** A loader for one key, which shares its call with the others of its turn. */
export function loadTogether<K, V>(
  namespace: string,
  loadMany: LoadMany<K, V>,
): (key: K, context: Omit<Wanted<K>, 'key'>) => Promise<V> {
  const turn = new Turn<Wanted<K>, V | Error>({
    maxBatch: MAX_KEYS,
    // Replies of one round trip to L2 arrive in one turn of the loop, each after some promises.
    schedule: (leave) => setImmediate(leave),
    async ask(asked) {
      const wanted = asked.filter(({ signal }) => !signal.aborted);
      const values = wanted.length === 0 ? [] : await call(namespace, loadMany, wanted);
      const loaded = new Map(wanted.map((one, index) => [one, values[index]]));
      return asked.map((one) => (loaded.has(one) ? (loaded.get(one) as V | Error) : UNWANTED));
    },
  });
  return async (key, { signal, stale }) => {
    const value = await turn.ask({ key, signal, stale });
    if (value instanceof Error) throw value;
    return value;
  };
}

/** Nobody waits for it: it was not asked for. */
const UNWANTED = new LoadError('nobody waits for this value any more');

async function call<K, V>(
  namespace: string,
  loadMany: LoadMany<K, V>,
  wanted: readonly Wanted<K>[],
): Promise<readonly (V | Error)[]> {
  const all = allAborted(wanted.map(({ signal }) => signal));
  try {
    const keys = wanted.map(({ key }) => key);
    // What is stale was this namespace's value once.
    const stale = wanted.map((one) => one.stale as V | undefined);
    const context = { signal: all.signal, stale };
    const values = await loadMany(keys, context);
    if (values.length === wanted.length) return values;
  } finally {
    all.end();
  }
  throw new LoadError(
    `loadMany of ${namespace} has to answer in the order of its keys, one for each`,
  );
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
