/** `cache.deadLetters`: writes that were acknowledged and that L3 refuses, for an operator to decide. */
import { boundsOf, type CallOptions, type Engine } from './calls.ts';
import { bounded } from './deadline.ts';
import { ConfigError, ConflictError } from './errors.ts';
import type { KeptLetter } from './tiers/letters.ts';
import type { Letters } from './write/letters.ts';

/** A write that was acknowledged, and that L3 refuses for what it is. */
export interface DeadLetter {
  readonly id: number;
  readonly namespace: string;
  readonly key: string;
  /** `log`: one item of a log, or its deletion. */
  readonly kind: 'value' | 'log';
  readonly version: number;
  /** The ids of the items that it is about, where it is about a log. */
  readonly items?: readonly string[];
  /** What PostgreSQL said, with its code. It may quote a part of the value. */
  readonly reason: string;
  /** How often it was sent. */
  readonly attempts: number;
  readonly bytes: number;
  /** Whether L3 has the bytes. What could not even be sent is pending in L2 alone. */
  readonly isKept: boolean;
  /** When it was refused first, and last; ISO 8601. */
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly scope?: readonly [kind: string, id: string];
  /** How `payload` is written, where it is there. `encrypted`: as it is stored, base64 of what only the key opens. */
  readonly codec?: string;
  /** The text of a JSON value, base64 of any other; of a log its items as JSON. Only where asked for. */
  readonly payload?: string;
}

/** Options of {@link DeadLetters.list}. */
export interface DeadLettersOptions extends CallOptions {
  /** Only those of one namespace. */
  readonly namespace?: string | undefined;
  /** At most so many, up to 1,000. Default 100. */
  readonly limit?: number | undefined;
  /** The id of the last one of the page before. */
  readonly after?: number | undefined;
  /** Which come first. Default `'oldest'`. */
  readonly order?: 'oldest' | 'newest' | undefined;
}

/**
 * What became of a retry. `applied`: L3 has it. `superseded`: something newer is there. `erased`:
 * its scope was erased. `refused`: once more; the letter stays. `expired`: too old to be placed; it
 * stays. `unknown`: there is no such letter (any more).
 */
export type RetryOutcome = 'applied' | 'superseded' | 'erased' | 'refused' | 'expired' | 'unknown';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1000;

export class DeadLetters {
  readonly #engine: () => Engine;
  readonly #letters: () => Letters;

  /** @internal */
  constructor(parts: { readonly engine: () => Engine; readonly letters: () => Letters }) {
    this.#engine = parts.engine;
    this.#letters = parts.letters;
  }

  /** A page of them, without payloads. Rejects with `UnavailableError` while L3 is away. */
  async list(options: DeadLettersOptions = {}): Promise<readonly DeadLetter[]> {
    const { limit = DEFAULT_LIMIT, after, namespace, order = 'oldest' } = options;
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
      throw new ConfigError(`the limit of a list of dead letters is 1 to ${MAX_LIMIT}`);
    }
    if (after !== undefined) checkId(after);
    const query = { namespace, after, limit, newestFirst: order === 'newest' };
    const letters = await this.#bounded(options, (all) => all.list(query));
    return letters.map((letter) => shown(letter, false));
  }

  /** One of them, with its payload where `payload` asks for it; `undefined` where there is none. */
  async get(
    id: number,
    options: CallOptions & { readonly payload?: boolean | undefined } = {},
  ): Promise<DeadLetter | undefined> {
    checkId(id);
    const letter = await this.#bounded(options, (all) => all.get(id));
    return letter && shown(letter, options.payload === true);
  }

  /**
   * Sends the write again as it was, with its own version: nothing newer is overwritten. What
   * was the matter with it should have been mended before. Rejects with `UnavailableError` while L3
   * is away.
   */
  async retry(id: number, options?: CallOptions): Promise<RetryOutcome> {
    checkId(id);
    return this.#bounded(options, (all) => all.retry(id), 'unknown');
  }

  /**
   * Forgets the letter and the write that it stands for, for good: it goes from every tier, and does not
   * come back from wherever it may still wait. What the key held before it is there again; what is
   * newer stays. `false` where there is no such letter. Rejects with `ConflictError` for the deletion of
   * a log, which can't be taken back, and with `UnavailableError` while L3 is away.
   */
  async drop(id: number, options?: CallOptions): Promise<boolean> {
    checkId(id);
    const reply = await this.#bounded(options, (all) => all.drop(id), 'unknown');
    if (reply === 'deletion') {
      throw new ConflictError(
        'the deletion of a log can not be dropped: mend the cause, and retry',
        {
          outcome: 'none',
        },
      );
    }
    return reply === 'dropped';
  }

  async #bounded<T>(
    options: CallOptions | undefined,
    work: (letters: Letters) => Promise<T>,
    outcome?: 'unknown',
  ): Promise<T> {
    const engine = this.#engine();
    const bounds = boundsOf(engine, options);
    const asked = work(this.#letters());
    return bounded(asked, bounds, 'a call about dead letters', engine.clock, outcome);
  }
}

function checkId(id: number): void {
  if (Number.isSafeInteger(id) && id >= 0) return;
  throw new ConfigError('the id of a dead letter is a whole number');
}

function shown(letter: KeptLetter, withPayload: boolean): DeadLetter {
  const { address, items, codec, createdAt, updatedAt, scope, payload, ...rest } = letter;
  return {
    id: rest.id,
    namespace: address.namespace,
    key: address.key,
    kind: rest.kind,
    version: rest.version,
    ...(rest.kind === 'log' && { items }),
    reason: rest.reason,
    attempts: rest.attempts,
    bytes: rest.bytes,
    isKept: rest.isKept,
    createdAt: new Date(createdAt).toISOString(),
    updatedAt: new Date(updatedAt).toISOString(),
    ...(scope && { scope: [scope.kind, scope.id] }),
    ...(codec !== undefined && { codec }),
    ...(withPayload && payload !== undefined && { payload }),
  };
}
