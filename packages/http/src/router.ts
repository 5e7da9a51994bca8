/** What every group of routes is made of, so that all of them refuse bad input alike. */
import { OpenAPIHono, type z } from '@hono/zod-openapi';
import { PROBLEM_TYPE, ProblemError, type ProblemPart, problemSchema } from './problem.ts';

/** A group of documented routes; {@link api} puts groups together. */
export type Router = OpenAPIHono;

/** A router whose validation errors are problem documents: 400, with the parts at fault. */
export function createRouter(): Router {
  return new OpenAPIHono({
    defaultHook(result) {
      if (result.success) return;
      const where = result.target === 'json' ? 'body' : result.target;
      const errors = result.error.issues.map((issue) => part(where, issue));
      throw new ProblemError(400, `The request does not fit: ${sentence(errors)}`, { errors });
    },
  });
}

function part(where: string, issue: z.core.$ZodIssue): ProblemPart {
  const path = issue.path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('');
  return { path: `${where}${path}`, message: issue.message };
}

function sentence(errors: readonly ProblemPart[]): string {
  const first = errors[0];
  if (first === undefined) return 'no part of it could be read.';
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
  return `${first.path}: ${first.message}${more}`;
}

/** A header of an answer, as a route documents it. */
// Not an interface: OpenAPI's own type has room for extensions, which an interface has not.
export type DocumentedHeader = {
  description: string;
  schema: { type: 'string'; enum?: string[]; example?: string };
};

/** How a route documents an answer in JSON. */
export interface JsonResponse<Schema extends z.ZodType> {
  readonly description: string;
  readonly content: { readonly 'application/json': { readonly schema: Schema } };
  readonly headers: Record<string, DocumentedHeader>;
}

/** `200: json('What was found.', schema)`, with the headers of the answer where it has some. */
export function json<Schema extends z.ZodType>(
  description: string,
  schema: Schema,
  headers: Record<string, DocumentedHeader> = {},
): JsonResponse<Schema> {
  return { description, content: { 'application/json': { schema } }, headers };
}

/** How a route documents a problem. */
export interface ProblemResponse {
  readonly description: string;
  readonly content: { readonly [PROBLEM_TYPE]: { readonly schema: typeof problemSchema } };
}

function documented(description: string): ProblemResponse {
  return { description, content: { [PROBLEM_TYPE]: { schema: problemSchema } } };
}

/** How routes document the problems that they answer with: `401: problems[401]`. */
export const problems: Readonly<
  Record<400 | 401 | 404 | 409 | 413 | 415 | 416 | 422 | 502 | 503 | 504, ProblemResponse>
> = {
  400: documented('The request can not be read: malformed JSON, escapes or parameters.'),
  401: documented('The token is missing or wrong.'),
  404: documented('Nothing is known under this name.'),
  409: documented('What is stored contradicts the request.'),
  413: documented('The body is over 1 MB.'),
  415: documented('The body is not JSON.'),
  416: documented('The range begins behind the end.'),
  422: documented('The value can not be stored as it is.'),
  502: documented(
    'What the value is computed from failed, and nothing older is at hand: try again.',
  ),
  503: documented('No tier could say, or hold the write: try again.'),
  504: documented('What the value is made by was silent for too long: try again.'),
};

/** For `security` of a route that needs a token. */
export const bearer: { readonly bearer: string[] }[] = [{ bearer: [] }];
