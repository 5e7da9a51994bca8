/** What routes on a cache document alike, and how they say which tiers had a part in an answer. */
import {
  LoadError,
  OverloadedError,
  type Receipt,
  TimeoutError,
  UnavailableError,
} from '@cache/core';
import { ProblemError } from './problem.ts';
import { type DocumentedHeader, type ProblemResponse, problems } from './router.ts';

/** What every route with parameters or a token may refuse. */
export const refusals: Readonly<Record<400 | 401, ProblemResponse>> = {
  400: problems[400],
  401: problems[401],
};

/** The same for a route that takes JSON. */
export const bodyRefusals: Readonly<Record<400 | 401 | 413 | 415, ProblemResponse>> = {
  ...refusals,
  413: problems[413],
  415: problems[415],
};

/** What a read of one thing may be answered with instead of it. */
export const readRefusals: Readonly<Record<400 | 401 | 404 | 502 | 503, ProblemResponse>> = {
  ...refusals,
  404: problems[404],
  502: problems[502],
  503: problems[503],
};

/** What a write of JSON to one thing may be answered with instead. */
export const writeRefusals: Readonly<
  Record<400 | 401 | 404 | 413 | 415 | 422 | 502 | 503, ProblemResponse>
> = { ...readRefusals, ...bodyRefusals, 422: problems[422] };

/** Of reads of records and logs. */
export const cacheHeader: { 'x-cache': DocumentedHeader } = {
  'x-cache': {
    description: 'The slowest tier that was needed.',
    schema: { type: 'string', enum: ['l1', 'outbox', 'l2', 'l3'] },
  },
};

/** Of reads of derived values. */
export const derivedHeaders: {
  'x-cache': DocumentedHeader;
  'x-cache-freshness': DocumentedHeader;
} = {
  'x-cache': {
    description: 'Where it came from; load: the source itself was asked.',
    schema: { type: 'string', enum: ['l1', 'l2', 'l3', 'load'] },
  },
  'x-cache-freshness': {
    description: 'stale: its time is over, and the source is slow or fails.',
    schema: { type: 'string', enum: ['fresh', 'stale'] },
  },
};

/** Of writes. */
export const durableHeader: { 'x-cache-durable': DocumentedHeader } = {
  'x-cache-durable': {
    description: 'Which of l2, l3 and journal hold the write, separated by commas.',
    schema: { type: 'string', example: 'l2' },
  },
};

const HOLDERS = ['l2', 'l3', 'journal'] as const;

/** For `x-cache-durable`: what holds all of these writes; where nothing does, what holds any. */
export function heldBy(...receipts: readonly Pick<Receipt, 'held'>[]): string {
  const ofAll = HOLDERS.filter((holder) => receipts.every(({ held }) => held.includes(holder)));
  const ofSome = HOLDERS.filter((holder) => receipts.some(({ held }) => held.includes(holder)));
  return (ofAll.length > 0 ? ofAll : ofSome).join(',');
}

/** No tier could say in the time that was given. */
export function isNoAnswer(error: unknown): boolean {
  return (
    error instanceof UnavailableError ||
    error instanceof OverloadedError ||
    error instanceof TimeoutError
  );
}

/**
 * What it resolves to; `'unknown'` where nobody could say in time, or what it is computed from
 * failed: for questions that a write must not fail by.
 */
export async function orUnknown<T>(asking: Promise<T>): Promise<T | 'unknown'> {
  try {
    return await asking;
  } catch (error) {
    if (isNoAnswer(error) || error instanceof LoadError) return 'unknown';
    throw error;
  }
}

/** What was asked for. Throws 404 where there is none: `found(book, 'book')`. */
export function found<T>(value: T | undefined, what: string): T {
  if (value !== undefined) return value;
  throw noSuch(what);
}

/**
 * What a route says of something that no tier knows of: 404 where that is sure. Where Redis could
 * not be asked, another instance may have just written it, and 404 would be a lie.
 */
export function noSuch(
  what: string,
  { isSure }: { readonly isSure: boolean } = { isSure: true },
): ProblemError {
  if (isSure) return new ProblemError(404, `There is no such ${what}.`);
  return new ProblemError(
    503,
    `Redis could not be asked, and nobody else knows of such a ${what}.`,
  );
}
