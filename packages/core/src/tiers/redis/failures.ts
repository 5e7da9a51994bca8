/**
 * What went wrong with Redis, in our words. A client's error carries the command with its
 * arguments, values and password among them: only its message and code are passed on, and only
 * as the `cause`.
 */
import { ConfigError, TierError } from '../../errors.ts';

const REFUSED_CREDENTIALS = /^(NOAUTH|WRONGPASS|ERR invalid password|ERR AUTH )/;
const NO_DATABASE = /^ERR (DB index is out of range|invalid DB index|value is not an integer)/;
/** Refused by an access list, to a command or to a script of ours. */
const DENIED = /^NOPERM|user executing the script can't/;
const ELSEWHERE = /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN) /;
const READ_ONLY = /^READONLY |-READONLY /;
const WHAT_IS_NEEDED = 'docs/operations.md lists what the user of Redis needs';
/** A certificate of either side that the other does not take. */
const UNTRUSTED =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|CERT_|ERR_TLS_CERT_|ERR_OSSL_|ERR_SSL_)/;

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

/** The node of a Cluster does not serve the shard, or not all of it. */
export function isElsewhere(reply: unknown): boolean {
  return isReplyError(reply) && ELSEWHERE.test(messageOf(reply));
}

/** The server is a replica by now. */
export function isReadOnly(reply: unknown): boolean {
  return isReplyError(reply) && READ_ONLY.test(messageOf(reply));
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
  if (DENIED.test(cause.message)) {
    const message = `Redis denies its user ${deniedIn(cause.message)}: ${WHAT_IS_NEEDED}`;
    return new TierError(message, 'refused', { cause, outcome: 'none' });
  }
  if (isElsewhere(error)) {
    const isDown = cause.message.startsWith('CLUSTERDOWN');
    const message = 'this node of the Redis Cluster does not serve the shard now';
    const reason = isDown ? 'unreachable' : 'moved';
    return new TierError(message, reason, { cause, outcome: 'none' });
  }
  if (isReadOnly(error)) {
    const message = 'this Redis is not the primary any more';
    return new TierError(message, 'unreachable', { cause, outcome: 'none' });
  }
  const word = /^[A-Z]+/.exec(cause.message)?.[0] ?? 'ERR';
  // A script that meets a full memory in its middle says so inside its own message.
  if (word === 'OOM' || cause.message.includes('-OOM ')) {
    return new TierError('the memory of Redis is full', 'full', { cause, outcome: 'none' });
  }
  return new TierError(`Redis refused a command: ${word}`, 'refused', { cause, outcome: 'none' });
}

/** What an access list refused. The server names a command, and neither key nor channel. */
function deniedIn(message: string): string {
  const command = /'([\w|-]{1,40})' command/.exec(message)?.[1];
  if (command !== undefined) return `the command "${command}"`;
  if (message.includes('channel')) return 'the channel "c:bus"';
  return message.includes('keys') ? 'keys that begin with "c:"' : 'a command of a script';
}

/** The answer of `permissions.lua`. Throws `ConfigError` where something is denied. */
export function checkPermissions(reply: unknown): void {
  if (!Array.isArray(reply) || reply.length === 0) return;
  const denied = reply.map((command) => `"${String(command).trim()}"`).join(', ');
  throw new ConfigError(`Redis denies its user ${denied}: ${WHAT_IS_NEEDED}`);
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
  if (DENIED.test(messageOf(cause))) {
    const what = deniedIn(messageOf(cause));
    return new ConfigError(`Redis denies its user ${what}: ${WHAT_IS_NEEDED}`, {
      cause: bare(cause),
    });
  }
  if (NO_DATABASE.test(messageOf(cause))) {
    return new ConfigError('Redis has no database of the number in its `url` (REDIS_URL)', {
      cause: bare(cause),
    });
  }
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  if (UNTRUSTED.test(code)) {
    return new ConfigError(
      `TLS with Redis failed (${code}): set \`tls.ca\` of redis() to whom to trust, and \`tls.cert\` and \`tls.key\` where the server asks for a certificate`,
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
