/** The administration of a speech cache over HTTP, under the routes and names of its sources. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { api, type Router } from '@cache/http';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { documentOf, RouteCoverage } from '../../../http/test/support/route-coverage.ts';
import {
  audioRoutes,
  ClipCompression,
  createFileStore,
  createSpeechCache,
  type SpeechCache,
} from '../../src/index.ts';
import { PATIENT, saying } from '../speech/support.ts';

const auth = { adminToken: 'boss-token', apiToken: 'user-token' };
const boss = { authorization: `Bearer ${auth.adminToken}` };
const SAMPLES = new Uint8Array(64 * 1024);
const coverage = new RouteCoverage();
const compression = new ClipCompression({ thresholdBytes: 2048 });

let directory: string;
let speech: SpeechCache;
let broken: SpeechCache;
let alone: SpeechCache;
let app: Router;
/** Over a store that can't be used, and over none. */
let brokenApp: Router;
let aloneApp: Router;

const appOf = (cache: SpeechCache) =>
  api({
    title: 'Audio',
    version: '1',
    routers: [audioRoutes({ speech: cache, auth, compression, ttlSeconds: 86_400 })],
  });

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cache-audio-routes-'));
  const file = join(directory, 'a-file');
  await writeFile(file, '');
  const prices = { perThousandCharacters: { '*': 100 } };
  const requests = { format: 'pcm' } as const;
  const store = createFileStore({ dir: join(directory, 'clips'), compression });
  const policy = { previewCharacters: 10 };
  speech = createSpeechCache({ ...PATIENT, store, compression, prices, requests, policy });
  broken = createSpeechCache({ store: createFileStore({ dir: file }) });
  alone = createSpeechCache();
  [app, brokenApp, aloneApp] = [appOf(speech), appOf(broken), appOf(alone)];
});

afterAll(async () => {
  await Promise.all([speech.close(), broken.close(), alone.close()]);
  await rm(directory, { recursive: true, force: true });
});

beforeEach(async () => {
  await speech.clear();
});

async function ask(method: string, path: string, body?: unknown, of = app): Promise<Response> {
  const json = { ...boss, 'content-type': 'application/json' };
  if (body === undefined) return await coverage.request(of, path, { method, headers: boss });
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return await coverage.request(of, path, { method, headers: json, body: text });
}

async function answerOf(answer: Response): Promise<Record<string, unknown>> {
  return z.record(z.string(), z.unknown()).parse(await answer.json());
}

/** Stored when it resolves. */
async function kept(text: string): Promise<string> {
  const request = { text, voice: 'ada', language: 'es' };
  await speech.put(request, { bytes: SAMPLES, mediaType: 'audio/x-raw' });
  return speech.resolve(request).key;
}

