/**
 * Speech, paid for once: a sentence is looked up, listened to where it is being spoken already, or
 * spoken; whoever asked hears it from its first byte on (`answering.ts`). Here is what may be asked
 * of a speech cache: requests, clips that come or go by hand, figures, warming up, its end.
 *
 * Degraded: what can't answer in time is passed by, and the sentence is spoken. Where the provider
 * fails, a clip that is over its time is heard, if the policy says so.
 */
import { ClosedError } from '@cache/core';
import { Answering, type SpeechMode, type SpeechStream } from './answering.ts';
import type { Policy } from './content-types.ts';
import { NotCachedError, SynthesisError } from './errors.ts';
import { type Audio, newClip } from './new-clip.ts';
import type { Provider, Synthesize } from './provider.ts';
import { type Asked, isKey, resolveRequest, type SpeechRequest } from './request.ts';
import { Shelf } from './shelf.ts';
import { about, type CleanupReport, SpeechEvents, type SpeechListener } from './speech-events.ts';
import { type ResolvedOptions, resolveOptions, type SpeechCacheOptions } from './speech-options.ts';
import { SpeechCounts, type SpeechStats, surveyed } from './speech-stats.ts';
import type { Clip } from './store.ts';
import { type Manifest, Warming, type WarmOptions, type WarmReport } from './warm.ts';

export interface StreamOptions {
  /** Ends this listener's stream, and no other's. */
  readonly signal?: AbortSignal | undefined;
  readonly mode?: SpeechMode | undefined;
}

/** Opens a speech cache. Throws `ConfigError` for an option that is unknown or wrong. */
export function createSpeechCache(options: SpeechCacheOptions = {}): SpeechCache {
  return new SpeechCache(resolveOptions(options));
}

/** How long what is being spoken may take when the cache is closed. */
const CLOSE_MS = 5000;

