/**
 * The bucket is one of @supabase/lite, asked by supabase-js: the real API with the real answers,
 * over SQLite in memory and without a socket. Only where its objects lie is of the test.
 */
import { App, setExperimental } from '@supabase/lite';
import { createConnection } from '@supabase/lite/sqlite';
import { createClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { createSpeechCache, storageStore } from '../src/index.ts';
import type { StorageBucket, StorageClient } from '../src/storage-store.ts';
import { type Clip, type ClipStore, StoreError } from '../src/store.ts';
import { clip, entriesOf, HeldClock, keyOf, NOW } from './file-store/support.ts';
import { heard, saying } from './speech/support.ts';

type Objects = NonNullable<App['_storageAdapter']>;
type ObjectFacts = Awaited<ReturnType<Objects['headObject']>>;

const SECRET = 'sb_secret_of_the_tests_0123456789';
const BUCKET = 'speech';
const app = await lite();
const clock = new HeldClock();
const store = storageStore({ client: clientWith(SECRET), bucket: BUCKET, clock });

beforeAll(async () => {
  await clientWith(SECRET).storage.createBucket(BUCKET, { public: false });
});
beforeEach(async () => {
  await store.clear();
});
afterAll(() => store.close());

it('a clip comes back as it was put, is replaced, and is gone when it is deleted', async () => {
  const key = keyOf('a');
  expect(await store.get(key)).toBeUndefined();
  for (const made of [clip('first', 50_000), clip('second', 7)]) {
    await store.put(key, made);
    expect(same(await store.get(key), made)).toBe(true);
  }
  expect(await store.delete(key)).toBe(true);
  expect(await store.delete(key)).toBe(false);
  expect(await store.get(key)).toBeUndefined();
});

it('every clip is told once, over many pages, with what it occupies; foreign objects are not clips', async () => {
  const keys = Array.from({ length: 103 }, (_, n) => keyOf(`${n}`)).sort();
  for (const key of keys) await store.put(key, clip(key, 100));
  await clientWith(SECRET).storage.from(BUCKET).upload('clips/notes.txt', new Uint8Array(9));
  const entries = await entriesOf(store);
  expect(entries.map(({ key }) => key)).toEqual(keys);
  expect(entries[0]).toMatchObject({ lastAccessedAt: NOW, accessCount: 0 });
  const bytes = entries.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
  expect(bytes).toBeGreaterThan(103 * 100);
  expect(await store.usage()).toEqual({ entries: 103, bytes });
  expect(await store.clear()).toBe(103);
  expect(await store.usage()).toEqual({ entries: 0, bytes: 0 });
});

it('what is over its time is not found, and goes', async () => {
  await store.put(keyOf('a'), clip('a', 10, { expiresAt: clock.now() + 1000 }));
  clock.advance(1000);
  expect(await store.get(keyOf('a'))).toBeUndefined();
  expect(await store.usage()).toEqual({ entries: 0, bytes: 0 });
});

it('an object that is none of ours under a clip’s name is no clip', async () => {
  const bucket = clientWith(SECRET).storage.from(BUCKET);
  const huge = new Uint8Array([255, 255, 255, 255, 1]);
  for (const bytes of [new Uint8Array(1), huge, new TextEncoder().encode('\0\0\0\u0002{}audio')]) {
    await bucket.upload(`clips/${keyOf('a')}`, bytes, { upsert: true });
    expect(await store.get(keyOf('a'))).toBeUndefined();
  }
});

it('a bucket that is not there, or may not be read, is an error and never a miss', async () => {
  const client = clientWith(SECRET);
  const stores = [
    storageStore({ client, bucket: 'elsewhere' }),
    storageStore({ client: clientWith('sb_secret_of_somebody_else_01234'), bucket: BUCKET }),
  ];
  for (const wrong of stores) {
    await expect(wrong.get(keyOf('a'))).rejects.toThrow(StoreError);
    await expect(wrong.put(keyOf('a'), clip('a'))).rejects.toThrow(StoreError);
  }
});

it('only keys become paths', async () => {
  for (const key of ['../secret', 'A'.repeat(64), `${keyOf('a')}/..`, '']) {
    await expect(store.get(key)).rejects.toMatchObject({ reason: 'refused' });
    await expect(store.put(key, clip('a'))).rejects.toMatchObject({ reason: 'refused' });
  }
});

it('one at a time cleans up; who died at it stops nobody for more than a minute', async () => {
  const ran: boolean[] = [];
  const outer = await store.exclusively(async () => {
    ran.push(await store.exclusively(async () => {}));
    clock.advance(60_001);
    ran.push(await store.exclusively(async () => {}));
  });
  expect([outer, ...ran]).toEqual([true, false, true]);
  expect(await store.exclusively(async () => {})).toBe(true);
});

it('who may not write is told so, and not that somebody else cleans up', async () => {
  const { storage } = clientWith(SECRET);
  const from = (name: string): StorageBucket => {
    const bucket = storage.from(name);
    return {
      upload: async () => ({ data: null, error: new Error('over quota') }),
      download: (...args) => bucket.download(...args),
      remove: (...args) => bucket.remove(...args),
      list: (...args) => bucket.list(...args),
    };
  };
  const full = storageStore({ client: { storage: { from } }, bucket: BUCKET, clock });
  const cleaned = full.exclusively(async () => {});
  await expect(cleaned).rejects.toMatchObject({ reason: 'unavailable' });
});

it.each([0, 1, 2])(
  'of two who come upon the lock of a dead one, one cleans up, though %i were done before the slower goes on',
  async (before) => {
    // The slower one stands still before its first request, before its second, and so on.
    for (let sent = 0; sent <= 5; sent += 1) {
      const ended = Promise.withResolvers<void>();
      const died = cleaning(store, () => ended.promise);
      await died.began;
      clock.advance(60_001);
      const runs = { atOnce: 0, most: 0, done: 0 };
      const work = async (until: Promise<void>) => {
        runs.atOnce += 1;
        runs.most = Math.max(runs.most, runs.atOnce);
        await until;
        runs.atOnce -= 1;
        runs.done += 1;
      };
      const halt = haltedAt(sent, clientWith(SECRET));
      const slow = cleaning(storageStore({ client: halt.client, bucket: BUCKET, clock }), () =>
        work(ended.promise),
      );
      await Promise.race([halt.reached, slow.began]);
      for (let n = 0; n < before; n += 1) await store.exclusively(() => work(Promise.resolve()));
      const quick = cleaning(store, () => work(ended.promise));
      await quick.began;
      halt.goOn();
      await slow.began;
      ended.resolve();
      await Promise.all([slow.over, quick.over, died.over]);
      expect(runs.most).toBe(1);
      expect(runs.atOnce).toBe(0);
      clock.advance(60_001);
    }
  },
);

it('as the durable store of a speech cache: what a lost memory does not have is heard from it', async () => {
  const client = clientWith(SECRET);
  const hello = { text: 'Hola', voice: 'lucia' };
  const voice = saying(new Uint8Array([0xff, 1, 2]));
  const sources = [];
  for (let life = 1; life <= 2; life += 1) {
    const durable = storageStore({ client, bucket: BUCKET });
    await using speech = createSpeechCache({
      durable,
      durableTimeout: '10s',
      lookupTimeout: '10s',
    });
    const stream = await speech.stream(hello, voice.synthesize);
    sources.push(stream.source);
    expect(await heard(stream)).toEqual(new Uint8Array([0xff, 1, 2]));
  }
  expect(sources).toEqual(['miss', 'storage']);
  expect(voice.calls).toHaveLength(1);
});

/** A run of the clean-up; `began` resolves when it is at it, or was told that somebody else is. */
function cleaning(by: ClipStore, work: () => Promise<void>) {
  const began = Promise.withResolvers<void>();
  const over = by.exclusively(async () => {
    began.resolve();
    await work();
  });
  void over.finally(() => began.resolve());
  return { began: began.promise, over };
}

/** The same client, whose n-th request (from 0) waits until it may go on. */
function haltedAt(n: number, client: StorageClient) {
  const reached = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  let sent = 0;
  const inTurn = async <T>(ask: () => PromiseLike<T>): Promise<T> => {
    if (sent++ === n) {
      reached.resolve();
      await gate.promise;
    }
    return await ask();
  };
  const from = (name: string): StorageBucket => {
    const bucket = client.storage.from(name);
    return {
      upload: (...args) => inTurn(() => bucket.upload(...args)),
      download: (...args) => inTurn(() => bucket.download(...args)),
      remove: (...args) => inTurn(() => bucket.remove(...args)),
      list: (...args) => inTurn(() => bucket.list(...args)),
    };
  };
  const halted: StorageClient = { storage: { from } };
  return { client: halted, reached: reached.promise, goOn: gate.resolve };
}

function same(found: Clip | undefined, made: Clip): boolean {
  expect(found?.metadata).toEqual(made.metadata);
  return found !== undefined && Buffer.compare(found.bytes, made.bytes) === 0;
}

function clientWith(key: string) {
  return createClient('http://localhost', key, {
    auth: { persistSession: false },
    global: { fetch: async (input, init) => app.fetch(new Request(input, init)) },
  });
}

async function lite(): Promise<App> {
  // It has to be asked for, by those who know that it is new.
  setExperimental('storage', true);
  const lite = new App({
    connection: await createConnection({ url: ':memory:' }),
    auth: { secret_key: SECRET, jwt_secret: 'of no importance to these tests, but long enough' },
    storage: { enabled: true },
    options: { server: { admin: false } },
  });
  lite._storageAdapter = objectsInMemory();
  await lite.init();
  await lite.ensureSystemSchema();
  return lite;
}

function objectsInMemory(): Objects {
  const objects = new Map<string, { readonly bytes: Uint8Array; readonly facts: ObjectFacts }>();
  const nameOf = (bucket: string, key: string) => JSON.stringify([bucket, key]);
  const find = (bucket: string, key: string) => {
    const found = objects.get(nameOf(bucket, key));
    if (found === undefined) throw new Error('no such object');
    return found;
  };
  const unused = () => Promise.reject(new Error('not used here'));
  return {
    driver: objects,
    async getObject(bucket, key) {
      const { bytes, facts } = find(bucket, key);
      return { metadata: facts, httpStatusCode: 200, body: Buffer.from(bytes) };
    },
    async uploadObject(bucket, key, _version, body, mimetype, cacheControl) {
      const sent = body instanceof Uint8Array ? [body] : body;
      const pieces: Uint8Array[] = [];
      for await (const piece of sent) pieces.push(piece);
      const bytes = Buffer.concat(pieces);
      const size = bytes.byteLength;
      const facts = {
        httpStatusCode: 200,
        cacheControl,
        mimetype,
        eTag: '""',
        lastModified: new Date(NOW),
        contentLength: size,
        size,
      };
      objects.set(nameOf(bucket, key), { bytes, facts });
      return facts;
    },
    async deleteObject(bucket, key) {
      objects.delete(nameOf(bucket, key));
    },
    async deleteObjects(bucket, keys) {
      for (const key of keys) objects.delete(nameOf(bucket, key));
    },
    headObject: async (bucket, key) => find(bucket, key).facts,
    copyObject: unused,
    privateAssetUrl: unused,
  };
}
