/** The journal is at rest too. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { ConfigError } from '../../../src/index.ts';
import { errorOf, eventually, Stage, turn } from '../support.ts';
import { patient, ring, STARTING_MS } from './keys.ts';

const CANARY = 'canary-in-the-journal';

let stage: Stage;
let dir: string;
beforeAll(async () => {
  stage = await Stage.start();
  dir = await mkdtemp(join(tmpdir(), 'cache-journal-'));
}, STARTING_MS);
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});
afterEach(() => stage.closeInstances());

async function files(): Promise<Buffer> {
  const names = await readdir(dir);
  return Buffer.concat(await Promise.all(names.map((name) => readFile(join(dir, name)))));
}

test('G9: a journal holds no plain text, is replayed with its key, and refused with another', async () => {
  const key = stage.key();
  const journal = { dir, mode: 'always' } as const;
  const [redis, supabase] = [await stage.proxyToRedis(), await stage.proxyToSupabase()];
  const options = { journal, l2: { url: redis.url }, l3: { url: supabase.url } };
  const writer = await stage.ready(patient({ ...options, encryption: ring('k1', 'k1') }));
  redis.cut();
  supabase.cut();
  await writer.logs.append(key, turn('a', CANARY));
  await writer.cache.records<string>('texts').set(key, CANARY);
  await writer.cache.close({ deadline: 200 });
  const held = await files();
  expect(held.includes(key)).toBe(true);
  expect(held.includes(CANARY)).toBe(false);
  redis.heal();
  supabase.heal();

  for (const encryption of [undefined, ring('k2', 'k2')]) {
    const refused = await errorOf(
      Promise.resolve().then(() => stage.open({ journal, encryption })),
    );
    expect(refused).toBeInstanceOf(ConfigError);
    expect((await files()).equals(held), 'it is left alone').toBe(true);
  }
  const rotated = await stage.ready(patient({ journal, encryption: ring('k2', 'k1', 'k2') }));
  await eventually(async () => {
    await rotated.cache.sync();
    expect((await rotated.logs.read(key))[0]?.text).toBe(CANARY);
    expect(await rotated.cache.records<string>('texts').get(key)).toBe(CANARY);
  });
});
