/**
 * One clip on its way to whoever asked for it in this process. It is looked up, heard from another
 * instance, or spoken here, once for all.
 *
 *   looking  → found     a store has it: everybody is given the clip
 *   looking  → speaking  this instance has the lease, or no fleet can be reached
 *   looking  → following another instance speaks it
 *   following → looking  that one is gone, and nobody has heard anything yet
 *   following → failed   it is gone after a part was heard: other bytes are never put behind it
 *   following → ended
 *   speaking → ended → stored | not stored
 *   speaking → failed    listeners who have heard nothing are given what is stale, where allowed
 *   any      → dropped   the last listener has left
 *
 * A voided fill (deleted, or spoken anew, meanwhile) is heard to its end and not stored.
 */
import type { Clock } from '@cache/core';
import { ChunkLog, type LogReader } from './chunk-log.ts';
import { SynthesisError } from './errors.ts';
import { type Broadcast, type Claim, type Fleet, HolderGone } from './fleet.ts';
import type { Synthesize } from './provider.ts';
import type { Asked } from './request.ts';
import { type Clip, type ClipStore, StoreError } from './store.ts';
import { type Spoken, speak, type Timings } from './synthesis.ts';

/** A clip that a store has. */
export interface Found {
  readonly clip: Clip;
  readonly tier: ClipStore['name'];
  readonly isStale: boolean;
}

/** How the audio begins. */
export type Opening =
  | { readonly from: 'store'; readonly found: Found }
  | { readonly from: 'speaker' | 'fleet'; readonly mediaType: string };

export interface FillParts {
  readonly clock: Clock;
  readonly asked: Asked;
  readonly synthesize: Synthesize;
  /** `refresh`: nothing is looked up, and whoever is speaking it is not listened to. */
  readonly mode: 'default' | 'refresh';
  readonly fleet: Fleet | undefined;
  readonly timings: Timings;
  /** What looking may cost: the stores and the fleet together. */
  readonly lookupMs: number;
  readonly maxClipBytes: number;
  readonly finishUnheard: boolean;
  /** Throws `StoreError` where nobody can say. */
  readonly find: (signal: AbortSignal) => Promise<Found | undefined>;
  readonly hooks: FillHooks;
}

export interface FillHooks {
  /** Whether a clip that had so many listeners is worth storing. */
  readonly admits: (uses: number) => boolean | Promise<boolean>;
  /** What was spoken, whole, is put where this process finds it at once. */
  readonly keep: (bytes: Uint8Array, spoken: Spoken) => Clip;
  readonly notStored: (reason: 'over' | 'first-use' | 'voided') => void;
  readonly store: (clip: Clip) => Promise<void>;
  /** It was voided: this process is not to find it either. */
  readonly forget: () => void;
  /** It was voided while it was being stored. */
  readonly unstore: () => Promise<void>;
  readonly spokenIn: (ms: number, bytes: number) => void;
  readonly failed: (error: SynthesisError) => void;
  readonly degraded: (part: 'store' | 'fleet', error: unknown) => void;
  /** Nobody can join any more. */
  readonly settled: (fill: Fill) => void;
}

const ATTEMPTS = 3;
const STILL_FOLLOWED_MS = 300;

export class Fill {
  readonly #parts: FillParts;
  readonly #log: ChunkLog;
  readonly #abort = new AbortController();
  readonly #opening = Promise.withResolvers<Opening>();
  readonly done: Promise<void>;
  #present = 0;
  #joins = 0;
  #isVoid = false;
  #broadcast: Broadcast | undefined;
  #wasFollowed = false;
  #isSettled = false;

  constructor(parts: FillParts) {
    this.#parts = parts;
    this.#log = new ChunkLog(parts.clock, parts.maxClipBytes);
    this.#opening.promise.catch(() => {});
    this.done = this.#run();
  }

  /** How it begins. Rejects where there will be no audio. */
  get opening(): Promise<Opening> {
    return this.#opening.promise;
  }

  get mode(): 'default' | 'refresh' {
    return this.#parts.mode;
  }

  /** It is not stored. */
  void(): void {
    this.#isVoid = true;
  }

