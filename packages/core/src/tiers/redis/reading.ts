/** What an MGET of entries and metas says, in the words of the tier. */
import type { Cipher } from '../../codec/encryption.ts';
import { decodeEntry } from '../../codec/envelope.ts';
import type { ShardMeta, SharedRead } from '../tier.ts';
import type { Place } from './keys.ts';

export const NOTHING_READ: SharedRead = Object.freeze({
  entry: undefined,
  meta: Object.freeze({ epoch: 0, cut: 0 }),
});

export async function readOne(
  place: Place,
  bytes: unknown,
  metas: ReadonlyMap<number, ShardMeta | undefined>,
  cipher: Cipher | undefined,
): Promise<SharedRead> {
  const meta = metas.get(place.shard) ?? { epoch: 0, cut: 0 };
  if (!Buffer.isBuffer(bytes)) return { entry: undefined, meta };
  const entry = await decodeEntry(bytes, place.address, meta.epoch, cipher);
  // A settled entry of an earlier incarnation may be the past.
  const isPast = entry.kind !== 'unreadable' && entry.stale && !entry.pending;
  return { entry: isPast ? undefined : entry, meta };
}