export class SpeechCache {
  readonly #options: ResolvedOptions;
  readonly #shelf: Shelf;
  readonly #events = new SpeechEvents();
  readonly #counts = new SpeechCounts();
  readonly #answering: Answering;
  readonly #warming: Warming;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(options: ResolvedOptions) {
    this.#options = options;
    this.#shelf = new Shelf(options, this.#events);
    this.#answering = new Answering(options, this.#shelf, this.#events);
    this.#events.subscribe((event) => this.#counts.count(event));
    this.#warming = new Warming(options.clock, options.fleet);
    options.fleet?.onVoid((news) => {
      if (news.what === 'clip') this.#forget(news.key);
      else this.#forgetAll(news.what === 'all');
    });
  }

  /** Resolves when the fleet can be reached. Without it calls are answered as well, alone. */
  async ready(signal?: AbortSignal): Promise<void> {
    await this.#options.fleet?.ready(signal);
  }

  /** Clips that are being looked up, spoken or stored now. */
  get underWay(): number {
    return this.#answering.underWay;
  }

  /** Events; the returned function unsubscribes. */
  subscribe(listener: SpeechListener): () => void {
    return this.#events.subscribe(listener);
  }

  /** The request in full, with its key. Throws `SpeechRequestError`. */
  resolve(request: SpeechRequest, provider?: Provider | Synthesize): Asked {
    const { rules, policyOf } = this.#options;
    const given = typeof provider === 'object' ? provider : undefined;
    const tenant = request.tenant ?? 'default';
    const maxCharacters = Math.min(
      rules.maxCharacters,
      policyOf(tenant).maxCharacters,
      given?.maxCharacters ?? Number.POSITIVE_INFINITY,
    );
    return resolveRequest(request, {
      ...rules,
      maxCharacters,
      provider: given?.name ?? rules.provider,
    });
  }

  /**
   * The audio of a request. Resolves when its first byte is there. Rejects with
   * `SpeechRequestError`, `SynthesisError`, `NotCachedError` (mode `only-if-cached`),
   * `UnavailableError` (the same, where no store could say), or what the signal says.
   */
  async stream(
    request: SpeechRequest,
    provider: Provider | Synthesize,
    { signal, mode = 'default' }: StreamOptions = {},
  ): Promise<SpeechStream> {
    this.#check();
    signal?.throwIfAborted();
    const asked = this.resolve(request, provider);
    const startedAt = this.#options.clock.monotonic();
    try {
      const stream = await this.#answering.answer(asked, provider, mode, signal);
      const ms = this.#options.clock.monotonic() - startedAt;
      const price = this.#priceOf(asked);
      this.#events.emit({ type: 'answered', source: stream.source, ms, price, ...about(asked) });
      return stream;
    } catch (error) {
      this.#events.emit({ type: 'unanswered', reason: whyNot(error, signal), ...about(asked) });
      throw error;
    }
  }

  /** The clip, where it is there and in its time. Throws `StoreError` where that can't be said. */
  async get(
    request: SpeechRequest | string,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Clip | undefined> {
    const clip = await this.kept(this.#keyOf(request), signal);
    return clip && { bytes: new Uint8Array(clip.bytes), metadata: clip.metadata };
  }

  /** As `get`, but the bytes are everybody's: to be read, and given to nobody. @internal */
  async kept(key: string, signal: AbortSignal | undefined): Promise<Clip | undefined> {
    this.#check();
    const near = this.#shelf.near.get(key);
    const found = near ?? (await this.#shelf.find(key, signal));
    if (found === undefined || ('isStale' in found && found.isStale)) return undefined;
    const clip = 'clip' in found ? found.clip : found;
    this.#answering.heard(key, clip);
    return clip;
  }

  /** Stores audio that was made elsewhere. Whether it was stored; the reason is told as an event. */
  async put(request: SpeechRequest, audio: Audio): Promise<boolean> {
    this.#check();
    const asked = this.resolve(request);
    const policy = this.#policyOf(asked);
    if (audio.bytes.byteLength === 0)
      throw new SynthesisError('empty', 'an empty clip is no audio');
    if (audio.bytes.byteLength > policy.maxClipBytes) {
      this.#events.emit({ type: 'not-stored', reason: 'over' });
      return false;
    }
    await this.#void(asked.key);
    const own = { ...audio, bytes: new Uint8Array(audio.bytes) };
    const clip = newClip(asked, policy, this.#options.clock, own);
    const isStored = await this.#shelf.put(asked.key, clip);
    if (isStored) this.#shelf.near.set(asked.key, clip);
    return isStored;
  }

  /**
   * The clip goes, everywhere; what is being spoken is heard to its end, and not stored. Whether
   * there was one. Throws `StoreError` where a store, or the fleet, could not be told.
   */
  async delete(request: SpeechRequest | string): Promise<boolean> {
    this.#check();
    const key = this.#keyOf(request);
    const wasNear = this.#shelf.near.get(key) !== undefined;
    this.#forget(key);
    const [told, gone] = await Promise.allSettled([
      this.#options.fleet?.void(key),
      this.#shelf.delete(key),
    ]);
    if (gone.status === 'rejected') throw gone.reason;
    if (told.status === 'rejected') throw told.reason;
    const wasThere = wasNear || gone.value;
    if (wasThere) this.#events.emit({ type: 'deleted', clips: 1 });
    return wasThere;
  }

  /** Every clip goes, or every clip of one tenant. How many there were. */
  async clear({
    tenant,
    signal,
  }: {
    readonly tenant?: string | undefined;
    readonly signal?: AbortSignal | undefined;
  } = {}): Promise<number> {
    this.#check();
    this.#answering.voidAll();
    await this.#options.fleet?.void(undefined);
    const clips = await this.#shelf.clear(tenant, signal);
    this.#events.emit({ type: 'deleted', clips });
    return clips;
  }

  /** Makes room now, where there is more than the clean-up is content with. */
  async cleanup(): Promise<CleanupReport> {
    this.#check();
    const idle = { result: 'idle', removed: 0, freedBytes: 0, ms: 0 } as const;
    return (await this.#shelf.cleanup?.run()) ?? idle;
  }

  /** What it holds and what it has done. Throws `StoreError` where the store can't say. */
  async stats({
    signal,
  }: {
    readonly signal?: AbortSignal | undefined;
  } = {}): Promise<SpeechStats> {
    const { cleanup, currency } = this.#options;
    const store = this.#shelf.store;
    const usage = await store?.usage({ signal });
    const survey = store === undefined ? undefined : await surveyed(store.entries({ signal }));
    const { saved, spent, ...figures } = this.#counts.figures();
    return {
      store: store && usage && { name: store.name, ...usage },
      memory: { entries: this.#shelf.near.entries, bytes: this.#shelf.near.bytes },
      underWay: this.#answering.underWay,
      ...figures,
      money: { currency, saved, spent },
      cleanup: {
        maxBytes: cleanup.maxBytes,
        startAt: cleanup.startAt,
        downTo: cleanup.downTo,
        policy: cleanup.policy.name,
        last: this.#shelf.cleanup?.last,
      },
      compression: this.#options.compression?.counts(),
      byVoice: survey?.byVoice ?? [],
      mostAccessed: survey?.mostAccessed ?? [],
    };
  }

  /**
   * Has common sentences spoken ahead of need, those most heard yesterday first. What is there
   * already is passed by, so that a run that was stopped goes on where it was.
   */
  warm(
    manifest: Manifest,
    provider: Provider | Synthesize,
    options: WarmOptions = {},
  ): Promise<WarmReport> {
    this.#check();
    return this.#warming.run(manifest, options, {
      resolve: (request) => this.resolve(request, provider),
      isThere: async (key, signal) => {
        if (this.#shelf.near.get(key) !== undefined) return true;
        const found = await this.#shelf.find(key, signal).catch(() => undefined);
        return found !== undefined && !found.isStale;
      },
      speak: async (request, signal) => {
        const { audio } = await this.stream(request, provider, { signal });
        for await (const _ of audio) signal.throwIfAborted();
      },
      report: ({ done, failed }) => this.#events.emit({ type: 'warmed', done, failed }),
    });
  }

  /**
   * Stops intake, lets what is being spoken end, stores it, and closes the stores and the fleet.
   * What takes longer than `CLOSE_MS` is interrupted. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #void(key: string): Promise<void> {
    this.#forget(key);
    await this.#options.fleet?.void(key).catch(() => {});
  }

  #forget(key: string): void {
    this.#answering.void(key);
    this.#shelf.near.delete(key);
  }

  #forgetAll(andVoid: boolean): void {
    if (andVoid) this.#answering.voidAll();
    if (this.#options.store !== undefined) this.#shelf.near.clear();
  }

  #policyOf(asked: Asked): Policy {
    return this.#options.policyOf(asked.request.tenant);
  }

  #priceOf({ request, characters }: Asked): number {
    return this.#options.priceOf(request) * characters;
  }

  #keyOf(request: SpeechRequest | string): string {
    if (typeof request !== 'string') return this.resolve(request).key;
    if (isKey(request)) return request;
    throw new NotCachedError('a key is 64 hexadecimal digits');
  }

  #check(): void {
    if (this.#closing !== undefined) throw new ClosedError('the speech cache was closed');
  }

  async #close(): Promise<void> {
    await this.#warming.close();
    await this.#answering.close(CLOSE_MS);
    await this.#shelf.close();
    await this.#options.fleet?.close();
    this.#events.clear();
  }
}

/** `unavailable`: no store could say, or the cache is closed. */
function whyNot(error: unknown, signal: AbortSignal | undefined) {
  if (error instanceof SynthesisError) return error.reason;
  if (error instanceof NotCachedError) return 'not-cached';
  return signal?.aborted === true ? 'aborted' : 'unavailable';
}
