/**
 * Where things are in Redis. All keys of one shard share its hash tag, so that a script on them
 * runs on one node of a Cluster. The names are part of the stored format: scripts take the
 * address from an entry's key by its fixed offset.
 */
import { type Address, type AddressId, address, type Scope, shardOf } from '../../model/key.ts';

/** Every instance listens to this channel and to no other; in a Cluster to {@link busChannel}. */
export const BUS_CHANNEL = 'c:bus';

/** In a Cluster: the channel of one shard, which is where its keys are. */
export function busChannel(shard: number): string {
  return `${tagOf(shard)}:b`;
}

/** What a Cluster hashes of the keys of a shard. */
export function hashTagOf(shard: number): string {
  return tagOf(shard).slice(3, -1);
}

/** The shard of a key of ours. */
export function shardOfKey(key: string): number {
  return Number(key.slice(3, 5));
}

/** What a script on one entry works on. */
export interface Place {
  readonly shard: number;
  readonly address: Address;
  /** Meta, pending index and entry. */
  readonly keys: readonly [string, string, string];
}

function tagOf(shard: number): string {
  return `c:{${shard < 10 ? '0' : ''}${shard}}`;
}

/** Epoch and cut of a shard. */
export function metaKey(shard: number): string {
  return `${tagOf(shard)}:m`;
}

/** The keys of a shard that L3 lacks something of, by the time since when. */
export function indexKey(shard: number): string {
  return `${tagOf(shard)}:p`;
}

export function entryKey(shard: number, id: AddressId): string {
  return `${tagOf(shard)}:e:${id}`;
}

export function placeOf(address: Address, shards: number): Place {
  const shard = shardOf(address, shards);
  return { shard, address, keys: [metaKey(shard), indexKey(shard), entryKey(shard, address.id)] };
}

/** What a script on one derived value works on. */
export interface DerivedPlace {
  readonly shard: number;
  /** Meta, notes, entry, lease, and the members of its scope where it has one. */
  readonly keys: readonly string[];
}

/** What was invalidated, and with which number. */
export function tagsKey(shard: number): string {
  return `${tagOf(shard)}:t`;
}

/** As long a prefix as {@link entryKey} has. */
export function derivedKey(shard: number, id: AddressId): string {
  return `${tagOf(shard)}:d:${id}`;
}

/** Who is loading a derived value. */
export function loadKey(shard: number, id: AddressId): string {
  return `${tagOf(shard)}:g:${id}`;
}

/** The derived values of a scope, by the end of their life; its kind holds no slash. */
export function membersKey(shard: number, { kind, id }: Scope): string {
  return `${tagOf(shard)}:s:${kind}/${id}`;
}

export function derivedPlaceOf(address: Address, shards: number, scope?: Scope): DerivedPlace {
  const shard = shardOf(address, shards);
  const { id } = address;
  const keys = [metaKey(shard), tagsKey(shard), derivedKey(shard, id), loadKey(shard, id)];
  return { shard, keys: scope === undefined ? keys : [...keys, membersKey(shard, scope)] };
}

/** Which instances live. */
export const REGISTRY_KEY = 'c:{00}:i';

export function leaseKey(name: string): string {
  return `c:{00}:l:${name}`;
}

/** The address that a member of an index or a scope stands for; `undefined` where it is not ours. */
export function addressIn(id: string): Address | undefined {
  const slash = id.indexOf('/');
  try {
    return slash < 0 ? undefined : address(id.slice(0, slash), id.slice(slash + 1));
  } catch {
    return undefined;
  }
}
