/**
 * What the pending indexes of all shards name.
 *
 * The index of a server that was emptied, or has come back, names nothing of before. So each
 * shard's epoch is read with its index, after it: the same epoch as the one that is known here
 * means that this is the index which writers have been told of.
 */
import { TierError } from '../../errors.ts';
import type { SharedTier } from '../tier.ts';
import { toTierError } from './failures.ts';
import { decodeMeta } from './handshake.ts';
import { indexKey, metaKey } from './keys.ts';
import { members } from './replies.ts';
import type { Command } from './session.ts';
import type { Upstream } from './upstream.ts';

/** How often the indexes are read again where the epoch changed under it. */
const ATTEMPTS = 2;

export async function pendingIn(
  upstream: Upstream,
  shards: number,
  wanted: { readonly before: number; readonly limit: number },
  signal: AbortSignal | undefined,
): ReturnType<SharedTier['pending']> {
  const { before, limit } = wanted;
  const range = (key: string, to: string, count: number): Command => [
    'ZRANGEBYSCORE',
    [key, '-inf', to, 'WITHSCORES', 'LIMIT', 0, count],
  ];
  const answers = await askEach(upstream, shards, signal, (shard) => {
    const key = indexKey(shard);
    return [['ZCARD', [key]], range(key, '+inf', 1), range(key, String(before), limit)];
  });
  const sizes = answers.map(([size]) => Number(size));
  const oldest = answers.flatMap(([, first]) => members(first));
  const due = answers.flatMap(([, , rest]) => members(rest));
  due.sort((a, b) => a.since - b.since || (a.address.id < b.address.id ? -1 : 1));
  return {
    addresses: due.slice(0, limit).map((member) => member.address),
    total: sizes.reduce((sum, size) => sum + size, 0),
    oldest: oldest.length === 0 ? undefined : Math.min(...oldest.map(({ since }) => since)),
  };
}

/** The replies of each shard, all of them under the epoch that is known here. */
async function askEach(
  upstream: Upstream,
  shards: number,
  signal: AbortSignal | undefined,
  commandsOf: (shard: number) => readonly Command[],
): Promise<readonly (readonly unknown[])[]> {
  const all = Array.from({ length: shards }, (_, shard) => shard);
  const parts = all.map((shard) => [...commandsOf(shard), ['GET', [metaKey(shard)]] as const]);
  const commands = parts.flatMap((part, shard) => part.map((one) => [shard, one] as const));
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const knowns = await Promise.all(all.map((shard) => upstream.known(signal, shard)));
    const replies = [...(await upstream.send(commands, signal))];
    const refused = replies.find((reply) => reply instanceof Error);
    if (refused !== undefined) throw toTierError(refused);
    const answers = parts.map((part) => replies.splice(0, part.length));
    const isKnown = ({ epochs }: (typeof knowns)[number], shard: number) =>
      decodeMeta(answers[shard]?.at(-1))?.epoch === epochs[shard];
    if (knowns.every(isKnown)) return answers;
    for (const [shard, known] of knowns.entries()) {
      if (!isKnown(known, shard)) upstream.deny(known);
    }
  }
  throw new TierError('the epoch of Redis changed while its index was read', 'refused');
}
