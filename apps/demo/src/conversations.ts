/**
 * What a conversation is made of: a record (who calls, how it stands) and a log (what was said),
 * both in the scope `call`, so that one call can be flushed, preloaded and erased as a whole.
 */
import type { Cache, Logs, Records } from '@cache/core';
import { z } from '@hono/zod-openapi';

/** What is stored of a conversation beside its turns. */
export interface Conversation {
  readonly caller: string | null;
  readonly metadata: Members;
  readonly state: string;
  /** ISO 8601. */
  readonly createdAt: string;
}

/** One thing that was said. */
export interface Turn {
  readonly id: string;
  readonly role: Role;
  readonly text: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export type Role = 'caller' | 'agent' | 'tool' | 'system';
type Members = Readonly<Record<string, unknown>>;

export const metadataSchema: z.ZodType<Members> = z
  .record(z.string(), z.unknown())
  .openapi({ description: 'Whatever belongs to the call, as JSON.', example: { room: 12 } });

export const roleSchema: z.ZodType<Role> = z.enum(['caller', 'agent', 'tool', 'system']);

export const momentSchema: z.ZodType<number> = z
  .int()
  .nonnegative()
  .openapi({ description: 'Milliseconds since 1970.', example: 1_790_000_000_000 });

export const conversationSchema: z.ZodType<Conversation> = z.object({
  caller: z.string().nullable(),
  metadata: metadataSchema,
  state: z.string(),
  createdAt: z.string(),
});

export const turnSchema: z.ZodType<Turn> = z
  .object({ id: z.string(), role: roleSchema, text: z.string(), at: momentSchema })
  .openapi('Turn');

/** The scope of everything that belongs to one call. */
export const CALL_SCOPE = 'call';

export interface Conversations {
  readonly records: Records<Conversation>;
  readonly turns: Logs<Turn>;
}

/** Opens both namespaces. */
export function openConversations(cache: Cache): Conversations {
  const scope = (key: string): readonly [string, string] => [CALL_SCOPE, key];
  return {
    records: cache.records('conversations', { schema: conversationSchema, scope }),
    turns: cache.logs('turns', { schema: turnSchema, scope, id: (turn: Turn) => turn.id }),
  };
}

/** How a client changes a conversation. */
export interface ConversationPatch {
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  readonly state?: string | undefined;
  readonly increment?: Readonly<Record<string, number>> | undefined;
}

/**
 * The conversation with a patch applied; pure, because it may be applied to several bases until
 * one of them stands. `metadata` is a merge patch (RFC 7396): members that are null go.
 * @throws NotANumberError where something else than a number was to be incremented
 */
export function patched(
  conversation: Readonly<Conversation>,
  patch: ConversationPatch,
): Conversation {
  const metadata = merged(conversation.metadata, patch.metadata ?? {});
  return {
    ...conversation,
    state: patch.state ?? conversation.state,
    metadata: incremented(metadata, patch.increment ?? {}),
  };
}

/** What was to be incremented is something else than a number. */
export class NotANumberError extends Error {
  constructor() {
    super('A member of metadata that was to be incremented is not a number.');
    this.name = 'NotANumberError';
  }
}

function incremented(metadata: Members, by: Readonly<Record<string, number>>): Members {
  const members = new Map(Object.entries(metadata));
  for (const [name, amount] of Object.entries(by)) {
    const current = members.get(name) ?? 0;
    if (typeof current !== 'number') throw new NotANumberError();
    members.set(name, current + amount);
  }
  return Object.fromEntries(members);
}

/** Deeper than anything that can be stored: it is left as it came, and refused where it is written. */
const DEEPEST = 1000;

/** Members come and go through a map: a member called `__proto__` is one like any other. */
function merged(target: Members, patch: Members, depth = 0): Members {
  const members = new Map(Object.entries(target));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) members.delete(name);
    else members.set(name, mergedValue(members.get(name), value, depth + 1));
  }
  return Object.fromEntries(members);
}

function mergedValue(target: unknown, patch: unknown, depth: number): unknown {
  if (!isObject(patch) || depth > DEEPEST) return patch;
  return merged(isObject(target) ? target : {}, patch, depth);
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
