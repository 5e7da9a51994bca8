/**
 * What went wrong with Redis, in our words. A client's error carries the command with its
 * arguments, values and password among them: only its message and code are passed on, and only
 * as the `cause`.
 */
import { ConfigError, TierError } from '../../errors.ts';

const REFUSED_CREDENTIALS = /^(NOAUTH|WRONGPASS|NOPERM|ERR invalid password|ERR AUTH )/;

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The error without what the client hung on it. */
function bare(error: unknown): Error {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  const clean = new Error(messageOf(error));
  clean.name = error instanceof Error ? error.name : 'Error';
  return typeof code === 'string' ? Object.assign(clean, { code }) : clean;
}

/** The server answered, and the answer is an error. */
export function isReplyError(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError';
}

/** The server was restarted or its scripts were flushed. */
export function isUnknownScript(reply: unknown): boolean {
  return isReplyError(reply) && messageOf(reply).startsWith('NOSCRIPT');
}

/** What a command's rejection, or a reply that is an error, means for the caller. */
export function toTierError(error: unknown): TierError {
  if (error instanceof TierError) return error;
  const cause = bare(error);
  if (!isReplyError(error)) {
    return new TierError('the connection to Redis failed', 'unreachable', {
      cause,
      outcome: 'unknown',
    });
  }
  const word = /^[A-Z]+/.exec(cause.message)?.[0] ?? 'ERR';
  // A script that meets a full memory in its middle says so inside its own message.
  if (word === 'OOM' || cause.message.includes('-OOM ')) {
    return new TierError('the memory of Redis is full', 'full', { cause, outcome: 'none' });
  }
  return new TierError(`Redis refused a command: ${word}`, 'refused', { cause, outcome: 'none' });
}

/** What a failed connection means for whoever started the cache. */
export function toConnectError(error: unknown): ConfigError | TierError {
  if (error instanceof ConfigError) return error;
  const cause = error instanceof TierError && error.cause !== undefined ? error.cause : error;
  if (REFUSED_CREDENTIALS.test(messageOf(cause))) {
    return new ConfigError(
      'Redis refuses the credentials: set `password` of redis() (REDIS_PASSWORD), or the user and password in its `url` (REDIS_URL)',
      { cause: bare(cause) },
    );
  }
  return toTierError(error);
}

export function closedError(): TierError {
  return new TierError('the connection to Redis was closed', 'unreachable', { outcome: 'unknown' });
}

export function abortedError(signal: AbortSignal): TierError {
  return new TierError('the wait for Redis was ended by its signal', 'timeout', {
    cause: signal.reason,
    outcome: 'unknown',
  });
}
