/** Every route, key and time that the source names (an audiobook service's Redis cache). */
import { randomUUID } from 'node:crypto';
import { durationMs, parseWav } from '@cache/audio';
import { espeak } from '@cache/espeak';
import { eventually } from '@cache/testing';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Service } from './support.ts';
import { ADMIN, ask, idsIn, make, Stage, segmentsIn } from './support.ts';

let stage: Stage;
let a: Service;
let b: Service;
let redis: Redis;

beforeAll(async () => {
  stage = await Stage.start();
  [a, b] = await Promise.all([stage.open(), stage.open()]);
  redis = new Redis(stage.stack.redis.url);
});
afterAll(async () => {
  redis?.disconnect();
  await stage?.[Symbol.asyncDispose]();
});

/** Of the keys that have this in their names: how long they live. */
async function lives(part: string): Promise<readonly number[]> {
  const keys = (await redis.keys('*')).filter((key) => key.includes(part));
  return await Promise.all(keys.map((key) => redis.pttl(key)));
}

const HOUR = 3_600_000;

test('source "Estructura de Keys, Audios": {documentId}:{voiceId}:{segmentNum} lives 7 days, and says audioUrl, audioId and cachedAt', async () => {
  const { id, documentId } = await stage.book(a);
  await make(a, id, [1]);
  const all = (await lives(`${documentId}:es-mx:1:`)).filter((ms) => ms > 0);
  // A clip and what says where it is live up to a tenth shorter each, by chance.
  expect(Math.max(...all)).toBeGreaterThan(0.8 * 7 * 24 * HOUR);
  expect(Math.max(...all)).toBeLessThanOrEqual(7 * 24 * HOUR);
  expect(await a.app.shelf.audio(documentId, 'es-mx', 1)).toMatchObject({
    audioUrl: expect.stringMatching(/^\/tts\/audio\/\d+$/),
    audioId: expect.any(Number),
    cachedAt: expect.stringMatching(/^20\d\d-/),
  });
});

test('source "Listas de audios": {bookId}:{voiceId} is fresh for one hour, and says audios, count and cachedAt', async () => {
  const { id } = await stage.book(a);
  await make(a, id, [2, 1]);
  const { status, body, headers } = await ask(a, 'GET', `/tts/libro/${id}/audios?voice=es-mx`);
  expect(status).toBe(200);
  expect(body).toMatchObject({ count: 2, cachedAt: expect.stringMatching(/^20/) });
  expect(headers.get('x-cache')).toBe('load');
  const inspected = await a.cache.inspect('book_audios', `${id}:es-mx`);
  expect(inspected.l2).toMatchObject({ freshMs: expect.any(Number) });
  const { freshMs = 0 } = typeof inspected.l2 === 'object' ? inspected.l2 : {};
  expect(freshMs).toBeGreaterThan(0.85 * HOUR);
  expect(freshMs).toBeLessThanOrEqual(HOUR);
});

test('source "Metadata de libros": {bookId} is fresh for one day, and says titulo and autor', async () => {
  const { id, documentId } = await stage.book(a);
  const { status, body } = await ask(a, 'GET', `/books/${id}`);
  expect([status, body]).toEqual([
    200,
    { id, documentId, titulo: 'Don Quijote', autor: 'Cervantes', segmentos: 2 },
  ]);
  const { l2 } = await a.cache.inspect('book', String(id));
  const { freshMs = 0 } = typeof l2 === 'object' ? l2 : {};
  expect(freshMs).toBeGreaterThan(0.85 * 24 * HOUR);
  expect(freshMs).toBeLessThanOrEqual(24 * HOUR);
});

test('source "Progreso de usuario": {userId}:{documentId} is in Redis first, in PostgreSQL behind it, and its copy lives one hour', async () => {
  const { documentId } = await stage.book(a);
  const path = `/progress/user-123/${documentId}`;
  const at = { voice_id: 'es-mx', segment_id: 2, intra_ms: 1500 };
  const moved = await ask(a, 'PUT', path, at);
  expect([moved.status, moved.headers.get('x-cache-durable')]).toEqual([200, 'l2']);
  expect(moved.body).toMatchObject(at);
  const rows = () =>
    stage.sql.from('progress').select('segment_id, intra_ms').eq('document_id', documentId);
  expect((await rows()).data).toEqual([]);
  expect((await ask(b, 'GET', path)).body).toMatchObject(at);
  await a.cache.sync();
  expect((await rows()).data).toEqual([{ segment_id: 2, intra_ms: 1500 }]);
  await eventually(async () => {
    const ms = Math.max(...(await lives(`user-123:${documentId}`)));
    expect(ms).toBeGreaterThan(0.8 * HOUR);
    expect(ms).toBeLessThanOrEqual(HOUR);
  });
});

test('source "Invalidación 1": a new audio makes every list of its book old, on every instance', async () => {
  const { id } = await stage.book(a);
  const list = (service: Service) => ask(service, 'GET', `/tts/libro/${id}/audios?voice=es-mx`);
  expect(segmentsIn(await list(b))).toEqual([]);
  await make(a, id, [1]);
  await eventually(async () => expect(segmentsIn(await list(b))).toEqual([1]));
  expect(segmentsIn(await list(a))).toEqual([1]);
});

test('source "Invalidar manualmente": invalidateBookAudios makes the lists of all voices anew, and those of no other book', async () => {
  const [mine, other] = [await stage.book(a), await stage.book(a)];
  const all = [`${mine.id}:es-mx`, `${mine.id}:es`, `${other.id}:es-mx`] as const;
  const [, , kept] = all;
  for (const key of all) {
    const [book, voice = ''] = key.split(':');
    await a.app.shelf.list(Number(book), voice);
  }
  await a.app.shelf.invalidateBookAudios(mine.id);
  expect((await a.app.shelf.list(mine.id, 'es-mx')).tier).toBe('load');
  expect((await a.app.shelf.list(mine.id, 'es')).tier).toBe('load');
  expect((await a.app.shelf.list(other.id, 'es-mx')).tier, kept).not.toBe('load');
});

