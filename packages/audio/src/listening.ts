/** One listener's stream of audio. */

import type { LogReader } from './chunk-log.ts';
import { SynthesisError } from './errors.ts';

/** What is handed out at once of a clip that is there. */
const SLICE = 64 * 1024;

/** A clip that is there, from its first byte or, for a range, from a later one. */
export function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        // A copy of this slice alone: the clip is everybody's, and nobody's to write to.
        const slice = bytes.slice(at, at + SLICE);
        at += slice.byteLength;
        if (slice.byteLength > 0) controller.enqueue(slice);
        if (at >= bytes.byteLength) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

export interface Listening {
  readonly reader: LogReader;
  readonly signal: AbortSignal | undefined;
  /** Where this reader was interrupted before he was given anything: another beginning. */
  readonly again: () => Promise<LogReader | undefined>;
}

/**
 * What is under way. Nothing is read ahead: a listener who does not read holds up nothing but
 * himself. Ends as failed where the audio does: a part is never a whole.
 */
export function streamFrom({
  reader: first,
  signal,
  again,
}: Listening): ReadableStream<Uint8Array> {
  let reader = first;
  let isBegun = false;
  let stop = () => {};
  const leave = () => {
    stop();
    reader.leave();
  };
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        if (signal === undefined) return;
        const onAbort = () => {
          leave();
          controller.error(signal.reason);
        };
        signal.addEventListener('abort', onAbort, { once: true });
        stop = () => signal.removeEventListener('abort', onAbort);
      },
      async pull(controller) {
        for (;;) {
          try {
            const piece = await reader.next();
            if (signal?.aborted === true) return;
            if (piece === undefined) {
              leave();
              controller.close();
              return;
            }
            isBegun = true;
            controller.enqueue(new Uint8Array(piece));
            return;
          } catch (error) {
            reader.leave();
            const next = isBegun || !isInterruption(error) ? undefined : await again();
            if (next === undefined) {
              stop();
              throw error;
            }
            reader = next;
          }
        }
      },
      cancel: leave,
    },
    { highWaterMark: 0 },
  );
}

function isInterruption(error: unknown): boolean {
  return error instanceof SynthesisError && error.reason === 'interrupted';
}
