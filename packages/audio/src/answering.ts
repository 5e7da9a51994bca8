/**
 * How a request is answered, and what is under way for it in this process.
 *
 *   L1 → under way in this process → store, durable store → under way in the fleet → provider
 *
 *  - A key has at most one fill that can be joined; others of it run on for those who hear them.
 *  - What is voided is heard to its end, and not stored.
 *  - Interrupted before its first byte, a request begins anew, a few times: nobody is told.
 */
import { ClosedError, UnavailableError } from '@cache/core';
import { Admission } from './admission.ts';
import { NotCachedError, SynthesisError } from './errors.ts';
import { Fill, type Found, type Opening } from './fill.ts';
import { streamFrom, streamOf } from './listening.ts';
import { newClip } from './new-clip.ts';
import type { Provider, Synthesize } from './provider.ts';
import type { Asked } from './request.ts';
import type { Shelf } from './shelf.ts';
import { about, type SpeechEvents, type SpeechSource } from './speech-events.ts';
import type { ResolvedOptions } from './speech-options.ts';
import type { Clip, ClipMetadata } from './store.ts';

/**
 * `default`: looked up, and stored. `refresh`: spoken anew, and stored in place of what is there.
 * `no-store`: spoken for this listener alone, and kept nowhere. `only-if-cached`: never spoken.
 */
export type SpeechMode = 'default' | 'no-store' | 'refresh' | 'only-if-cached';

/** Audio on its way. */
export interface SpeechStream {
  /** Fails where the audio does, with `SynthesisError`: what was read until then is not a whole. */
  readonly audio: ReadableStream<Uint8Array>;
  readonly key: string;
  readonly source: SpeechSource;
  readonly mediaType: string;
  readonly contentType: string;
  readonly characters: number;
  /** Of a clip that is there; `undefined` while it is being spoken. */
  readonly metadata: ClipMetadata | undefined;
  /** Its length, where it is there. */
  readonly bytes: number | undefined;
}

const BEGINNINGS = 4;

/** @internal */
export class Answering {
  readonly #options: ResolvedOptions;
  readonly #shelf: Shelf;
  readonly #events: SpeechEvents;
  readonly #admission: Admission;
  /** What is under way, and can be joined. */
  readonly #fills = new Map<string, Fill>();
  /** Everything that is under way. */
  readonly #running = new Set<Fill>();
  #isClosing = false;

  constructor(options: ResolvedOptions, shelf: Shelf, events: SpeechEvents) {
    this.#options = options;
    this.#shelf = shelf;
    this.#events = events;
    this.#admission = new Admission(options.clock, options.fleet);
  }

  /** Clips that are being looked up, spoken or stored now. */
  get underWay(): number {
    return this.#running.size;
  }

  /** Resolves when its first byte is there; rejects as `SpeechCache.stream` does. */
  async answer(
    asked: Asked,
    provider: Provider | Synthesize,
    mode: SpeechMode,
    signal: AbortSignal | undefined,
  ): Promise<SpeechStream> {
    if (mode === 'default' || mode === 'only-if-cached') {
      const near = this.#shelf.near.get(asked.key);
      if (near !== undefined) return this.#whole(asked, near, 'l1');
    }
    if (mode === 'only-if-cached') return this.#onlyIfCached(asked, signal);
    const synthesize = typeof provider === 'object' ? provider.synthesize : provider;
    for (let beginning = 1; ; beginning += 1) {
      try {
        return await this.#listen(asked, synthesize, mode, signal);
      } catch (error) {
        const isInterrupted = error instanceof SynthesisError && error.reason === 'interrupted';
        if (!isInterrupted || beginning === BEGINNINGS || this.#isClosing) throw error;
        signal?.throwIfAborted();
      }
    }
  }

  async #onlyIfCached(asked: Asked, signal: AbortSignal | undefined): Promise<SpeechStream> {
    let found: Found | undefined;
    try {
      found = await this.#shelf.find(asked.key, signal);
    } catch (cause) {
      signal?.throwIfAborted();
      throw new UnavailableError('no store could say whether it has the clip', { cause });
    }
    if (found === undefined || found.isStale) throw new NotCachedError('the clip is not cached');
    return this.#whole(asked, found.clip, found.tier);
  }

