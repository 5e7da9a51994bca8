/**
 * Sentences spoken ahead of need, at a bounded rate, in the background of calls.
 *
 * A run keeps no state of its own: what is there already is passed by. So one that was stopped, or
 * whose process died, goes on where it was, and instances that run the same manifest share it.
 */
import { type Clock, ClosedError, ConfigError } from '@cache/core';
import type { Fleet } from './fleet.ts';
import type { Asked, SpeechRequest } from './request.ts';

export type Manifest = Iterable<SpeechRequest>;

export interface WarmOptions {
  /** Syntheses that are begun in a second, at most. Default 2. */
  readonly perSecond?: number | undefined;
  /** Syntheses at the same time. Default 2. */
  readonly concurrency?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** After each sentence. */
  readonly onProgress?: ((progress: WarmProgress) => void) | undefined;
}

export interface WarmProgress {
  readonly total: number;
  /** Spoken in this run. */
  readonly done: number;
  /** Were there already. */
  readonly present: number;
  readonly failed: number;
}

export interface WarmReport extends WarmProgress {
  /** What failed, by the place in the manifest, with the reason; the first 100. */
  readonly failures: readonly { readonly index: number; readonly error: unknown }[];
  /** Whether the whole manifest was gone through. */
  readonly isComplete: boolean;
}

export interface WarmParts {
  readonly resolve: (request: SpeechRequest) => Asked;
  readonly isThere: (key: string, signal: AbortSignal) => Promise<boolean>;
  readonly speak: (request: SpeechRequest, signal: AbortSignal) => Promise<void>;
  readonly report: (report: WarmReport) => void;
}

const MOST_SENTENCES = 100_000;
const MOST_FAILURES = 100;

interface Sentence {
  readonly index: number;
  readonly request: SpeechRequest;
  readonly key: string;
}

export class Warming {
  readonly #clock: Clock;
  readonly #fleet: Fleet | undefined;
  readonly #stop = new AbortController();
  readonly #runs = new Set<Promise<WarmReport>>();

  constructor(clock: Clock, fleet: Fleet | undefined) {
    this.#clock = clock;
    this.#fleet = fleet;
  }

  /** Rejects with `ConfigError` for a manifest too long; a sentence that fails is in the report. */
  async run(manifest: Manifest, options: WarmOptions, parts: WarmParts): Promise<WarmReport> {
    const run = this.#run(manifest, options, parts);
    this.#runs.add(run);
    try {
      return await run;
    } finally {
      this.#runs.delete(run);
    }
  }

  async close(): Promise<void> {
    this.#stop.abort(new ClosedError('the speech cache was closed'));
    await Promise.allSettled(this.#runs);
  }

  async #run(manifest: Manifest, options: WarmOptions, parts: WarmParts): Promise<WarmReport> {
    const { perSecond = 2, concurrency = 2, onProgress } = options;
    if (!(perSecond > 0 && Number.isInteger(concurrency) && concurrency > 0)) {
      throw new ConfigError('a warm-up takes a rate above 0 and a whole concurrency');
    }
    const signal = AbortSignal.any([
      this.#stop.signal,
      ...(options.signal ? [options.signal] : []),
    ]);
    const failures: { index: number; error: unknown }[] = [];
    const counts = { total: 0, done: 0, present: 0, failed: 0 };
    const fail = (index: number, error: unknown) => {
      counts.failed += 1;
      if (failures.length < MOST_FAILURES) failures.push({ index, error });
    };
    const sentences = await this.#ordered(manifest, counts, parts, fail);
    const pace = new Pace(this.#clock, 1000 / perSecond);
    const next = sentences[Symbol.iterator]();
    const work = async () => {
      for (const { index, request, key } of next) {
        if (signal.aborted) return;
        try {
          if (await parts.isThere(key, signal)) counts.present += 1;
          else {
            await pace.turn(signal);
            await parts.speak(request, signal);
            counts.done += 1;
          }
        } catch (error) {
          if (signal.aborted) return;
          fail(index, error);
        }
        onProgress?.({ ...counts });
      }
    };
    await Promise.all(Array.from({ length: concurrency }, work));
    const gone = counts.done + counts.present + counts.failed;
    const report = { ...counts, failures, isComplete: gone === counts.total };
    parts.report(report);
    return report;
  }

  /** Those most heard yesterday first; the others as the manifest has them; each once. */
  async #ordered(
    manifest: Manifest,
    counts: { total: number },
    parts: WarmParts,
    fail: (index: number, error: unknown) => void,
  ): Promise<readonly Sentence[]> {
    const sentences = new Map<string, Sentence>();
    let index = -1;
    for (const request of manifest) {
      index += 1;
      if (index >= MOST_SENTENCES) {
        throw new ConfigError(`a manifest has at most ${MOST_SENTENCES} sentences`);
      }
      try {
        const { key } = parts.resolve(request);
        if (!sentences.has(key)) {
          sentences.set(key, { index, request, key });
          counts.total += 1;
        }
      } catch (error) {
        counts.total += 1;
        fail(index, error);
      }
    }
    const uses = await (this.#fleet?.usedYesterday() ?? Promise.resolve(new Map())).catch(
      () => new Map<string, number>(),
    );
    const usesOf = ({ key }: Sentence) => uses.get(key) ?? 0;
    return [...sentences.values()].sort((a, b) => usesOf(b) - usesOf(a) || a.index - b.index);
  }
}

/** Turns, so far apart. */
class Pace {
  readonly #clock: Clock;
  readonly #everyMs: number;
  #nextAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, everyMs: number) {
    this.#clock = clock;
    this.#everyMs = everyMs;
  }

  async turn(signal: AbortSignal): Promise<void> {
    const now = this.#clock.monotonic();
    const at = Math.max(now, this.#nextAt);
    this.#nextAt = at + this.#everyMs;
    if (at <= now) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#clock.after(at - now, () => {
        signal.removeEventListener('abort', stop);
        resolve();
      });
      const stop = () => {
        cancel();
        resolve();
      };
      signal.addEventListener('abort', stop, { once: true });
    });
    signal.throwIfAborted();
  }
}
