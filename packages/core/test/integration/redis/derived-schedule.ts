/**
 * Random commands on derived values for the scripts and the model alike. Tokens and sequences are
 * mostly what a reader was told last, versions hug the cut, tags are few and there are more of
 * them than notes, so that whatever may be voided, forgotten or too low often is.
 */
import { type Address, address, type Scope } from '../../../src/model/key.ts';
import { scopeTagId, type TagId, tagId } from '../../../src/model/tags.ts';
import type * as derived from '../../../src/tiers/derived.ts';
import { json } from './support.ts';

export const VALUES: readonly Address[] = ['a', 'b', 'ä/ö', 'x y'].map((key) => address('d', key));
export const SCOPES: readonly Scope[] = [
  { kind: 'call', id: 'ß 7' },
  { kind: 'call', id: '8/a' },
];
/** One of them looks like a scope's. */
const TAGS = ['crm', 'élan', 'a b', 's:call/8/a'];
export const TAG_IDS: readonly TagId[] = [...TAGS.map(tagId), ...SCOPES.map(scopeTagId)];

/** Times are compared in steps of this: nothing ends while a test runs. */
export const STEP_MS = 10_000_000;

interface Lease {
  readonly address: Address;
  readonly token: number;
}

export type DerivedStep =
  | { readonly op: 'take'; readonly take: derived.Take }
  | { readonly op: 'fill'; readonly fill: derived.Fill }
  | { readonly op: 'place'; readonly place: derived.Place }
  | { readonly op: 'remove'; readonly of: { readonly address: Address; readonly version: number } }
  | { readonly op: 'extend'; readonly lease: Lease & { readonly leaseMs: number } }
  | { readonly op: 'letGo'; readonly lease: Lease }
  | { readonly op: 'invalidate'; readonly tags: readonly TagId[] }
  | { readonly op: 'erase'; readonly scope: Scope }
  | { readonly op: 'members'; readonly scope: Scope };

/** What a reader was told last of a key. */
export interface Told {
  readonly token: number;
  readonly sequence: number;
}

export class DerivedSchedule {
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  chance(probability: number): boolean {
    return this.#random() < probability;
  }

  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  pick<T>(list: readonly T[]): T {
    const found = list[this.below(list.length)];
    if (found === undefined) throw new Error('nothing to pick from');
    return found;
  }

  step(on: Address, cut: number, told: Told | undefined): DerivedStep {
    const op = this.pick(WEIGHTED);
    switch (op) {
      case 'take': {
        const mode = this.pick(['look', 'miss', 'miss', 'miss', 'early', 'force'] as const);
        return {
          op,
          take: { address: on, mode, token: this.#token(), leaseMs: this.#steps(1, 3) },
        };
      }
      case 'fill': {
        const entry = this.#entry(on, cut);
        const token = told !== undefined && this.chance(0.85) ? told.token : this.#token();
        const off = this.chance(0.8) ? 0 : this.below(5) - 3;
        const sequence = Math.max(0, (told?.sequence ?? 0) + off);
        return { op, fill: { entry, token, sequence, ...this.#lifetime() } };
      }
      case 'place':
        return { op, place: { entry: this.#entry(on, cut), ...this.#lifetime() } };
      case 'remove':
        return { op, of: { address: on, version: this.#version(cut) } };
      case 'extend':
        return { op, lease: { ...this.#lease(on, told), leaseMs: this.#steps(1, 5) } };
      case 'letGo':
        return { op, lease: this.#lease(on, told) };
      case 'invalidate':
        return { op, tags: TAG_IDS.filter(() => this.chance(0.2)).slice(0, 3) };
      case 'erase':
      case 'members':
        return { op, scope: this.pick(SCOPES) };
    }
  }

  #token(): number {
    return this.pick([1, 2, Number.MAX_SAFE_INTEGER]);
  }

  #lease(on: Address, told: Told | undefined): Lease {
    const token = told !== undefined && this.chance(0.7) ? told.token : this.#token();
    return { address: on, token };
  }

  #steps(least: number, most: number): number {
    return (least + this.below(most - least + 1)) * STEP_MS;
  }

  #lifetime(): derived.Lifetime {
    if (this.chance(0.08)) return { freshMs: 0, lifeMs: this.pick([0, STEP_MS]) };
    const freshMs = this.#steps(1, 3);
    return { freshMs, lifeMs: freshMs + this.#steps(0, 4) };
  }

  #version(cut: number): number {
    return Math.max(1, cut + this.below(9) - 3);
  }

  #entry(on: Address, cut: number): derived.DerivedEntry {
    return {
      address: on,
      version: this.#version(cut),
      intent: this.pick([1, Number.MAX_SAFE_INTEGER]),
      payload: this.chance(0.2) ? undefined : json({ n: this.below(1000) }),
      loadMs: this.below(3) * 7,
      tags: this.chance(0.5) ? TAGS.filter(() => this.chance(0.35)) : [],
      scope: this.chance(0.4) ? this.pick(SCOPES) : undefined,
    };
  }
}

const WEIGHTED: readonly DerivedStep['op'][] = [
  ...(['take', 'take', 'take', 'take', 'take', 'take', 'fill', 'fill', 'fill', 'fill'] as const),
  ...(['place', 'remove', 'extend', 'letGo', 'invalidate', 'erase', 'members'] as const),
];
