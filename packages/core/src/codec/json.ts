/**
 * Values as JSON text: what a team can query in L3.
 *
 * One walk checks a value and builds the frozen copy that L1 holds; the text is written from
 * that copy, so a getter, a proxy or a concurrent change can't make the two differ. Strings
 * survive whole (U+0000 and lone surrogates are escaped by `JSON.stringify`), and so does the
 * order of keys. An own `__proto__` is a key like any other and never a prototype.
 *
 * What is not part of a value: non-enumerable properties, and the null prototype of an object
 * that has one.
 */
import { isUtf8 } from 'node:buffer';
import { CodecError } from '../errors.ts';
import type { Codec } from './codec.ts';
import { isPlainArray, isPlainObject, MAX_DEPTH, nameOfKind, type Place, Walk } from './place.ts';

/** What survives JSON: what {@link jsonCodec} stores, deeply frozen. */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

export const jsonCodec: Codec<JsonValue> = Object.freeze({
  name: 'json',
  encode(value: unknown) {
    const copy = copyOf(value, undefined, new Walk('JSON'));
    return { payload: { codec: 'json', bytes: Buffer.from(textOf(copy)) }, value: copy };
  },
  decode(bytes: Uint8Array) {
    return freeze(parse(bytes), 1);
  },
  lend: (held: JsonValue) => held,
} satisfies Codec<JsonValue>);

function textOf(copy: JsonValue): string {
  try {
    return JSON.stringify(copy);
  } catch (cause) {
    // Longer than the engine's longest string, about 512 MiB.
    throw new CodecError('$: too large to be stored', { cause });
  }
}

function copyOf(value: unknown, place: Place | undefined, walk: Walk): JsonValue {
  switch (typeof value) {
    case 'string':
      walk.text(value.length, place);
      return value;
    case 'boolean':
      return value;
    case 'number':
      if (Number.isFinite(value) && !Object.is(value, -0)) return value;
      throw walk.refuse(place, nameOfKind(value), true);
    case 'object':
      if (value === null) return null;
      if (Array.isArray(value)) return copyOfArray(value, place, walk);
      if (isPlainObject(value)) return copyOfObject(value, place, walk);
      throw walk.refuse(place, nameOfKind(value), true);
    default:
      throw walk.refuse(place, nameOfKind(value), true);
  }
}

function copyOfArray(
  array: readonly unknown[],
  parent: Place | undefined,
  walk: Walk,
): readonly JsonValue[] {
  if (!isPlainArray(array)) throw walk.refuse(parent, nameOfKind(array), true);
  const place = walk.enter(array, parent, array.length, false);
  // Fewer keys: holes. More: properties such as those of a RegExp's match.
  const keys = Object.keys(array).length;
  if (keys < array.length) throw walk.refuse(parent, 'a sparse array', true);
  if (keys > array.length) throw walk.refuse(parent, 'an array with named properties', true);
  const copy: JsonValue[] = [];
  for (let i = 0; i < array.length; i++) {
    place.key = i;
    copy.push(copyOf(array[i], place, walk));
  }
  return Object.freeze(copy);
}

function copyOfObject(
  object: Readonly<Record<string, unknown>>,
  parent: Place | undefined,
  walk: Walk,
): JsonValue {
  const keys = Object.keys(object);
  const place = walk.enter(object, parent, keys.length, false);
  if (Object.getOwnPropertySymbols(object).length > 0) {
    throw walk.refuse(parent, 'a key that is a symbol', true);
  }
  const copy: Record<string, JsonValue> = {};
  for (const key of keys) {
    place.key = key;
    const property = Object.getOwnPropertyDescriptor(object, key);
    if (property === undefined || property.get !== undefined || property.set !== undefined) {
      throw walk.refuse(place, 'an accessor', true);
    }
    const part = copyOf(property.value, place, walk);
    if (key === '__proto__') Object.defineProperty(copy, key, { value: part, enumerable: true });
    else copy[key] = part;
  }
  return Object.freeze(copy);
}

function parse(bytes: Uint8Array): JsonValue {
  // A decoder would put U+FFFD where the text is broken, and the value would look fine.
  if (!isUtf8(bytes)) throw new CodecError('the stored JSON is not UTF-8');
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  try {
    return JSON.parse(text);
  } catch {
    // No cause: the engine's message quotes the text.
    throw new CodecError('the stored JSON does not parse');
  }
}

function freeze(value: JsonValue, depth: number): JsonValue {
  if (typeof value !== 'object' || value === null) return value;
  if (depth > MAX_DEPTH) throw new CodecError(`the stored JSON is nested deeper than ${MAX_DEPTH}`);
  for (const part of Object.values(value)) {
    if (typeof part === 'object' && part !== null) freeze(part, depth + 1);
  }
  return Object.freeze(value);
}
