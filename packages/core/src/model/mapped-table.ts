/**
 * A table of the team's own that holds the records of a namespace: which columns are the key, and
 * which field of a value is in which column. Pure: what the database makes of it is written in
 * supabase/migrations, cache_mapped_tables.
 *
 * A key is the text of the key columns joined by ":". In each of them "%" is written `%25` and ":"
 * is written `%3A`, so that no choice of parts can be another row's key (G8), and a key says its
 * parts exactly. The same rule is in SQL, as `cache_mapped_key` and `cache_mapped_parts`.
 */
import { ConfigError, KeyError } from '../errors.ts';
import { checkName, type Scope, scopeOf } from './key.ts';

/** What {@link table} takes. */
export interface TableOptions<F extends string, K extends string> {
  /** `progress`, or with its schema `app.progress`. Default schema: `public`. */
  readonly name: string;
  /** The columns that are the key, in the order in which it names them; the table's primary key, or unique. */
  readonly key: readonly [K, ...K[]];
  /** In which column each field of a value is. Every field has one. A list: in one of its own name. */
  readonly columns: Readonly<Record<F, string>> | readonly F[];
  /**
   * The scope of the records, as `[kind, column]`: which column of the key is its id. Takes the
   * place of the namespace's option `scope`, because rows that others write have one too.
   */
  readonly scope?: readonly [kind: string, column: NoInfer<K>] | undefined;
}

/** The names of a value's fields: what a table has to have columns for. */
export type FieldsOf<V> = Extract<keyof V, string>;

/** What the parts of a cache ask of a {@link MappedTable}, whatever its values are. */
export interface RowTable {
  readonly name: string;
  readonly keyColumns: readonly string[];
  readonly columns: Readonly<Record<string, string>>;
  readonly scope: readonly [kind: string, column: string] | undefined;
  /** What `key` made, part by part; `undefined` where it is no key of this table. */
  partsOf(key: string): Readonly<Record<string, string>> | undefined;
  migration(namespace: string): string;
}

/** A {@link MappedTable} for values with exactly these fields: what a namespace takes. */
export interface TableFor<F extends string> extends RowTable {
  /** For the compiler alone: a table for other fields is no table for these. */
  readonly '~fields'?: ((field: F) => F) | undefined;
}

/**
 * Describes a table that other programs read, and may write, with plain SQL:
 * `cache.records<Progress>('progress', { table: table({ … }) })`. The table has to be mapped in the
 * database too, once, by a migration of the team's own: what {@link MappedTable.migration} says.
 * Throws `ConfigError` for names that no table can have.
 */
export function table<const F extends string, const K extends string>(
  options: TableOptions<F, K>,
): MappedTable<F, K> {
  return new MappedTable(options);
}

export class MappedTable<F extends string, K extends string> implements TableFor<F> {
  /** With its schema, as PostgreSQL writes it: `public.progress`. */
  readonly name: string;
  readonly keyColumns: readonly K[];
  readonly columns: Readonly<Record<F, string>>;
  readonly scope: readonly [kind: string, column: K] | undefined;
  declare readonly '~fields'?: (field: F) => F;

  /** @internal Use {@link table}. */
  constructor({ name, key, columns, scope }: TableOptions<F, K>) {
    const [table = '', schema = 'public', ...more] = checkIdentifier('name', name, 127)
      .split('.')
      .reverse();
    if (more.length > 0) throw new ConfigError('option "name" of a table has at most one dot');
    this.name = [schema, table].map((part) => quoted(checkIdentifier('name', part))).join('.');
    this.keyColumns = Object.freeze(key.map((column) => checkColumn('key', column)));
    const fields = isList(columns)
      ? columns.map((column) => [column, column] as const)
      : Object.entries<string>(columns);
    for (const [, column] of fields) checkColumn('columns', column);
    const named = [...this.keyColumns, ...fields.map(([, column]) => column)];
    if (new Set(named).size < named.length) {
      throw new ConfigError(`table ${this.name} names a column twice`);
    }
    if (this.keyColumns.length === 0 || fields.length === 0) {
      throw new ConfigError(`table ${this.name} needs a column of the key and one of a value`);
    }
    // Every field is in it.
    this.columns = Object.freeze(Object.fromEntries(fields) as Record<F, string>);
    if (scope !== undefined && !this.keyColumns.includes(scope[1])) {
      throw new ConfigError(`the scope of table ${this.name} has to be a column of its key`);
    }
    this.scope = scope && Object.freeze([checkName('scope kind', scope[0]), scope[1]] as const);
  }

