/** How the service starts on a database that is not as it should be, and who else gets in. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '@cache/core';
import { startSupabase } from '@cache/testing';
import { createClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openAudiobooks } from '../src/service.ts';
import { ask, FakeVoice, MIGRATIONS, make, Stage } from './support.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage?.[Symbol.asyncDispose]());

const quiet = () => {};
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet };

test('bad input: a table progress that lacks a column ends the start, with the name of the column', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'audiobooks-'));
  await writeFile(
    join(folder, '20991201000000_lacking.sql'),
    'alter table public.progress drop column heard_at cascade;',
  );
  const lacking = await startSupabase({ migrations: [...MIGRATIONS, folder] });
  try {
    const { url, secretKey } = lacking;
    const env = {
      PORT: '0',
      REDIS_URL: 'off',
      AUDIO_CACHE_ENABLED: 'false',
      SUPABASE_URL: url,
      SUPABASE_SECRET_KEY: secretKey,
    };
    const opening = openAudiobooks({ env, logger, provider: new FakeVoice() });
    const error: unknown = await opening.catch((thrown: unknown) => thrown);
    if (!(error instanceof ConfigError)) throw new Error('it should not have started');
    expect(error.message).toMatch(/progress.*heard_at/);
  } finally {
    await lacking.close();
    await rm(folder, { recursive: true });
  }
});

test('G9: a stranger with the public key reads no table, and calls none of the functions', async () => {
  const service = await stage.open();
  const { id, documentId } = await stage.book(service);
  await make(service, id, [1]);
  const at = { voice_id: 'es-mx', segment_id: 1, intra_ms: 0 };
  await ask(service, 'PUT', `/progress/${randomUUID()}/${documentId}`, at);
  await service.cache.sync();
  const { url, publishableKey } = stage.stack.supabase;
  const stranger = createClient(url, publishableKey, { auth: { persistSession: false } });
  const calls: readonly (readonly [string, object])[] = [
    ['book', { name: String(id) }],
    ['put_book', { book: id, document: 'x', titulo: 'x', autor: 'x', textos: null }],
    ['text', { book: id, segment: 1, of_revision: 'x' }],
    ['audio', { audio: 1 }],
    ['audios', { book: id, voice: 'es-mx' }],
    ['add_audio', { book: id, voice: 'x', segment: 1, of_revision: 'x', key: 'x', duration: 1 }],
  ];
  for (const [name, args] of calls) {
    const { data, error } = await stranger.rpc(`audiobooks_${name}`, args);
    expect([name, data, error?.code]).toEqual([name, null, '42501']);
  }
  for (const table of ['books', 'segments', 'audios', 'progress']) {
    const seen = await stranger.from(table).select('*');
    expect([table, seen.data ?? []]).toEqual([table, []]);
    const known = await stage.sql.from(table).select('*').limit(1);
    expect([table, known.data?.length]).toEqual([table, 1]);
  }
  const { error } = await stranger.from('progress').delete().eq('document_id', documentId);
  const { data } = await stage.sql.from('progress').select().eq('document_id', documentId);
  expect([error === null || error.code === '42501', data?.length]).toEqual([true, 1]);
});
