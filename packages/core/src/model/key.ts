/**
 * Names. A namespace and a key become one place in Redis and one primary key in L3. Parts are
 * encoded, never joined raw, so no choice of names can reach another's entries (G8).
 */
import { crc32 } from 'node:zlib';
import { KeyError } from '../errors.ts';

/** The longest key, scope id or tag, in UTF-8 bytes. */
export const MAX_KEY_BYTES = 1024;

/** A checked pair of namespace and key. Made only by {@link address}. */
export interface Address {
  readonly namespace: string;
  readonly key: string;
  /** Namespace and key in one string, unambiguous: what maps inside one process are keyed by. */
  readonly id: AddressId;
}

/** Made only in this file. */
export type AddressId = string & { readonly __brand: 'AddressId' };

/** A group of entries that are preloaded, flushed and erased together: one call, one caller, one tenant. */
export interface Scope {
  readonly kind: string;
  readonly id: string;
}

export function checkName(what: 'namespace' | 'scope kind', name: string): string {
  if (typeof name !== 'string' || !/^[a-z][a-z0-9_-]{0,62}$/.test(name)) {
    throw new KeyError(
      `${what} must be a lower-case letter followed by up to 62 of a-z, 0-9, "_" and "-"`,
    );
  }
  return name;
}

export function checkText(what: 'key' | 'scope id' | 'tag' | 'item id', text: string): string {
  if (typeof text !== 'string') throw new KeyError(`${what} must be a string, got ${typeof text}`);
  if (text.length === 0) throw new KeyError(`${what} must not be empty`);
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_KEY_BYTES) {
    throw new KeyError(`${what} must have at most ${MAX_KEY_BYTES} bytes of UTF-8, got ${bytes}`);
  }
  if (!text.isWellFormed() || text.includes('\0')) {
    throw new KeyError(`${what} must be well-formed text without U+0000`);
  }
  return text;
}

/** Checks the key; the namespace was checked when it was opened. */
export function address(namespace: string, key: string): Address {
  checkText('key', key);
  return { namespace, key, id: idOf(namespace, key) };
}

/** The id that a key has, or would have: enough to look in maps, where only checked ones are. */
export function idOf(namespace: string, key: string): AddressId {
  return `${namespace}/${key}` as AddressId;
}

/** The address that an id came from: a namespace holds no slash. */
export function addressOfId(id: AddressId): Address {
  const slash = id.indexOf('/');
  return { namespace: id.slice(0, slash), key: id.slice(slash + 1), id };
}

export function scopeOf(kind: string, id: string): Scope {
  return { kind: checkName('scope kind', kind), id: checkText('scope id', id) };
}

export function sameScope(a: Scope | undefined, b: Scope): boolean {
  return a?.kind === b.kind && a.id === b.id;
}

/** Which of the fixed number of shards holds an address. Part of the stored format: never changes. */
export function shardOf(address: Address, shards: number): number {
  return crc32(address.id) % shards;
}
