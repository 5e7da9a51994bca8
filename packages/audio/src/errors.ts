/**
 * What can go wrong with speech, by what the caller can do about it: one class each, with a literal
 * `code`, as in `@cache/core`. A message names the part at fault, never the text that was to be
 * spoken.
 */
import type { ProviderError } from './provider.ts';

export type SpeechErrorCode = 'SPEECH_REQUEST' | 'NOT_CACHED' | 'SYNTHESIS';

export abstract class SpeechError extends Error {
  abstract readonly code: SpeechErrorCode;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** What is wrong with a request. */
export type RequestProblem =
  | 'empty-text'
  | 'too-long'
  | 'bad-text'
  | 'unknown-voice'
  | 'unknown-format'
  | 'bad-field';

/** The request can't be spoken as it is: mend it. Nothing was asked of the provider. */
export class SpeechRequestError extends SpeechError {
  readonly code = 'SPEECH_REQUEST';
  readonly problem: RequestProblem;
  /** The part of the request at fault, say `settings.speed`. */
  readonly part: string;

  constructor(problem: RequestProblem, part: string, message: string) {
    super(message);
    this.problem = problem;
    this.part = part;
  }
}

/** Mode `only-if-cached`, and no tier has the clip. */
export class NotCachedError extends SpeechError {
  readonly code = 'NOT_CACHED';
}

/**
 * Why there is no audio. From the provider: `refused`, `unauthorized`, `busy`, `broken`,
 * `unavailable`. From what it sent: `not-audio`, `empty`, `incomplete`. `silent`: nothing came in
 * time. `interrupted`: the instance that was speaking died, or was closed; try again. `too-slow`:
 * this listener stood still so long, on a clip over the limit, that it was let go.
 */
export type SynthesisProblem =
  | ProviderError['reason']
  | 'not-audio'
  | 'empty'
  | 'incomplete'
  | 'silent'
  | 'interrupted'
  | 'too-slow';

/** There is no audio, or not all of it: what was heard so far is not a whole clip. Never stored. */
export class SynthesisError extends SpeechError {
  readonly code = 'SYNTHESIS';
  readonly reason: SynthesisProblem;
  /** When to try again, where the provider said so. */
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: SynthesisProblem,
    message: string,
    options: ErrorOptions & { readonly retryAfterMs?: number | undefined } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}
