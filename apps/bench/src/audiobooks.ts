/**
 * The audiobook service under 64 callers, over HTTP, beside the targets of its source: an audio that
 * was made in under 50 ms, a list in under 100 ms, progress in under 20 ms, each at p99. The same
 * without Redis, and with neither memory nor Redis, where every request goes to Supabase.
 *
 * Three kinds of processes share the machine's cores: the service, its servers, and this one, which
 * only asks. The targets are held against callers who ask four times a second each, which is a
 * crowd: a player tells where its listener is every few seconds. Beside them, with Redis, callers
 * who ask again as soon as they are answered: what a service at its limit does, where the 64 wait
 * for each other, so that p50 is 64 by the answers of a second.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, type IncomingMessage, request } from 'node:http';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startServiceProcess, startStack } from '@cache/testing';

const CALLERS = 64;
const WARM_REQUESTS = 640;
/** At their pace: twenty seconds. */
const PACED_REQUESTS = 5120;
const REQUESTS = 10_000;
/** Between two requests of one caller. */
const PACE_MS = 250;
const BOOK = 42;
const LISTENERS = 500;
const TEXTS = Array.from({ length: 20 }, (_, nth) => `En un lugar de la Mancha, ${nth}.`);
const PROGRAM = new URL('./main.ts', import.meta.resolve('@cache/audiobooks'));

interface Asked {
  readonly method: 'GET' | 'PUT' | 'POST';
  readonly path: string;
  readonly body?: unknown;
}

interface Kind {
  readonly name: string;
  readonly targetMs: number;
  readonly ask: (nth: number, audios: readonly number[]) => Asked;
}

