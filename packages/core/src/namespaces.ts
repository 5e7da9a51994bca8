/** The namespaces of one cache: each is opened once, or again with the very same options. */
import { isDeepStrictEqual } from 'node:util';
import { ConfigError } from './errors.ts';
import type { Namespace } from './space.ts';

/** What a namespace holds. */
export type NamespaceKind = 'records' | 'logs' | 'derived';

interface Opened {
  readonly kind: NamespaceKind;
  readonly options: object;
  readonly handle: object;
  readonly namespace: Namespace;
}

export class Namespaces {
  readonly #opened = new Map<string, Opened>();

  /** The handle that was made before, or a new one; functions are compared by identity. */
  open<H extends object>(
    kind: NamespaceKind,
    options: object,
    type: new (...args: never[]) => H,
    name: string,
    make: () => { readonly handle: H; readonly namespace: Namespace },
  ): H {
    const opened = this.#opened.get(name);
    if (opened !== undefined) {
      const isSame = isDeepStrictEqual(given(opened.options), given(options));
      if (isSame && opened.handle instanceof type) return opened.handle;
      throw new ConfigError(`namespace "${name}" was opened before with other options`);
    }
    const { handle, namespace } = make();
    this.#opened.set(name, { kind, options, handle, namespace });
    return handle;
  }

  get(name: string): Opened | undefined {
    return this.#opened.get(name);
  }
}

/** An option that is `undefined` is one that is not given. */
function given(options: object): object {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
