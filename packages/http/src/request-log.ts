/**
 * One line per request: what was asked, how it was answered, how long it took and which tier was
 * needed. Routes as they are declared, never a path; no keys, no values, no tokens.
 */
import { type Clock, type Logger, systemClock } from '@cache/core';
import type { Context, MiddlewareHandler } from 'hono';
import { matchedRoutes } from 'hono/route';
import type { FailedRequest } from './api.ts';
import { ProblemError } from './problem.ts';

export function requestLog(logger: Logger, clock: Clock = systemClock): MiddlewareHandler {
  return async (c, next) => {
    const start = clock.monotonic();
    await next();
    const requestId: unknown = c.get('requestId');
    // Only now: an answer that stands for an error has no headers of before.
    if (typeof requestId === 'string') c.header('x-request-id', requestId);
    const line = {
      requestId,
      method: c.req.method,
      route: routeOf(c),
      status: c.res.status,
      ms: Math.round((clock.monotonic() - start) * 1000) / 1000,
      tier: c.res.headers.get('x-cache') ?? undefined,
      durable: c.res.headers.get('x-cache-durable') ?? undefined,
    };
    logger.info(line, 'request');
  };
}

/** `/conversations/:id`, or `unmatched`. */
function routeOf(c: Context): string {
  const own = matchedRoutes(c).filter(({ method }) => method !== 'ALL');
  return own.at(-1)?.path ?? 'unmatched';
}

/** Why a request was answered with 5xx. The message of an error that nobody planned may hold values. */
export function errorLog(logger: Logger): (error: unknown, request: FailedRequest) => void {
  return (error, { method, status }) => {
    // A problem was thrown on purpose: where from says nothing that the request does not.
    const expected = status === 503 || error instanceof ProblemError;
    const details = { method, status, error: described(error, !expected) };
    if (expected) logger.warn(details, 'unavailable');
    else logger.error(details, 'error');
  };
}

interface DescribedError {
  readonly name: string;
  readonly code?: string | undefined;
  readonly frames?: readonly string[] | undefined;
  readonly cause?: DescribedError | undefined;
}

function described(error: unknown, withFrames: boolean): DescribedError {
  if (!(error instanceof Error)) return { name: typeof error };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const frames = error.stack?.split('\n').filter((line) => /^\s+at /.test(line));
  return {
    name: error.name,
    ...(code === undefined ? {} : { code }),
    ...(withFrames ? { frames: frames?.map((line) => line.trim()) } : {}),
    ...(error.cause === undefined ? {} : { cause: described(error.cause, withFrames) }),
  };
}
