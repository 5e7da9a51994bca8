/** The speech of the service over HTTP. The voice is the test's own: it fails when it is told to. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createFileStore,
  createSpeechCache,
  type Provider,
  ProviderError,
  type Synthesis,
} from '@cache/audio';
import { type Cache, createCache, redis, supabase } from '@cache/core';
import { listenerOf, type Router } from '@cache/http';
import { type Stack, startStack } from '@cache/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import {
  documentOf,
  RouteCoverage,
} from '../../../../packages/http/test/support/route-coverage.ts';
import { createApp } from '../../src/app.ts';
import { MIGRATIONS } from '../../src/embedded.ts';
import { noSpeech, openSpoken, type Speech } from '../../src/speech/speech.ts';
import { partOf } from '../support/documented-parts.ts';
import { lines } from '../support/lines.ts';

const auth = { adminToken: 'boss-token', apiToken: 'user-token' };
const user = { authorization: `Bearer ${auth.apiToken}` };
const jsonType = { 'content-type': 'application/json' };
const coverage = new RouteCoverage();
const SAMPLES = new Uint8Array(10_000).map((_, at) => (at * 7919) % 251);
const HTML = new TextEncoder().encode('<!doctype html><title>Bad gateway</title>');

/** What the voice of this name does. */
const spoken: string[] = [];
const MOODS: Readonly<Record<string, () => AsyncIterable<Uint8Array>>> = {
  async *ada() {
    yield SAMPLES.subarray(0, 4000);
    yield SAMPLES.subarray(4000);
  },
  async *html() {
    yield HTML;
  },
  async *empty() {},
  async *half() {
    yield SAMPLES.subarray(0, 4000);
    throw new Error('the line was cut');
  },
  silent: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) }),
};
const REFUSALS: Readonly<Record<string, ProviderError>> = {
  stranger: new ProviderError('unauthorized', 'the key my-secret-key is wrong'),
  busy: new ProviderError('busy', 'too many at once', { retryAfterMs: 6500 }),
  broken: new ProviderError('unavailable', 'it answered 500'),
};
const provider: Provider = {
  name: 'moody',
  maxCharacters: 100,
  async synthesize({ voice }): Promise<Synthesis> {
    spoken.push(voice);
    const refusal = REFUSALS[voice];
    if (refusal !== undefined) throw refusal;
    const mood = MOODS[voice];
    if (mood === undefined) throw new ProviderError('refused', 'there is no such voice');
    return { mediaType: 'audio/x-raw', audio: mood() };
  },
};

let directory: string;
let stack: Stack;
const caches: Cache[] = [];
let app: Router;
/** Where nobody speaks, and where clips can't be read. */
let muteApp: Router;
let brokenApp: Router;
const opened: Speech[] = [];

function speechIn(dir: string): Speech {
  const store = createFileStore({ dir });
  const speech = {
    ...noSpeech(),
    cache: createSpeechCache({
      store,
      requests: { format: 'pcm' },
      firstByteTimeout: '300ms',
      lookupTimeout: '5s',
    }),
    voice: { provider, model: 'm', format: 'pcm', voice: 'ada' },
    enabled: true,
  } as const;
  const own = { ...speech, close: () => speech.cache.close() };
  opened.push(own);
  return own;
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cache-demo-speech-'));
  stack = await startStack({ supabase: { migrations: MIGRATIONS } });
  app = await appWith(speechIn(join(directory, 'clips')));
  muteApp = await appWith(undefined);
  brokenApp = await appWith(speechIn('/dev/null/clips'));
});

/** An instance of the service: each has a cache of its own, over the same Redis. */
async function appWith(speech: Speech | undefined): Promise<Router> {
  const cache = createCache({
    l2: redis({ url: stack.redis.url, timeout: '5s' }),
    l3: supabase({ url: stack.supabase.url, key: stack.supabase.secretKey, timeout: '5s' }),
  });
  caches.push(cache);
  await cache.ready();
  return createApp({ cache, auth, logger: lines(), speech });
}

afterAll(async () => {
  await Promise.all(opened.map((speech) => speech.close()));
  await Promise.all(caches.map((cache) => cache.close({ deadline: 0 })));
  await stack?.close();
  await rm(directory, { recursive: true, force: true });
});

