/** What the routes of conversations document alike, and what their handlers answer alike. */
import {
  type LookupResult,
  OverloadedError,
  type Receipt,
  type Records,
  TimeoutError,
  UnavailableError,
} from '@cache/core';
import { bearer, ProblemError, type ProblemResponse, problems } from '@cache/http';
import { z } from '@hono/zod-openapi';
import { type Conversation, metadataSchema } from './conversations.ts';
import type { RequestBounds } from './request-bounds.ts';

export const idSchema: z.ZodType<string> = z
  .string()
  .min(1)
  .openapi({ description: 'Any text of 1 to 1,024 bytes.', example: 'call-1' });

/** A conversation as it is answered. */
export interface AnsweredConversation extends Conversation {
  readonly id: string;
}

export const answeredSchema: z.ZodType<AnsweredConversation> = z
  .object({
    id: z.string(),
    caller: z.string().nullable(),
    metadata: metadataSchema,
    state: z.string(),
    createdAt: z.string(),
  })
  .openapi('Conversation');

/** Of every route of conversations. */
export const common: { readonly tags: string[]; readonly security: { bearer: string[] }[] } = {
  tags: ['conversations'],
  security: [...bearer],
};

export const refusals: Readonly<Record<400 | 401, ProblemResponse>> = {
  400: problems[400],
  401: problems[401],
};

export const bodyRefusals: Readonly<Record<400 | 401 | 413 | 415, ProblemResponse>> = {
  ...refusals,
  413: problems[413],
  415: problems[415],
};

// Not an interface: OpenAPI's own type has room for extensions, which an interface has not.
type DocumentedHeader = {
  description: string;
  schema: { type: 'string'; enum?: string[]; example?: string };
};

/** Of reads. */
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
  const all = HOLDERS.filter((holder) => receipts.every(({ held }) => held.includes(holder)));
  const any = HOLDERS.filter((holder) => receipts.some(({ held }) => held.includes(holder)));
  return (all.length > 0 ? all : any).join(',');
}

export function notFound(): ProblemError {
  return new ProblemError(404, 'There is no such conversation.');
}

/**
 * What a route says of a conversation that no tier knows of: 404 where that is sure. Where Redis
 * could not be asked, another instance may have just begun it, and 404 would end a live call.
 */
export function absent({ isSure }: { readonly isSure: boolean }): ProblemError {
  if (isSure) return notFound();
  return new ProblemError(
    503,
    'Redis could not be asked, and nobody else knows of such a conversation.',
  );
}

/** Of a write's time, what it may cost to find out whether the conversation exists. */
const PART_FOR_ASKING = 0.5;

/**
 * True only where it is sure that there is no such conversation. Where no tier can say, a write
 * goes on: a caller is on the line.
 */
export async function isKnownAbsent(
  records: Records<Conversation>,
  id: string,
  bounds: RequestBounds,
): Promise<boolean> {
  return isAbsent(await lookedUp(records, id, bounds));
}

/** What the tiers know of a conversation that is written to; `undefined` where none can say. */
export async function lookedUp(
  records: Records<Conversation>,
  id: string,
  bounds: RequestBounds,
): Promise<LookupResult<Conversation> | undefined> {
  try {
    return await records.lookup(id, bounds.options(PART_FOR_ASKING));
  } catch (error) {
    if (isNoAnswer(error)) return undefined;
    throw error;
  }
}

export function isAbsent(found: LookupResult<Conversation> | undefined): boolean {
  return found?.status === 'miss' && found.isSure;
}

/** No tier could say in the time that was given. */
export function isNoAnswer(error: unknown): boolean {
  return (
    error instanceof UnavailableError ||
    error instanceof OverloadedError ||
    error instanceof TimeoutError
  );
}
