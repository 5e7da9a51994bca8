/**
 * The audiobook service under 64 callers, over HTTP, beside the targets of its source: an audio that
 * was made in under 50 ms, a list in under 100 ms, progress in under 20 ms, each at p99. The same
 * without Redis, and with neither memory nor Redis, where every request goes to Supabase.
 *
 * The callers are in the process of the service: what they cost is in the figures.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openService } from '@cache/audiobooks';
import { startStack } from '@cache/testing';

const CALLERS = 64;
const REQUESTS = 3200;
const BOOK = 42;
const TEXTS = Array.from({ length: 20 }, (_, nth) => `En un lugar de la Mancha, ${nth}.`);
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

interface Kind {
  readonly name: string;
  readonly targetMs: number;
  readonly ask: (url: string, nth: number) => Promise<Response>;
}

const KINDS: readonly Kind[] = [
  { name: 'audio', targetMs: 50, ask: (url, nth) => fetch(`${url}/tts/audio/${1 + (nth % 20)}`) },
  {
    name: 'list',
    targetMs: 100,
    ask: (url) => fetch(`${url}/tts/libro/${BOOK}/audios?voice=es-mx`),
  },
  {
    name: 'progress',
    targetMs: 20,
    ask: (url, nth) =>
      send('PUT', `${url}/progress/user-${nth % 500}/doc-456`, {
        voice_id: 'es-mx',
        segment_id: 1 + (nth % 20),
        intra_ms: nth,
      }),
  },
];

export async function benchAudiobooks(): Promise<void> {
  const migrations = ['supabase/migrations', 'apps/audiobooks/migrations'].map((folder) =>
    fileURLToPath(new URL(`../../../${folder}`, import.meta.url)),
  );
  await using stack = await startStack({ supabase: { migrations } });
  const directory = await mkdtemp(join(tmpdir(), 'cache-bench-'));
  const env = {
    PORT: '0',
    AUDIO_CACHE_DIR: directory,
    SUPABASE_URL: stack.supabase.url,
    SUPABASE_SECRET_KEY: stack.supabase.secretKey,
  };
  process.stdout.write(`\naudiobooks: ${CALLERS} callers, ${REQUESTS} requests of each kind\n`);
  await measure('with Redis', { ...env, REDIS_URL: stack.redis.url });
  await measure('without Redis', { ...env, REDIS_URL: 'off' });
  const none = { REDIS_URL: 'off', REDIS_L1_CACHE_SIZE: '1', REDIS_L1_CACHE_TTL: '0.001' };
  await measure('without any cache', { ...env, ...none, AUDIO_CACHE_ENABLED: 'false' }, 128);
  await rm(directory, { recursive: true });
}

async function measure(
  name: string,
  env: Readonly<Record<string, string>>,
  requests = REQUESTS,
): Promise<void> {
  const service = await openService({ env, logger: quiet });
  try {
    await prepare(service.url);
    for (const { name: kind, targetMs, ask } of KINDS) {
      const failed = { count: 0 };
      const one = async (nth: number) => {
        const start = performance.now();
        // A connection that the server let go is no answer.
        const answer = await ask(service.url, nth).catch(() => undefined);
        await answer?.arrayBuffer();
        if (answer?.ok !== true) failed.count += 1;
        return performance.now() - start;
      };
      await spread(Math.min(requests, 320), one);
      failed.count = 0;
      const times = (await spread(requests, one)).sort((a, b) => a - b);
      const at = (part: number) => (times[Math.ceil(times.length * part) - 1] ?? 0).toFixed(1);
      process.stdout.write(
        `${name.padEnd(18)} ${kind.padEnd(9)} p50 ${at(0.5).padStart(8)} ms   p99 ${at(0.99).padStart(8)} ms   target ${targetMs} ms   failed ${failed.count}\n`,
      );
    }
  } finally {
    await service.close();
  }
}

async function prepare(url: string): Promise<void> {
  const book = { documentId: 'doc-456', titulo: 'Don Quijote', autor: 'Cervantes' };
  await send('PUT', `${url}/books/${BOOK}`, { ...book, segmentos: TEXTS });
  for (const segment of TEXTS.keys()) {
    const wanted = { voice: 'es-mx', segments: [segment + 1] };
    const made = await send('POST', `${url}/tts/libro/${BOOK}/audios`, wanted);
    if (!made.ok) throw new Error(`an audio was answered with ${made.status}`);
  }
}

/** Callers that each ask again as soon as they are answered. */
async function spread(requests: number, one: (nth: number) => Promise<number>): Promise<number[]> {
  const times: number[] = [];
  let next = 0;
  const caller = async () => {
    while (next < requests) {
      next += 1;
      times.push(await one(next));
    }
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  return times;
}

function send(method: string, url: string, body: unknown): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return fetch(url, { method, headers, body: JSON.stringify(body) });
}
