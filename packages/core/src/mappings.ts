/**
 * Whether the database agrees with the mapped tables of this cache (`records(…, { table })`).
 *
 *   asking    it was not asked yet, or L3 is away: asked again every second. Calls work: what is
 *             written meanwhile reaches the table when it is mapped.
 *   agreed    the table is there, is mapped, and has every column.
 *   misused   it is not. Final: every call of that namespace says so, because the other programs
 *             would not see what is written.
 */
import type { Clock } from './clock.ts';
import { ClosedError, ConfigError, UnavailableError } from './errors.ts';
import type { RowTable } from './model/mapped-table.ts';
import type { NamespaceOptions, NamespaceTable } from './space.ts';
import type { DurableTables } from './tiers/tables.ts';

const RETRY_MS = 1000;

export interface MappingsParts {
  readonly clock: Clock;
  readonly tables: DurableTables;
  /** Resolves when L3 agreed to be used at all. */
  readonly opened: () => Promise<void>;
  readonly isClosed: () => boolean;
  /** What is written to L3 is encrypted. */
  readonly isSealed: boolean;
}

export class Mappings {
  readonly #parts: MappingsParts;
  readonly #mappings: Mapping[] = [];

  constructor(parts: MappingsParts) {
    this.#parts = parts;
  }

  /**
   * Asks for it from now on; what is returned throws once the database disagreed. Throws
   * `ConfigError` where the cache encrypts: nobody else could read the table.
   */
  add(namespace: string, table: RowTable): () => void {
    if (this.#parts.isSealed) {
      throw new ConfigError(
        `namespace "${namespace}": a mapped table is read by other programs, and the option encryption keeps them from it`,
      );
    }
    const mapping = new Mapping(this.#parts, namespace, table);
    this.#mappings.push(mapping);
    return () => mapping.check();
  }

  /** Resolves when the database agreed to all of them; rejects with the last attempt. */
  async ready(): Promise<void> {
    await Promise.all(this.#mappings.map((mapping) => mapping.ready()));
  }

  close(): void {
    for (const mapping of this.#mappings) mapping.close();
  }
}

/** What a namespace of records has of its table; `undefined` where it has none. */
export function mappedTable(
  mappings: Mappings,
  name: string,
  options: NamespaceOptions & { readonly table?: RowTable | undefined },
): NamespaceTable | undefined {
  const { table, scope, codec = 'json' } = options;
  if (table === undefined) return undefined;
  if (scope !== undefined) {
    throw new ConfigError(
      `namespace "${name}": the scope of a mapped table is an option of the table, so that rows of others have it too`,
    );
  }
  if (codec !== 'json') {
    throw new ConfigError(`namespace "${name}": a mapped table takes the codec json`);
  }
  return { table, check: mappings.add(name, table) };
}

class Mapping {
  readonly #parts: MappingsParts;
  readonly #namespace: string;
  readonly #table: RowTable;
  #misuse: ConfigError | undefined;
  #attempt: Promise<void>;
  #cancel: (() => void) | undefined;

  constructor(parts: MappingsParts, namespace: string, table: RowTable) {
    this.#parts = parts;
    this.#namespace = namespace;
    this.#table = table;
    this.#attempt = this.#try();
  }

  check(): void {
    if (this.#misuse !== undefined) throw this.#misuse;
  }

  ready(): Promise<void> {
    return this.#attempt;
  }

  close(): void {
    this.#cancel?.();
  }

  #try(): Promise<void> {
    const attempt = this.#ask();
    attempt.catch((error: unknown) => {
      if (error instanceof ConfigError || this.#parts.isClosed()) return;
      this.#cancel = this.#parts.clock.after(RETRY_MS, () => {
        this.#attempt = this.#try();
      });
    });
    return attempt;
  }

  async #ask(): Promise<void> {
    const { opened, tables, isClosed } = this.#parts;
    await opened();
    const faults = await tables.faults(this.#namespace, this.#table).catch((cause: unknown) => {
      if (isClosed()) throw new ClosedError('the cache is closed');
      throw new UnavailableError('Supabase does not answer', { cause });
    });
    if (faults.length === 0) return;
    this.#misuse = new ConfigError(
      `table ${this.#table.name} of namespace "${this.#namespace}": ${faults.join('; ')}. Its mapping, for a migration:\n${this.#table.migration(this.#namespace)}`,
    );
    throw this.#misuse;
  }
}
