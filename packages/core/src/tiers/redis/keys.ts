/**
 * Where things are in Redis. All keys of one shard share its hash tag, so that a script on them
 * runs on one node of a Cluster. The names are part of the stored format: scripts take the
 * address from an entry's key by its fixed offset.
 */
import { type Address, type AddressId, shardOf } from '../../model/key.ts';

/** Two digits name a shard. */
export const MAX_SHARDS = 99;

/** Every instance listens to this channel and to no other. */
export const BUS_CHANNEL = 'c:bus';

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

/** Which instances live. */
export const REGISTRY_KEY = 'c:{00}:i';

export function leaseKey(name: string): string {
  return `c:{00}:l:${name}`;
}
