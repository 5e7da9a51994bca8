/**
 * Who serves what in a Redis Cluster: the slot of a shard, and the word of the nodes.
 *
 * Nodes may disagree while a failover or a move of slots goes on, and one that was frozen believes
 * what was true before. Whoever claims a slot under the highest configuration epoch has it: that
 * is the rule by which the nodes themselves agree in the end.
 */
import type { HostAndPort } from './endpoint.ts';

export const SLOTS = 16_384;

/** Of a hash tag, as Redis Cluster computes it: CRC16 (XMODEM) modulo the number of slots. */
export function slotOf(hashTag: string): number {
  let crc = 0;
  for (const byte of Buffer.from(hashTag)) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) {
      crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
      crc &= 0xffff;
    }
  }
  return crc % SLOTS;
}

/** One master of the Cluster, as one node sees it. */
export interface Claim extends HostAndPort {
  readonly epoch: number;
  readonly slots: readonly (readonly [first: number, last: number])[];
}

/**
 * The masters in the answer to CLUSTER NODES. `asked` is where the answer came from: a node may
 * not know its own address. `isByName`: by their host names, where they have announced some.
 */
export function claimsIn(text: string, asked: HostAndPort, isByName: boolean): readonly Claim[] {
  return text.split('\n').flatMap((line) => {
    const [, where = '', flags = '', , , , epoch = '', , ...ranges] = line.trim().split(' ');
    const kinds = flags.split(',');
    // Its word that another failed is not the last: the failover is what takes the slots away.
    if (!kinds.includes('master') || kinds.includes('noaddr') || kinds.includes('handshake')) {
      return [];
    }
    const slots = ranges.flatMap((range) => {
      const found = /^(\d+)(?:-(\d+))?$/.exec(range);
      return found === null ? [] : [[Number(found[1]), Number(found[2] ?? found[1])] as const];
    });
    const address = addressIn(where, isByName);
    if (slots.length === 0 || address === undefined) return [];
    return [{ ...address, host: address.host || asked.host, epoch: Number(epoch), slots }];
  });
}

/** `ip:port@cport[,hostname[,…]]`. */
function addressIn(where: string, isByName: boolean): HostAndPort | undefined {
  const [endpoint = '', hostname = ''] = where.split(',');
  const plain = endpoint.replace(/@\d+$/, '');
  const colon = plain.lastIndexOf(':');
  const port = Number(plain.slice(colon + 1));
  if (colon < 0 || !(port > 0)) return undefined;
  const host = isByName && hostname !== '' ? hostname : plain.slice(0, colon);
  return { host, port };
}

/** Who has each of these slots; `undefined` where nobody claims it. */
export function ownersOf(
  slots: readonly number[],
  views: readonly (readonly Claim[])[],
): readonly (HostAndPort | undefined)[] {
  const claims = views.flat();
  return slots.map((slot) => {
    let owner: Claim | undefined;
    for (const claim of claims) {
      const has = claim.slots.some(([first, last]) => first <= slot && slot <= last);
      if (has && (owner === undefined || claim.epoch > owner.epoch)) owner = claim;
    }
    return owner && { host: owner.host, port: owner.port };
  });
}
