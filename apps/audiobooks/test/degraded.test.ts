/** Without Redis the service goes on, slower, and says so; and what Supabase has that is wrong. */
import { randomUUID } from 'node:crypto';
import { eventually, startProxy } from '@cache/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Service } from './support.ts';
import { ADMIN, ask, idsIn, make, Stage, segmentsIn } from './support.ts';

let stage: Stage;
let a: Service;

beforeAll(async () => {
  stage = await Stage.start();
  a = await stage.open();
});
afterAll(() => stage[Symbol.asyncDispose]());

const health = (service: Service) =>
  ask(service, 'GET', '/health', undefined, { authorization: `Bearer ${ADMIN}` });

const listOf = (service: Service, book: number) =>
  ask(service, 'GET', `/tts/libro/${book}/audios?voice=es-mx`);

test('source "Compresión de metadata": a long book is smaller in Redis than as JSON', async () => {
  const texts = Array.from({ length: 300 }, (_, n) => `Parte ${n}.`);
  const { id } = await stage.book(a, texts);
  await ask(a, 'GET', `/books/${id}`);
  const { compression } = a.cache.stats();
  expect(compression.compressed).toBeGreaterThan(0);
  expect(compression.bytesOut).toBeLessThan(compression.bytesIn);
});

test('a row of another program that does not parse is refused by name, and a write mends it', async () => {
  const { documentId } = await stage.book(a);
  const user_id = randomUUID();
  const row = { user_id, document_id: documentId, voice_id: 'es', segment_id: 1, intra_ms: 0 };
  const { error } = await stage.sql.from('progress').insert({ ...row, heard_at: -5 } as never);
  expect(error).toBeNull();
  const path = `/progress/${user_id}/${documentId}`;
  const refused = await ask(a, 'GET', path);
  expect([refused.status, refused.body]).toMatchObject([422, { code: 'SCHEMA' }]);
  const put = await ask(a, 'PUT', path, { voice_id: 'es', segment_id: 2, intra_ms: 0 });
  expect(put.status).toBe(200);
  expect((await ask(a, 'GET', path)).body).toMatchObject({ segment_id: 2 });
});

test('source "Redis no está conectado": everything goes on without it, and /health and the log say so', async () => {
  const { id, documentId } = await stage.book(a);
  const [audio] = idsIn(await make(a, id, [1]));
  await stage.stack.redis.kill();
  const path = `/progress/${randomUUID()}/${documentId}`;
  const at = { voice_id: 'es-mx', segment_id: 2, intra_ms: 10 };
  await eventually(async () => {
    expect((await health(a)).body).toMatchObject({
      status: 'degraded',
      checks: { redis_cache: { connected: false, dbSize: 0 } },
    });
  });
  const put = await ask(a, 'PUT', path, at);
  expect([put.status, put.headers.get('x-cache-durable')]).toEqual([200, 'l3']);
  expect((await ask(a, 'GET', path)).body).toMatchObject(at);
  expect((await ask(a, 'GET', `/tts/audio/${audio}`)).status).toBe(200);
  expect((await make(a, id, [2])).status).toBe(200);
  expect(segmentsIn(await listOf(a, id))).toEqual([1, 2]);
  expect(stage.warnings.length).toBeGreaterThan(0);
  await stage.stack.redis.restart();
});

test('what Redis could not be told of, it is told when it answers again, with the old list in it', async () => {
  await using line = await startProxy(stage.stack.redis.port);
  const cut = await stage.open({ redis: line.through(stage.stack.redis.url) });
  const other = await stage.open();
  const { id } = await stage.book(cut);
  await make(cut, id, [1]);
  expect(segmentsIn(await listOf(cut, id))).toEqual([1]);
  expect(segmentsIn(await listOf(other, id))).toEqual([1]);
  line.cut();
  await eventually(async () => {
    const checks = { redis_cache: { connected: false } };
    expect((await health(cut)).body).toMatchObject({ checks });
  });
  expect((await make(cut, id, [2])).status).toBe(200);
  expect(segmentsIn(await listOf(other, id))).toEqual([1]);
  line.heal();
  await eventually(async () => expect(segmentsIn(await listOf(other, id))).toEqual([1, 2]));
});

test('started without any Redis, the service answers all the same', async () => {
  const alone = await stage.open({ redis: 'off' });
  const { id, documentId } = await stage.book(alone);
  expect((await make(alone, id, [1])).status).toBe(200);
  const path = `/progress/u/${documentId}`;
  const at = { voice_id: 'es-mx', segment_id: 1, intra_ms: 0 };
  expect((await ask(alone, 'PUT', path, at)).status).toBe(200);
  expect((await ask(alone, 'GET', path)).body).toMatchObject(at);
});
