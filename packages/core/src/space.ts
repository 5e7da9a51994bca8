/**
 * A namespace: its name, its kind, and how its values become bytes and come back. What the
 * public verbs of records and logs share.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { Engine } from './calls.ts';
import type { Codec } from './codec/codec.ts';
import { codecs } from './codec/codecs.ts';
import { checkRow } from './codec/row.ts';
import type { Copy } from './coherence/copies.ts';
import { CodecError, ConfigError, SchemaError, TimeoutError, UnavailableError } from './errors.ts';
import type { NamespaceCounters, RequestResult } from './metrics/counters.ts';
import type { CodecName, Payload } from './model/entry.ts';
import { type Address, address, checkName, idOf, type Scope, scopeOf } from './model/key.ts';
import type { Known } from './model/known.ts';
import { checkMappedKey, type RowTable, scopeIn } from './model/mapped-table.ts';
import type { Space, TierName } from './read/lookup.ts';

/** What records and logs take alike. */
export interface NamespaceOptions {
  /**
   * The group that a key belongs to, as `[kind, id]`: a namespace opened with
   * `scope: (key) => ['call', key]` is preloaded, flushed and erased with its call.
   */
  readonly scope?: ((key: string) => readonly [kind: string, id: string]) | undefined;
  /** How values become bytes. `json` keeps them readable in L3. Default `'json'`. */
  readonly codec?: CodecName | undefined;
  /** Validates what goes in and what comes out; must answer synchronously. */
  readonly schema?: StandardSchemaV1 | undefined;
}

/** The table of the team's own that a namespace of records lives in. */
export interface NamespaceTable {
  readonly table: RowTable;
  /** Throws where the database said that it is not mapped like this. */
  readonly check: () => void;
}

/** A value that every reader shares, so it can't be changed. */
export type DeepReadonly<V> = V extends (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : V extends (...args: never[]) => unknown
    ? V
    : V extends Uint8Array | Date
      ? V
      : V extends object
        ? { readonly [Name in keyof V]: DeepReadonly<V[Name]> }
        : V;

export class Namespace {
  readonly name: string;
  readonly kind: 'value' | 'log';
  readonly counters: NamespaceCounters;
  readonly #codec: Codec<unknown>;
  readonly #scope: NamespaceOptions['scope'];
  readonly #schema: StandardSchemaV1 | undefined;
  readonly #mapped: NamespaceTable | undefined;

  constructor(
    name: string,
    kind: 'value' | 'log',
    options: NamespaceOptions,
    counters: NamespaceCounters,
    mapped?: NamespaceTable,
  ) {
    this.name = checkName('namespace', name);
    this.kind = kind;
    this.counters = counters;
    this.#codec = codecs[options.codec ?? 'json'];
    this.#scope = options.scope;
    this.#schema = options.schema;
    this.#mapped = mapped;
  }

  address(key: string): Address {
    const checked = address(this.name, key);
    if (this.#mapped !== undefined) {
      this.#mapped.check();
      checkMappedKey(this.#mapped.table, key);
    }
    return checked;
  }

  /** L1's copy of a key, where it may be answered. Counts and, now and then, times it. */
  copy(engine: Engine, key: string): Copy | undefined {
    const timed = engine.sampleL1();
    const start = timed ? engine.clock.monotonic() : 0;
    const copy = engine.lookup.copy(idOf(this.name, key));
    if (timed) engine.observeL1(engine.clock.monotonic() - start);
    const { l1, overall } = this.counters;
    if (copy === undefined) l1.miss += 1;
    else {
      l1.hit += 1;
      overall.hit += 1;
    }
    return copy;
  }

  scopeOf(key: string): Scope | undefined {
    if (this.#mapped !== undefined) return scopeIn(this.#mapped.table, key);
    if (this.#scope === undefined) return undefined;
    const [kind, id] = this.#scope(key);
    return scopeOf(kind, id);
  }

  /** The bytes of a value, and the frozen value that they stand for. */
  encode(value: unknown): { readonly payload: Payload; readonly value: unknown } {
    if (value === undefined) throw new CodecError(`${this.name}: undefined can't be stored`);
    const encoded = this.#codec.encode(this.#validated(value, 'stored'));
    if (this.#mapped !== undefined) checkRow(this.#mapped.table, encoded.value);
    return encoded;
  }

  decode(payload: Payload): unknown {
    const { codec, bytes } = payload;
    if (codec === 'encrypted') {
      throw new UnavailableError(`${this.name}: L3 holds this under a key that is not configured`, {
        outcome: 'none',
      });
    }
    const decoded = codecs[codec].decode(bytes);
    const valid = this.#validated(decoded, 'read');
    // What a schema makes anew is not frozen yet, and many will share it.
    return valid === decoded ? decoded : codecs[codec].encode(valid).value;
  }

  lend(held: unknown): unknown {
    return this.#codec.lend(held);
  }

  #validated(value: unknown, when: 'stored' | 'read'): unknown {
    if (this.#schema === undefined) return value;
    const result = this.#asked(this.#schema, value, when);
    if (result instanceof Promise) {
      throw new ConfigError(`option "schema" of ${this.name} must validate synchronously`);
    }
    if (result.issues === undefined) return result.value;
    const issues = result.issues.map((issue) => ({
      path: pathOf(issue.path),
      message: issue.message,
    }));
    const first = issues[0];
    throw new SchemaError(
      `a value of ${this.name} that was to be ${when} does not fit its schema at ${first?.path}: ${first?.message}`,
      issues,
      { outcome: 'none' },
    );
  }

  /** A schema that throws, where it should say what is wrong, refuses the value too. */
  #asked(schema: StandardSchemaV1, value: unknown, when: 'stored' | 'read') {
    try {
      return schema['~standard'].validate(value);
    } catch (cause) {
      const message = `the schema of ${this.name} throws for a value that was to be ${when}`;
      throw new SchemaError(message, [], { cause, outcome: 'none' });
    }
  }

  /** What the read path needs to know: how a value, or a whole log, is decoded and counted. */
  space(): Space<unknown> {
    const { counters } = this;
    return {
      name: this.name,
      kind: this.kind,
      decode: (known) => this.#decodeKnown(known),
      count: (tier: TierName, result: RequestResult) => {
        counters[tier][result] += 1;
      },
      answered: (hit) => {
        counters.overall[hit ? 'hit' : 'miss'] += 1;
      },
      failed: (error) => {
        counters.overall[error instanceof TimeoutError ? 'timeout' : 'error'] += 1;
      },
    };
  }

  #decodeKnown(known: Known): unknown {
    if (known.kind === 'value') {
      return known.payload === undefined ? undefined : this.decode(known.payload);
    }
    return Object.freeze(
      known.items.map((item) => Object.freeze({ id: item.id, value: this.decode(item.payload) })),
    );
  }
}

function pathOf(path: StandardSchemaV1.Issue['path']): string {
  let text = '$';
  for (const part of path ?? []) {
    const key = typeof part === 'object' ? part.key : part;
    text += typeof key === 'number' ? `[${key}]` : `.${String(key)}`;
  }
  return text;
}
