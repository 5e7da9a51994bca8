/**
 * What an `update` is made from: what its function is given, and what the swap compares with.
 *
 *   settled in L2   both. The swap finds out where L3 has something else by now.
 *   pending         flushed first, and what L3 refused before once more: it may take it by now, or
 *                   know that it was dropped or erased. Then L3's word is both.
 *   refused         acknowledged all the same, and what every read gives: the function is given
 *                   it, and the swap compares with L3's own row.
 *   not answered, not to be read   nobody can say what is there: rejected.
 */
import { TierError, UnavailableError } from '../errors.ts';
import type { ValueWrite } from '../model/entry.ts';
import type { Address } from '../model/key.ts';
import { unite } from '../model/known.ts';
import type { SharedEntry } from '../tiers/tier.ts';
import { overloadOf } from './gathered.ts';
import type { LadderParts, Receipt } from './ladder.ts';

export interface Base {
  /** The newest that is acknowledged: what the function is given. */
  readonly seen: ValueWrite | undefined;
  /** What L3 has, as far as is known: what the swap compares with. */
  readonly row: ValueWrite | undefined;
  /** L3 was asked. A copy in L2 may be older than what went around it. */
  readonly isSure: boolean;
  /** Who has what is seen. */
  readonly held: Receipt['held'];
}

export async function baseOf(parts: LadderParts, address: Address): Promise<Base> {
  const { outbox } = parts;
  const floor = outbox.floorVersion(address.id);
  const entry = await entryOf(parts, address).catch(ifAway);
  if (entry?.kind === 'value' && !entry.pending && entry.write.version >= floor) {
    return { seen: entry.write, row: entry.write, isSure: false, held: ['l2', 'l3'] };
  }
  outbox.unpark([address.id]);
  const isPending = entry?.pending === true;
  if (!isPending && outbox.toFlush(address.id) === undefined) return await rowOf(parts, address);
  pendingOf(entry, address);
  const { flushed, refused, failed } = await parts.flush(address.id);
  if (failed > 0) {
    throw unavailable(`Supabase does not take the last write to ${address.namespace}`);
  }
  const isTaken = flushed > 0 && refused === 0;
  const left =
    isPending && !isTaken ? await entryOf(parts, address).catch(asUnknown(address)) : undefined;
  const shared = pendingOf(left, address);
  // The report alone does not say: another flush of the key may have been refused it.
  const own = outbox.floor(address.id);
  const isRefused = !isTaken && own?.kind === 'value' && outbox.isRefused(address.id, own);
  const newest = unite(shared, isRefused ? own : undefined);
  const base = await rowOf(parts, address);
  const seen = unite(base.row, newest);
  if (seen === base.row || seen?.kind !== 'value') return base;
  return { ...base, seen, held: seen === shared ? ['l2'] : [] };
}

/**
 * Whether what L3 lacks of a base is still where it was seen. It may have been dropped or erased
 * since, of which a swap that goes by L3's row notices nothing.
 */
export async function isStill(
  parts: LadderParts,
  address: Address,
  { seen, row, held }: Base,
): Promise<boolean> {
  if (seen === undefined || seen === row) return true;
  if (!held.includes('l2')) return parts.outbox.isRefused(address.id, seen);
  const entry = await entryOf(parts, address).catch(ifAway);
  return entry?.kind === 'value' && entry.pending && entry.write.intent === seen.intent;
}

/** L3's word alone. */
export async function rowOf({ durable }: LadderParts, address: Address): Promise<Base> {
  const [row] = await durable.read([address]).catch(asUnknown(address));
  return sureOf(row);
}

export function sureOf(row: ValueWrite | undefined): Base {
  return { seen: row, row, isSure: true, held: ['l3'] };
}

async function entryOf(
  { shared }: LadderParts,
  address: Address,
): Promise<SharedEntry | undefined> {
  return (await shared?.read([address]))?.[0]?.entry;
}

/** What L2 has pending. Where this build can't read that, nobody may write over it. */
function pendingOf(entry: SharedEntry | undefined, address: Address): ValueWrite | undefined {
  if (entry?.pending !== true) return undefined;
  if (entry.kind === 'value') return entry.write;
  throw unavailable(
    `an entry of ${address.namespace} waits for L3 in a format that this build can't read`,
  );
}

function ifAway(error: unknown): undefined {
  if (!(error instanceof TierError)) throw error;
}

function asUnknown({ namespace }: Address): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof TierError)) throw error;
    throw (
      overloadOf(error, 'none') ??
      unavailable(`no tier can say what ${namespace} holds under this key`, error)
    );
  };
}

function unavailable(message: string, cause?: unknown): UnavailableError {
  return new UnavailableError(message, { cause, outcome: 'none' });
}
