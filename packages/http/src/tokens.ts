/**
 * Who may call what. Tokens come as `Authorization: Bearer …` and are compared in constant time:
 * both sides are hashed, so that neither length nor a common beginning shows in the time.
 *
 * Closed by default: without an admin token nobody is an admin.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { MiddlewareHandler } from 'hono';
import { ProblemError } from './problem.ts';

export interface AuthOptions {
  /** Opens everything. Without one, the admin routes answer 401 to everybody. */
  readonly adminToken?: string | undefined;
  /** Needed for the application's routes, where set. */
  readonly apiToken?: string | undefined;
  /** Needed for the metrics, where set. */
  readonly metricsToken?: string | undefined;
}

/** Whose token a request carries. `stranger`: one that is nobody's. */
export type Caller = 'admin' | 'api' | 'metrics' | 'stranger' | 'nobody';

/** One per service: middleware that asks for the token of a kind of route. */
export class Tokens {
  readonly #admin: Buffer | undefined;
  readonly #api: Buffer | undefined;
  readonly #metrics: Buffer | undefined;
  /** For administration: always needs the admin token. */
  readonly admin: MiddlewareHandler;
  /** For the application's routes: needs the API token where one is set. */
  readonly api: MiddlewareHandler;
  /** For the metrics: needs their token where one is set. */
  readonly metrics: MiddlewareHandler;

  constructor(auth: AuthOptions) {
    this.#admin = digest(auth.adminToken);
    this.#api = digest(auth.apiToken);
    this.#metrics = digest(auth.metricsToken);
    this.admin = this.#need('admin', true);
    this.api = this.#need('api', this.#api !== undefined);
    this.metrics = this.#need('metrics', this.#metrics !== undefined);
  }

  /** Compares with every token, whatever the outcome of the first. */
  callerOf(authorization: string | undefined): Caller {
    const token = /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
    const given = digest(token);
    const admin = same(given, this.#admin);
    const api = same(given, this.#api);
    const metrics = same(given, this.#metrics);
    if (admin) return 'admin';
    if (api) return 'api';
    if (metrics) return 'metrics';
    return authorization === undefined ? 'nobody' : 'stranger';
  }

  #need(kind: 'admin' | 'api' | 'metrics', needed: boolean): MiddlewareHandler {
    return async (c, next) => {
      if (needed) {
        const caller = this.callerOf(c.req.header('authorization'));
        if (caller !== kind && caller !== 'admin') throw unauthorized(kind, caller);
      }
      await next();
    };
  }
}

/** The answer to a missing or wrong token. */
export function unauthorized(kind: 'admin' | 'api' | 'metrics', caller: Caller): ProblemError {
  const detail =
    caller === 'nobody'
      ? `This needs the ${kind} token: send it as "Authorization: Bearer <token>".`
      : `The token that was sent is not the ${kind} token.`;
  const challenge = caller === 'nobody' ? 'Bearer' : 'Bearer error="invalid_token"';
  return new ProblemError(401, detail, {}, { 'www-authenticate': challenge });
}

function digest(token: string | undefined): Buffer | undefined {
  return token === undefined || token === ''
    ? undefined
    : createHash('sha256').update(token).digest();
}

function same(given: Buffer | undefined, wanted: Buffer | undefined): boolean {
  return given !== undefined && wanted !== undefined && timingSafeEqual(given, wanted);
}
