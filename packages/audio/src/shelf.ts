/**
 * Where clips are: memory, the store, and what outlives the store. One way in and one way out.
 *
 *  - What is over its time is nobody's answer here; whoever may serve it stale is told so.
 *  - A clip enters the memory only with, or from, a store that has it.
 *  - A store that fails is passed by: listeners are told nothing of it.
 */
import type { Clock } from '@cache/core';
import { Cleanup } from './cleanup.ts';
import type { Policy } from './content-types.ts';
import type { Found } from './fill.ts';
import { Near } from './near.ts';
import type { SpeechEvents } from './speech-events.ts';
import type { ResolvedOptions } from './speech-options.ts';
import { type Clip, type ClipStore, StoreError } from './store.ts';

/** Nobody waits for a clip to be stored, but nothing is to wait for ever. */
const PUT_MS = 10_000;
const DELETE_MS = 2_000;

export class Shelf {
  readonly #clock: Clock;
  readonly #events: SpeechEvents;
  readonly #store: ClipStore | undefined;
  readonly #durable: ClipStore | undefined;
  readonly #durableMs: number;
  readonly near: Near;
  readonly cleanup: Cleanup | undefined;
  readonly #background = new Set<Promise<void>>();
  /** Copies on their way into a store that nobody waits for: a deletion does. */
  readonly #copying = new Map<string, Promise<void>>();
  /** Deletions so far: what was asked for before one may be what it deleted. */
  #deletions = 0;

  constructor(options: ResolvedOptions, events: SpeechEvents) {
    this.#clock = options.clock;
    this.#events = events;
    this.#store = options.store;
    this.#durable = options.durable;
    this.#durableMs = options.durableMs;
    // Alone, the memory is the store: it keeps what it has.
    const ttlMs = options.store === undefined ? Number.POSITIVE_INFINITY : options.memoryTtlMs;
    this.near = new Near(options.clock, options.memoryBytes, ttlMs);
    if (options.store !== undefined) {
      this.cleanup = new Cleanup(options.cleanup, options.store, options.clock, (report) =>
        events.emit({ type: 'cleanup', ...report }),
      );
    }
  }

  get store(): ClipStore | undefined {
    return this.#store;
  }

  get tier(): ClipStore['name'] | undefined {
    return this.#store?.name;
  }

  /** What the stores have. Throws `StoreError` where one of them can't say, and none has it. */
  async find(key: string, signal: AbortSignal | undefined): Promise<Found | undefined> {
    const deletions = this.#deletions;
    let failure: unknown;
    try {
      const asked = this.#store?.get(key, { signal });
      const found = this.#found(await until(signal, asked), this.#store);
      if (found !== undefined) {
        if (!found.isStale && deletions === this.#deletions) this.near.set(key, found.clip);
        return found;
      }
    } catch (error) {
      failure = error;
    }
    const durable = this.#durable;
    if (durable !== undefined) {
      const clip = await this.#bounded(this.#durableMs, (late) =>
        durable.get(key, { signal: late }),
      );
      const found = this.#found(clip, durable);
      if (found !== undefined && !found.isStale && deletions === this.#deletions) {
        this.near.set(key, found.clip);
        this.#copy(this.#store, key, found.clip);
      }
      if (found !== undefined) return found;
    }
    if (failure !== undefined) throw failure;
    return undefined;
  }

  /** Never rejects: what could not be stored is told as an event. */
  async put(key: string, clip: Clip): Promise<boolean> {
    const isStored = await this.#put(this.#store, key, clip);
    this.#copy(this.#durable, key, clip);
    return isStored;
  }

  /** Throws `StoreError` where a store could not be told. */
  async delete(key: string): Promise<boolean> {
    this.#deletions += 1;
    const wasNear = this.near.delete(key);
    await this.#copying.get(key);
    const gone = await Promise.all(
      [this.#durable, this.#store].map((store) =>
        store === undefined
          ? false
          : this.#bounded(DELETE_MS, (signal) => store.delete(key, { signal })),
      ),
    );
    this.near.delete(key);
    return wasNear || gone.some((was) => was);
  }

