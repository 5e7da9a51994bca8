/**
 * Which documented answers the tests of one app have seen. Every request of a test file goes
 * through {@link RouteCoverage.request}; its last test asks for what is missing. One file per
 * app, because each file has a process of its own.
 */
import { z } from 'zod';

/** An app of Hono, of whatever environment. */
interface Requested {
  request(path: string, init?: RequestInit): Response | Promise<Response>;
}

/** The part of an OpenAPI document that is walked. */
export interface WalkedDocument {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<
    Record<
      string,
      Readonly<Record<string, { readonly responses: Readonly<Record<string, unknown>> }>>
    >
  >;
}

const operationSchema = z.object({ responses: z.record(z.string(), z.unknown()) });
const documentSchema: z.ZodType<WalkedDocument> = z.object({
  openapi: z.string(),
  info: z.object({ title: z.string(), version: z.string() }),
  paths: z.record(z.string(), z.record(z.string(), operationSchema)),
});

/** The OpenAPI document that an app serves of itself. */
export async function documentOf(app: Requested): Promise<WalkedDocument> {
  const answer = await app.request('/openapi.json');
  return documentSchema.parse(await answer.json());
}

interface Route {
  readonly method: string;
  readonly template: string;
  readonly pattern: RegExp;
  readonly statuses: ReadonlySet<string>;
}

export class RouteCoverage {
  readonly #seen: { readonly method: string; readonly path: string; readonly status: number }[] =
    [];

  /** Like `app.request`, and remembers how it was answered. */
  async request(app: Requested, path: string, init: RequestInit = {}): Promise<Response> {
    const response = await app.request(path, init);
    this.record(init.method ?? 'GET', path, response.status);
    return response;
  }

  /** For requests that went another way, as over a socket. */
  record(method: string, url: string, status: number): void {
    const path = new URL(url, 'http://localhost').pathname;
    this.#seen.push({ method: method.toUpperCase(), path, status });
  }

  /** Documented answers that no request produced: `GET /health 503`. */
  missing(document: WalkedDocument): readonly string[] {
    const routes = routesOf(document);
    return routes.flatMap((route) => {
      const statuses = new Set(
        this.#seen.filter((seen) => answers(route, seen)).map((seen) => String(seen.status)),
      );
      return [...route.statuses]
        .filter((status) => !statuses.has(status))
        .map((status) => `${route.method} ${route.template} ${status}`);
    });
  }

  /** Answers of documented routes that the document does not speak of. */
  undocumented(document: WalkedDocument): readonly string[] {
    const routes = routesOf(document);
    const found = new Set<string>();
    for (const seen of this.#seen) {
      const route = routes.find((candidate) => answers(candidate, seen));
      if (route === undefined || route.statuses.has(String(seen.status))) continue;
      found.add(`${route.method} ${route.template} ${seen.status}`);
    }
    return [...found];
  }
}

function answers(route: Route, seen: { readonly method: string; readonly path: string }): boolean {
  return route.method === seen.method && route.pattern.test(seen.path);
}

function routesOf(document: WalkedDocument): readonly Route[] {
  return Object.entries(document.paths).flatMap(([template, operations]) =>
    Object.entries(operations).map(([method, { responses }]) => ({
      method: method.toUpperCase(),
      template,
      pattern: new RegExp(`^${template.replace(/\{[^/}]+\}/g, '[^/]+')}$`),
      statuses: new Set(Object.keys(responses)),
    })),
  );
}