describe('source: the hotel agent’s audio cache (2025-10-07)', () => {
  test('GET /admin/audio-cache/stats has the compression object, field by field', async () => {
    await kept('one');
    const { compression: told } = await answerOf(await ask('GET', '/admin/audio-cache/stats'));
    expect(told).toEqual({
      enabled: true,
      threshold_kb: 2,
      compression_level: 6,
      compressed_entries: expect.any(Number),
      compressed_size_mb: expect.any(Number),
      original_size_mb: expect.any(Number),
      space_saved_mb: expect.any(Number),
      compression_ratio: expect.any(Number),
    });
    const figures = z.record(z.string(), z.unknown()).parse(told);
    expect(figures.compressed_entries).toBeGreaterThan(0);
    expect(figures.compression_ratio).toBeGreaterThan(10);
  });

  test('the statistics tell how the clean-up is configured: 95 % of the limit, down to 80 %', async () => {
    const stats = await answerOf(await ask('GET', '/admin/audio-cache/stats'));
    expect(stats.cleanup).toMatchObject({
      cleanup_threshold_percent: 95,
      target_size_percent: 80,
      policy: 'ranks',
    });
    expect(stats).toMatchObject({ enabled: true, ttl_seconds: 86_400, max_size_mb: 1024 });
  });

  test('hits, money and waiting are those of the listeners', async () => {
    const request = { text: 'ten chars.', voice: 'ada' };
    for (let time = 0; time < 2; time += 1) {
      const { audio } = await speech.stream(request, saying(SAMPLES).synthesize);
      for await (const _ of audio);
    }
    const stats = await answerOf(await ask('GET', '/admin/audio-cache/stats'));
    expect(stats).toMatchObject({
      hits: 1,
      misses: 1,
      hit_ratio: 0.5,
      hit_ratio_by_characters: 0.5,
    });
    expect(stats.money).toEqual({ currency: 'USD', saved: 1, spent: 1 });
    expect(stats.first_byte_ms).toMatchObject({ miss: { count: 1 }, l1: { count: 1 } });
  });

  test('DELETE /admin/audio-cache clears it, or what is one tenant’s', async () => {
    await kept('one');
    await kept('two');
    const nobodys = await ask('DELETE', '/admin/audio-cache?tenant=nobody');
    expect(await answerOf(nobodys)).toEqual({ deleted: 0 });
    expect(await answerOf(await ask('DELETE', '/admin/audio-cache'))).toEqual({ deleted: 2 });
    expect((await speech.stats()).store?.entries).toBe(0);
    expect((await ask('DELETE', '/admin/audio-cache?tenant=')).status).toBe(400);
  });

  test('DELETE /admin/audio-cache/entry deletes one, by its key or by its request', async () => {
    const key = await kept('one');
    const byKey = await ask('DELETE', '/admin/audio-cache/entry', { key });
    expect(await answerOf(byKey)).toEqual({ deleted: true, key });
    expect((await ask('DELETE', `/admin/audio-cache/entry?key=${key}`)).status).toBe(404);
    await kept('two');
    const request = { text: ' two ', voice: 'ada', language: 'es' };
    expect((await ask('DELETE', '/admin/audio-cache/entry', request)).status).toBe(200);
    expect(await speech.get(request)).toBeUndefined();
  });

  test('a deletion that says too little, too much or nothing that can be is refused', async () => {
    const statusOf = async (body: unknown) =>
      (await ask('DELETE', '/admin/audio-cache/entry', body)).status;
    const key = '0'.repeat(64);
    expect(await statusOf({})).toBe(400);
    expect(await statusOf({ key, text: 'one', voice: 'ada' })).toBe(400);
    expect(await statusOf('{')).toBe(400);
    expect(await statusOf({ text: ' ', voice: 'ada' })).toBe(422);
    expect(await statusOf({ text: 'one' })).toBe(422);
    expect(await statusOf({ text: 'one', voice: 'ada', format: '../wav' })).toBe(422);
    expect(await statusOf({ text: 'x'.repeat(1_000_001), voice: 'ada' })).toBe(413);
    for (const trick of [
      '../../etc/passwd',
      '%2e%2e',
      `${key}/..`,
      key.toUpperCase().replaceAll('0', 'A'),
    ]) {
      expect(await statusOf({ key: trick })).toBe(404);
    }
  });

  test('POST /admin/audio-cache/cleanup runs the clean-up by hand', async () => {
    const report = await answerOf(await ask('POST', '/admin/audio-cache/cleanup'));
    expect(report).toEqual({
      result: 'idle',
      entries_removed: 0,
      freed_bytes: 0,
      ms: expect.any(Number),
    });
    const { cleanup } = await answerOf(await ask('GET', '/admin/audio-cache/stats'));
    expect(cleanup).toMatchObject({ last: { result: 'idle', entries_removed: 0 } });
  });
});

describe('source: the audio cache on the file system', () => {
  test('GET /api/audio-cache/stats has size, hit rate, voices and the most accessed', async () => {
    const key = await kept('one two three');
    const stats = await answerOf(await ask('GET', '/api/audio-cache/stats'));
    const { bytes = 0 } = (await speech.stats()).store ?? {};
    expect(stats).toMatchObject({ total_size: bytes, total_files: 1, max_size: 1_073_741_824 });
    expect(stats.hit_rate).toEqual(expect.any(Number));
    expect(stats.voice_distribution).toMatchObject({ ada: { files: 1, size: bytes } });
    const [most] = z.array(z.record(z.string(), z.unknown())).parse(stats.most_accessed);
    expect(most).toMatchObject({
      key,
      size: bytes,
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      last_accessed: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      access_count: expect.any(Number),
      text: 'one two th',
      voice_id: 'ada',
      language: 'es',
    });
    expect(JSON.stringify(stats)).not.toContain(directory);
  });

  test('POST /api/audio-cache/clear deletes every clip', async () => {
    await kept('one');
    expect(await answerOf(await ask('POST', '/api/audio-cache/clear'))).toEqual({ deleted: 1 });
    expect((await speech.stats()).store?.entries).toBe(0);
  });

  test('where clips are not kept in files, both are 404', async () => {
    expect((await ask('GET', '/api/audio-cache/stats', undefined, aloneApp)).status).toBe(404);
    expect((await ask('POST', '/api/audio-cache/clear', undefined, aloneApp)).status).toBe(404);
  });
});

const ROUTES = [
  ['GET', '/admin/audio-cache/stats'],
  ['DELETE', '/admin/audio-cache'],
  ['DELETE', `/admin/audio-cache/entry?key=${'0'.repeat(64)}`],
  ['POST', '/admin/audio-cache/cleanup'],
  ['GET', '/api/audio-cache/stats'],
  ['POST', '/api/audio-cache/clear'],
] as const;

test.each(ROUTES)('G9: %s %s needs the admin token', async (method, path) => {
  for (const token of [undefined, auth.apiToken, 'stranger']) {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    expect((await coverage.request(app, path, { method, headers })).status).toBe(401);
  }
});

test.each(ROUTES)('%s %s is 503 where the store can not be used', async (method, path) => {
  const answer = await ask(method, path, undefined, brokenApp);
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
  expect(await answer.text()).not.toContain(directory);
});

test('every documented answer was seen, and no other', async () => {
  const document = await documentOf(app);
  expect(coverage.missing(document)).toEqual([]);
  expect(coverage.undocumented(document)).toEqual([]);
});
