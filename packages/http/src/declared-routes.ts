/**
 * Routes of an application, declared in a line each: all of them bear one tag and need its token.
 * What a route takes and answers is typed from here to its handler.
 */
import type { RouteConfig, z } from '@hono/zod-openapi';
import { bearer } from './router.ts';

/** What a request consists of: schemas of `params`, `query` and `headers`, and a {@link jsonBody}. */
export type RequestParts = NonNullable<RouteConfig['request']>;
/** What it may be answered with, by status. */
export type Answers = RouteConfig['responses'];

/** What is said of a route beside its method and path. */
export type RouteAbout<Request extends RequestParts, Responses extends Answers> = {
  summary: string;
  description?: string;
  request: Request;
  responses: Responses;
};

/** A route, for `router.openapi(route, handler)`. */
// Not an interface: OpenAPI's own type has room for extensions, which an interface has not.
export type DeclaredRoute<
  Method extends RouteMethod,
  Path extends string,
  Request extends RequestParts,
  Responses extends Answers,
> = RouteAbout<Request, Responses> & {
  method: Method;
  path: Path;
  tags: string[];
  security: { bearer: string[] }[];
};

/** The methods that there are. */
export type RouteMethod = 'get' | 'put' | 'post' | 'patch' | 'delete';

type Declare<Method extends RouteMethod, Common extends Answers> = <
  Path extends string,
  Request extends RequestParts,
  Responses extends Answers,
>(
  path: Path,
  about: RouteAbout<Request, Responses>,
) => DeclaredRoute<Method, Path, Request, Common & Responses>;

/** Declares routes, by their methods. */
export type Declarer<Common extends Answers> = {
  readonly [Method in RouteMethod]: Declare<Method, Common>;
};

/**
 * Declares the routes of one tag: `route.get('/books/{id}', {summary, request, responses})`.
 * `common`: what each of them may be answered with besides, `readRefusals` say.
 */
export function routesOf<Common extends Answers>(tag: string, common: Common): Declarer<Common> {
  const declare =
    <Method extends RouteMethod>(method: Method): Declare<Method, Common> =>
    (path, { responses, ...about }) => ({
      method,
      path,
      tags: [tag],
      security: bearer,
      ...about,
      responses: { ...common, ...responses },
    });
  return {
    get: declare('get'),
    put: declare('put'),
    post: declare('post'),
    patch: declare('patch'),
    delete: declare('delete'),
  };
}

/** How a route documents a body that it needs, in JSON. */
export type JsonBody<Schema extends z.ZodType> = {
  required: true;
  content: { 'application/json': { schema: Schema } };
};

/** `request: { params, body: jsonBody(schema) }`. */
export function jsonBody<Schema extends z.ZodType>(schema: Schema): JsonBody<Schema> {
  return { required: true, content: { 'application/json': { schema } } };
}
