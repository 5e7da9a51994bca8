/** What the service answers: books, what is spoken of them, and where each listener is. */
import { clipAnswers, isHearing, type Popularity } from '@cache/audio';
import type { Clock } from '@cache/core';
import {
  cacheHeader,
  createRouter,
  derivedHeaders,
  durableHeader,
  found,
  heldBy,
  json,
  jsonBody,
  noSuch,
  orUnknown,
  ProblemError,
  problems,
  type Router,
  readRefusals,
  routesOf,
  writeRefusals,
} from '@cache/http';
import { z } from '@hono/zod-openapi';
import * as schemas from './schemas.ts';
import { progressTable, type Shelf } from './shelf.ts';

const reads = routesOf('audiobooks', readRefusals);
const writes = routesOf('audiobooks', writeRefusals);
const byNumber = z.object({ id: schemas.number });
const listener = z.object({ userId: z.string().min(1).max(128), documentId: schemas.name });

const list = reads.get('/tts/libro/{id}/audios', {
  summary: 'What of a book is spoken already',
  request: { params: byNumber, query: z.object({ voice: schemas.name }) },
  responses: { 200: json('As the texts are now.', schemas.list, derivedHeaders) },
});
const make = writes.post('/tts/libro/{id}/audios', {
  summary: 'Has segments spoken: once, whoever and how many ask',
  request: { params: byNumber, body: jsonBody(schemas.wanted) },
  responses: { 200: json('They are there.', schemas.list), 504: problems[504] },
});
const hear = reads.get('/tts/audio/{id}', {
  summary: 'The bytes, or a range of them; spoken again where they were cleared away',
  request: { params: byNumber },
  responses: { ...clipAnswers, 504: problems[504] },
});
const show = reads.get('/books/{id}', {
  summary: 'A book, by its number or its document',
  request: { params: z.object({ id: schemas.name }) },
  responses: { 200: json('It.', schemas.book.extend({ segmentos: z.int() })) },
});
const edit = writes.put('/books/{id}', {
  summary: 'The book is this now; texts that are left out stay',
  request: { params: byNumber, body: jsonBody(schemas.newBook) },
  responses: { 204: { description: 'It is.' }, 409: problems[409] },
});
const where = reads.get('/progress/{userId}/{documentId}', {
  summary: 'Where a listener is',
  request: { params: listener },
  responses: { 200: json('There.', schemas.progress, cacheHeader) },
});
const move = writes.put('/progress/{userId}/{documentId}', {
  summary: 'Where a listener is now, or was ago_ms milliseconds ago: the newest stands',
  request: { params: listener, body: jsonBody(schemas.newProgress) },
  responses: { 200: json('What stands now.', schemas.progress, durableHeader) },
});

export function routes(shelf: Shelf, popularity: Popularity, clock: Clock): Router {
  const router = createRouter();
  router.openapi(list, async (c) => {
    const { id } = found(await shelf.book(c.req.valid('param').id), 'book');
    const { value, tier, freshness } = await shelf.list(id, c.req.valid('query').voice);
    const headers = { 'x-cache': tier, 'x-cache-freshness': freshness };
    return c.json({ ...value, audios: [...value.audios] }, 200, headers);
  });
  router.openapi(make, async (c) => {
    const { id } = c.req.valid('param');
    const { voice, segments } = c.req.valid('json');
    const { revisiones } = found(await shelf.book(id), 'book');
    for (const segment of segments) checkWithin(segment, revisiones.length);
    // At once: a voice that can speak several does, and waiting is its own affair.
    const made = await Promise.all(segments.map((segment) => shelf.audio(id, voice, segment)));
    const audios = made.map((audio) => found(audio, 'segment'));
    const cachedAt = audios[0]?.cachedAt ?? '';
    return c.json(schemas.list.parse({ audios, count: audios.length, cachedAt }), 200);
  });
  router.openapi(hear, async (c) => {
    const { id } = c.req.valid('param');
    const { audio, answer } = found(await shelf.heard(id, c.req.raw), 'audio');
    const { documentId: book, voiceId: voice, segmentNum: segment } = audio;
    if (isHearing(c.req.raw, answer)) popularity.heard({ book, voice, segment });
    return answer;
  });
  router.openapi(show, async (c) => {
    const { revisiones, ...book } = found(await shelf.book(c.req.valid('param').id), 'book');
    return c.json({ ...book, segmentos: revisiones.length }, 200);
  });
  router.openapi(edit, async (c) => {
    await shelf.putBook(Number(c.req.valid('param').id), c.req.valid('json'));
    return c.body(null, 204);
  });
  router.openapi(where, async (c) => {
    const { userId: user_id, documentId: document_id } = c.req.valid('param');
    const key = progressTable.key({ user_id, document_id });
    const known = await shelf.progress.lookup(key, { signal: c.req.raw.signal });
    if (known.status === 'miss') throw noSuch('listener of this book', known);
    return c.json({ ...known.value }, 200, { 'x-cache': known.tier });
  });
  router.openapi(move, async (c) => {
    const { userId: user_id, documentId: document_id } = c.req.valid('param');
    const { ago_ms, ...body } = c.req.valid('json');
    // A listener is not lost because the book can't be asked for.
    const book = await orUnknown(shelf.book(document_id));
    if (book !== 'unknown') checkWithin(body.segment_id, found(book, 'book').revisiones.length);
    const key = progressTable.key({ user_id, document_id });
    const heard = { ...body, heard_at: clock.now() - ago_ms };
    const options = { signal: c.req.raw.signal };
    if (ago_ms === 0) {
      // What happens now is the newest by its version.
      const receipt = await shelf.progress.set(key, heard, options);
      popularity.heard({ book: document_id, voice: body.voice_id, segment: body.segment_id });
      return c.json(heard, 200, { 'x-cache-durable': heldBy(receipt) });
    }
    // What happened a while ago has to be compared with what stands, exactly.
    const { held, value } = await shelf.progress.update(
      key,
      (now) => (now !== undefined && now.heard_at >= heard.heard_at ? undefined : heard),
      { ...options, at: heard.heard_at },
    );
    return c.json({ ...heard, ...value }, 200, { 'x-cache-durable': heldBy({ held }) });
  });

  return router;
}

function checkWithin(segment: number, last: number): void {
  if (segment <= last) return;
  throw new ProblemError(422, `The book has segments 1 to ${last}, and none of ${segment}.`);
}
