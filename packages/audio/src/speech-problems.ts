/**
 * What goes wrong with speech, as problem documents: a request that can't be spoken is the client's
 * to mend (413, 422), a provider that fails is told apart from one that is busy (502, 503, 504), and
 * no answer quotes a text, a path or a key of the provider.
 */
import { ProblemError } from '@cache/http';
import {
  NotCachedError,
  SpeechRequestError,
  SynthesisError,
  type SynthesisProblem,
} from './errors.ts';
import { StoreError } from './store.ts';

const STATUS_OF = {
  refused: 422,
  unauthorized: 502,
  busy: 503,
  broken: 502,
  unavailable: 502,
  'not-audio': 502,
  empty: 502,
  incomplete: 502,
  silent: 504,
  interrupted: 503,
  'too-slow': 503,
} as const satisfies Record<SynthesisProblem, number>;

/** What a client is told; errors that are none of speech are returned as they are. */
export function speechProblem(error: unknown): unknown {
  if (error instanceof SpeechRequestError) {
    const { problem, part, message } = error;
    const status = problem === 'too-long' ? 413 : 422;
    const errors = [{ path: `body.${part}`, message }];
    return new ProblemError(status, `${message}.`, { problem, errors });
  }
  if (error instanceof SynthesisError) {
    const { reason, retryAfterMs } = error;
    const status = STATUS_OF[reason];
    const detail =
      reason === 'unauthorized'
        ? 'The provider of the voice does not accept the key of this service.'
        : `${error.message}.`;
    // Who was silent may have had too much to say.
    const againMs = retryAfterMs ?? (reason === 'silent' ? 1000 : undefined);
    const seconds = againMs === undefined ? undefined : Math.max(1, Math.ceil(againMs / 1000));
    const headers = seconds === undefined ? {} : { 'retry-after': String(seconds) };
    return new ProblemError(status, detail, { problem: reason }, headers);
  }
  if (error instanceof NotCachedError) {
    // What RFC 9111 says of only-if-cached.
    return new ProblemError(504, 'The clip is not cached, and it was not to be spoken.');
  }
  if (error instanceof StoreError) {
    return new ProblemError(503, 'Where the clips are kept could not be asked.');
  }
  return error;
}

/** Runs it; what it throws becomes a problem document. */
export async function spoken<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw speechProblem(error);
  }
}
