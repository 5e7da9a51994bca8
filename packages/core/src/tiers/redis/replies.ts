/** What the scripts answer, as data. Replies are text, so that no version passes a float. */
import { TierError } from '../../errors.ts';
import type { Address } from '../../model/key.ts';
import type { FillReply, Lifetime, PlaceReply } from '../derived.ts';
import type { AppendReply, BackfillReply, PutReply, ReleaseReply, RepairReply } from '../tier.ts';
import { addressIn } from './keys.ts';

function wordsOf(reply: unknown): readonly [status: string, ...rest: string[]] {
  if (!Array.isArray(reply)) return [String(reply)];
  const [status, ...rest] = reply.map(String);
  return [status ?? '', ...rest];
}

function strange(script: string, status: string): TierError {
  return new TierError(`the ${script} script answered "${status}"`, 'refused');
}

export function putReply(reply: unknown): PutReply {
  const [status, floor] = wordsOf(reply);
  switch (status) {
    case 'held':
    case 'exists':
    case 'moved':
    case 'foreign':
    case 'epoch':
      return { status };
    case 'too-low':
      return { status, floor: Number(floor) };
    default:
      throw strange('put', status);
  }
}

export function appendReply(reply: unknown): AppendReply {
  const [status, ...versions] = wordsOf(reply);
  if (status === 'held') return { status, versions: versions.map(Number) };
  const other = putReply(reply);
  if (other.status === 'held') throw strange('append', other.status);
  return other;
}

export function backfillReply(reply: unknown): BackfillReply {
  const [status] = wordsOf(reply);
  if (status === 'held' || status === 'refused' || status === 'epoch') return status;
  throw strange('backfill', status);
}

export function repairReply(reply: unknown): RepairReply {
  const [status] = wordsOf(reply);
  if (status === 'done' || status === 'pending' || status === 'epoch') return status;
  throw strange('repair', status);
}

export function releaseReply(reply: unknown): ReleaseReply {
  const [status] = wordsOf(reply);
  if (status === 'done' || status === 'epoch') return status;
  throw strange('release', status);
}

export function fillReply(reply: unknown): FillReply {
  const [status] = wordsOf(reply);
  if (status === 'held' || status === 'voided' || status === 'epoch') return status;
  throw strange('fill', status);
}

export function placeReply(reply: unknown): PlaceReply {
  const [status, floor] = wordsOf(reply);
  if (status === 'held' || status === 'epoch') return { status };
  if (status === 'too-low') return { status, floor: Number(floor) };
  throw strange('place', status);
}

export function extendReply(reply: unknown): 'held' | 'lost' | 'epoch' {
  const [status] = wordsOf(reply);
  if (status === 'held' || status === 'lost' || status === 'epoch') return status;
  throw strange('extend', status);
}

/** What the take script says; its entry is not decoded yet. */
export interface RawTake extends Lifetime {
  readonly status: 'fresh' | 'leased' | 'taken' | 'none';
  readonly bytes: Buffer | undefined;
  readonly unreadable: boolean;
  readonly sequence: number;
  readonly cut: number;
  readonly leaseMs: number;
}

export function takeReply(reply: unknown): RawTake | 'epoch' {
  const parts: readonly unknown[] = Array.isArray(reply) ? reply : [reply];
  const [word, bytes, unreadable, sequence, cut, leaseMs, freshMs, lifeMs] = parts;
  const status = String(word);
  switch (status) {
    case 'epoch':
      return status;
    case 'fresh':
    case 'leased':
    case 'taken':
    case 'none':
      return {
        status,
        bytes: Buffer.isBuffer(bytes) ? bytes : undefined,
        unreadable: unreadable === 1,
        sequence: Number(String(sequence)),
        cut: Number(String(cut)),
        leaseMs: Number(leaseMs),
        freshMs: Number(freshMs),
        lifeMs: Number(lifeMs),
      };
    default:
      throw strange('take', status);
  }
}

/** A key of the pending index, and since when it is in there. */
export interface Member {
  readonly address: Address;
  readonly since: number;
}

/** Of a range of the pending index with its scores; what is no key of ours is left out. */
export function members(reply: unknown): readonly Member[] {
  const texts = Array.isArray(reply) ? reply.map(String) : [];
  return texts.flatMap((id, i) => {
    if (i % 2 === 1) return [];
    const place = addressIn(id);
    return place === undefined ? [] : [{ address: place, since: Number(texts[i + 1]) }];
  });
}