  /** The key of the row with these key columns. Throws `KeyError` where a part is no text. */
  key(parts: Readonly<Record<K, string>>): string {
    return this.keyColumns
      .map((column) => {
        const part: unknown = parts[column];
        if (typeof part === 'string') return written(part);
        throw new KeyError(`the part "${column}" of a key must be a string, got ${typeof part}`);
      })
      .join(':');
  }

  partsOf(key: string): Readonly<Record<K, string>> | undefined {
    const texts = key.split(':');
    if (texts.length !== this.keyColumns.length) return undefined;
    const named = this.keyColumns.map(
      (column, place) => [column, read(texts[place] ?? '')] as const,
    );
    // Every column of the key is in it.
    const parts = Object.fromEntries(named) as Record<K, string>;
    return this.key(parts) === key ? parts : undefined;
  }

  /**
   * The SQL that maps the table to a namespace, for a migration of the team's own behind the one
   * that makes the table; to be run again where this description changes.
   */
  migration(namespace: string): string {
    const [kind, column] = this.scope ?? [];
    const lines = [
      `namespace => ${literal(checkName('namespace', namespace))}`,
      `relation => ${literal(this.name)}`,
      `key => array[${this.keyColumns.map(literal).join(', ')}]`,
      `columns => ${literal(JSON.stringify(this.columns))}`,
      ...(kind === undefined ? [] : [`scope_kind => ${literal(kind)}`]),
      ...(column === undefined ? [] : [`scope_column => ${literal(column)}`]),
    ];
    return `select public.cache_map_table(\n  ${lines.join(',\n  ')}\n);`;
  }
}

function isList(columns: object): columns is readonly string[] {
  return Array.isArray(columns);
}

/** The scope that a table gives to a key. */
export function scopeIn(table: RowTable, key: string): Scope | undefined {
  if (table.scope === undefined) return undefined;
  const [kind, column] = table.scope;
  return scopeOf(kind, table.partsOf(key)?.[column] ?? '');
}

/** Throws `KeyError` where the key is none of this table. */
export function checkMappedKey(table: RowTable, key: string): void {
  if (table.partsOf(key) !== undefined) return;
  throw new KeyError(
    `a key of table ${table.name} is ${table.keyColumns.map((column) => `{${column}}`).join(':')}, with ":" and "%" inside a part written %3A and %25`,
  );
}

function written(part: string): string {
  return part.replaceAll('%', '%25').replaceAll(':', '%3A');
}

function read(text: string): string {
  return text.replaceAll('%3A', ':').replaceAll('%25', '%');
}

/** PostgreSQL cuts longer names short, and then they are others. */
const MAX_IDENTIFIER_BYTES = 63;

function checkColumn<T extends string>(option: string, column: T): T {
  checkIdentifier(option, column);
  return column;
}

function checkIdentifier(option: string, name: string, most = MAX_IDENTIFIER_BYTES): string {
  const isName =
    typeof name === 'string' &&
    name.length > 0 &&
    Buffer.byteLength(name) <= most &&
    name.isWellFormed() &&
    !name.includes('\0');
  if (isName) return name;
  throw new ConfigError(`option "${option}" of a table takes names of at most ${most} bytes`);
}

/** As PostgreSQL shows it: quoted where it has to be. */
function quoted(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
