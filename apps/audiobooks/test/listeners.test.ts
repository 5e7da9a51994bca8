/** Many listeners, several devices, and input that is wrong. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { systemClock } from '@cache/core';
import { ProblemError } from '@cache/http';
import { eventually } from '@cache/testing';
import { createClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openLibrary } from '../src/library.ts';
import { progressTable } from '../src/shelf.ts';
import type { Service } from './support.ts';
import { ask, idsIn, make, Stage, segmentsIn } from './support.ts';

let stage: Stage;
let a: Service;
let b: Service;

beforeAll(async () => {
  stage = await Stage.start();
  [a, b] = await Promise.all([stage.open(), stage.open()]);
});
afterAll(() => stage[Symbol.asyncDispose]());

/** What was spoken of a book, whichever its voice. */
function spokenOf(documentId: string): readonly string[] {
  return stage.voice.spoken.filter((text) => text.endsWith(documentId));
}

const at = (segment_id: number, more: object = {}) => ({
  voice_id: 'es-mx',
  segment_id,
  intra_ms: 0,
  ...more,
});

test('G11: source "Mejora 2, cache compartido": 200 users of one book in one voice are one synthesis for each segment', async () => {
  const { id, documentId } = await stage.book(a);
  const users = Array.from({ length: 200 }, (_, user) => make(user % 2 ? a : b, id, [1, 2]));
  const answers = await Promise.all(users);
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
  expect(new Set(answers.map((one) => idsIn(one).join())).size).toBe(1);
  expect(spokenOf(documentId)).toHaveLength(2);
});

test('G8: two users of one book share its audio, and no progress', async () => {
  const { documentId } = await stage.book(a);
  const [ana, eva] = [randomUUID(), randomUUID()];
  await ask(a, 'PUT', `/progress/${ana}/${documentId}`, at(2));
  expect((await ask(a, 'GET', `/progress/${eva}/${documentId}`)).status).toBe(404);
  await ask(a, 'PUT', `/progress/${ana}%3A${documentId}/x`, at(1));
  expect((await ask(a, 'GET', `/progress/${ana}/${documentId}`)).body).toMatchObject(at(2));
});

test('G4: two devices of one user, on two instances: nothing is lost, and the newest wins', async () => {
  const { documentId } = await stage.book(
    a,
    Array.from({ length: 30 }, (_, n) => `Parte ${n}.`),
  );
  const path = `/progress/${randomUUID()}/${documentId}`;
  for (let segment = 1; segment <= 30; segment += 1) {
    const { status } = await ask(segment % 2 ? a : b, 'PUT', path, at(segment));
    expect(status).toBe(200);
  }
  for (const service of [a, b]) {
    await eventually(async () =>
      expect((await ask(service, 'GET', path)).body).toMatchObject(at(30)),
    );
  }
  await Promise.all([a.cache.sync(), b.cache.sync()]);
  const { data } = await stage.sql
    .from('progress')
    .select('segment_id')
    .eq('document_id', documentId);
  expect(data).toEqual([{ segment_id: 30 }]);
});

test('G4: two devices of one user at the same instant, again and again: both are acknowledged, and everybody reads the same newest', async () => {
  const { documentId } = await stage.book(
    a,
    Array.from({ length: 20 }, (_, n) => `Parte ${n}.`),
  );
  const path = `/progress/${randomUUID()}/${documentId}`;
  for (let round = 1; round < 20; round += 2) {
    const both = await Promise.all([
      ask(a, 'PUT', path, at(round)),
      ask(b, 'PUT', path, at(round + 1)),
    ]);
    expect(both.map(({ status }) => status)).toEqual([200, 200]);
  }
  await Promise.all([a.cache.sync(), b.cache.sync()]);
  const { data } = await stage.sql
    .from('progress')
    .select('segment_id')
    .eq('document_id', documentId);
  expect([[{ segment_id: 19 }], [{ segment_id: 20 }]]).toContainEqual(data);
  for (const service of [a, b]) {
    await eventually(async () =>
      expect((await ask(service, 'GET', path)).body).toMatchObject(data?.[0] ?? {}),
    );
  }
});

test('a device that was offline does not move its user back, but forward from what is older', async () => {
  const { documentId } = await stage.book(a, ['Uno.', 'Dos.', 'Tres.']);
  const path = `/progress/${randomUUID()}/${documentId}`;
  expect((await ask(a, 'PUT', path, at(1, { ago_ms: 60_000 }))).body).toMatchObject(at(1));
  expect((await ask(b, 'PUT', path, at(2, { ago_ms: 30_000 }))).body).toMatchObject(at(2));
  expect((await ask(a, 'PUT', path, at(1, { ago_ms: 45_000 }))).body).toMatchObject(at(2));
  await ask(a, 'PUT', path, at(3));
  expect((await ask(b, 'PUT', path, at(1, { ago_ms: 5000 }))).body).toMatchObject(at(3));
  expect((await ask(a, 'GET', path)).body).toMatchObject(at(3));
});

