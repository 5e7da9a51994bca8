/**
 * Runs a loader of the caller's: bounded by the hard timeout, abortable, and with a context by
 * which it decides about its own entry.
 */
import type { Clock } from '../clock.ts';
import { LoadError, TimeoutError } from '../errors.ts';
import type { LoadOutcome } from '../metrics/counts.ts';
import { type Duration, parseDuration } from '../model/duration.ts';

declare const kept: unique symbol;

/** What {@link LoadContext.keep} returns, for the loader to return in turn. */
export interface Kept {
  readonly [kept]: true;
}

/** What a loader is given besides the key. */
export interface LoadContext<V = unknown> {
  /** Aborted when nobody waits any more, and at the hard timeout. */
  readonly signal: AbortSignal;
  /** What the cache has, which is mostly past its time; `undefined` where it has nothing. */
  readonly stale: V | undefined;
  /**
   * Not modified: `return context.keep()` makes what the cache has the answer again. Throws where
   * it has nothing.
   */
  keep(): Kept;
  /** The answer is given to whoever waits, and is not stored. */
  skip(): void;
  /** Another time to live for this entry. */
  ttl(duration: Duration): void;
  /** Further tags for this entry. */
  tag(...tags: string[]): void;
}

/** What a loader decided about its entry. */
export interface Decisions {
  readonly store: 'store' | 'keep' | 'skip';
  readonly ttlMs: number | undefined;
  readonly tags: readonly string[];
}

export interface Loaded extends Decisions {
  readonly value: unknown;
  readonly ms: number;
}

export interface LoadParts {
  readonly clock: Clock;
  readonly namespace: string;
  readonly hardMs: number;
  readonly stale: unknown;
  readonly signal: AbortSignal;
  readonly onOutcome: (outcome: LoadOutcome, ms: number) => void;
}

/** Rejects with `LoadError` where the loader fails, with `TimeoutError` at the hard timeout. */
export async function runLoader(
  load: (context: LoadContext<unknown>) => unknown,
  parts: LoadParts,
): Promise<Loaded> {
  const { clock, namespace, hardMs, onOutcome } = parts;
  const start = clock.monotonic();
  const hard = new AbortController();
  const late = new TimeoutError(`the loader of ${namespace} took longer than its ${hardMs} ms`);
  const cancel = clock.after(hardMs, () => hard.abort(late));
  const signal = AbortSignal.any([parts.signal, hard.signal]);
  const context = new Context(parts.namespace, signal, parts.stale);
  try {
    const value = await Promise.race([started(load, context), rejection(signal)]);
    const ms = clock.monotonic() - start;
    const decisions = context.decided(value);
    onOutcome(OUTCOMES[decisions.store], ms);
    return { value: value === KEPT ? parts.stale : value, ms, ...decisions };
  } catch (error) {
    const failed = parts.signal.aborted ? 'aborted' : 'failed';
    onOutcome(error === late ? 'timeout' : failed, clock.monotonic() - start);
    if (error === late || error instanceof LoadError) throw error;
    throw new LoadError(`the loader of ${namespace} failed`, { cause: error });
  } finally {
    cancel();
    context.close();
  }
}

const KEPT: Kept = Object.freeze(Object.create(null));

const OUTCOMES = { store: 'loaded', keep: 'kept', skip: 'skipped' } as const;

async function started(
  load: (context: LoadContext<unknown>) => unknown,
  context: LoadContext<unknown>,
): Promise<unknown> {
  return load(context);
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

/** Its verbs are bound: a loader may take them apart, as in `(key, { signal, skip }) => …`. */
class Context implements LoadContext<unknown> {
  readonly signal: AbortSignal;
  readonly stale: unknown;
  readonly #namespace: string;
  readonly #tags: string[] = [];
  #isSkipped = false;
  #ttlMs: number | undefined;
  #isClosed = false;

  constructor(namespace: string, signal: AbortSignal, stale: unknown) {
    this.#namespace = namespace;
    this.signal = signal;
    this.stale = stale;
  }

  readonly keep = (): Kept => {
    this.#check();
    if (this.stale === undefined) {
      throw new LoadError(`the loader of ${this.#namespace} keeps what is not there`);
    }
    return KEPT;
  };

  readonly skip = (): void => {
    this.#check();
    this.#isSkipped = true;
  };

  readonly ttl = (duration: Duration): void => {
    this.#check();
    this.#ttlMs = parseDuration('ttl', duration);
  };

  readonly tag = (...tags: string[]): void => {
    this.#check();
    this.#tags.push(...tags);
  };

  /** What it returned, and what it said before. */
  decided(value: unknown): Decisions {
    const store = this.#isSkipped ? 'skip' : value === KEPT ? 'keep' : 'store';
    return { store, ttlMs: this.#ttlMs, tags: this.#tags };
  }

  close(): void {
    this.#isClosed = true;
  }

  #check(): void {
    if (!this.#isClosed) return;
    throw new LoadError(`the loader of ${this.#namespace} decides after its load has ended`);
  }
}