const KINDS: readonly Kind[] = [
  {
    name: 'audio',
    targetMs: 50,
    ask: (nth, audios) => ({ method: 'GET', path: `/tts/audio/${audios[nth % audios.length]}` }),
  },
  {
    name: 'list',
    targetMs: 100,
    ask: () => ({ method: 'GET', path: `/tts/libro/${BOOK}/audios?voice=es-mx` }),
  },
  {
    name: 'progress',
    targetMs: 20,
    ask: (nth) => ({
      method: 'PUT',
      path: `/progress/user-${nth % LISTENERS}/doc-456`,
      body: { voice_id: 'es-mx', segment_id: 1 + (nth % TEXTS.length), intra_ms: nth },
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
    AUDIO_CACHE_DIR: directory,
    SUPABASE_URL: stack.supabase.url,
    SUPABASE_SECRET_KEY: stack.supabase.secretKey,
  };
  const model = cpus()[0]?.model ?? 'unknown';
  console.log(`\naudiobooks: ${CALLERS} callers on keep-alive connections, over HTTP (loopback);`);
  console.log(
    `${new Date().toISOString()}, ${availableParallelism()} × ${model}, Node ${process.version}, load ${inWords(loadavg()[0])}`,
  );
  try {
    await measure('with Redis', { ...env, REDIS_URL: stack.redis.url }, 'and at its limit');
    await measure('without Redis', { ...env, REDIS_URL: 'off' });
    const none = { REDIS_URL: 'off', REDIS_L1_CACHE_SIZE: '1', REDIS_L1_CACHE_TTL: '0.001' };
    await measure('without any cache', { ...env, ...none, AUDIO_CACHE_ENABLED: 'false' });
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function measure(
  name: string,
  env: Readonly<Record<string, string>>,
  more?: 'and at its limit',
): Promise<void> {
  await using service = await startServiceProcess({ program: PROGRAM, env });
  const callers = new Callers(service.url);
  try {
    const audios = await prepared(callers);
    for (const { name: kind, targetMs, ask } of KINDS) {
      const what = (nth: number) => ask(nth, audios);
      await callers.ask(WARM_REQUESTS, what, PACE_MS);
      const paced = await callers.ask(PACED_REQUESTS, what, PACE_MS);
      const isMet = quantile(paced.times, 0.99) < targetMs && paced.failed === 0;
      const verdict = `target ${targetMs} ms: ${isMet ? 'met' : 'missed'}`;
      console.log(`  ${name.padEnd(18)} ${kind.padEnd(9)} ${figures(paced)}   ${verdict}`);
      if (more === undefined) continue;
      console.log(
        `  ${'at its limit'.padStart(18)} ${kind.padEnd(9)} ${figures(await callers.ask(REQUESTS, what))}`,
      );
    }
  } finally {
    callers.close();
  }
}

/** A book whose texts are all spoken; resolves to the ids of its audios. */
async function prepared(callers: Callers): Promise<readonly number[]> {
  const book = { documentId: 'doc-456', titulo: 'Don Quijote', autor: 'Cervantes' };
  await callers.one({
    method: 'PUT',
    path: `/books/${BOOK}`,
    body: { ...book, segmentos: TEXTS },
  });
  const audios: number[] = [];
  for (const nth of TEXTS.keys()) {
    const wanted = { voice: 'es-mx', segments: [nth + 1] };
    const path = `/tts/libro/${BOOK}/audios`;
    const made = await callers.one({ method: 'POST', path, body: wanted });
    const id = /"audioId":(\d+)/.exec(made)?.[1];
    if (id === undefined) throw new Error(`no audio was made: ${made}`);
    audios.push(Number(id));
  }
  return audios;
}

interface Figures {
  readonly times: readonly number[];
  readonly failed: number;
  /** All of it. */
  readonly ms: number;
}

function figures({ times, failed, ms }: Figures): string {
  const at = (part: number) => `${inWords(quantile(times, part)).padStart(8)} ms`;
  const perSecond = Math.round((times.length / ms) * 1000);
  return `p50 ${at(0.5)}   p99 ${at(0.99)}   ${`${perSecond}/s`.padStart(6)}   failed ${failed}`;
}

/** Callers, each over a connection of its own. */
class Callers {
  readonly #url: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: CALLERS, scheduling: 'fifo' });

  constructor(url: string) {
    this.#url = url;
  }

  /** `paceMs`: between the beginnings of two requests of one caller; none: as soon as it is answered. */
  async ask(requests: number, what: (nth: number) => Asked, paceMs = 0): Promise<Figures> {
    const times: number[] = [];
    let [next, failed] = [0, 0];
    const begun = performance.now();
    const caller = async (_: unknown, place: number) => {
      // Not all at once.
      let due = begun + (place / CALLERS) * paceMs;
      while (next < requests) {
        next += 1;
        const early = due - performance.now();
        if (early > 0) await sleep(early);
        due = Math.max(due, performance.now() - paceMs) + paceMs;
        const start = performance.now();
        await this.one(what(next)).catch(() => {
          failed += 1;
        });
        times.push(performance.now() - start);
      }
    };
    await Promise.all(Array.from({ length: CALLERS }).map(caller));
    return { times, failed, ms: performance.now() - begun };
  }

  /** Rejects where the answer is none of success. */
  async one({ method, path, body }: Asked): Promise<string> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const asking = request(`${this.#url}${path}`, {
      method,
      agent: this.#agent,
      headers:
        text === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
    });
    asking.once('response', resolve).once('error', reject).end(text);
    const answer = await promise;
    const pieces: Buffer[] = [];
    for await (const piece of answer) pieces.push(piece);
    const said = Buffer.concat(pieces).toString('latin1');
    if (answer.statusCode !== undefined && answer.statusCode < 300) return said;
    throw new Error(`${method} ${path} was answered with ${answer.statusCode}: ${said}`);
  }

  close(): void {
    this.#agent.destroy();
  }
}

function quantile(sample: readonly number[], part: number): number {
  const sorted = sample.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? 0;
}

function inWords(ms: number | undefined): string {
  return (ms ?? 0).toFixed(1);
}