async function ask(
  method: string,
  path: string,
  body?: unknown,
  {
    headers = {},
    of = app,
  }: { readonly headers?: Record<string, string>; readonly of?: Router } = {},
): Promise<Response> {
  const sent =
    body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) };
  const type = body === undefined ? {} : jsonType;
  return await coverage.request(of, path, {
    method,
    ...sent,
    headers: { ...user, ...type, ...headers },
  });
}

const say = (body: unknown, headers: Record<string, string> = {}) =>
  ask('POST', '/speech', body, { headers });

async function heard(answer: Response): Promise<Uint8Array> {
  return new Uint8Array(await answer.arrayBuffer());
}

describe('POST /speech', () => {
  test('speaks once, and plays from memory then', async () => {
    const first = await say({ text: 'Welcome.', voice: 'ada', contentType: 'welcome_message' });
    expect([first.status, first.headers.get('x-cache')]).toEqual([200, 'miss']);
    expect(first.headers.get('content-type')).toBe('audio/x-raw');
    expect(await heard(first)).toEqual(SAMPLES);
    const again = await say({ text: ' Welcome. ' });
    expect([again.headers.get('x-cache'), again.headers.get('content-length')]).toEqual([
      'l1',
      '10000',
    ]);
    expect(again.headers.get('x-audio-key')).toBe(first.headers.get('x-audio-key'));
    expect(await heard(again)).toEqual(SAMPLES);
  });

  test('cache-control of the request: no-store keeps nothing, no-cache speaks anew, only-if-cached never', async () => {
    await heard(await say({ text: 'secret' }, { 'cache-control': 'no-store' }));
    expect((await say({ text: 'secret' }, { 'cache-control': 'only-if-cached' })).status).toBe(504);
    const before = spoken.length;
    await heard(await say({ text: 'anew' }));
    await heard(await say({ text: 'anew' }, { 'cache-control': 'no-cache' }));
    expect(spoken.length).toBe(before + 2);
  });

  const refused: readonly (readonly [string, unknown, number])[] = [
    ['no text', { voice: 'ada' }, 422],
    ['an empty text', { text: ' \n ' }, 422],
    ['a text over the limit of the provider', { text: 'x'.repeat(101) }, 413],
    ['a body over 1 MB', { text: 'x'.repeat(1_000_001) }, 413],
    ['half a character', '{"text":"\\ud800"}', 422],
    ['an unknown voice', { text: 'one', voice: '../../etc/passwd' }, 422],
    ['an unknown format', { text: 'one', format: '../mp3' }, 422],
    ['a content type that is a path', { text: 'one', contentType: '../x' }, 422],
    ['a field that is not known', { text: 'one', speed: 1 }, 400],
    ['something else than JSON', '{', 400],
    ['a provider that answers 401', { text: 'one', voice: 'stranger' }, 502],
    ['a provider that answers 429', { text: 'one', voice: 'busy' }, 503],
    ['a provider that answers 500', { text: 'one', voice: 'broken' }, 502],
    ['a page instead of audio', { text: 'one', voice: 'html' }, 502],
    ['an empty answer', { text: 'one', voice: 'empty' }, 502],
    ['a provider that says nothing at all', { text: 'one', voice: 'silent' }, 504],
  ];
  test.each(refused)('%s is a problem, and nothing is kept', async (_, body, status) => {
    const answer = await say(body);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([
      status,
      'application/problem+json',
    ]);
    const text = await answer.text();
    expect(text).not.toContain('my-secret-key');
    const kept = await say(body, { 'cache-control': 'only-if-cached' });
    expect([400, 413, 422, 504]).toContain(kept.status);
  });

  test('a busy provider says when to come back', async () => {
    const answer = await say({ text: 'two', voice: 'busy' });
    expect(answer.headers.get('retry-after')).toBe('7');
  });

  test('the wrong media type, and no token, are refused', async () => {
    const plain = { headers: { 'content-type': 'text/plain' } };
    expect((await ask('POST', '/speech', 'one', plain)).status).toBe(415);
    const stranger = await coverage.request(app, '/speech', { method: 'POST' });
    expect(stranger.status).toBe(401);
  });

  test('where nobody speaks it is 503, and says what to do', async () => {
    const answer = await ask('POST', '/speech', { text: 'one' }, { of: muteApp });
    expect(answer.status).toBe(503);
    expect(await answer.json()).toMatchObject({
      detail: expect.stringContaining('ELEVENLABS_API_KEY'),
    });
  });

  test('half a clip is never a whole: over a socket the answer breaks off', async () => {
    const http = createServer(listenerOf(app.fetch));
    const listening = Promise.withResolvers<void>();
    http.listen(0, '127.0.0.1', () => listening.resolve());
    await listening.promise;
    const address = http.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const answer = await fetch(`http://127.0.0.1:${port}/speech`, {
      method: 'POST',
      headers: { ...user, ...jsonType },
      body: JSON.stringify({ text: 'cut', voice: 'half' }),
    });
    await expect(answer.arrayBuffer()).rejects.toThrow();
    expect(
      (await say({ text: 'cut', voice: 'half' }, { 'cache-control': 'only-if-cached' })).status,
    ).toBe(504);
    http.closeAllConnections();
    await new Promise((resolve) => http.close(resolve));
  });
});

