/**
 * Something is said. The turn's id makes it idempotent: the same request again adds nothing, and
 * is answered with what is stored. The same id with other words is refused, because an answer
 * of 201 would acknowledge words that are stored nowhere.
 */
import { randomUUID } from 'node:crypto';
import { type Clock, timeOfVersion } from '@cache/core';
import {
  bodyRefusals,
  createRouter,
  durableHeader,
  heldBy,
  json,
  jsonBody,
  orUnknown,
  ProblemError,
  problems,
  RequestBounds,
  type Router,
  routesOf,
} from '@cache/http';
import { z } from '@hono/zod-openapi';
import {
  type Conversations,
  momentSchema,
  roleSchema,
  type Turn,
  turnSchema,
} from './conversations.ts';
import { WRITE_MS } from './request-bounds.ts';
import { idSchema, isAbsent, lookedUp, notFound } from './route-parts.ts';
import type { Speaker } from './speech/speaker.ts';
import { linkOf, notTheAgents, speechOf } from './speech/spoken-turn-router.ts';

const newTurn = z
  .strictObject({
    id: idSchema.optional().openapi({ example: 'turn-1' }),
    role: roleSchema,
    text: z.string().openapi({ example: 'I would like a room for two nights.' }),
    at: momentSchema.optional(),
    speak: z.boolean().optional().openapi({
      description: "Of the agent's turns: the answer says where it can be heard.",
    }),
  })
  .openapi('NewTurn');

const saidSchema = z
  .intersection(
    turnSchema,
    z.object({
      speech: z
        .object({
          href: z.string().openapi({ description: 'GET it, and hear the turn.' }),
          key: z
            .string()
            .openapi({ description: 'Of the clip: what sounds the same has the same.' }),
        })
        .nullable()
        .optional()
        .openapi({ description: 'Where speak was asked for; null: nobody speaks here.' }),
    }),
  )
  .openapi('SaidTurn');

const route = routesOf('conversations', bodyRefusals);

const say = route.post('/conversations/{id}/turns', {
  summary: 'Something was said',
  description:
    'Idempotent by the id, in the body or as Idempotency-Key: the same again adds nothing and is answered with what is stored; the same id with other words is 409. Where no tier can say at once what is stored, the request is answered as it came, and the first words stay.',
  request: {
    params: z.object({ id: idSchema }),
    headers: z.object({
      'idempotency-key': idSchema
        .optional()
        .openapi({ description: 'The id, where the body has none.', example: 'turn-1' }),
    }),
    body: jsonBody(newTurn),
  },
  responses: {
    201: json('Something that survives this process holds it.', saidSchema, durableHeader),
    404: problems[404],
    409: problems[409],
    422: { ...problems[422], description: 'It was to be spoken, and can not be.' },
    503: problems[503],
  },
});

export function turnsRouter(
  { records, turns }: Conversations,
  speaker: Speaker,
  clock: Clock,
): Router {
  const router = createRouter();

  router.openapi(say, async (c) => {
    const { id } = c.req.valid('param');
    const body = c.req.valid('json');
    const given = body.id ?? c.req.valid('header')['idempotency-key'];
    const bounds = new RequestBounds(c, WRITE_MS, clock);
    const begun = clock.now();
    const conversation = await lookedUp(records, id, bounds);
    if (isAbsent(conversation)) throw notFound();
    // Before it is stored: what can't be spoken is refused as a whole.
    const key = body.speak === true ? await keyOf(body, conversation) : undefined;
    const turn = {
      id: given ?? randomUUID(),
      role: body.role,
      text: body.text,
      at: body.at ?? begun,
    };
    const receipt = await turns.append(id, turn, bounds.options());
    // An item that was there keeps its version, and that is from before this request. Where Redis
    // has no copy of the call, it can't tell that only Supabase has the item.
    const isCold = conversation?.tier === 'l3' && !receipt.held.includes('l3');
    const isNew = given === undefined || (timeOfVersion(receipt.version) >= begun && !isCold);
    const answer = isNew ? turn : await stored(id, turn, bounds);
    const speech =
      body.speak === true
        ? { speech: key === undefined ? null : { href: linkOf(id, turn), key } }
        : {};
    return c.json({ ...answer, ...speech }, 201, { 'x-cache-durable': heldBy(receipt) });
  });

  /** `undefined`: nobody speaks here, which is no reason to lose what was said. */
  async function keyOf(
    { role, text }: Pick<Turn, 'role' | 'text'>,
    found: Awaited<ReturnType<typeof lookedUp>>,
  ): Promise<string | undefined> {
    if (role !== 'agent') throw notTheAgents();
    if (!speaker.isThere) return undefined;
    const metadata = found?.status === 'hit' ? found.value.metadata : {};
    return await speaker.keyOf(speechOf(text, metadata));
  }

  async function stored(id: string, turn: Turn, bounds: RequestBounds): Promise<Turn> {
    const there = await orUnknown(turns.snapshot(id, bounds.options()));
    // It is there; with which words can't be known now.
    if (there === 'unknown') return turn;
    const same = there.items.find((item) => item.id === turn.id)?.value ?? turn;
    if (same.role === turn.role && same.text === turn.text) return same;
    throw new ProblemError(409, 'Another turn was stored under this id.');
  }

  return router;
}
