/** A broadcast as another instance hears it: from its first entry to its end, without a gap. */
import { SynthesisError } from '../errors.ts';
import { type FleetPiece, HolderGone } from '../fleet.ts';
import { StoreError } from '../store.ts';
import type { BroadcastKeys } from './broadcast.ts';
import type { RedisLink } from './link.ts';

/** How often it is asked for more. */
const POLL_MS = 15;
const SAY_EVERY_MS = 300;
const FOLLOWER_MS = 1000;
/** How long a Redis that does not answer is asked again by whoever has heard a part. */
const PATIENCE = 20;
const READ_MS = 250;

export async function* follow(
  link: RedisLink,
  keys: BroadcastKeys,
  now: () => number,
  signal: AbortSignal,
): AsyncGenerator<FleetPiece> {
  let last = 0;
  let saidAt = Number.NEGATIVE_INFINITY;
  let failures = 0;
  for (;;) {
    const says = now() - saidAt >= SAY_EVERY_MS;
    if (says) saidAt = now();
    const page = await read(link, keys, last, says, signal).catch((error: unknown) => {
      if (!(error instanceof StoreError)) throw error;
      return undefined;
    });
    if (page === undefined) {
      failures += 1;
      // Nobody has heard anything yet: speaking it here is quicker than hoping.
      if (last <= 2 || failures > PATIENCE) throw new HolderGone('Redis can not be reached');
      await link.pause(50);
      continue;
    }
    failures = 0;
    for (const { sequence, kind, value } of page.entries) {
      if (sequence !== last + 1) throw new HolderGone('a part of what is spoken is missing');
      last = sequence;
      if (kind === 'open') yield { type: 'open', mediaType: value.toString() };
      else if (kind === 'piece') yield { type: 'piece', bytes: value };
      else if (kind === 'whole') return;
      else if (kind === 'failed') throw failure(value);
      else if (kind !== 'begin') throw new HolderGone('whoever was speaking stopped');
    }
    if (page.entries.length > 0) continue;
    if (!page.isAlive) throw new HolderGone('whoever was speaking is gone');
    await link.pause(POLL_MS);
  }
}

interface Entry {
  readonly sequence: number;
  readonly kind: string;
  readonly value: Buffer;
}

async function read(
  link: RedisLink,
  { stream, followers }: BroadcastKeys,
  last: number,
  says: boolean,
  signal: AbortSignal,
): Promise<{ readonly entries: readonly Entry[]; readonly isAlive: boolean }> {
  const replies = await link.run(
    (client) => {
      const pipeline = client.pipeline();
      pipeline.callBuffer('XRANGE', stream, `(${last}-0`, '+', 'COUNT', 32);
      pipeline.exists(stream);
      if (says) pipeline.set(followers, '1', 'PX', FOLLOWER_MS);
      return pipeline.exec();
    },
    { signal, ms: last <= 2 ? 50 : READ_MS },
  );
  const [listed, exists] = replies ?? [];
  if (listed === undefined || listed[0] !== null || exists === undefined) {
    throw new StoreError('refused', 'Redis did not list what is spoken');
  }
  const entries = Array.isArray(listed[1]) ? listed[1].map(entryOf) : [];
  return { entries, isAlive: exists[1] === 1 };
}

function entryOf(reply: unknown): Entry {
  const [id, fields] = Array.isArray(reply) ? reply : [];
  const [, kind, , value] = Array.isArray(fields) ? fields : [];
  if (!Buffer.isBuffer(id) || !Buffer.isBuffer(kind) || !Buffer.isBuffer(value)) {
    throw new HolderGone('what is spoken can not be read');
  }
  return { sequence: Number.parseInt(id.toString(), 10), kind: kind.toString(), value };
}

function failure(value: Buffer): SynthesisError {
  const said: unknown = JSON.parse(value.toString());
  const isObject = typeof said === 'object' && said !== null;
  const reason = isObject && 'reason' in said ? said.reason : undefined;
  const after = isObject && 'retryAfterMs' in said ? said.retryAfterMs : undefined;
  return new SynthesisError(reasonOf(reason), 'the instance that was speaking was told no', {
    retryAfterMs: typeof after === 'number' ? after : undefined,
  });
}

const REASONS = [
  'refused',
  'unauthorized',
  'busy',
  'broken',
  'unavailable',
  'not-audio',
  'empty',
  'incomplete',
  'silent',
] as const;

function reasonOf(reason: unknown): (typeof REASONS)[number] {
  return REASONS.find((known) => known === reason) ?? 'broken';
}
