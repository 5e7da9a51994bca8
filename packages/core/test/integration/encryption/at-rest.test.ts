/** What lies in Redis and in Supabase while encryption is on, and that it comes back as it was. */
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@supabase/supabase-js';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Cache } from '../../../src/index.ts';
import { eventually, type Instance, MIGRATIONS, Stage, turn } from '../support.ts';
import { bytesOf, patient, ring, STARTING_MS } from './keys.ts';

const CANARY = 'canary-7f3a91';
const encryption = ring('k1', 'k1');

/** A rule of somebody's own, which makes dead letters. */
const RULES = `
  alter table public.cache_entries add constraint no_poison check (key not like 'poison%');
  alter table public.cache_log_items add constraint no_poison check (key not like 'poison%');
`;

let stage: Stage;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cache-migrations-'));
  await cp(MIGRATIONS, folder, { recursive: true });
  await writeFile(join(folder, '20991231000000_rules.sql'), RULES);
  // A dump is to show text as it is.
  stage = await Stage.start({
    redis: { config: { rdbcompression: 'no' } },
    supabase: { migrations: folder },
  });
}, STARTING_MS);
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});
afterEach(() => stage.closeInstances());

const CODECS = {
  json: { a: CANARY, nothing: null, list: [0, false, ''], text: `\u0000 ${CANARY}` },
  bytes: new Uint8Array(Buffer.from(`\u0000${CANARY}\u00ff`, 'latin1')),
  structured: new Map<unknown, unknown>([
    [CANARY, new Set([1n])],
    ['date', new Date(0)],
  ]),
} as const;

const LARGE = Array.from({ length: 4000 }, (_, i) => `${CANARY}-${i}`);

/** Everything that Redis holds, as bytes. */
async function allOfRedis(): Promise<Buffer> {
  const keys = await stage.redis.keys('*');
  const parts = await Promise.all(
    keys.map(async (key) => (await stage.redis.dumpBuffer(key)) ?? Buffer.alloc(0)),
  );
  return Buffer.concat(parts);
}

const TABLES = ['cache_entries', 'cache_log_items', 'cache_derived', 'cache_dead_letters'] as const;

/** Everything that the tables hold, as text; the bytes in them decoded. */
async function allOfSupabase(): Promise<string> {
  const { url, secretKey } = stage.stack.supabase;
  const client = createClient(url, secretKey, { auth: { persistSession: false } });
  let text = '';
  for (const table of TABLES) {
    const { data, error } = await client.from(table).select('*');
    if (error !== null) throw new Error(error.message);
    for (const row of data) {
      const { body, ...rest }: { readonly body?: unknown } = row;
      text += JSON.stringify(rest) + bytesOf(body).toString('latin1');
    }
  }
  return text;
}

/** One of everything, under every codec, small and large, in all tiers. */
function namespacesOf(cache: Cache) {
  const codecs = ['json', 'bytes', 'structured'] as const;
  return codecs.map((codec) => ({
    codec,
    records: cache.records<unknown>(`r-${codec}`, { codec }),
    logs: cache.logs<unknown>(`l-${codec}`, { codec }),
    derived: cache.derived<string, unknown>(`d-${codec}`, { codec, persist: true, ttl: '1h' }),
  }));
}

/** The items of a log's letter. */
function listIn(payload: string): readonly (readonly unknown[])[] {
  const items: unknown = JSON.parse(payload);
  return Array.isArray(items) ? items.filter((item) => Array.isArray(item)) : [];
}

function largeOf(codec: keyof typeof CODECS): unknown {
  if (codec === 'bytes') return new Uint8Array(Buffer.from(LARGE.join()));
  return codec === 'json' ? LARGE : new Set(LARGE);
}

async function fill(one: Instance, key: string): Promise<void> {
  for (const { codec, records, logs, derived } of namespacesOf(one.cache)) {
    await records.set(`${key}-small`, CODECS[codec]);
    await records.set(`${key}-large`, largeOf(codec));
    await logs.append(key, [CODECS[codec], largeOf(codec)]);
    await derived.set(`${key}-small`, CODECS[codec]);
    await derived.getOrSet(`${key}-large`, () => largeOf(codec));
  }
}

