/**
 * The turns of an agent, to be heard: the link that a turn with `speak` is answered with. Nothing is
 * kept for it but the turn: whichever instance is asked speaks it, joins who speaks it, or has it.
 */
import type { SpokenRequest } from '@cache/audio';
import type { Clock } from '@cache/core';
import {
  bearer,
  createRouter,
  ProblemError,
  problems,
  RequestBounds,
  type Router,
  refusals,
} from '@cache/http';
import { createRoute, z } from '@hono/zod-openapi';
import type { Conversations, Turn } from '../conversations.ts';
import { READ_MS } from '../request-bounds.ts';
import { absent, idSchema, notFound } from '../route-parts.ts';
import { modeOf, type Speaker } from './speaker.ts';
import { spokenAnswers } from './speech-router.ts';

const route = createRoute({
  tags: ['speech'],
  security: bearer,
  method: 'get',
  path: '/conversations/{id}/turns/{turn}/speech',
  summary: 'A turn of the agent, spoken',
  description:
    'Voice, language and content type are those of metadata.voice, metadata.language and metadata.contentType of the conversation.',
  request: {
    params: z.object({ id: idSchema, turn: idSchema.openapi({ example: 'turn-1' }) }),
  },
  responses: {
    ...spokenAnswers,
    ...refusals,
    404: { ...problems[404], description: 'There is no such conversation, or no such turn in it.' },
  },
});

/** How the turn of a conversation sounds, whoever asks for it. */
export function speechOf(text: string, metadata: Readonly<Record<string, unknown>>): SpokenRequest {
  const { voice, language, contentType } = metadata;
  return {
    text,
    ...(typeof voice === 'string' ? { voice } : {}),
    ...(typeof language === 'string' ? { language } : {}),
    ...(typeof contentType === 'string' ? { contentType } : {}),
  };
}

export function linkOf(id: string, turn: Pick<Turn, 'id'>): string {
  return `/conversations/${encodeURIComponent(id)}/turns/${encodeURIComponent(turn.id)}/speech`;
}

export function notTheAgents(): ProblemError {
  return new ProblemError(422, 'Only what the agent says is spoken.', {
    problem: 'not-the-agents',
  });
}

export function spokenTurnRouter(
  { records, turns }: Conversations,
  speaker: Speaker,
  clock: Clock,
): Router {
  const router = createRouter();
  router.openapi(route, async (c) => {
    const { id, turn } = c.req.valid('param');
    const options = new RequestBounds(c, READ_MS, clock).options();
    const [record, log] = await Promise.all([
      records.lookup(id, options),
      turns.snapshot(id, options),
    ]);
    if (record.status === 'miss') throw absent(record);
    const said = log.items.find((item) => item.id === turn)?.value;
    if (said === undefined) throw notFound('There is no such turn in this conversation.');
    if (said.role !== 'agent') throw notTheAgents();
    const asked = speechOf(said.text, record.value.metadata);
    const { method, headers, signal } = c.req.raw;
    // Who asks about it is not who listens: nothing is spoken, and nothing paid.
    if (method === 'HEAD' && modeOf(headers.get('cache-control')) !== 'only-if-cached') {
      return new Response(null, { headers: { 'x-audio-key': await speaker.keyOf(asked) } });
    }
    return await speaker.say(asked, headers, signal);
  });
  return router;
}
