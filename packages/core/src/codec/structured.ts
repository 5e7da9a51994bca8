/**
 * Values as V8 serialises them, for what JSON has no words for: Date, Map, Set, typed arrays,
 * ArrayBuffer, DataView, bigint, undefined inside a value, NaN and the infinities, -0, shared
 * parts and cycles. Not queryable in L3, and readable by V8 alone: a build reads what the same
 * or an older V8 wrote. Deserialise only what came from our own store.
 *
 * One walk checks a value and copies it; the bytes are written from the copy. A copy in which
 * all can be frozen (objects, arrays, primitives) is frozen as deep as it goes, and lent as it
 * is. A Map or a Date can't be frozen; a value that holds one is copied at every hand-out, from
 * L1 too: about a microsecond for each dozen parts. For hot values prefer JSON.
 *
 * A `Buffer` is taken as the `Uint8Array` that it is. Each view gets memory of its own: two
 * views on one buffer come back as two buffers.
 */
import { types } from 'node:util';
import { Deserializer, Serializer } from 'node:v8';
import { CodecError } from '../errors.ts';
import type { Codec } from './codec.ts';
import { isPlainArray, isPlainObject, nameOfKind, type Place, Walk } from './place.ts';

export const structuredCodec: Codec<unknown> = Object.freeze({
  name: 'structured',
  encode(value: unknown) {
    const copy = new Copier();
    const held = copy.of(value);
    return { payload: { codec: 'structured', bytes: serialize(held) }, value: held };
  },
  decode(bytes: Uint8Array) {
    // Copied once more, because what a serialiser can hold is more than what encode lets in.
    return new Copier().of(deserialize(bytes));
  },
  lend(held: unknown) {
    // The root is frozen exactly where everything in it is.
    return Object.isFrozen(held) ? held : new Copier().of(held);
  },
} satisfies Codec<unknown>);

function serialize(value: unknown): Uint8Array {
  try {
    const serializer = new Serializer();
    serializer.writeHeader();
    serializer.writeValue(value);
    return serializer.releaseBuffer();
  } catch (cause) {
    throw new CodecError('$: can not be serialised', { cause });
  }
}

function deserialize(bytes: Uint8Array): unknown {
  try {
    // Not v8.deserialize, which would also take Node's own form of typed arrays: views on `bytes`.
    const deserializer = new Deserializer(bytes);
    deserializer.readHeader();
    return deserializer.readValue();
  } catch {
    throw new CodecError('the stored structured value does not decode');
  }
}

/** Copies one value, checked, and freezes the copy where all of it can be frozen. */
class Copier {
  readonly #walk = new Walk('structured serialisation');
  readonly #copies = new Map<object, object>();
  readonly #containers: object[] = [];
  #freezable = true;

  of(value: unknown): unknown {
    if (value === undefined) throw this.#walk.refuse(undefined, 'undefined', true);
    const copy = this.#part(value, undefined);
    if (this.#freezable) for (const container of this.#containers) Object.freeze(container);
    return copy;
  }

  #part(value: unknown, place: Place | undefined): unknown {
    if (typeof value === 'function' || typeof value === 'symbol') {
      throw this.#walk.refuse(place, nameOfKind(value), true);
    }
    if (typeof value !== 'object' || value === null) return value;
    return this.#copies.get(value) ?? this.#object(value, place);
  }

  #object(value: object, place: Place | undefined): object {
    if (Array.isArray(value)) return this.#array(value, place);
    if (isPlainObject(value)) return this.#plain(value, place);
    this.#freezable = false;
    this.#checkBuiltIn(value, place);
    if (types.isMap(value)) return this.#map(value, place);
    if (types.isSet(value)) return this.#set(value, place);
    return this.#made(
      value,
      copyOfLeaf(value, () => this.#refuse(value, place)),
    );
  }

  #array(array: readonly unknown[], parent: Place | undefined): object {
    if (!isPlainArray(array)) throw this.#refuse(array, parent);
    const place = this.#walk.enter(array, parent, array.length, true);
    if (Object.keys(array).length !== array.length) {
      throw this.#walk.refuse(parent, 'a sparse array or one with named properties', true);
    }
    const copy: unknown[] = [];
    this.#made(array, copy);
    this.#containers.push(copy);
    for (let i = 0; i < array.length; i++) {
      place.key = i;
      copy.push(this.#part(array[i], place));
    }
    return copy;
  }

  #plain(object: Readonly<Record<string, unknown>>, parent: Place | undefined): object {
    const keys = Object.keys(object);
    const place = this.#walk.enter(object, parent, keys.length, true);
    if (Object.getOwnPropertySymbols(object).length > 0) {
      throw this.#walk.refuse(parent, 'a key that is a symbol', true);
    }
    const copy: Record<string, unknown> = {};
    this.#made(object, copy);
    this.#containers.push(copy);
    for (const key of keys) {
      place.key = key;
      const property = Object.getOwnPropertyDescriptor(object, key);
      if (property === undefined || property.get !== undefined || property.set !== undefined) {
        throw this.#walk.refuse(place, 'an accessor', true);
      }
      const value = this.#part(property.value, place);
      if (key !== '__proto__') copy[key] = value;
      else Object.defineProperty(copy, key, { value, enumerable: true, writable: true });
    }
    return copy;
  }

  #map(map: ReadonlyMap<unknown, unknown>, parent: Place | undefined): object {
    const place = this.#walk.enter(map, parent, map.size * 2, true);
    const copy = new Map<unknown, unknown>();
    this.#made(map, copy);
    for (const [key, value] of map) {
      place.key = typeof key === 'string' ? key : copy.size;
      copy.set(this.#part(key, place), this.#part(value, place));
    }
    return copy;
  }

  #set(set: ReadonlySet<unknown>, parent: Place | undefined): object {
    const place = this.#walk.enter(set, parent, set.size, true);
    const copy = new Set<unknown>();
    this.#made(set, copy);
    for (const member of set) {
      place.key = copy.size;
      copy.add(this.#part(member, place));
    }
    return copy;
  }

  #made(value: object, copy: object): object {
    this.#copies.set(value, copy);
    return copy;
  }

  /** A subclass would come back as its base, and named properties would be left behind. */
  #checkBuiltIn(value: object, place: Place | undefined): void {
    if (types.isUint8Array(value) && Buffer.isBuffer(value)) return;
    const above = types.isTypedArray(value) ? 4 : 3;
    let prototypes = 0;
    let at: unknown = value;
    while (typeof at === 'object' && at !== null) {
      at = Object.getPrototypeOf(at);
      prototypes += 1;
    }
    if (prototypes !== above) throw this.#refuse(value, place);
    if (!ArrayBuffer.isView(value) && Reflect.ownKeys(value).length > 0) {
      throw this.#walk.refuse(place, `${nameOfKind(value)} with named properties`, true);
    }
  }

  #refuse(value: object, place: Place | undefined): CodecError {
    return this.#walk.refuse(place, nameOfKind(value), true);
  }
}

/** A copy of what holds no parts. */
function copyOfLeaf(value: object, refuse: () => CodecError): object {
  if (types.isDate(value)) return new Date(value.getTime());
  if (types.isUint8Array(value)) return new Uint8Array(value);
  if (types.isTypedArray(value)) return value.slice();
  if (types.isArrayBuffer(value)) return value.slice(0);
  if (types.isDataView(value)) {
    const { buffer, byteOffset, byteLength } = value;
    return new DataView(new Uint8Array(buffer, byteOffset, byteLength).slice().buffer);
  }
  throw refuse();
}
