/** Which methods a path takes, out of the OpenAPI document: for the answer 405. */

const METHODS = ['get', 'put', 'post', 'delete', 'patch'] as const;

interface KnownPath {
  readonly pattern: RegExp;
  readonly methods: readonly string[];
}

/** The part of an OpenAPI document that matters here. */
export interface DocumentedPaths {
  readonly paths?: Readonly<Record<string, object>> | undefined;
}

export class AllowedMethods {
  readonly #paths: readonly KnownPath[];

  constructor(document: DocumentedPaths, others: Readonly<Record<string, object>> = {}) {
    this.#paths = Object.entries({ ...document.paths, ...others }).map(([template, item]) => ({
      pattern: patternOf(template),
      methods: METHODS.filter((method) => method in item).map((method) => method.toUpperCase()),
    }));
  }

  /** Of a path as it stands in the URL; none where there is no such path. */
  of(pathname: string): readonly string[] {
    const methods = new Set<string>();
    for (const path of this.#paths) {
      if (!path.pattern.test(pathname)) continue;
      for (const method of path.methods) methods.add(method);
    }
    if (methods.has('GET')) methods.add('HEAD');
    return [...methods];
  }
}

/** `/cache/preload/{id}` as an expression that matches one segment for each parameter. */
export function patternOf(template: string): RegExp {
  const escaped = template.replace(/[.*+?^$()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replace(/\{[^/}]+\}/g, '[^/]+')}$`);
}
