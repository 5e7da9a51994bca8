/**
 * Makes room. At 95 % of the limit clips go until 80 % is left, in the background, one run at a
 * time per fleet; what is over its time goes first, then what the policy thinks least of.
 *
 *   idle    → running   a clip was stored and there is too much, or somebody asked for it
 *   running → idle      there is room, or nothing is left to take
 *
 * Listeners never wait for it.
 */
import { type Clock, ConfigError } from '@cache/core';
import { ranks } from './cleanup-policy.ts';
import type { CleanupReport } from './speech-events.ts';
import type { ClipEntry, ClipStore } from './store.ts';

/** Which clips go first. */
export interface CleanupOrder {
  readonly name: string;
  /** The same entries, those that are to go first in front. */
  order(entries: readonly ClipEntry[], now: number): readonly ClipEntry[];
}

export interface CleanupOptions {
  /** Bytes that the store may hold. Default 100 MiB in Redis, 1 GiB in files. */
  readonly maxBytes?: number | undefined;
  /** The part of it at which it begins. Default 0.95. */
  readonly startAt?: number | undefined;
  /** The part of it at which it is content. Default 0.8. */
  readonly downTo?: number | undefined;
  /** Default: `ranks()`. */
  readonly policy?: CleanupOrder | undefined;
}

export interface ResolvedCleanup {
  readonly maxBytes: number;
  readonly startAt: number;
  readonly downTo: number;
  readonly policy: CleanupOrder;
}

const MIB = 1024 * 1024;
/** Clips that are taken away in one go: while it runs, there is little room for new ones. */
const AT_ONCE = 8;
const LIMITS = {
  l2: 100 * MIB,
  file: 1024 * MIB,
  storage: 10 * 1024 * MIB,
} as const satisfies Record<ClipStore['name'], number>;

/** Throws `ConfigError`. */
export function resolveCleanup(
  options: CleanupOptions,
  name: ClipStore['name'] = 'file',
): ResolvedCleanup {
  const maxBytes = options.maxBytes ?? LIMITS[name];
  const startAt = options.startAt ?? 0.95;
  const downTo = options.downTo ?? 0.8;
  if (!(Number.isFinite(maxBytes) && maxBytes > 0)) {
    throw new ConfigError('option "cleanup.maxBytes" takes a number of bytes');
  }
  if (!(startAt > 0 && startAt <= 1 && downTo >= 0 && downTo < startAt)) {
    throw new ConfigError(
      'options "cleanup.startAt" and "cleanup.downTo" take parts of 1, the second the smaller',
    );
  }
  return Object.freeze({ maxBytes, startAt, downTo, policy: options.policy ?? ranks() });
}

export class Cleanup {
  readonly #options: ResolvedCleanup;
  readonly #store: ClipStore;
  readonly #clock: Clock;
  readonly #onReport: (report: CleanupReport) => void;
  readonly #stop = new AbortController();
  #running: Promise<CleanupReport> | undefined;
  #last: (CleanupReport & { readonly at: number }) | undefined;

  constructor(
    options: ResolvedCleanup,
    store: ClipStore,
    clock: Clock,
    onReport: (report: CleanupReport) => void,
  ) {
    this.#options = options;
    this.#store = store;
    this.#clock = clock;
    this.#onReport = onReport;
  }

  get last(): (CleanupReport & { readonly at: number }) | undefined {
    return this.#last;
  }

  /** Whether `bytes` more, as they are stored, fit under the limit. Begins a run where it is time for one. */
  async hasRoom(bytes: number): Promise<boolean> {
    const usage = await this.#store.usage({ signal: this.#stop.signal });
    const { maxBytes, startAt } = this.#options;
    if (usage.bytes + bytes >= maxBytes * startAt) {
      this.run().catch(() => {});
    }
    return usage.bytes + bytes <= maxBytes;
  }

  /** Joins the run under way. Never rejects. */
  run(): Promise<CleanupReport> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<CleanupReport> {
    const startedAt = this.#clock.monotonic();
    const gone = { clips: 0, bytes: 0 };
    let result: CleanupReport['result'];
    try {
      let isNeeded = false;
      const ran = await this.#store.exclusively(async () => {
        isNeeded = await this.#makeRoom(gone);
      });
      result = !ran ? 'busy' : isNeeded ? 'done' : 'idle';
    } catch {
      result = 'failed';
    }
    const ms = this.#clock.monotonic() - startedAt;
    const report = { result, removed: gone.clips, freedBytes: gone.bytes, ms };
    this.#last = { ...report, at: this.#clock.now() };
    this.#onReport(report);
    return report;
  }

  async #makeRoom(gone: { clips: number; bytes: number }): Promise<boolean> {
    const { signal } = this.#stop;
    const { maxBytes, startAt, downTo, policy } = this.#options;
    const usage = await this.#store.usage({ signal });
    const target = maxBytes * downTo;
    // By hand it is also run where nobody was waiting for it.
    if (usage.bytes <= target) return false;
    const isUrgent = usage.bytes >= maxBytes * startAt;
    const now = this.#clock.now();
    const entries: ClipEntry[] = [];
    for await (const entry of this.#store.entries({ signal })) entries.push(entry);
    let held = usage.bytes;
    const doomed = [...inOrder(entries, policy, now)];
    while (held > target && doomed.length > 0) {
      signal.throwIfAborted();
      const some = doomed.splice(0, countFor(doomed, held - target));
      const were = await Promise.all(some.map(({ key }) => this.#store.delete(key, { signal })));
      for (const { storedBytes } of some.filter((_, index) => were[index])) {
        held -= storedBytes;
        gone.clips += 1;
        gone.bytes += storedBytes;
      }
    }
    return isUrgent || gone.clips > 0;
  }
}

/** How many of them free so many bytes, {@link AT_ONCE} at most. */
function countFor(entries: readonly ClipEntry[], bytes: number): number {
  let freed = 0;
  const some = entries.slice(0, AT_ONCE);
  const enough = some.findIndex(({ storedBytes }) => {
    freed += storedBytes;
    return freed >= bytes;
  });
  return enough === -1 ? some.length : enough + 1;
}

/** What is over its time goes first, whatever the policy thinks of it. */
function inOrder(
  entries: readonly ClipEntry[],
  policy: CleanupOrder,
  now: number,
): readonly ClipEntry[] {
  const isOver = ({ metadata }: ClipEntry) => metadata.expiresAt <= now;
  const over = entries.filter(isOver);
  const living = entries.filter((entry) => !isOver(entry));
  return [...over, ...policy.order(living, now)];
}
