/** What the tests of the speech cache have in common: a slow voice, and caches that are closed. */
import { type Clock, systemClock } from '@cache/core';
import {
  type ClipStore,
  createSpeechCache,
  redisFleet,
  redisStore,
  type SpeechCache,
  type SpeechCacheOptions,
  type SpeechEvent,
  type SpeechStream,
  type Synthesis,
} from '../../src/index.ts';

import { joined } from './pieces.ts';

export { heard, joined, piece } from './pieces.ts';

/** A machine that others use too: what is slow here is no defect, unless a test is about it. */
export const PATIENT = { lookupTimeout: '5s' } as const satisfies SpeechCacheOptions;
export const PATIENT_LINK = { timeout: '5s' } as const;
/** A holder who is starved of time is not to count as dead. */
const PATIENT_LEASE = '15s';

type Step = { readonly bytes: Uint8Array } | { readonly error: unknown } | 'end';

/** One synthesis of {@link SlowVoice}: it says what the test lets it say. */
export class Utterance {
  readonly signal: AbortSignal;
  readonly #steps: Step[] = [];
  #waiting = Promise.withResolvers<void>();
  /** The cache has let go of it. */
  isOver = false;

  constructor(signal: AbortSignal) {
    this.signal = signal;
  }

  say(...pieces: readonly Uint8Array[]): void {
    for (const bytes of pieces) this.#step({ bytes });
  }

  end(): void {
    this.#step('end');
  }

  fail(error: unknown): void {
    this.#step({ error });
  }

  async *audio(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const step = this.#steps.shift();
        if (step === undefined) await this.#waiting.promise;
        else if (step === 'end') return;
        else if ('error' in step) throw step.error;
        else yield step.bytes;
      }
    } finally {
      this.isOver = true;
    }
  }

  #step(step: Step): void {
    this.#steps.push(step);
    this.#waiting.resolve();
    this.#waiting = Promise.withResolvers<void>();
  }
}

/** A provider that speaks in pieces, each when the test says so. */
export class SlowVoice {
  readonly utterances: Utterance[] = [];
  readonly #mediaType: string;
  #begun = Promise.withResolvers<void>();

  constructor(mediaType = 'audio/mpeg') {
    this.#mediaType = mediaType;
  }

  readonly synthesize = async (
    _request: unknown,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<Synthesis> => {
    const utterance = new Utterance(signal);
    this.utterances.push(utterance);
    this.#begun.resolve();
    this.#begun = Promise.withResolvers<void>();
    return { mediaType: this.#mediaType, audio: utterance.audio() };
  };

  /** The n-th synthesis, when it has begun. */
  async utterance(n = 0): Promise<Utterance> {
    for (;;) {
      const utterance = this.utterances[n];
      if (utterance !== undefined) return utterance;
      await this.#begun.promise;
    }
  }
}

/** A provider that says the same at once, whatever it is asked for. */
export function saying(...pieces: readonly Uint8Array[]) {
  const calls: string[] = [];
  const synthesize = async (request: { readonly voice: string }): Promise<Synthesis> => {
    calls.push(request.voice);
    return {
      mediaType: 'audio/mpeg',
      audio: (async function* () {
        yield* pieces;
      })(),
    };
  };
  return { calls, synthesize };
}

/** What was heard, and what it ended with. */
export async function heardUntil({ audio }: Pick<SpeechStream, 'audio'>) {
  const pieces: Uint8Array[] = [];
  try {
    for await (const bytes of audio) pieces.push(bytes);
    return { bytes: joined(pieces), error: undefined };
  } catch (error) {
    return { bytes: joined(pieces), error };
  }
}

/** A clock whose wall the test may move. */
export class MovedClock implements Clock {
  #aheadMs = 0;

  advance(ms: number): void {
    this.#aheadMs += ms;
  }

  now(): number {
    return systemClock.now() + this.#aheadMs;
  }

  monotonic(): number {
    return systemClock.monotonic() + this.#aheadMs;
  }

  after(ms: number, run: () => void): () => void {
    return systemClock.after(ms, run);
  }

  random53(): number {
    return systemClock.random53();
  }
}

/** Caches of one test, closed behind it. */
export class Caches implements AsyncDisposable {
  readonly #opened: SpeechCache[] = [];
  readonly #events = new Map<SpeechCache, SpeechEvent[]>();
  readonly #heard = new Map<SpeechCache, () => void>();

  open(options: SpeechCacheOptions = {}): SpeechCache {
    const cache = createSpeechCache({ ...PATIENT, ...options });
    this.#opened.push(cache);
    const events: SpeechEvent[] = [];
    this.#events.set(cache, events);
    cache.subscribe((event) => {
      events.push(event);
      this.#heard.get(cache)?.();
    });
    return cache;
  }

  /** An instance over Redis, when it has found it. */
  async instance(
    url: string,
    prefix: string,
    options: SpeechCacheOptions & {
      readonly link?: { readonly timeout: '5s' | '50ms' };
      readonly fleetClock?: Clock;
      readonly lease?: '15s' | '2s';
    } = {},
  ): Promise<SpeechCache> {
    const {
      link = PATIENT_LINK,
      fleetClock = systemClock,
      lease = PATIENT_LEASE,
      ...rest
    } = options;
    const store = redisStore({ url, prefix, ...link, ...(rest.clock && { clock: rest.clock }) });
    const fleet = redisFleet({ url, prefix, ...link, lease, clock: fleetClock });
    const cache = this.open({ store, fleet, ...rest });
    await Promise.all([store.ready(), cache.ready()]);
    return cache;
  }

  events(cache: SpeechCache): readonly SpeechEvent[] {
    return this.#events.get(cache) ?? [];
  }

  /** Resolves when the cache has told of such an event, or has already. */
  async told<T extends SpeechEvent['type']>(
    cache: SpeechCache,
    type: T,
    count = 1,
  ): Promise<readonly Extract<SpeechEvent, { type: T }>[]> {
    for (;;) {
      const told = this.events(cache).filter((event) => event.type === type);
      if (told.length >= count) return told.filter(isOf(type));
      await new Promise<void>((resolve) => {
        this.#heard.set(cache, resolve);
      });
    }
  }

  /** Resolves when nothing is under way. */
  async quiet(cache: SpeechCache): Promise<void> {
    while (cache.underWay > 0) await new Promise((next) => setImmediate(next));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#opened.map((cache) => cache.close()));
  }
}

function isOf<T extends SpeechEvent['type']>(type: T) {
  return (event: SpeechEvent): event is Extract<SpeechEvent, { type: T }> => event.type === type;
}

/** What a store has of a clip. */
export async function entryCount(store: ClipStore): Promise<number> {
  return (await store.usage()).entries;
}