async function expectAll(one: Instance, key: string): Promise<void> {
  for (const { codec, records, logs, derived } of namespacesOf(one.cache)) {
    expect(await records.get(`${key}-small`), codec).toEqual(CODECS[codec]);
    expect(await records.get(`${key}-large`), codec).toEqual(largeOf(codec));
    expect(await logs.read(key), codec).toEqual([CODECS[codec], largeOf(codec)]);
    const load = (): never => {
      throw new Error('this was to come from a tier');
    };
    expect(await derived.getOrSet(`${key}-small`, load), codec).toEqual(CODECS[codec]);
    expect(await derived.getOrSet(`${key}-large`, load), codec).toEqual(largeOf(codec));
  }
}

describe('G9: encryption at rest', () => {
  test('leaves no plain text in Redis or Supabase, and every tier gives the value back', async () => {
    const key = stage.key();
    const writer = await stage.ready(patient({ encryption }));
    await fill(writer, key);
    expect((await allOfRedis()).includes(CANARY), 'pending, in Redis').toBe(false);
    expect((await allOfRedis()).length).toBeGreaterThan(1000);
    // Nothing of it comes from this process's own memory.
    await expectAll(await stage.ready(patient({ encryption, l1: false })), key);

    expect(await writer.cache.sync()).toMatchObject({ failed: 0, remaining: 0 });
    const tables = await allOfSupabase();
    expect(tables).not.toContain(CANARY);
    expect(tables).toContain(`"key":"${key}-small"`);
    expect((await allOfRedis()).includes(CANARY), 'settled, in Redis').toBe(false);

    await stage.redis.flushall();
    await expectAll(await stage.ready(patient({ encryption, l1: false })), key);
    await expectAll(await stage.ready(patient({ encryption, l1: false, l2: false })), key);
    // What was copied up again is encrypted again.
    await eventually(async () => {
      const held = await allOfRedis();
      expect(held.includes(`${key}-large`) || held.length > 1000).toBe(true);
    });
    expect((await allOfRedis()).includes(CANARY), 'copied up, in Redis').toBe(false);
  });

  test('the test sees a value that is not encrypted', async () => {
    const key = stage.key();
    const { cache } = await stage.ready(patient({ compression: { algorithm: 'off' } }));
    await cache.records('plain').set(key, { text: `${CANARY}-in-the-clear` });
    expect((await allOfRedis()).includes(`${CANARY}-in-the-clear`)).toBe(true);
    await cache.sync();
    expect(await allOfSupabase()).toContain(`${CANARY}-in-the-clear`);
    await cache.records('plain').delete(key);
    await cache.sync();
  });

  test('dead letters keep the encrypted bytes, and are sent again as they are', async () => {
    const { cache, records, logs } = await stage.ready(patient({ encryption }));
    const texts = cache.records<string>('texts');
    await texts.set('poison', CANARY);
    await logs.append('poison', turn('a', CANARY));
    expect(await cache.sync()).toMatchObject({ failed: 2 });
    const letters = await cache.deadLetters.list();
    expect(letters.map(({ kind }) => kind).sort()).toEqual(['log', 'value']);
    for (const { id, kind } of letters) {
      const letter = await cache.deadLetters.get(id, { payload: true });
      const payload = letter?.payload ?? '';
      const [[, , codec, text] = []] =
        kind === 'log' ? listIn(payload) : [['', '', letter?.codec, payload]];
      expect(codec).toBe('encrypted');
      expect(Buffer.from(String(text), 'base64').length).toBeGreaterThan(CANARY.length);
      expect(Buffer.from(String(text), 'base64').includes(CANARY)).toBe(false);
      expect(await cache.deadLetters.retry(id)).toBe('refused');
    }
    expect(await texts.get('poison')).toBe(CANARY);
    await records.set(stage.key(), { n: 1 });
    for (const { id } of await cache.deadLetters.list()) await cache.deadLetters.drop(id);
  });

  test('update, ifVersion, scan and create see through it', async () => {
    const key = stage.key('scan');
    const { records, cache } = await stage.ready(patient({ encryption, l1: false }));
    await records.set(key, { n: 1 });
    await records.update(key, (count) => ({ n: (count?.n ?? 0) + 1 }));
    expect(await records.get(key)).toEqual({ n: 2 });
    const { version } = await records.set(key, { n: 3 }, { durability: 'through' });
    await records.set(key, { n: 4 }, { ifVersion: version });
    await expect(records.create(key, { n: 9 })).rejects.toThrow();
    const found = [];
    for await (const pair of records.scan({ prefix: key })) found.push(pair);
    expect(found).toEqual([[key, { n: 4 }]]);
    const inspection = await cache.inspect('counts', key, { value: true });
    expect(inspection.l3).toMatchObject({ codec: 'json', value: { n: 4 } });
  });
});
