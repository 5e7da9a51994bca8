/**
 * The plain model: what an answer may be.
 *
 * Every value has an origin, a load or a `set`; every `set`, `delete`, invalidation and erasure
 * ends what came before it. An answer is allowed where one of the origins that had this value
 *
 *  - was not ended by anything that was acknowledged before the answer was asked for: on the same
 *    instance always, elsewhere from one message later, or from the bound of a bus gap later where
 *    the instance did not hear the bus;
 *  - is no older than its time to live, or, where the answer is said to be stale, its grace.
 *
 * A `set` that was rejected with an unknown outcome may still take effect, until its own instance
 * has had a later write of the key acknowledged.
 */
import type { VirtualTime } from '../core/virtual-time.ts';
import { POLICY, scopeOf, tagsOf, textOf, type Value } from './values.ts';

/** What a message of the bus takes at most, after it was published. */
const MESSAGE_MS = 6;
export const GAP_MS = 1200;

/** A point in time, and in the order of what happened in it. */
export interface Moment {
  readonly at: number;
  readonly order: number;
}

const NEVER: Moment = { at: Number.POSITIVE_INFINITY, order: Number.POSITIVE_INFINITY };

interface Origin {
  readonly kind: 'load' | 'set';
  readonly instance: string | undefined;
  readonly key: string;
  readonly value: Value;
  readonly text: string;
  readonly tags: readonly string[];
  readonly ttlMs: number;
  /** A load's beginning; of a set its acknowledgement, or where that never came, `NEVER`. */
  before: Moment;
  /** When a rejected set was rejected. */
  rejected: Moment;
  /** Its time to live begins at the latest. */
  storedBy: number;
  /** Nothing was done: it must not be seen. */
  isVoid: boolean;
}

/** What ends what was before. */
export interface Ending {
  readonly what: string;
  readonly instance: string;
  readonly of:
    | { readonly key: string }
    | { readonly tags: readonly string[] }
    | { readonly scope: string };
  readonly called: Moment;
  readonly acknowledged: Moment;
}

/** Who is asked. */
export interface Asker {
  readonly instance: string;
  /** Since when it hears the bus; `undefined`: it does not. */
  readonly heardSince: number | undefined;
}

export interface Question extends Asker {
  readonly key: string;
  readonly asked: Moment;
}

export interface Given {
  readonly value: unknown;
  /** `undefined`: it was not said. */
  readonly freshness: 'fresh' | 'stale' | undefined;
  /** When it was found, at the earliest: what came with others may have waited for them. */
  readonly foundAt: number;
}

export class Oracle {
  readonly #time: VirtualTime;
  /** What one operation may take beside: that much longer a value may seem to live. */
  readonly #slackMs: number;
  /** So long an instance that does not hear the bus may not know: the gap's bound, or a flight. */
  readonly #deafMs: number;
  readonly #origins: Origin[] = [];
  readonly #endings: Ending[] = [];
  #order = 0;

  constructor(time: VirtualTime, bounds: { readonly slackMs: number; readonly deafMs: number }) {
    this.#time = time;
    this.#slackMs = bounds.slackMs;
    this.#deafMs = bounds.deafMs;
  }

