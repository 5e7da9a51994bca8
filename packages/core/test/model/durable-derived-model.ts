/**
 * The semantics of L3's functions for derived values: plain, synchronous, in memory, beside the
 * model of records, whose fences it shares. Time is given with each call; one call is one
 * transaction. The real functions are held against it with random commands.
 */
import type { Address, AddressId, Scope } from '../../src/model/key.ts';
import { scopeTagId, type TagId, tagIdsOf } from '../../src/model/tags.ts';
import { compareStamps } from '../../src/model/version.ts';
import type { DerivedEntry, DerivedHeld, DurableDerived } from '../../src/tiers/derived.ts';

export type DurablePut = Parameters<DurableDerived['put']>[0][number];

export interface DurableDerivedModelOptions {
  /** The number that a new database begins with. */
  readonly first?: number;
  /** How many notes are kept of tags and scopes, and how many of keys. */
  readonly notes?: number;
  /** Whether a row can't be stored for what it is. */
  readonly refuses?: (entry: DerivedEntry) => boolean;
}

interface Row {
  readonly entry: DerivedEntry;
  readonly sequence: number;
  readonly freshUntil: number;
  readonly expiresAt: number;
}

/** What was noted down under which number, and the highest number that was forgotten. */
class Notes<Name extends string> {
  readonly #most: number;
  #noted = new Map<Name, number>();
  floor: number;

  constructor(first: number, most: number) {
    this.floor = first;
    this.#most = most;
  }

  of(name: Name): number {
    return this.#noted.get(name) ?? this.floor;
  }

  note(names: readonly Name[], number: number): void {
    for (const name of names) this.#noted.set(name, number);
    const numbers = [...this.#noted.values()].sort((a, b) => b - a);
    const forgotten = numbers[this.#most];
    if (forgotten === undefined) return;
    this.#noted = new Map([...this.#noted].filter(([, noted]) => noted > forgotten));
    this.floor = forgotten;
  }

  dump(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#noted);
  }
}

export class DurableDerivedModel {
  readonly #fenceOf: (scope: Scope | undefined) => number;
  readonly #refuses: (entry: DerivedEntry) => boolean;
  readonly #rows = new Map<AddressId, Row>();
  /** The versions of what was erased here, above the fences of records. */
  readonly #erased = new Map<TagId, number>();
  readonly #tags: Notes<TagId>;
  readonly #keys: Notes<AddressId>;
  #sequence: number;

  constructor(
    fenceOf: (scope: Scope | undefined) => number,
    options: DurableDerivedModelOptions = {},
  ) {
    const { first = 0, notes = 10_000, refuses = () => false } = options;
    this.#fenceOf = fenceOf;
    this.#refuses = refuses;
    this.#sequence = first;
    this.#tags = new Notes(first, notes);
    this.#keys = new Notes(first, notes);
  }

  read(
    addresses: readonly Address[],
    now: number,
  ): { readonly sequence: number; readonly held: readonly (DerivedHeld | undefined)[] } {
    const held = addresses.map((address) => {
      const row = this.#rows.get(address.id);
      if (row === undefined || !this.#isAlive(row, now)) return undefined;
      const freshMs = Math.max(0, row.freshUntil - now);
      return { entry: row.entry, freshMs, lifeMs: row.expiresAt - now };
    });
    return { sequence: this.#sequence, held };
  }

  /** What is set takes its number, and ends the loads of its keys, before any row is looked at. */
  put(puts: readonly DurablePut[], now: number): readonly ('held' | 'voided')[] {
    const sets = puts.filter((put) => put.sequence === undefined);
    const taken = sets.length > 0 ? this.#next() : 0;
    const loud = sets.filter(({ entry }) => !this.#isErased(entry));
    this.#keys.note(
      loud.map(({ entry }) => entry.address.id),
      taken,
    );
    return puts.map((put) => this.#put(put, put.sequence ?? taken, now));
  }

  #put(put: DurablePut, sequence: number, now: number): 'held' | 'voided' {
    const { entry } = put;
    const isSet = put.sequence === undefined;
    const { id } = entry.address;
    if (this.#isErased(entry)) return 'voided';
    const isKnown = sequence <= this.#sequence && sequence >= this.#keys.of(id);
    if (!isSet && (!isKnown || this.#isVoid(entry, sequence))) return 'voided';
    const row = this.#rows.get(id);
    const order = row === undefined ? -1 : compareStamps(row.entry, entry);
    if (this.#refuses(entry)) {
      if (isSet && order < 0) this.#rows.delete(id);
      return 'voided';
    }
    const isDead = row === undefined || !this.#isAlive(row, now);
    if (order === 0) return isDead ? 'voided' : 'held';
    if (order > 0 && (isSet || !isDead)) return 'voided';
    const freshUntil = now + put.freshMs;
    this.#rows.set(id, { entry, sequence, freshUntil, expiresAt: now + put.lifeMs });
    return 'held';
  }

  remove(addresses: readonly Address[]): void {
    const ids = addresses.map((address) => address.id);
    this.#keys.note(ids, this.#next());
    for (const id of ids) this.#rows.delete(id);
  }

  invalidate(tags: readonly TagId[]): void {
    this.#tags.note(tags, this.#next());
  }

  /** With the scope's records, in one transaction. Answers how many went. */
  erase(scope: Scope): number {
    const id = scopeTagId(scope);
    const gone = [...this.#rows.values()].filter(
      ({ entry }) => entry.scope?.kind === scope.kind && entry.scope.id === scope.id,
    );
    const versions = gone.map(({ entry }) => entry.version);
    this.#erased.set(id, Math.max(this.#erased.get(id) ?? 0, ...versions));
    this.#tags.note([id], this.#next());
    for (const { entry } of gone) this.#rows.delete(entry.address.id);
    return gone.length;
  }

  /** What is past its life goes; answers how many that were. */
  prune(now: number): number {
    const over = [...this.#rows].filter(([, row]) => row.expiresAt <= now);
    for (const [id] of over) this.#rows.delete(id);
    return over.length;
  }

  /** Canonical plain data, for comparison with a real server's tables. */
  dump(): {
    readonly sequence: number;
    readonly floor: number;
    readonly keyFloor: number;
    readonly notes: Readonly<Record<string, number>>;
    readonly rows: readonly string[];
  } {
    const keys = Object.entries(this.#keys.dump()).map(([id, number]) => [`k:${id}`, number]);
    return {
      sequence: this.#sequence,
      floor: this.#tags.floor,
      keyFloor: this.#keys.floor,
      notes: { ...this.#tags.dump(), ...Object.fromEntries(keys) },
      rows: [...this.#rows].map(
        ([id, { entry, sequence }]) => `${id}@${entry.version}:${entry.intent} ${sequence}`,
      ),
    };
  }

  #next(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  #isErased({ scope, version }: DerivedEntry): boolean {
    if (scope === undefined) return false;
    const fence = Math.max(this.#fenceOf(scope), this.#erased.get(scopeTagId(scope)) ?? 0);
    return version <= fence;
  }

  #isAlive({ entry, sequence, expiresAt }: Row, now: number): boolean {
    return expiresAt > now && !this.#isVoid(entry, sequence);
  }

  #isVoid(entry: DerivedEntry, sequence: number): boolean {
    return tagIdsOf(entry).some((id) => sequence < this.#tags.of(id));
  }
}