  /** A place at its beginning; `undefined` where that is over. */
  join(): LogReader | undefined {
    if (this.#isSettled || this.#abort.signal.aborted) return undefined;
    const reader = this.#log.join();
    if (reader === undefined) return undefined;
    this.#present += 1;
    this.#joins += 1;
    let hasLeft = false;
    return {
      next: () => reader.next(),
      leave: () => {
        if (hasLeft) return;
        hasLeft = true;
        reader.leave();
        this.#present -= 1;
        if (this.#present === 0) void this.#unheard();
      },
    };
  }

  /** Ends it for everybody. */
  stop(reason: Error): void {
    this.#abort.abort(reason);
    this.#settle();
  }

  async #unheard(): Promise<void> {
    if (this.#parts.finishUnheard || this.#log.state !== 'open') return;
    // Those of another instance are listeners too.
    while (this.#broadcast !== undefined && this.#present === 0) {
      if (!(await this.#broadcast.isFollowed())) break;
      this.#wasFollowed = true;
      await this.#pause(STILL_FOLLOWED_MS);
    }
    if (this.#present > 0 || this.#log.state !== 'open' || this.#isSettled) return;
    this.stop(new SynthesisError('interrupted', 'nobody listens any more'));
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#parts.clock.after(ms, resolve);
    });
  }

  // ------------------------------------------------------------ looking

  async #run(): Promise<void> {
    let stale: Found | undefined;
    try {
      const { signal, cancel } = this.#lookupSignal();
      try {
        if (this.mode === 'default') {
          const found = await this.#find(signal);
          if (found !== undefined && !found.isStale) return this.#give(found);
          stale = found;
        }
        await this.#obtain(signal);
      } finally {
        cancel();
      }
    } catch (error) {
      this.#fail(error, stale);
    } finally {
      this.#settle();
    }
  }

  /** The stores and the fleet are asked within one deadline, not one each. */
  #lookupSignal(): { readonly signal: AbortSignal; readonly cancel: () => void } {
    const { clock, lookupMs } = this.#parts;
    const deadline = new AbortController();
    const cancel = clock.after(lookupMs, () => {
      setImmediate(() => {
        deadline.abort(new StoreError('unavailable', `nobody could say within ${lookupMs} ms`));
      });
    });
    return { signal: deadline.signal, cancel };
  }

  async #find(signal: AbortSignal): Promise<Found | undefined> {
    try {
      return await this.#parts.find(signal);
    } catch (error) {
      // A dead cache never silences a call.
      this.#parts.hooks.degraded('store', error);
      return undefined;
    }
  }

  async #obtain(lookup: AbortSignal): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      // Later attempts come after something was heard of the fleet: each has its own deadline.
      const { signal, cancel } =
        attempt === 1 ? { signal: lookup, cancel: () => {} } : this.#lookupSignal();
      this.#abort.signal.throwIfAborted();
      const claim = await this.#claim(attempt, signal);
      if (claim.status !== 'theirs') {
        if (claim.status === 'mine') this.#broadcast = claim.broadcast;
        try {
          if (await this.#isThereByNow(claim, signal)) return;
        } finally {
          cancel();
        }
        return await this.#speak();
      }
      cancel();
      try {
        return await this.#follow(claim.follow(this.#abort.signal));
      } catch (error) {
        if (!(error instanceof HolderGone)) throw error;
        if (this.#log.bytes > 0) return await this.#complete(error);
      }
    }
  }