describe('GET /speech/{key}', () => {
  test('plays a clip that is kept, whole or a range of it, and says when it is the same', async () => {
    const first = await say({ text: 'ranges' });
    await heard(first);
    const path = `/speech/${first.headers.get('x-audio-key')}`;
    const whole = await ask('GET', path);
    expect([whole.status, await heard(whole)]).toEqual([200, SAMPLES]);
    const part = await ask('GET', path, undefined, { headers: { range: 'bytes=100-199' } });
    expect([part.status, part.headers.get('content-range')]).toEqual([206, 'bytes 100-199/10000']);
    expect(await heard(part)).toEqual(SAMPLES.slice(100, 200));
    const behind = await ask('GET', path, undefined, { headers: { range: 'bytes=10000-' } });
    expect([behind.status, behind.headers.get('content-range')]).toEqual([416, 'bytes */10000']);
    const etag = whole.headers.get('etag') ?? '';
    const same = await ask('GET', path, undefined, { headers: { 'if-none-match': etag } });
    expect(same.status).toBe(304);
  });

  test('what is no key, or nobody’s, is 404; without a token 401', async () => {
    for (const key of ['0'.repeat(64), '..%2f..%2fetc', 'A'.repeat(64)]) {
      expect((await ask('GET', `/speech/${key}`)).status).toBe(404);
    }
    expect((await ask('GET', '/speech/%ff')).status).toBe(400);
    const stranger = await coverage.request(app, `/speech/${'0'.repeat(64)}`);
    expect(stranger.status).toBe(401);
  });

  test('where clips can not be read it is 503; speech goes on', async () => {
    const path = `/speech/${'0'.repeat(64)}`;
    expect((await ask('GET', path, undefined, { of: brokenApp })).status).toBe(503);
    const answer = await ask('POST', '/speech', { text: 'disk full' }, { of: brokenApp });
    expect([answer.status, await heard(answer)]).toEqual([200, SAMPLES]);
  });
});

const saidSchema = z.looseObject({
  speech: z.object({ href: z.string(), key: z.string() }).nullable().optional(),
});

