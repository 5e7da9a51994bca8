/** What the service answers: books, what is spoken of them, and where each listener is. */
import { clipResponse, type Popularity, SpeechError, speechProblem } from '@cache/audio';
import { type Clock, LoadError } from '@cache/core';
import {
  bearer,
  cacheHeader,
  createRouter,
  derivedHeaders,
  durableHeader,
  heldBy,
  isNoAnswer,
  json,
  ProblemError,
  RequestBounds,
  type Router,
  readRefusals,
  writeRefusals,
} from '@cache/http';
import { createRoute, z } from '@hono/zod-openapi';
import { titleSchema } from './library.ts';
import { progressSchema, progressTable, type Shelf } from './shelf.ts';

export interface RoutesParts {
  readonly shelf: Shelf;
  readonly popularity: Popularity;
  readonly clock: Clock;
}

const READ_MS = 3000;
const WRITE_MS = 5000;
const MOST_SEGMENTS = 20;
const MOST_TEXTS = 10_000;
const DAY_MS = 86_400_000;

const name = z.string().regex(/^[\w.+-]{1,128}$/, 'takes letters, digits and any of _ . + -');
const number = z.string().regex(/^[1-9]\d{0,14}$/, 'takes a whole number above 0');
const voice = name.openapi({ example: 'es-mx' });
const byNumber = z.object({ id: number.openapi({ example: '42' }) });
const audioSchema = z.object({
  segmentNum: z.int(),
  audioId: z.int(),
  audioUrl: z.string(),
  durationMs: z.int(),
});
const listSchema = z
  .object({ audios: z.array(audioSchema), count: z.int(), cachedAt: z.string() })
  .openapi('Audios');
const wantedSchema = z
  .strictObject({
    voice,
    segments: z
      .array(z.int().min(1))
      .min(1)
      .max(MOST_SEGMENTS)
      .openapi({ example: [1, 2] }),
  })
  .openapi('WantedAudios');
const newBookSchema = titleSchema
  .omit({ id: true })
  .extend({
    documentId: name,
    titulo: z.string().min(1),
    autor: z.string().min(1),
    segmentos: z.array(z.string().trim().min(1).max(5000)).max(MOST_TEXTS).optional(),
  })
  .openapi('NuevoLibro');
const newProgressSchema = progressSchema
  .omit({ heard_at: true })
  .extend({
    voice_id: voice,
    intra_ms: z.int().min(0).max(DAY_MS),
    ago_ms: z
      .int()
      .min(0)
      .max(365 * DAY_MS)
      .default(0)
      .openapi({
        description:
          'How long ago it was heard, for what is sent late. Not a time: clocks of devices disagree.',
      }),
  })
  .openapi('NewProgress');

const common = { tags: ['audiobooks'], security: bearer };
const put = <S extends z.ZodType>(schema: S) => ({
  required: true,
  content: { 'application/json': { schema } },
});
const listener = z.object({ userId: z.string().min(1).max(128), documentId: name });

const list = createRoute({
  ...common,
  method: 'get',
  path: '/tts/libro/{id}/audios',
  summary: 'What of a book is spoken already',
  request: { params: byNumber, query: z.object({ voice }) },
  responses: {
    200: { ...json('Of the texts as they are now.', listSchema), headers: derivedHeaders },
    ...readRefusals,
  },
});
const make = createRoute({
  ...common,
  method: 'post',
  path: '/tts/libro/{id}/audios',
  summary: 'Has segments spoken: once, whoever and how many ask',
  request: { params: byNumber, body: put(wantedSchema) },
  responses: {
    200: json('They are there.', listSchema),
    ...writeRefusals,
  },
});
const hear = createRoute({
  ...common,
  method: 'get',
  path: '/tts/audio/{id}',
  summary: 'The bytes, or a range of them',
  request: { params: byNumber },
  responses: {
    200: { description: 'The whole clip.', content: { 'audio/*': { schema: z.string() } } },
    206: {
      description: 'The range that was asked for.',
      content: { 'audio/*': { schema: z.string() } },
    },
    304: { description: 'What the client has is the same.' },
    ...readRefusals,
  },
});
const show = createRoute({
  ...common,
  method: 'get',
  path: '/books/{id}',
  summary: 'A book, by its number or its document',
  request: { params: z.object({ id: name }) },
  responses: {
    200: json('It.', titleSchema.extend({ segmentos: z.int() })),
    ...readRefusals,
  },
});
const edit = createRoute({
  ...common,
  method: 'put',
  path: '/books/{id}',
  summary: 'The book is this now; texts that are left out stay',
  request: { params: byNumber, body: put(newBookSchema) },
  responses: { 204: { description: 'It is.' }, ...writeRefusals },
});
const where = createRoute({
  ...common,
  method: 'get',
  path: '/progress/{userId}/{documentId}',
  summary: 'Where a listener is',
  request: { params: listener },
  responses: {
    200: { ...json('There.', progressSchema), headers: cacheHeader },
    ...readRefusals,
  },
});
const move = createRoute({
  ...common,
  method: 'put',
  path: '/progress/{userId}/{documentId}',
  summary: 'Where a listener is now, or was a while ago: the newest stands',
  request: { params: listener, body: put(newProgressSchema) },
  responses: {
    200: { ...json('What stands now.', progressSchema), headers: durableHeader },
    ...writeRefusals,
  },
});

