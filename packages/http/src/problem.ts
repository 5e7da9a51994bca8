/**
 * Everything that goes wrong, as a problem document (RFC 9457): one shape, one place where an
 * error becomes a status. Handlers throw; nothing here ever shows a stack, a value or a secret.
 */
import { STATUS_CODES } from 'node:http';
import { CacheError, type CacheErrorCode, LoadError, type WriteOutcome } from '@cache/core';
import { z } from '@hono/zod-openapi';
import { HTTPException } from 'hono/http-exception';

/** What clients get with every status of 400 and above. */
export interface Problem {
  /** `about:blank`: the title is the status's own. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  /** What happened here, and what can be done about it. */
  readonly detail: string;
  /** The cache's own code, where it was the cache that said no. */
  readonly code?: CacheErrorCode | undefined;
  /** Of a write: whether it may have taken effect. */
  readonly outcome?: WriteOutcome | undefined;
  /** What is wrong with the request, part by part. */
  readonly errors?: readonly ProblemPart[] | undefined;
}

export interface ProblemPart {
  /** `body.turns[0].role`, `query.value`, `param.id`. */
  readonly path: string;
  readonly message: string;
}

/** The same for the OpenAPI document. */
export const problemSchema: z.ZodType<Problem> = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z
      .enum([
        'CONFIG',
        'CLOSED',
        'KEY',
        'CODEC',
        'SCHEMA',
        'TIER',
        'UNAVAILABLE',
        'OVERLOADED',
        'CONFLICT',
        'LOAD',
        'TIMEOUT',
      ])
      .optional(),
    outcome: z.enum(['none', 'unknown']).optional(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  })
  .openapi('Problem');

export const PROBLEM_TYPE = 'application/problem+json';

/** When a client may try again what could not be done now. */
const RETRY_AFTER_SECONDS = '1';

/** More members of a problem document, such as a report. */
export type ProblemMembers = Readonly<Record<string, unknown>>;

/** Thrown by a handler, becomes the answer. */
export class ProblemError extends Error {
  readonly problem: Problem;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    detail: string,
    members: ProblemMembers = {},
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(detail);
    this.name = 'ProblemError';
    this.problem = {
      ...members,
      type: 'about:blank',
      title: STATUS_CODES[status] ?? 'Error',
      status,
      detail,
    };
    const isPassing = status === 502 || status === 503;
    this.headers = isPassing ? { 'retry-after': RETRY_AFTER_SECONDS, ...headers } : headers;
  }

  response(): Response {
    return new Response(JSON.stringify(this.problem), {
      status: this.problem.status,
      headers: { ...this.headers, 'content-type': PROBLEM_TYPE },
    });
  }
}

/** The answer to a request that went wrong, for handlers that return rather than throw. */
export function problem(
  status: number,
  detail: string,
  members: ProblemMembers = {},
  headers: Readonly<Record<string, string>> = {},
): Response {
  return new ProblemError(status, detail, members, headers).response();
}

const STATUS_OF: Readonly<Record<CacheErrorCode, number>> = {
  KEY: 400,
  CODEC: 422,
  SCHEMA: 422,
  CONFLICT: 409,
  UNAVAILABLE: 503,
  OVERLOADED: 503,
  TIMEOUT: 503,
  TIER: 503,
  CLOSED: 503,
  LOAD: 502,
  CONFIG: 500,
};

/** What a client is told of an error. An error that nobody planned for is a plain 500. */
export function problemOf(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  // A loader that knows what to answer.
  if (error instanceof LoadError && error.cause instanceof ProblemError) return error.cause;
  if (error instanceof CacheError) return cacheProblem(error);
  if (error instanceof HTTPException) {
    const message = error.message === '' ? 'The request could not be used.' : error.message;
    return new ProblemError(error.status, message);
  }
  return new ProblemError(500, 'Something went wrong here. It was logged.');
}

function cacheProblem(error: CacheError): ProblemError {
  const status = STATUS_OF[error.code];
  // A wrong configuration is the operator's business, not the client's.
  const detail = status === 500 ? 'The service is not configured for this.' : error.message;
  return new ProblemError(status, detail, {
    code: error.code,
    ...(error.outcome === undefined ? {} : { outcome: error.outcome }),
    ...('issues' in error ? { errors: error.issues } : {}),
  });
}
