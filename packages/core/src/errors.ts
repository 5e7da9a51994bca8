/**
 * Errors are for the caller's next step: one class per thing that a caller can do about it,
 * each with a literal `code` that survives bundling and process boundaries. A message names
 * the option, namespace or tier at fault; never a value, never a secret.
 */

/** What is known about a write that was rejected. `unknown`: it may still take effect; retry with the same id. */
export type WriteOutcome = 'none' | 'unknown';

export type CacheErrorCode =
  | 'CONFIG'
  | 'CLOSED'
  | 'KEY'
  | 'CODEC'
  | 'SCHEMA'
  | 'TIER'
  | 'UNAVAILABLE'
  | 'OVERLOADED'
  | 'CONFLICT'
  | 'LOAD'
  | 'TIMEOUT';

export interface CacheErrorOptions {
  readonly cause?: unknown;
  /** Present on errors of a write. */
  readonly outcome?: WriteOutcome;
}

export abstract class CacheError extends Error {
  abstract readonly code: CacheErrorCode;
  /** On a rejected write: whether it may have taken effect. `undefined` on everything else. */
  readonly outcome: WriteOutcome | undefined;

  constructor(message: string, options: CacheErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.outcome = options.outcome;
  }
}

/** An option, an environment variable or a migration is missing or wrong: fix the configuration. */
export class ConfigError extends CacheError {
  readonly code = 'CONFIG';
}
/** The cache was closed: create another. */
export class ClosedError extends CacheError {
  readonly code = 'CLOSED';
}
/** A key, namespace, scope or tag that can't be stored: empty, too long, or not well-formed text. */
export class KeyError extends CacheError {
  readonly code = 'KEY';
}
/** A value that would not come back the same: the message names the path of the offending part. */
export class CodecError extends CacheError {
  readonly code = 'CODEC';
}
/** A value that the namespace's schema refuses. */
export class SchemaError extends CacheError {
  readonly code = 'SCHEMA';
  /** What the schema said, path by path; never the value. */
  readonly issues: readonly { readonly path: string; readonly message: string }[];
  constructor(
    message: string,
    issues: readonly { readonly path: string; readonly message: string }[],
    options: CacheErrorOptions = {},
  ) {
    super(message, options);
    this.issues = issues;
  }
}
/** One tier failed. Callers see it as the `cause` of an {@link UnavailableError}. */
export class TierError extends CacheError {
  readonly code = 'TIER';
  /**
   * `unreachable`: nobody answered; `refused`: it answered, and said no; `data`: this row only;
   * `moved`: this node of a Cluster does not serve the key now, another one does.
   */
  readonly reason: 'unreachable' | 'timeout' | 'refused' | 'full' | 'data' | 'moved';
  constructor(
    message: string,
    reason: 'unreachable' | 'timeout' | 'refused' | 'full' | 'data' | 'moved',
    options: CacheErrorOptions = {},
  ) {
    super(message, options);
    this.reason = reason;
  }
}
/** No tier could say, or hold the write: try again later. "I can't know" is not "there is none". */
export class UnavailableError extends CacheError {
  readonly code = 'UNAVAILABLE';
}
/** A bound was reached (queue, outbox): slow down and try again. */
export class OverloadedError extends CacheError {
  readonly code = 'OVERLOADED';
}
/** What is stored contradicts the assumption of the write: read again and decide. */
export class ConflictError extends CacheError {
  readonly code = 'CONFLICT';
}
/** The caller's loader failed; its error is the `cause`. */
export class LoadError extends CacheError {
  readonly code = 'LOAD';
}
/** The call's deadline passed. */
export class TimeoutError extends CacheError {
  readonly code = 'TIMEOUT';
}