  async #listen(
    asked: Asked,
    synthesize: Synthesize,
    mode: 'default' | 'refresh' | 'no-store',
    signal: AbortSignal | undefined,
  ): Promise<SpeechStream> {
    const { reader, fill, isFirst } = this.#enter(asked, synthesize, mode);
    let opening: Opening;
    try {
      opening = await untilAborted(fill.opening, signal);
    } catch (error) {
      reader.leave();
      throw error;
    }
    if (opening.from === 'store') {
      reader.leave();
      const { clip, tier, isStale } = opening.found;
      return this.#whole(asked, clip, isStale ? 'stale' : tier);
    }
    const again = async () => {
      const next = this.#enter(asked, synthesize, mode === 'refresh' ? 'default' : mode);
      return next.reader;
    };
    return {
      audio: streamFrom({ reader, signal, again }),
      key: asked.key,
      source: isFirst && opening.from === 'speaker' ? 'miss' : 'coalesced',
      mediaType: opening.mediaType,
      contentType: asked.contentType,
      characters: asked.characters,
      metadata: undefined,
      bytes: undefined,
    };
  }

  /** A place in what is under way, or at the beginning of something new. */
  #enter(asked: Asked, synthesize: Synthesize, mode: 'default' | 'refresh' | 'no-store') {
    const before = mode === 'no-store' ? undefined : this.#fills.get(asked.key);
    if (before !== undefined && (mode === 'default' || before.mode === 'refresh')) {
      const reader = before.join();
      if (reader !== undefined) return { reader, fill: before, isFirst: false };
    }
    const fill = this.#begin(asked, synthesize, mode);
    const reader = fill.join();
    if (reader === undefined) throw new ClosedError('the speech cache was closed');
    return { reader, fill, isFirst: true };
  }

  #begin(asked: Asked, synthesize: Synthesize, mode: 'default' | 'refresh' | 'no-store'): Fill {
    const { clock, fleet, timings, lookupMs, priceOf } = this.#options;
    const { key } = asked;
    const policy = this.#options.policyOf(asked.request.tenant);
    const isShared = mode !== 'no-store';
    // Noted when it is asked for: two who ask at once are two.
    const second =
      isShared && policy.admission === 'second-use'
        ? this.#admission.isSecondUse(key, policy.windowMs)
        : Promise.resolve(isShared);
    const startedMode = mode === 'refresh' ? 'refresh' : 'default';
    // What is under way was asked for before: it is not to be stored over what is spoken anew.
    if (mode === 'refresh') this.#fills.get(key)?.void();
    const fill = new Fill({
      clock,
      asked,
      synthesize,
      mode: startedMode,
      fleet: isShared ? fleet : undefined,
      timings,
      lookupMs,
      maxClipBytes: policy.maxClipBytes,
      finishUnheard: isShared && policy.finishUnheard,
      find: async (signal) => (isShared ? this.#shelf.find(key, signal) : undefined),
      hooks: {
        admits: (uses) => {
          if (!isShared) return false;
          return policy.admission === 'at-once' || uses > 1 || second;
        },
        // Where this process finds it at once: whoever heard the end is never told of a miss.
        keep: (bytes, spoken) => {
          const clip = newClip(asked, policy, clock, { bytes, ...spoken });
          this.#shelf.near.set(key, clip);
          return clip;
        },
        store: async (clip) => {
          await this.#shelf.put(key, clip);
          if (mode === 'refresh') await fleet?.renewed(key).catch(() => {});
        },
        notStored: (reason) => {
          if (isShared) this.#events.emit({ type: 'not-stored', reason });
        },
        forget: () => this.#shelf.near.delete(key),
        unstore: async () => {
          await this.#shelf.delete(key).catch(() => {});
        },
        spokenIn: (ms, bytes) => {
          const price = priceOf(asked.request) * asked.characters;
          this.#events.emit({ type: 'synthesized', ms, bytes, price, ...about(asked) });
        },
        failed: ({ reason }) =>
          this.#events.emit({ type: 'synthesis-failed', reason, ...about(asked) }),
        degraded: (part) => this.#events.emit({ type: 'degraded', part }),
        settled: (settled) => {
          if (this.#fills.get(key) === settled) this.#fills.delete(key);
        },
      },
    });
    if (isShared) this.#fills.set(key, fill);
    this.#running.add(fill);
    void fill.done.then(() => this.#running.delete(fill));
    return fill;
  }

  #whole(asked: Asked, clip: Clip, source: SpeechSource): SpeechStream {
    this.heard(asked.key, clip);
    return {
      audio: streamOf(clip.bytes),
      key: asked.key,
      source,
      mediaType: clip.metadata.mediaType,
      contentType: clip.metadata.contentType,
      characters: asked.characters,
      metadata: clip.metadata,
      bytes: clip.bytes.byteLength,
    };
  }

  /** A clip that is there was the answer. */
  heard(key: string, clip: Clip): void {
    this.#shelf.touch(key, clip, this.#options.policyOf(clip.metadata.tenant));
    this.#options.fleet?.used(key);
  }

  /** What is being spoken under this key is not stored. */
  void(key: string): void {
    this.#fills.get(key)?.void();
  }

  /** Nothing of what is being spoken is stored. */
  voidAll(): void {
    for (const fill of this.#running) fill.void();
  }

  /** Lets what is under way end, and interrupts what takes longer than `ms`. */
  async close(ms: number): Promise<void> {
    this.#isClosing = true;
    const ended = Promise.all([...this.#running].map(({ done }) => done));
    const late = Promise.withResolvers<void>();
    const cancel = this.#options.clock.after(ms, () => {
      for (const fill of this.#running) {
        fill.stop(new SynthesisError('interrupted', 'the speech cache was closed'));
      }
      late.resolve();
    });
    await Promise.race([ended, late.promise]);
    cancel();
    await ended;
  }
}

async function untilAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const stop = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
