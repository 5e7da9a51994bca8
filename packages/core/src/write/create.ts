/**
 * `create` asserts that a key is new. Whoever knows it says no; where L3 can't be asked, the
 * entry is accepted as *unproven*, because a call must be able to begin while L3 is away.
 */
import type { Clock } from '../clock.ts';
import { ConflictError, TierError } from '../errors.ts';
import type { Address } from '../model/key.ts';
import { type Floor, isLive } from '../model/known.ts';
import type { CreateAssertion, DurableTier, SharedEntry, SharedTier } from '../tiers/tier.ts';

export interface CreateParts {
  readonly clock: Clock;
  readonly outbox: Floor;
  readonly shared: SharedTier | undefined;
  readonly durable: DurableTier;
}

/**
 * What the L2 script has to find unchanged for the key to be new; `undefined` where L2 can't
 * say, so that L3 decides alone.
 */
export async function assertNew(
  parts: CreateParts,
  address: Address,
  kind: 'value' | 'log',
): Promise<CreateAssertion | undefined> {
  const { shared, durable, outbox, clock } = parts;
  if (isLive(outbox.floor(address.id), clock.now())) throw exists(address);
  const cut = await cutWhereAbsent(shared, address, clock.now());
  try {
    const live =
      kind === 'value'
        ? isLive((await durable.read([address]))[0], clock.now())
        : ((await durable.readLogs([address]))[0]?.items.length ?? 0) > 0;
    if (live) throw exists(address);
    return cut === undefined ? undefined : { cut, proven: true };
  } catch (error) {
    if (!(error instanceof TierError)) throw error;
    return cut === undefined ? undefined : { cut, proven: false };
  }
}

async function cutWhereAbsent(
  shared: SharedTier | undefined,
  address: Address,
  now: number,
): Promise<number | undefined> {
  try {
    const read = (await shared?.read([address]))?.[0];
    if (read === undefined) return undefined;
    if (isThere(read.entry, now)) throw exists(address);
    return read.meta.cut;
  } catch (error) {
    if (error instanceof TierError) return undefined;
    throw error;
  }
}

function isThere(entry: SharedEntry | undefined, now: number): boolean {
  if (entry === undefined) return false;
  if (entry.kind === 'unreadable') return entry.pending;
  return entry.kind === 'value' ? isLive(entry.write, now) : !entry.tombstone;
}

function exists(address: Address): ConflictError {
  return new ConflictError(`${address.namespace} has an entry under this key`, { outcome: 'none' });
}
