/** Who is told when L3 has given its word for an acknowledged write, whatever that was. */
import type { ItemStamp } from '../model/entry.ts';
import type { AddressId } from '../model/key.ts';
import type { Stamp } from '../model/version.ts';

/** Keeps acknowledged writes until then. Told of writes too that it never heard of. */
export interface Outcomes {
  /** This write of a value needs no keeping any more, and none that is older. */
  valueDone(id: AddressId, upTo: Stamp): void;
  /** These items, up to these versions. */
  itemsDone(id: AddressId, items: Iterable<ItemStamp>): void;
  /** Deletions of a log up to this version, and all its items up to it. */
  erasureDone(id: AddressId, upTo: number): void;
}