  /** All clips, or those of one tenant. How many went from the store. */
  async clear(tenant: string | undefined, signal: AbortSignal | undefined): Promise<number> {
    const isMeant = (clip: Clip) => tenant === undefined || clip.metadata.tenant === tenant;
    this.#deletions += 1;
    this.near.clear(isMeant);
    await Promise.all(this.#copying.values());
    const counts = [];
    for (const store of [this.#durable, this.#store]) {
      if (store !== undefined) counts.push(await clearStore(store, tenant, signal));
    }
    const held = this.near.entries;
    this.near.clear(isMeant);
    return counts.at(-1) ?? held;
  }

  /** A clip was heard. */
  touch(key: string, clip: Clip, policy: Policy): void {
    const now = this.#clock.now();
    if (policy.isSliding) {
      const expiresAt = now + (clip.metadata.expiresAt - clip.metadata.createdAt);
      this.near.prolong(key, expiresAt);
      this.#store?.touch(key, now, expiresAt);
    } else {
      this.#store?.touch(key, now);
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#background);
    await this.cleanup?.close();
    this.near.clear();
    await Promise.all([this.#store?.close(), this.#durable?.close()]);
  }

  #found(clip: Clip | undefined, store: ClipStore | undefined): Found | undefined {
    if (clip === undefined || store === undefined) return undefined;
    const now = this.#clock.now();
    const { expiresAt, staleUntil = expiresAt } = clip.metadata;
    if (now >= staleUntil && now >= expiresAt) return undefined;
    return { clip, tier: store.name, isStale: now >= expiresAt };
  }

  async #put(store: ClipStore | undefined, key: string, clip: Clip): Promise<boolean> {
    if (store === undefined) return true;
    const startedAt = this.#clock.monotonic();
    try {
      const { cleanup } = this;
      // What outlives the store has no limit of ours.
      const isLimited = store === this.#store && cleanup !== undefined;
      const hasRoom = isLimited ? (bytes: number) => cleanup.hasRoom(bytes) : undefined;
      await this.#bounded(PUT_MS, (signal) => store.put(key, clip, { signal, hasRoom }));
      const ms = this.#clock.monotonic() - startedAt;
      this.#events.emit({ type: 'stored', bytes: clip.bytes.byteLength, ms });
      return true;
    } catch (error) {
      const isFull = error instanceof StoreError && error.reason === 'full';
      this.#events.emit({ type: 'not-stored', reason: isFull ? 'full' : 'failed' });
      return false;
    }
  }

  async #bounded<T>(ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const late = new AbortController();
    const given = Promise.withResolvers<never>();
    const cancel = this.#clock.after(ms, () => {
      const error = new StoreError('unavailable', `the store took longer than ${ms} ms`);
      late.abort(error);
      given.reject(error);
    });
    try {
      return await Promise.race([work(late.signal), given.promise]);
    } finally {
      cancel();
    }
  }

  /** Nobody waits for it, but who deletes the clip, and the end. */
  #copy(store: ClipStore | undefined, key: string, clip: Clip): void {
    if (store === undefined) return;
    const done = this.#put(store, key, clip).then(() => {
      this.#background.delete(done);
      if (this.#copying.get(key) === done) this.#copying.delete(key);
    });
    this.#background.add(done);
    this.#copying.set(key, done);
  }
}

/** A store that does not mind the signal is not waited for either. */
async function until<T>(signal: AbortSignal | undefined, work: Promise<T> | undefined) {
  if (work === undefined || signal === undefined) return work;
  work.catch(() => {});
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

async function clearStore(
  store: ClipStore,
  tenant: string | undefined,
  signal: AbortSignal | undefined,
): Promise<number> {
  if (tenant === undefined) return store.clear({ signal });
  let count = 0;
  for await (const { key, metadata } of store.entries({ signal })) {
    if (metadata.tenant === tenant && (await store.delete(key, { signal }))) count += 1;
  }
  return count;
}
