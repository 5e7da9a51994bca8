/**
 * Waiting, bounded. A caller's deadline or abort ends that caller's wait and nothing else: the
 * work goes on for those who share it.
 */
import { type Clock, systemClock } from './clock.ts';
import { TimeoutError, type WriteOutcome } from './errors.ts';

/** What every call takes. */
export interface CallBounds {
  readonly signal?: AbortSignal | undefined;
  readonly deadlineMs: number;
}

/**
 * Rejects with `late()` when `ms` have passed. A timer that fires because this process itself
 * was busy is given one more turn of the event loop, so that an answer which has already
 * arrived counts: a long garbage collection must not look like a dead server.
 */
export function within<T>(
  work: Promise<T>,
  ms: number,
  late: () => Error,
  clock: Clock = systemClock,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let settled = false;
    const cancel = clock.after(ms, () => {
      setImmediate(() => {
        if (settled) return;
        settled = true;
        reject(late());
      });
    });
    const done = (): boolean => {
      if (settled) return false;
      settled = true;
      cancel();
      return true;
    };
    work.then(
      (value) => {
        if (done()) resolve(value);
      },
      (error) => {
        if (done()) reject(error);
      },
    );
  });
}

/** {@link within}, and the caller's own signal. `outcome` is what a write says when it gives up waiting. */
export async function bounded<T>(
  work: Promise<T>,
  bounds: CallBounds,
  what: string,
  clock: Clock,
  outcome?: WriteOutcome,
): Promise<T> {
  const { signal, deadlineMs } = bounds;
  const options = outcome === undefined ? {} : { outcome };
  const late = () => new TimeoutError(`${what} took longer than its ${deadlineMs} ms`, options);
  if (signal === undefined) return within(work, deadlineMs, late, clock);
  if (signal.aborted) {
    work.catch(() => {});
    throw signal.reason;
  }
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    stop = () => signal.removeEventListener('abort', onAbort);
  });
  try {
    return await Promise.race([within(work, deadlineMs, late, clock), aborted]);
  } finally {
    stop();
  }
}