describe('conversations', () => {
  test('a turn of the agent is spoken where its answer says, and once', async () => {
    const metadata = { voice: 'ada', language: 'en' };
    await ask('POST', '/conversations', { id: 'call', metadata });
    const turn = { id: 't1', role: 'agent', text: 'How can I help?', speak: true };
    const said = await ask('POST', '/conversations/call/turns', turn);
    const { speech } = saidSchema.parse(await said.json());
    expect([said.status, speech?.href]).toEqual([201, '/conversations/call/turns/t1/speech']);
    const first = await ask('GET', speech?.href ?? '');
    expect([first.status, first.headers.get('x-audio-key')]).toEqual([200, speech?.key]);
    expect(await heard(first)).toEqual(SAMPLES);
    const again = await ask('GET', speech?.href ?? '');
    expect(again.headers.get('x-cache')).toBe('l1');
    const { turns } = z
      .looseObject({ turns: z.array(z.looseObject({})) })
      .parse(await (await ask('GET', '/conversations/call')).json());
    expect(turns).toEqual([
      { id: 't1', role: 'agent', text: 'How can I help?', at: expect.any(Number) },
    ]);
  });

  test('HEAD says what a turn would be, and has nothing spoken', async () => {
    await ask('POST', '/conversations', { id: 'heads' });
    const turn = { id: 't1', role: 'agent', text: 'Heads or tails?', speak: true };
    const said = await ask('POST', '/conversations/heads/turns', turn);
    const { speech } = saidSchema.parse(await said.json());
    const before = spoken.length;
    const head = await ask('HEAD', speech?.href ?? '');
    expect([head.status, head.headers.get('x-audio-key')]).toEqual([200, speech?.key]);
    const headers = { 'cache-control': 'only-if-cached' };
    const kept = () => ask('HEAD', speech?.href ?? '', undefined, { headers });
    expect((await kept()).status).toBe(504);
    expect(spoken.length).toBe(before);
    await heard(await ask('GET', speech?.href ?? ''));
    expect((await kept()).status).toBe(200);
    expect(spoken.length).toBe(before + 1);
  });

  test('what can not be spoken is not stored; what the caller says is not spoken', async () => {
    await ask('POST', '/conversations', { id: 'shy' });
    const path = '/conversations/shy/turns';
    const turn = { id: 't1', role: 'agent', text: ' ', speak: true };
    expect((await ask('POST', path, turn)).status).toBe(422);
    expect((await ask('POST', path, { ...turn, role: 'caller', text: 'Hi' })).status).toBe(422);
    expect((await ask('GET', `${path}/t1/speech`)).status).toBe(404);
    expect((await ask('POST', path, { id: 't2', role: 'caller', text: 'Hi' })).status).toBe(201);
    expect((await ask('GET', `${path}/t2/speech`)).status).toBe(422);
  });

  test('where nobody speaks, what the agent says is stored all the same', async () => {
    await ask('POST', '/conversations', { id: 'mute' });
    const turn = { id: 't1', role: 'agent', text: 'Hello', speak: true };
    const said = await ask('POST', '/conversations/mute/turns', turn, { of: muteApp });
    expect(saidSchema.parse(await said.json()).speech).toBeNull();
    const path = '/conversations/mute/turns/t1/speech';
    expect((await ask('GET', path, undefined, { of: muteApp })).status).toBe(503);
  });

  test('a conversation says who speaks: a voice that fails is a problem there, too', async () => {
    const statusWith = async (voice: string) => {
      await ask('POST', '/conversations', { id: voice, metadata: { voice } });
      await ask('POST', `/conversations/${voice}/turns`, {
        id: 't1',
        role: 'agent',
        text: 'Hello',
      });
      return (await ask('GET', `/conversations/${voice}/turns/t1/speech`)).status;
    };
    expect([await statusWith('broken'), await statusWith('silent')]).toEqual([502, 504]);
  });

  test('a turn is heard with the API token alone, and under a path that can be read', async () => {
    const path = '/conversations/call/turns/t1/speech';
    expect((await coverage.request(app, path)).status).toBe(401);
    expect((await ask('GET', '/conversations/%ff/turns/t1/speech')).status).toBe(400);
  });
});

test('switched off, everything is spoken anew and nothing is kept', async () => {
  const env = { AUDIO_CACHE_ENABLED: 'false', SPEECH_PROVIDER: 'off' };
  const off = await openSpoken({ env });
  const mutable = { ...off, voice: { provider, model: 'm', format: 'pcm', voice: 'ada' } } as const;
  const offApp = await appWith(mutable);
  for (const source of ['miss', 'miss']) {
    const answer = await ask('POST', '/speech', { text: 'off', format: 'pcm' }, { of: offApp });
    expect(answer.headers.get('x-cache')).toBe(source);
    await heard(answer);
  }
  await off.close();
});

test('clips are kept in files where a directory is named, in Redis otherwise, and in files without it', async () => {
  const l2 = redis({ url: stack.redis.url });
  const storeOf = async (env: Record<string, string>, at?: typeof l2) => {
    const speech = await openSpoken({ env: { SPEECH_PROVIDER: 'off', ...env }, l2: at });
    await speech.close();
    return speech.store?.name;
  };
  expect(await storeOf({ AUDIO_CACHE_DIR: join(directory, 'x') }, l2)).toBe('file');
  expect(await storeOf({}, l2)).toBe('l2');
  expect(await storeOf({})).toBe('file');
});

test('every documented answer of the speech was seen', async () => {
  const document = partOf(await documentOf(app), 'speech.test.ts');
  expect(coverage.missing(document)).toEqual([]);
  expect(coverage.undocumented(document)).toEqual([]);
});