export function routes({ shelf, popularity, clock }: RoutesParts): Router {
  const router = createRouter();

  router.openapi(list, async (c) => {
    const { id } = found(await shelf.book(c.req.valid('param').id), 'book');
    const { value, tier, freshness } = await shelf.list(id, c.req.valid('query').voice);
    return c.json({ ...value, audios: [...value.audios] }, 200, {
      'x-cache': tier,
      'x-cache-freshness': freshness,
    });
  });
  router.openapi(make, async (c) => {
    const { id } = c.req.valid('param');
    const { voice, segments } = c.req.valid('json');
    const { revisiones } = found(await shelf.book(id), 'book');
    const beyond = segments.find((segment) => segment > revisiones.length);
    if (beyond !== undefined) throw outside(beyond, revisiones.length);
    // At once: a voice that can speak several does, and waiting is its own affair.
    const making = segments.map((segment) => shelf.audio(id, voice, segment));
    const made = (await Promise.all(making).catch(spokenProblem)).map((one) =>
      found(one, 'segment'),
    );
    const audios = made.map(({ segmentNum, audioId, audioUrl, durationMs }) => {
      return { segmentNum, audioId, audioUrl, durationMs };
    });
    return c.json({ audios, count: audios.length, cachedAt: made[0]?.cachedAt ?? '' }, 200);
  });
  router.openapi(hear, async (c) => {
    const { id } = c.req.valid('param');
    const heard = await shelf.heard(id, c.req.raw.signal).catch(spokenProblem);
    const { audio, clip } = found(heard, 'audio');
    const { documentId: book, voiceId: voice, segmentNum: segment } = audio;
    popularity.heard({ book, voice, segment });
    return clipResponse(audio.audioKey, clip, c.req.raw.headers);
  });
  router.openapi(show, async (c) => {
    const { revisiones, ...title } = found(await shelf.book(c.req.valid('param').id), 'book');
    return c.json({ ...title, segmentos: revisiones.length }, 200);
  });
  router.openapi(edit, async (c) => {
    await shelf.putBook(Number(c.req.valid('param').id), c.req.valid('json'), c.req.raw.signal);
    return c.body(null, 204);
  });
  router.openapi(where, async (c) => {
    const { userId: user_id, documentId: document_id } = c.req.valid('param');
    const options = new RequestBounds(c, READ_MS, clock).options();
    const known = await shelf.progress.lookup(progressTable.key({ user_id, document_id }), options);
    if (known.status === 'hit') return c.json({ ...known.value }, 200, { 'x-cache': known.tier });
    if (known.isSure) throw new ProblemError(404, 'This listener has not begun this book.');
    throw new ProblemError(503, 'Redis could not be asked, and nobody else knows this listener.');
  });
  router.openapi(move, async (c) => {
    const { userId: user_id, documentId: document_id } = c.req.valid('param');
    const { ago_ms, ...body } = c.req.valid('json');
    const book = await shelf.book(document_id).catch(ifUnknown);
    if (book !== 'unknown') {
      const { revisiones } = found(book, 'book');
      if (body.segment_id > revisiones.length) throw outside(body.segment_id, revisiones.length);
    }
    const key = progressTable.key({ user_id, document_id });
    const heard = { ...body, heard_at: clock.now() - ago_ms };
    const options = new RequestBounds(c, WRITE_MS, clock).options();
    // What happens now is the newest by its version. What happened a while ago has to be compared
    // with what stands, exactly.
    const isLate = ago_ms > 0;
    const { held, value } = isLate
      ? await shelf.progress.update(
          key,
          (now) => (now !== undefined && now.heard_at >= heard.heard_at ? undefined : heard),
          options,
        )
      : { ...(await shelf.progress.set(key, heard, options)), value: heard };
    if (!isLate) {
      popularity.heard({ book: document_id, voice: body.voice_id, segment: body.segment_id });
    }
    return c.json({ ...heard, ...value }, 200, { 'x-cache-durable': heldBy({ held }) });
  });

  return router;
}

function found<T>(value: T | undefined, what: string): T {
  if (value !== undefined) return value;
  throw new ProblemError(404, `There is no such ${what}.`);
}

function outside(segment: number, last: number): ProblemError {
  return new ProblemError(422, `The book has segments 1 to ${last}, and none of ${segment}.`);
}

/** A listener is not lost because the book can't be asked for. */
function ifUnknown(error: unknown): 'unknown' {
  if (isNoAnswer(error) || error instanceof LoadError) return 'unknown';
  throw error;
}

/** Why nothing could be spoken, rather than that a loader failed. */
function spokenProblem(error: unknown): never {
  const cause = error instanceof LoadError ? error.cause : error;
  throw cause instanceof SpeechError ? speechProblem(cause) : error;
}
