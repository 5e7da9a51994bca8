/**
 * Has a provider speak, once, into a log. Everything between the provider's pieces and what may
 * be stored is here: what is no audio is stopped at its first bytes, what stands still is given
 * up, what ends early is an error.
 */
import type { Clock } from '@cache/core';
import type { ChunkLog } from './chunk-log.ts';
import { SynthesisError } from './errors.ts';
import type { Broadcast } from './fleet.ts';
import {
  ProviderError,
  type ResolvedRequest,
  type Synthesis,
  type Synthesize,
} from './provider.ts';
import { checkMediaType, checkWhole, Screen } from './screen.ts';

export interface Timings {
  /** How long a provider may take until its first byte, in milliseconds. */
  readonly firstByteMs: number;
  /** How long it may stand still between two pieces. */
  readonly stallMs: number;
}

export interface Speaking {
  readonly clock: Clock;
  readonly timings: Timings;
  readonly request: ResolvedRequest;
  readonly synthesize: Synthesize;
  readonly log: ChunkLog;
  readonly keep: number;
  readonly signal: AbortSignal;
  readonly broadcast: Broadcast | undefined;
  /** The first piece that may be heard is in the log. */
  readonly onFirst: (mediaType: string) => void;
}

/** A clip that was spoken to its end. */
export interface Spoken {
  readonly mediaType: string;
  readonly words: ReturnType<NonNullable<Synthesis['words']>>;
}

/** Resolves when the clip is whole in the log, which is left open. Throws {@link SynthesisError}. */
export async function speak(speaking: Speaking): Promise<Spoken> {
  try {
    return await spoken(speaking);
  } catch (error) {
    throw toSynthesisError(error, speaking.signal);
  }
}

async function spoken(speaking: Speaking): Promise<Spoken> {
  const { clock, timings, request, synthesize, log, signal } = speaking;
  signal.throwIfAborted();
  const dueAt = clock.monotonic() + timings.firstByteMs;
  const asked = synthesize(request, { signal });
  const { mediaType, audio, words } = await inTime(speaking, asked, timings.firstByteMs);
  const pieces = audio[Symbol.asyncIterator]();
  try {
    checkMediaType(mediaType);
    const { codec } = request.format;
    const screen = new Screen(codec === 'pcm' || codec === 'ulaw');
    for (;;) {
      await log.room(signal);
      const ms = log.bytes === 0 ? Math.max(1, dueAt - clock.monotonic()) : timings.stallMs;
      const { done, value } = await inTime(speaking, pieces.next(), ms);
      if (done === true) break;
      if (value.byteLength > 0) put(speaking, mediaType, screen.pass(value));
    }
    put(speaking, mediaType, screen.rest());
  } catch (error) {
    // A provider that hangs is not waited for.
    void pieces.return?.().catch(() => {});
    throw error;
  }
  if (log.bytes === 0) throw new SynthesisError('empty', 'the provider answered without any audio');
  const whole = log.soFar();
  if (whole !== undefined) checkWhole(whole, mediaType);
  return { mediaType, words: words?.() };
}

function put(speaking: Speaking, mediaType: string, pieces: readonly Uint8Array[]): void {
  const { log, keep, broadcast, onFirst } = speaking;
  for (const piece of pieces) {
    const isFirst = log.bytes === 0;
    // Whoever gave it may write to it again.
    const own = new Uint8Array(piece);
    log.append(own);
    if (isFirst) {
      broadcast?.open(mediaType);
      onFirst(mediaType);
    }
    broadcast?.piece(own, keep);
  }
}

/** Waits for the provider, but not for ever, and no longer than anybody listens. */
async function inTime<T>({ clock, signal }: Speaking, work: Promise<T>, ms: number): Promise<T> {
  work.catch(() => {});
  signal.throwIfAborted();
  const given = Promise.withResolvers<never>();
  const cancel = clock.after(ms, () => {
    given.reject(new SynthesisError('silent', `the provider sent nothing for ${Math.ceil(ms)} ms`));
  });
  const stop = () => given.reject(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([work, given.promise]);
  } finally {
    cancel();
    signal.removeEventListener('abort', stop);
  }
}

function toSynthesisError(error: unknown, signal: AbortSignal): unknown {
  if (error instanceof SynthesisError || (signal.aborted && error === signal.reason)) return error;
  if (error instanceof ProviderError) {
    const { retryAfterMs } = error;
    return new SynthesisError(error.reason, `the provider failed: ${error.message}`, {
      cause: error,
      retryAfterMs,
    });
  }
  return new SynthesisError('broken', 'the provider failed in the middle of the audio', {
    cause: error,
  });
}
