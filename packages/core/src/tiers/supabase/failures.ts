/**
 * What went wrong with L3, in our words. Messages of PostgreSQL can quote values, so of what it
 * says only the code is passed on; messages about the connection, keys and missing functions
 * are passed on as the `cause`.
 */
import { ConfigError, TierError, type WriteOutcome } from '../../errors.ts';
import type { RpcAnswer } from './client.ts';

type Reason = TierError['reason'];

/** No data and no error of ours: what the server said, or that it said nothing. */
export interface Failure {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

export function failureOf(answer: RpcAnswer): Failure | undefined {
  const { error, status } = answer;
  if (error === null) return undefined;
  return { status, code: error.code ?? '', message: error.message };
}

/**
 * The database is there and can't right now: connection (08), resources (53), shutdown (57P),
 * a conflict with another transaction (40). Everything else that it says is a refusal.
 */
const PASSING_CODES = /^(08|40|53|57P|PGRST00)/;
/** Faults of what was sent (as in cache_is_data_error), and bodies that the API can't take apart. */
const DATA_CODES = /^(22|23|54|P0|PGRST102)/;
/** The body is too large, for a gateway or for the API. */
const TOO_LARGE = 413;
const STATEMENT_TIMEOUT = '57014';
/** Another program keeps a row of a mapped table: no row is to blame, and nothing was done. */
const ROW_IS_KEPT = '55P03';

function reasonOf({ status, code }: Failure): Reason {
  if (code === ROW_IS_KEPT) return 'refused';
  if (code === STATEMENT_TIMEOUT || status === 408 || status === 504) return 'timeout';
  if (status === TOO_LARGE || (status < 500 && DATA_CODES.test(code))) return 'data';
  if (status === 0 || status === 429 || status >= 500) return 'unreachable';
  if (PASSING_CODES.test(code)) return 'unreachable';
  return 'refused';
}

function describe({ status, code }: Failure): string {
  if (status === 0) return 'the connection to Supabase failed';
  return `Supabase answered ${status}${code === '' ? '' : ` with ${code}`}`;
}

/** What a server may say without quoting a value. */
function isQuotable({ status, code }: Failure): boolean {
  return status === 0 || status === 401 || code.startsWith('PGRST') || code.startsWith('42');
}

/** `writes`: whether the call could have changed anything. */
export function toTierError(failure: Failure, writes: boolean): TierError {
  const reason = reasonOf(failure);
  const isSaid = reason === 'refused' || reason === 'data' || failure.status === 429;
  const outcome: WriteOutcome = isSaid ? 'none' : 'unknown';
  return new TierError(describe(failure), reason, {
    ...(writes && { outcome }),
    ...(isQuotable(failure) && { cause: new Error(failure.message) }),
  });
}

export function missingMigrationsError(options: { readonly cause?: Error } = {}): ConfigError {
  return new ConfigError(
    'the migrations are missing in Supabase: apply supabase/migrations (`supabase db push`); where they were applied just now, let the API reload its schema',
    options,
  );
}

/** What a failed handshake means for whoever started the cache. */
export function toConnectError(failure: Failure): ConfigError | TierError {
  const { status, code, message } = failure;
  const options = { cause: new Error(message) };
  if (code === 'PGRST202' || code === '42883' || code === '42P01') {
    return missingMigrationsError(options);
  }
  if (code === '42501') {
    return new ConfigError(
      'the key of supabase() may not use the cache: give it the service-side secret key (SUPABASE_SECRET_KEY), not the publishable one',
      options,
    );
  }
  if (status === 401 || status === 403) {
    return new ConfigError(
      'Supabase refuses the key of supabase(): set the secret key of this project (SUPABASE_SECRET_KEY)',
      options,
    );
  }
  if (status === 404 || status === 405) {
    return new ConfigError(
      'there is no Supabase API at the url of supabase() (SUPABASE_URL): it takes the address of the project, without a path',
      options,
    );
  }
  return toTierError(failure, false);
}

export function timeoutError(timeoutMs: number, writes: boolean): TierError {
  return new TierError(`Supabase did not answer within ${timeoutMs} ms`, 'timeout', {
    ...(writes && { outcome: 'unknown' as const }),
  });
}

export function abortedError(signal: AbortSignal, writes: boolean): TierError {
  return new TierError('the wait for Supabase was ended by its signal', 'timeout', {
    cause: signal.reason,
    ...(writes && { outcome: 'unknown' as const }),
  });
}

/** An answer of another shape than the migrations of this version give. */
export function malformedError(): TierError {
  return new TierError('Supabase answered in a form that this version does not know', 'refused');
}