test('a late progress that arrives after a live one, on another instance, which only Redis holds yet', async () => {
  const { documentId } = await stage.book(a);
  const users = Array.from({ length: 10 }, () => `/progress/${randomUUID()}/${documentId}`);
  await Promise.all(
    users.map(async (path) => {
      await ask(b, 'PUT', path, at(2));
      const late = await ask(a, 'PUT', path, at(1, { ago_ms: 600_000 }));
      expect(late.body).toMatchObject(at(2));
    }),
  );
  await Promise.all([a.cache.sync(), b.cache.sync()]);
  for (const path of users) {
    expect((await ask(a, 'GET', path)).body).toMatchObject(at(2));
  }
});

test('clocks that disagree: after an instance that is ten minutes ahead, a listener can still go on', async () => {
  const now = () => systemClock.now() + 600_000;
  const clock = { ...systemClock, now };
  const ahead = await stage.open({ clock });
  const { documentId } = await stage.book(a);
  const path = `/progress/${randomUUID()}/${documentId}`;
  await ask(ahead, 'PUT', path, at(1));
  await ask(a, 'PUT', path, at(2));
  await eventually(async () => {
    expect((await ask(ahead, 'GET', path)).body).toMatchObject(at(2));
    expect((await ask(a, 'GET', path)).body).toMatchObject(at(2));
  });
});

test('progress is read and written by other programs with plain SQL', async () => {
  const { documentId } = await stage.book(a);
  const user_id = randomUUID();
  const path = `/progress/${user_id}/${documentId}`;
  const row = { user_id, document_id: documentId, voice_id: 'es', segment_id: 2, intra_ms: 7 };
  const { error } = await stage.sql.from('progress').insert(row as never);
  expect(error).toBeNull();
  expect((await ask(a, 'GET', path)).body).toMatchObject(at(2, { voice_id: 'es', intra_ms: 7 }));
  expect(progressTable.migration('progress')).toContain('"heard_at":"heard_at"');
});

const named = (documentId: string) => ({ documentId, titulo: 'x', autor: 'x' });

test.each([
  ['an unknown book', 'GET', '/books/999999', undefined, 404],
  ['a list of an unknown book', 'GET', '/tts/libro/999999/audios?voice=es', undefined, 404],
  ['a list of no voice', 'GET', '/tts/libro/1/audios', undefined, 400],
  ['an unknown audio', 'GET', '/tts/audio/999999', undefined, 404],
  ['an audio that is no number', 'GET', '/tts/audio/x', undefined, 400],
  [
    'audios of an unknown book',
    'POST',
    '/tts/libro/999999/audios',
    { voice: 'es', segments: [1] },
    404,
  ],
  ['a voice with a colon', 'POST', '/tts/libro/1/audios', { voice: 'a:b', segments: [1] }, 400],
  ['a voice that is no name', 'GET', '/tts/libro/1/audios?voice=..', undefined, 400],
  ['a document that every URL loses', 'PUT', '/books/7', named('.'), 400],
  ['another one', 'PUT', '/books/7', named('..'), 400],
  ['a book without a title', 'PUT', '/books/7', { documentId: 'd', autor: 'x' }, 400],
  ['progress in an unknown book', 'PUT', '/progress/u/unknown', at(1), 404],
  ['nobody', 'GET', '/progress/nobody/unknown', undefined, 404],
] as const)('bad input: %s', async (_what, method, path, body, status) => {
  expect((await ask(a, method, path, body)).status).toBe(status);
});

test('bad input: progress beyond the end of a book, before its beginning, and negative times', async () => {
  const { id, documentId } = await stage.book(a);
  const put = async (body: unknown) =>
    (await ask(a, 'PUT', `/progress/u/${documentId}`, body)).status;
  expect(await put(at(3))).toBe(422);
  expect(await put(at(0))).toBe(400);
  expect(await put(at(1, { intra_ms: -1 }))).toBe(400);
  expect(await put(at(1, { ago_ms: -1 }))).toBe(400);
  expect(await put(at(1, { intra_ms: 1.5 }))).toBe(400);
  expect((await make(a, id, [3])).status).toBe(422);
  expect((await ask(a, 'GET', `/progress/u/${documentId}`)).status).toBe(404);
});

test('bad input: a document that another book has', async () => {
  const { id, body } = await stage.book(a);
  expect((await ask(a, 'PUT', `/books/${id + 100_000}`, body)).status).toBe(409);
  expect((await ask(a, 'PUT', `/books/${id}`, { ...body, titulo: 'a\u0000b' })).status).toBe(400);
});