  async #claim(attempt: number, signal: AbortSignal): Promise<Claim> {
    const { fleet, asked, hooks } = this.#parts;
    if (fleet === undefined || attempt > ATTEMPTS) return { status: 'alone' };
    const force = this.mode === 'refresh' && attempt === 1;
    const claim = await fleet.claim(asked.key, { force, signal });
    if (claim.status === 'alone') {
      hooks.degraded('fleet', new StoreError('unavailable', 'the fleet can not be reached'));
    }
    return claim;
  }

  /** Between the look and the claim another instance may have stored it. */
  async #isThereByNow(claim: Claim, signal: AbortSignal): Promise<boolean> {
    if (claim.status !== 'mine' || this.mode === 'refresh' || signal.aborted) return false;
    const found = await this.#find(signal);
    if (found === undefined || found.isStale) return false;
    this.#give(found);
    claim.broadcast.end({ type: 'stopped' });
    await claim.broadcast.release();
    return true;
  }

  /** Heard from the log too, by whoever was here before it was known how it begins. */
  #give(found: Found): void {
    this.#log.append(found.clip.bytes);
    this.#log.end();
    this.#opening.resolve({ from: 'store', found });
  }

  // ------------------------------------------------------------ following

  async #follow(pieces: ReturnType<Extract<Claim, { status: 'theirs' }>['follow']>): Promise<void> {
    let mediaType = '';
    for await (const piece of pieces) {
      if (piece.type === 'open') {
        mediaType = piece.mediaType;
        continue;
      }
      await this.#log.room(this.#abort.signal);
      this.#abort.signal.throwIfAborted();
      const isFirst = this.#log.bytes === 0;
      this.#log.append(piece.bytes);
      if (isFirst) this.#opening.resolve({ from: 'fleet', mediaType });
    }
    this.#log.end();
  }

  /**
   * Whoever was speaking can't be heard any more. Where the clip is stored by now, and begins with
   * exactly what was heard, the rest of it is the rest.
   */
  async #complete(gone: HolderGone): Promise<void> {
    const { signal, cancel } = this.#lookupSignal();
    const found = await this.#find(signal);
    cancel();
    const heard = this.#log.soFar();
    const bytes = found?.clip.bytes;
    if (heard !== undefined && bytes !== undefined && beginsWith(bytes, heard)) {
      this.#log.append(bytes.subarray(heard.byteLength));
      this.#log.end();
      return;
    }
    throw new SynthesisError('interrupted', 'the instance that was speaking is gone', {
      cause: gone,
    });
  }

  // ------------------------------------------------------------ speaking

  async #speak(): Promise<void> {
    const { clock, asked, synthesize, timings, maxClipBytes, hooks } = this.#parts;
    const broadcast = this.#broadcast;
    const startedAt = clock.monotonic();
    let spoken: Spoken;
    try {
      spoken = await speak({
        clock,
        timings,
        request: asked.request,
        synthesize,
        log: this.#log,
        keep: maxClipBytes,
        signal: this.#abort.signal,
        broadcast,
        onFirst: (mediaType) => this.#opening.resolve({ from: 'speaker', mediaType }),
      });
    } catch (error) {
      // The provider is told to stop, whatever it was that went wrong.
      this.#abort.abort(error);
      this.#tellFailure(error);
      await broadcast?.release();
      throw error;
    }
    hooks.spokenIn(clock.monotonic() - startedAt, this.#log.bytes);
    // Whoever has heard the end finds the clip; and nobody waits for the fleet to hear the end.
    const early = hooks.admits(this.#joins) === true ? this.#kept(spoken) : undefined;
    const bytes = early === undefined && !this.#log.isOver ? this.#log.whole() : undefined;
    this.#log.end();
    broadcast?.end({ type: 'whole' });
    await this.#store(early ?? (await this.#admitted(bytes, spoken)));
  }

  /** Before and after: a deletion that comes in between is one too. */
  async #store(clip: Clip | undefined): Promise<void> {
    const { hooks } = this.#parts;
    const broadcast = this.#broadcast;
    const mayStore = clip !== undefined && ((await broadcast?.isHeld()) ?? true) && !this.#isVoid;
    if (mayStore) await hooks.store(clip);
    // Who asks from now on finds it where it is stored.
    this.#settle();
    const wasHeld = (await broadcast?.release()) ?? true;
    if (clip === undefined || (mayStore && wasHeld && !this.#isVoid)) return;
    hooks.forget();
    if (mayStore) await hooks.unstore();
    else hooks.notStored('voided');
  }

  #kept(spoken: Spoken): Clip | undefined {
    const bytes = this.#log.isOver ? undefined : this.#log.whole();
    return bytes === undefined || this.#isVoid ? undefined : this.#parts.hooks.keep(bytes, spoken);
  }

  async #admitted(bytes: Uint8Array | undefined, spoken: Spoken): Promise<Clip | undefined> {
    const { hooks } = this.#parts;
    if (bytes === undefined) hooks.notStored('over');
    else if (this.#isVoid) hooks.notStored('voided');
    else {
      this.#wasFollowed ||= (await this.#broadcast?.isFollowed()) ?? false;
      const uses = this.#joins + (this.#wasFollowed ? 1 : 0);
      if (await hooks.admits(uses)) return hooks.keep(bytes, spoken);
      hooks.notStored('first-use');
    }
    return undefined;
  }

  #tellFailure(error: unknown): void {
    if (error instanceof SynthesisError && error.reason !== 'interrupted') {
      const { reason, retryAfterMs } = error;
      this.#broadcast?.end({ type: 'failed', reason, retryAfterMs });
    } else {
      this.#broadcast?.end({ type: 'stopped' });
    }
  }

  #fail(error: unknown, stale: Found | undefined): void {
    const failure =
      error instanceof SynthesisError
        ? error
        : new SynthesisError('broken', 'speaking failed', { cause: error });
    if (failure.reason !== 'interrupted') {
      this.#parts.hooks.failed(failure);
      if (stale !== undefined && this.#log.bytes === 0) {
        this.#give(stale);
        return;
      }
    }
    // Before anybody is told, so that who tries again does not come back to this one.
    this.#settle();
    this.#log.fail(failure);
    this.#opening.reject(failure);
  }

  #settle(): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.#parts.hooks.settled(this);
  }
}

function beginsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  if (bytes.byteLength < start.byteLength) return false;
  return Buffer.compare(bytes.subarray(0, start.byteLength), start) === 0;
}
