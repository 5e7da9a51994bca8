/** What the routes of conversations document alike, and what their handlers answer alike. */
import type { LookupResult, Records } from '@cache/core';
import { noSuch, orUnknown, ProblemError, type RequestBounds } from '@cache/http';
import { z } from '@hono/zod-openapi';
import { type Conversation, metadataSchema } from './conversations.ts';

export const idSchema: z.ZodType<string> = z
  .string()
  .min(1)
  // Whoever reads a URL takes them out of it: what has such a name could never be asked for.
  .refine((id) => id !== '.' && id !== '..', 'takes any text but . and ..')
  .openapi({ description: 'Any text of 1 to 1,024 bytes but . and ..', example: 'call-1' });

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

export function notFound(detail: string = 'There is no such conversation.'): ProblemError {
  return new ProblemError(404, detail);
}

/** What a route says of a conversation that no tier knows of. */
export function absent(found: { readonly isSure: boolean }): ProblemError {
  return noSuch('conversation', found);
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
  const found = await orUnknown(records.lookup(id, bounds.options(PART_FOR_ASKING)));
  return found === 'unknown' ? undefined : found;
}

export function isAbsent(found: LookupResult<Conversation> | undefined): boolean {
  return found?.status === 'miss' && found.isSure;
}