test('bad input: half a character in a text is refused as what it is, and is not to be tried again', async () => {
  const { id, body } = await stage.book(a);
  const put = (more: object) => ask(a, 'PUT', `/books/${id}`, { ...body, ...more });
  expect((await put({ titulo: 'a\ud800b' })).status).toBe(400);
  expect((await put({ segmentos: ['Uno.', '\udc00'] })).status).toBe(400);
  expect((await put({ segmentos: ['🎧'] })).status).toBe(204);
});

/** A write of texts that the routes would have refused, and what became of it. */
async function refusalOf(client: Parameters<typeof openLibrary>[0], segmentos: readonly string[]) {
  const book = { documentId: randomUUID(), titulo: 'Quijote', autor: 'Cervantes' };
  const putting = openLibrary(client).putBook(4000, { ...book, segmentos: [...segmentos] });
  const error: unknown = await putting.catch((thrown: unknown) => thrown);
  return error instanceof ProblemError ? error.problem.status : error;
}

test('what PostgreSQL refuses for what it is, is 422 and not “try again”', async () => {
  expect(await refusalOf(stage.sql, ['\ud800'])).toBe(422);
  // In the words of PostgREST, whose stand-in of the tests hides this code.
  const refusing = createServer((_, answer) => {
    answer.writeHead(400, { 'content-type': 'application/json' });
    answer.end('{"code":"23514","message":"violates a check","details":null,"hint":null}');
  });
  await once(refusing.listen(0, '127.0.0.1'), 'listening');
  const address = refusing.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  expect(await refusalOf(createClient(`http://127.0.0.1:${port}`, 'key'), [''])).toBe(422);
  refusing.closeAllConnections();
  refusing.close();
});

test('a book that is edited while its audio is made: the old audio is in no list, and the new one is made', async () => {
  const { id, documentId, body } = await stage.book(a, ['Antes.']);
  const gate = Promise.withResolvers<void>();
  stage.voice.hold = gate.promise;
  const making = make(a, id, [1]);
  await eventually(async () => expect(spokenOf(documentId)).toHaveLength(1));
  await ask(a, 'PUT', `/books/${id}`, { ...body, segmentos: [`Luego. ${documentId}`] });
  gate.resolve();
  stage.voice.hold = Promise.resolve();
  expect((await making).status).toBe(200);
  const list = () => ask(a, 'GET', `/tts/libro/${id}/audios?voice=es-mx`);
  expect(segmentsIn(await list())).toEqual([]);
  expect((await make(a, id, [1])).status).toBe(200);
  expect(segmentsIn(await list())).toEqual([1]);
  expect(spokenOf(documentId)).toEqual([`Antes. ${documentId}`, `Luego. ${documentId}`]);
});

test('source "Mejora 1, pre-generación": of a popular book the next segments are there before somebody asks', async () => {
  const popular = await stage.open({ popularAt: 2.5 });
  const texts = Array.from({ length: 6 }, (_, n) => `Parte ${n}.`);
  const { id, documentId } = await stage.book(popular, texts);
  const [audio] = idsIn(await make(popular, id, [1]));
  for (let times = 0; times < 2; times += 1) await ask(popular, 'GET', `/tts/audio/${audio}`);
  await popular.app.popularity.idle();
  expect(spokenOf(documentId)).toHaveLength(1);
  await ask(popular, 'GET', `/tts/audio/${audio}`);
  await popular.app.popularity.idle();
  const list = await ask(popular, 'GET', `/tts/libro/${id}/audios?voice=es-mx`);
  expect(segmentsIn(list)).toEqual([1, 2, 3, 4]);
});

test('a segment that one player tries with two bytes, fetches in many ranges, asks about and has already, is one hearing', async () => {
  const { id, documentId } = await stage.book(a);
  const path = `/tts/audio/${idsIn(await make(a, id, [1]))[0]}`;
  const hear = (range: string) => ask(a, 'GET', path, undefined, { range });
  const probe = await hear('bytes=0-1');
  expect([probe.status, a.app.popularity.scoreOf(documentId)]).toEqual([206, 0]);
  const first = await hear('bytes=0-4409');
  for (let from = 4410; from < 44_100; from += 4410) {
    expect((await hear(`bytes=${from}-${from + 4409}`)).status).toBe(206);
  }
  const etag = first.headers.get('etag') ?? '';
  const same = await ask(a, 'GET', path, undefined, { 'if-none-match': etag });
  const head = await ask(a, 'HEAD', path);
  expect([first.status, same.status, head.status]).toEqual([206, 304, 200]);
  expect(a.app.popularity.scoreOf(documentId)).toBeCloseTo(1);
  await ask(a, 'GET', path);
  expect(a.app.popularity.scoreOf(documentId)).toBeCloseTo(2);
});