  moment(): Moment {
    this.#order += 1;
    return { at: this.#time.now, order: this.#order };
  }

  loaded(
    key: string,
    began: Moment,
    answer: { value: Value; ttlMs: number | undefined; tags: readonly string[] },
  ): void {
    const { value } = answer;
    const usual = value === undefined ? POLICY.negativeMs : POLICY.ttlMs;
    this.#origins.push({
      kind: 'load',
      instance: undefined,
      key,
      value,
      text: textOf(value),
      tags: [...tagsOf(key, value), ...answer.tags],
      ttlMs: answer.ttlMs ?? usual,
      before: began,
      rejected: NEVER,
      storedBy: this.#time.now,
      isVoid: false,
    });
  }

  /** Of a set, before it is called: what to say when it was acknowledged, or rejected. */
  setting(instance: string, key: string, value: Value) {
    const called = this.moment();
    const origin: Origin = {
      kind: 'set',
      instance,
      key,
      value,
      text: textOf(value),
      tags: tagsOf(key, value),
      ttlMs: value === undefined ? POLICY.negativeMs : POLICY.ttlMs,
      before: NEVER,
      rejected: NEVER,
      storedBy: Number.POSITIVE_INFINITY,
      isVoid: false,
    };
    this.#origins.push(origin);
    return {
      acknowledged: () => {
        const acknowledged = this.moment();
        origin.before = acknowledged;
        origin.storedBy = this.#time.now;
        this.#endings.push({
          what: `the set of ${origin.text}`,
          instance,
          of: { key },
          called,
          acknowledged,
        });
      },
      rejected: (outcome: 'none' | 'unknown' | undefined) => {
        origin.rejected = this.moment();
        origin.isVoid = outcome === 'none';
      },
    };
  }

  /** Of anything else that ends values, before it is called: what to say when it was acknowledged. */
  ending(instance: string, what: string, of: Ending['of']): () => void {
    const called = this.moment();
    return () =>
      void this.#endings.push({ what, instance, of, called, acknowledged: this.moment() });
  }

  /** Why this answer is forbidden; `undefined`: it is not. */
  judge(question: Question, given: Given): string | undefined {
    const text = textOf(given.value);
    const origins = this.#origins.filter(
      (origin) => origin.key === question.key && origin.text === text,
    );
    const reasons = origins.map((origin) => this.#against(origin, question, given));
    if (reasons.includes(undefined)) return undefined;
    const why = [...new Set(reasons)].join('; or ') || 'nobody loaded or set it';
    return `${question.instance} answered ${text} (${given.freshness}) for ${question.key}: ${why}`;
  }

  #against(origin: Origin, question: Question, { freshness, foundAt }: Given): string | undefined {
    if (origin.isVoid) return 'its set was rejected as having done nothing';
    const ageMs = foundAt - origin.storedBy - this.#slackMs;
    const graceMs = origin.value === undefined || origin.ttlMs === 0 ? 0 : POLICY.graceMs;
    if (ageMs > origin.ttlMs + graceMs) return `it is ${ageMs} ms old, past its grace`;
    if (freshness === 'fresh' && ageMs > origin.ttlMs) {
      return `it is ${ageMs} ms old, past its ${origin.ttlMs} ms`;
    }
    const ending = this.#endings.find(
      (one) => ends(one, origin) && this.#isKnown(one, question) && isBefore(origin, one),
    );
    if (ending === undefined) return undefined;
    const agoMs = question.asked.at - ending.acknowledged.at;
    return `${ending.what} on ${ending.instance} was acknowledged ${agoMs} ms before`;
  }

  /** Whoever asked then must not be given what this ended. */
  #isKnown({ instance, acknowledged }: Ending, { asked, heardSince, ...by }: Question): boolean {
    if (instance === by.instance) return acknowledged.order < asked.order;
    const atWorst = acknowledged.at + this.#deafMs + MESSAGE_MS;
    if (heardSince === undefined) return atWorst <= asked.at;
    const heardAt = Math.max(acknowledged.at + MESSAGE_MS, heardSince + 1);
    return Math.min(atWorst, heardAt) <= asked.at;
  }
}

function ends({ of }: Ending, origin: Origin): boolean {
  if ('key' in of) return of.key === origin.key;
  if ('tags' in of) return of.tags.some((tag) => origin.tags.includes(tag));
  return of.scope === scopeOf(origin.key)[1];
}

/** Whether the origin was there, or under way, before the ending was called. */
function isBefore(origin: Origin, ending: Ending): boolean {
  if (origin.before.order < ending.called.order) return true;
  const isOwn = origin.instance === ending.instance && 'key' in ending.of;
  return isOwn && origin.rejected.order < ending.called.order;
}
