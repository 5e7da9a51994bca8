/**
 * Keys of derived values as text. A caller may use strings, numbers or plain objects; each has
 * one text, and no two that differ share one (G8):
 *
 *   'abc'           abc          a string is its own text
 *   '#1', '{…', '\'  \#1 …       unless it begins like one of the others: then behind a backslash
 *   1               #1
 *   {b: 1, a: 'x'}  {"a":"x","b":1}   JSON with its members in order
 */
import { KeyError } from '../errors.ts';

/** What a derived value can be kept under. */
export type DerivedKey = string | number | DerivedKeyObject;

/** A plain object of what JSON can hold; the order of its members does not matter. */
export interface DerivedKeyObject {
  readonly [name: string]: DerivedKeyPart | undefined;
}

export type DerivedKeyPart =
  | string
  | number
  | boolean
  | null
  | readonly DerivedKeyPart[]
  | DerivedKeyObject;

export function derivedKeyText(key: unknown): string {
  if (typeof key === 'string') return /^[#{\\]/.test(key) ? `\\${key}` : key;
  if (typeof key === 'number') return `#${numberText(key)}`;
  if (isPlain(key)) return objectText(key);
  throw new KeyError(`a key must be a string, a number or a plain object, got ${typeOf(key)}`);
}

function numberText(value: number): string {
  if (!Number.isFinite(value)) throw new KeyError(`a key must not hold ${value}`);
  return JSON.stringify(value === 0 ? 0 : value);
}

function objectText(value: object): string {
  const parts = Object.entries(value)
    .filter(([, part]) => part !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, part]) => `${JSON.stringify(name)}:${partText(part)}`);
  return `{${parts.join(',')}}`;
}

function partText(value: unknown): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') {
    return JSON.stringify(value);
  }
  if (typeof value === 'number') return numberText(value);
  if (Array.isArray(value)) return `[${Array.from(value, partText).join(',')}]`;
  if (isPlain(value)) return objectText(value);
  throw new KeyError(`a key must hold what JSON can hold, got ${typeOf(value)}`);
}

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  return typeof value === 'object' ? (value.constructor?.name ?? 'an object') : typeof value;
}
