/**
 * What a connection has to learn before its first command: which incarnation of the server it
 * speaks to. The run id that each shard's meta was written under is compared with the server's
 * own; where they differ, or there is no meta, a new epoch begins, with a cut that is at least
 * what L3 holds and what any clock of the fleet may have proposed.
 *
 * While L3 can't say what it holds there is no new epoch, and nothing passes the connection.
 */
import type { Clock } from '../../clock.ts';
import { readUInt53, writeUInt53 } from '../../codec/uint53.ts';
import { TierError } from '../../errors.ts';
import { versionAt, WARNED_SKEW_MS } from '../../model/version.ts';
import type { ShardMeta } from '../tier.ts';
import { checkPermissions, toTierError } from './failures.ts';
import { indexKey, metaKey } from './keys.ts';
import { scripts, spoken } from './scripts.ts';
import type { Session } from './session.ts';

/** Epoch, cut, and the run id of the server that it was written under. */
export const META_BYTES = 56;

export interface HandshakeOptions {
  readonly shards: number;
  readonly clock: Clock;
  /** The highest version that L3 has ever held. Rejects where L3 can't say. */
  readonly floor: () => Promise<number>;
  /** The highest version that this process has seen or proposed. */
  readonly lastVersion: () => number;
}

/** The epoch of every shard, by its number; 0 of those that are on another node. */
export type Epochs = readonly number[];

/** How often the server may be replaced by another while we ask. */
const ATTEMPTS = 3;

export function numberBytes(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  writeUInt53(bytes, value, 0);
  return bytes;
}

/** A meta as stored; `undefined` where it is none. */
export function decodeMeta(bytes: unknown): ShardMeta | undefined {
  if (!Buffer.isBuffer(bytes) || bytes.length !== META_BYTES) return undefined;
  try {
    return { epoch: readUInt53(bytes, 0), cut: readUInt53(bytes, 8) };
  } catch {
    return undefined;
  }
}

/** `shards`: those that are to be on this server. */
export async function handshake(
  session: Session,
  options: HandshakeOptions,
  shards: readonly number[],
): Promise<Epochs> {
  if (shards.length === 0) return new Array<number>(options.shards).fill(0);
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const found = await look(session, shards);
    const missing = shards.filter((_, i) => found.metas[i] === undefined);
    const begun = missing.length === 0 ? [] : await begin(session, missing, found.run, options);
    const metas = shards.map((shard, i) => found.metas[i] ?? begun[missing.indexOf(shard)]);
    const epochs = new Array<number>(options.shards).fill(0);
    for (const [i, shard] of shards.entries()) epochs[shard] = metas[i]?.epoch ?? 0;
    if (!metas.includes(undefined)) return epochs;
  }
  throw new TierError('Redis was replaced again and again during a handshake', 'unreachable', {
    outcome: 'none',
  });
}

interface Found {
  readonly run: string;
  /** In the order asked for; `undefined` where a new epoch has to begin. */
  readonly metas: readonly (ShardMeta | undefined)[];
}

async function look(session: Session, shards: readonly number[]): Promise<Found> {
  return foundIn(await session.run(shards.map((shard) => epochCall(shard, []))));
}

async function begin(
  session: Session,
  shards: readonly number[],
  run: string,
  options: HandshakeOptions,
): Promise<Found['metas']> {
  const { clock, lastVersion } = options;
  const held = await floorOf(options);
  const cut = Math.max(held, lastVersion(), versionAt(clock.now() + WARNED_SKEW_MS));
  const calls = shards.map((shard) =>
    epochCall(shard, [numberBytes(clock.random53()), numberBytes(cut), run]),
  );
  return foundIn(await session.run(calls)).metas;
}

async function floorOf({ floor }: HandshakeOptions): Promise<number> {
  try {
    return await floor();
  } catch (cause) {
    const message = 'no epoch of Redis can begin while L3 can not say which versions it holds';
    throw new TierError(message, 'unreachable', { cause, outcome: 'none' });
  }
}

function epochCall(shard: number, args: readonly (string | Buffer)[]) {
  return { script: scripts.epoch, keys: [metaKey(shard), indexKey(shard)], args };
}

function foundIn(replies: readonly unknown[]): Found {
  const pairs = replies.map((reply) => (Array.isArray(reply) ? reply : []));
  return {
    run: String(pairs[0]?.[0] ?? ''),
    metas: pairs.map(([, meta]: readonly unknown[]) => decodeMeta(meta)),
  };
}

/** Rejects with `ConfigError` where the user of the connection may not do all that the cache needs. */
export async function permitted(session: Session): Promise<void> {
  const [denied] = await session.send([
    ['EVAL', [spoken(scripts.permissions, session.dialect).text, 0]],
  ]);
  if (denied instanceof Error) throw toTierError(denied);
  checkPermissions(denied);
}

/** Gives the server those of the scripts that it does not have. */
export async function teach(session: Session): Promise<void> {
  const all = Object.values(scripts).map((script) => spoken(script, session.dialect));
  const [known] = await session.send([['SCRIPT', ['EXISTS', ...all.map(({ sha }) => sha)]]]);
  const missing = all.filter((_, i) => !(Array.isArray(known) && known[i] === 1));
  await session.send(missing.map(({ text }) => ['SCRIPT', ['LOAD', text]] as const));
}
