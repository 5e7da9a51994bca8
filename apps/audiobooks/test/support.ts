/** One stack for a test file, and services on it: real servers, the routes over HTTP. */
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { Provider } from '@cache/audio';
import { type Clock, type Logger, systemClock } from '@cache/core';
import { type Stack, startStack, until } from '@cache/testing';
import { createClient } from '@supabase/supabase-js';
import { vi } from 'vitest';
import { z } from 'zod';
import { openAudiobooks } from '../src/service.ts';

// Servers are started in these tests, on machines that others use too.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 240_000 });

/** A service that answers requests. */
export type Service = Awaited<ReturnType<typeof openAudiobooks>>;

export const MIGRATIONS: readonly string[] = [
  fileURLToPath(new URL('../../../supabase/migrations', import.meta.url)),
  fileURLToPath(new URL('../migrations', import.meta.url)),
];
export const ADMIN = 'admin-token';
const BYTES_PER_SECOND = 44_100;

/** A voice that notes what it was asked for, can be held, and can fall silent halfway. */
export class FakeVoice implements Provider {
  readonly name = 'fake';
  readonly maxCharacters = 5000;
  readonly spoken: string[] = [];
  hold: Promise<void> = Promise.resolve();
  isSilent = false;

  readonly synthesize: Provider['synthesize'] = async ({ input }) => {
    this.spoken.push(input.kind === 'text' ? input.text : input.ssml);
    await this.hold;
    return { mediaType: 'audio/wav', audio: this.#pieces(wavOf(BYTES_PER_SECOND)) };
  };

  async *#pieces(bytes: Uint8Array): AsyncIterable<Uint8Array> {
    yield bytes.subarray(0, 1000);
    if (this.isSilent) await new Promise<never>(() => {});
    yield bytes.subarray(1000);
  }
}

/** The system's time, which a test may set forward: timers that are due by then go off at once. */
export class AheadClock implements Clock {
  readonly #timers = new Set<{ readonly at: number; readonly goOff: () => void }>();
  #aheadMs = 0;

  now(): number {
    return systemClock.now() + this.#aheadMs;
  }

  monotonic(): number {
    return systemClock.monotonic() + this.#aheadMs;
  }

  after(ms: number, run: () => void): () => void {
    const cancel = systemClock.after(ms, () => timer.goOff());
    const timer = {
      at: this.monotonic() + ms,
      goOff: () => {
        end();
        run();
      },
    };
    const end = () => {
      cancel();
      this.#timers.delete(timer);
    };
    this.#timers.add(timer);
    return end;
  }

  random53(): number {
    return systemClock.random53();
  }

  advance(ms: number): void {
    this.#aheadMs += ms;
    const now = this.monotonic();
    for (const timer of [...this.#timers]) if (timer.at <= now) timer.goOff();
  }
}

/** Silence, as RIFF/WAVE: 22,050 Hz, 16 bits, one channel. */
function wavOf(bytes: number): Uint8Array {
  const wav = Buffer.alloc(44 + bytes);
  wav.write('RIFF', 0);
  wav.writeUInt32LE(36 + bytes, 4);
  wav.write('WAVEfmt ', 8);
  wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20);
  wav.writeUInt16LE(1, 22);
  wav.writeUInt32LE(22_050, 24);
  wav.writeUInt32LE(44_100, 28);
  wav.writeUInt16LE(2, 32);
  wav.writeUInt16LE(16, 34);
  wav.write('data', 36);
  wav.writeUInt32LE(bytes, 40);
  return wav;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: unknown;
}

export interface Opened {
  readonly redis?: string | undefined;
  readonly supabase?: string | undefined;
  readonly provider?: Provider | undefined;
  readonly clock?: Clock | undefined;
  readonly popularAt?: number | undefined;
}

export class Stage implements AsyncDisposable {
  readonly stack: Stack;
  readonly sql: ReturnType<typeof createClient>;
  readonly voice: FakeVoice = new FakeVoice();
  readonly warnings: string[] = [];
  readonly #services: Service[] = [];
  #books = 0;

  private constructor(stack: Stack) {
    this.stack = stack;
    const { url, secretKey } = stack.supabase;
    this.sql = createClient(url, secretKey, { auth: { persistSession: false } });
  }

  static async start(): Promise<Stage> {
    return new Stage(await startStack({ supabase: { migrations: MIGRATIONS } }));
  }

  async open(options: Opened = {}): Promise<Service> {
    const { redis = this.stack.redis.url, supabase = this.stack.supabase.url } = options;
    const { provider = this.voice, clock, popularAt } = options;
    const { secretKey } = this.stack.supabase;
    const quiet = () => {};
    const logger: Logger = {
      debug: quiet,
      info: quiet,
      error: quiet,
      warn: (_details: object, message: string) => void this.warnings.push(message),
    };
    const service = await openAudiobooks({
      logger,
      provider,
      clock,
      popularAt,
      env: {
        PORT: '0',
        CACHE_ADMIN_TOKEN: ADMIN,
        REDIS_URL: redis,
        SUPABASE_URL: supabase,
        SUPABASE_SECRET_KEY: secretKey,
        ...(redis === 'off' ? { AUDIO_CACHE_ENABLED: 'false' } : {}),
      },
    });
    this.#services.push(service);
    if (redis === 'off') return service;
    await until(
      () => {
        const { tiers, bus } = service.cache.stats();
        return tiers.l2.breaker.state === 'CLOSED' && bus.connected;
      },
      'Redis answers',
      60_000,
    );
    return service;
  }

  /** A book of its own for a test: two segments unless it says more. */
  async book(service: Service, segmentos: readonly string[] = ['Uno.', 'Dos.']) {
    this.#books += 1;
    const id = 1000 + this.#books;
    const documentId = `doc-${randomUUID()}`;
    // Nobody else has said it.
    const own = segmentos.map((texto) => `${texto} ${documentId}`);
    const body = { documentId, titulo: 'Don Quijote', autor: 'Cervantes', segmentos: own };
    const { status } = await ask(service, 'PUT', `/books/${id}`, body);
    if (status !== 204) throw new Error(`the book was answered with ${status}`);
    return { id, documentId, body };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#services.map((service) => service.close()));
    await this.stack.close();
  }
}

export async function ask(
  { url }: Pick<Service, 'url'>,
  method: string,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const isJson = /json/.test(response.headers.get('content-type') ?? '');
  const content = isJson ? await response.json() : new Uint8Array(await response.arrayBuffer());
  return { status: response.status, headers: response.headers, body: content };
}

const heardSchema = z.object({ audios: z.array(z.object({ audioId: z.int() })) });

/** The ids of the audios in an answer. */
export function idsIn({ body }: Answer): readonly number[] {
  return heardSchema.parse(body).audios.map(({ audioId }) => audioId);
}

/** The segments in an answer. */
export function segmentsIn({ body }: Answer): readonly number[] {
  const schema = z.object({ audios: z.array(z.object({ segmentNum: z.int() })) });
  return schema.parse(body).audios.map(({ segmentNum }) => segmentNum);
}

/** Has these segments spoken. */
export function make(service: Service, book: number, segments: readonly number[], voice = 'es-mx') {
  return ask(service, 'POST', `/tts/libro/${book}/audios`, { voice, segments });
}