test('source "Invalidación 2": an edited book is another one at once, and its old texts are in no list', async () => {
  const { id, body } = await stage.book(a);
  await make(a, id, [1, 2]);
  const edited = { ...body, titulo: 'Otro', segmentos: ['Nuevo.', body.segmentos[1]] };
  expect((await ask(a, 'PUT', `/books/${id}`, edited)).status).toBe(204);
  expect((await ask(a, 'GET', `/books/${id}`)).body).toMatchObject({ titulo: 'Otro' });
  const list = await ask(a, 'GET', `/tts/libro/${id}/audios?voice=es-mx`);
  expect(segmentsIn(list)).toEqual([2]);
  await eventually(async () => {
    expect((await ask(b, 'GET', `/books/${id}`)).body).toMatchObject({ titulo: 'Otro' });
  });
});

test('source "Invalidación 3": progress that changes is what everybody reads next', async () => {
  const { documentId } = await stage.book(a);
  const path = `/progress/${randomUUID()}/${documentId}`;
  for (const segment_id of [1, 2]) {
    await ask(a, 'PUT', path, { voice_id: 'es-mx', segment_id, intra_ms: 0 });
    expect((await ask(a, 'GET', path)).body).toMatchObject({ segment_id });
    await eventually(async () =>
      expect((await ask(b, 'GET', path)).body).toMatchObject({ segment_id }),
    );
  }
});

test('an audio is heard whole and in ranges, and is the same for everybody', async () => {
  const { id } = await stage.book(a);
  const [audio] = idsIn(await make(a, id, [1]));
  const whole = await ask(a, 'GET', `/tts/audio/${audio}`);
  expect(whole.headers.get('content-type')).toBe('audio/wav');
  expect(whole.body).toHaveLength(44 + 44_100);
  const part = await ask(b, 'GET', `/tts/audio/${audio}`, undefined, { range: 'bytes=0-3' });
  expect(part.status).toBe(206);
  expect(part.headers.get('content-range')).toBe(`bytes 0-3/${44 + 44_100}`);
  expect(part.body).toEqual(new TextEncoder().encode('RIFF'));
  const over = await ask(a, 'GET', `/tts/audio/${audio}`, undefined, { range: 'bytes=99999999-' });
  expect(over.status).toBe(416);
});

test('an audio whose bytes are gone is spoken again, where its text is still the same', async () => {
  const { id, body } = await stage.book(a);
  const [first, second] = idsIn(await make(a, id, [1, 2]));
  await ask(a, 'PUT', `/books/${id}`, { ...body, segmentos: [body.segmentos[0], 'Otra cosa.'] });
  const keys = await redis.keys('speech:*');
  await redis.del(keys);
  const fresh = await stage.open();
  const before = stage.voice.spoken.length;
  // Who asks about it is not who listens.
  expect((await ask(fresh, 'HEAD', `/tts/audio/${first}`)).status).toBe(200);
  expect(stage.voice.spoken).toHaveLength(before);
  expect((await ask(fresh, 'GET', `/tts/audio/${first}`)).status).toBe(200);
  expect(stage.voice.spoken).toHaveLength(before + 1);
  expect((await ask(fresh, 'GET', `/tts/audio/${second}`)).status).toBe(404);
});

test('source "GET /health": checks.redis_cache with connected, dbSize and info, for the admin token alone', async () => {
  const seen = await ask(a, 'GET', '/health', undefined, { authorization: `Bearer ${ADMIN}` });
  expect(seen.body).toMatchObject({
    status: 'ok',
    checks: {
      redis_cache: {
        connected: true,
        dbSize: expect.any(Number),
        info: {
          total_connections_received: expect.stringMatching(/^[1-9]\d*$/),
          total_commands_processed: expect.stringMatching(/^[1-9]\d*$/),
          used_memory_human: expect.stringMatching(/^\d+\.\d\d[KMG]$/),
        },
      },
    },
  });
  expect((await ask(a, 'GET', '/health')).body).toEqual({ status: 'ok' });
});

test('the metrics of speech are among those of the cache', async () => {
  const authorization = `Bearer ${ADMIN}`;
  const metrics = await fetch(`${a.url}/metrics`, { headers: { authorization } });
  const text = await metrics.text();
  expect(text).toMatch(/^audio_cache_syntheses_total/m);
  expect(text).toMatch(/^cache_/m);
});

test('the embedded voice: what is fetched is a clip that plays', async () => {
  const provider = espeak();
  const spoken = await stage.open({ provider });
  const { id } = await stage.book(spoken, ['En un lugar de la Mancha.']);
  const [audio] = idsIn(await make(spoken, id, [1]));
  const { body } = await ask(spoken, 'GET', `/tts/audio/${audio}`);
  if (!(body instanceof Uint8Array)) throw new Error('the answer is bytes');
  expect(parseWav(body)).toMatchObject({ channels: 1, sampleRate: 22_050 });
  expect(durationMs(body, { codec: 'wav', sampleRate: 22_050 })).toBeGreaterThan(500);
});

test('the documented routes are those of the source', async () => {
  const { body } = await ask(a, 'GET', '/openapi.json');
  expect(body).toMatchObject({
    paths: {
      '/tts/libro/{id}/audios': { get: {}, post: {} },
      '/tts/audio/{id}': { get: {} },
      '/progress/{userId}/{documentId}': { get: {}, put: {} },
      '/books/{id}': { get: {}, put: {} },
      '/health': { get: {} },
    },
  });
});
