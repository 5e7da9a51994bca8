/**
 * Groups of routes put together to one web-standard handler: limits what comes in, documents
 * itself, and answers everything that goes wrong with a problem document.
 */
import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context, MiddlewareHandler } from 'hono';
import { bodyLimit as honoBodyLimit } from 'hono/body-limit';
import { routePath } from 'hono/route';
import { docsPage } from './docs-page.ts';
import { AllowedMethods } from './methods.ts';
import { ProblemError, problemOf } from './problem.ts';
import type { Router } from './router.ts';

const JSON_TYPE = /^application\/(?:problem\+)?json\b/;

/** The largest body that is read. */
export const MAX_BODY_BYTES = 1_000_000;

export interface ApiOptions {
  readonly title: string;
  readonly version: string;
  readonly description?: string | undefined;
  readonly routers: readonly Router[];
  /** Goes before everything else, in this order: request ids, a log. */
  readonly before?: readonly MiddlewareHandler[] | undefined;
  /** Hears of every error that became a 5xx, for the log. The answer never holds it. */
  readonly onError?: ((error: unknown, request: FailedRequest) => void) | undefined;
}

/** A request in words that hold no key and no value. */
export interface FailedRequest {
  readonly method: string;
  /** As the route is declared: `/conversations/:id`. */
  readonly route: string;
  readonly status: number;
}

/** Refuses bodies that are over {@link MAX_BODY_BYTES}, before they are read where it can. */
export function bodyLimit(maxBytes: number = MAX_BODY_BYTES): MiddlewareHandler {
  return honoBodyLimit({
    maxSize: maxBytes,
    onError() {
      throw new ProblemError(413, `The body is over ${maxBytes.toLocaleString('en')} bytes.`);
    },
  });
}

/** Refuses paths whose escapes don't decode: what would be looked up is nobody's key. */
export function wellFormedPath(): MiddlewareHandler {
  return async (c, next) => {
    if (c.req.url.includes('%')) {
      try {
        decodeURIComponent(new URL(c.req.url).pathname);
      } catch {
        throw new ProblemError(400, 'The path has an escape (%…) that is not UTF-8.');
      }
    }
    await next();
  };
}

/** Nothing that is said here stays true, or is for everybody: nobody on the way may keep it. */
function uncached(): MiddlewareHandler {
  return async (c, next) => {
    await next();
    if (!c.res.headers.has('cache-control')) c.header('cache-control', 'no-store');
  };
}

/** JSON ends with a newline, so that a terminal's prompt stands on a line of its own. */
function lineEnded(): MiddlewareHandler {
  return async (c, next) => {
    await next();
    const answered = c.res;
    if (!JSON_TYPE.test(answered.headers.get('content-type') ?? '')) return;
    const text = await answered.text();
    // Set twice, because what is set over an answer takes over that one's headers and body.
    c.res = undefined;
    c.res = new Response(`${text}\n`, answered);
  };
}

/** HEAD is routed as GET is. Nobody reads that body, and what makes it has to hear so. */
function headOnly(): MiddlewareHandler {
  return async (c, next) => {
    await next();
    if (c.req.method !== 'HEAD') return;
    const answered = c.res;
    void answered.body?.cancel().catch(() => {});
    c.res = undefined;
    c.res = new Response(null, answered);
  };
}

/** Where a client hangs up, its signal's reason is thrown, which need not be an error. */
function errorsOnly(): MiddlewareHandler {
  return async (_, next) => {
    try {
      await next();
    } catch (thrown) {
      throw thrown instanceof Error ? thrown : new Error('not an error', { cause: thrown });
    }
  };
}

/** One handler of all the routers, with `/openapi.json` and `/docs`. */
export function api(options: ApiOptions): Router {
  const app: Router = new OpenAPIHono();
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
  });
  app.onError((error, c) => answer(error, c, options.onError));
  app.use(
    ...(options.before ?? []),
    headOnly(),
    errorsOnly(),
    lineEnded(),
    uncached(),
    wellFormedPath(),
    bodyLimit(),
  );
  for (const router of options.routers) app.route('/', router);
  const document = app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: options.title,
      version: options.version,
      ...(options.description === undefined ? {} : { description: options.description }),
    },
  });
  app.get('/openapi.json', (c) => c.json(document));
  app.route('/', docsPage());
  const allowed = new AllowedMethods(document, {
    '/openapi.json': { get: {} },
    '/docs': { get: {} },
    '/docs/{asset}': { get: {} },
  });
  app.notFound((c) => answer(nothingThere(c, allowed), c, options.onError));
  return app;
}

function answer(error: unknown, c: Context, onError: ApiOptions['onError']): Response {
  // Nobody reads it, but the log should not speak of a fault of the service.
  const isGone = c.req.raw.signal.aborted;
  const problem = isGone ? new ProblemError(499, 'The client has gone.') : problemOf(error);
  const { status } = problem.problem;
  if (status >= 500) onError?.(error, { method: c.req.method, route: routePath(c), status });
  return problem.response();
}

/** 404, or 405 with the call that would have been right. */
function nothingThere(c: Context, allowed: AllowedMethods): ProblemError {
  const url = new URL(c.req.url);
  const methods = allowed.of(url.pathname);
  const method = methods[0];
  if (method === undefined) {
    return new ProblemError(404, 'There is nothing at this path. See /openapi.json, or /docs.');
  }
  // Quoted for a shell: somebody will paste it.
  const target = `'${url.origin}${url.pathname.replaceAll("'", '%27')}'`;
  const detail = `${c.req.method} is not what this path takes. Use: curl -X ${method} ${target}`;
  return new ProblemError(405, detail, {}, { allow: methods.join(', ') });
}
