/**
 * `create` asserts that a key is new. Whoever knows it says no; where L3 can't be asked, the
 * entry is accepted as *unproven*, because a call must be able to begin while L3 is away.
 */
import type { Clock } from '../clock.ts';
import { ConflictError, TierError } from '../errors.ts';
import type { Address, AddressId } from '../model/key.ts';
import { type Floor, isLive, type Known, unite } from '../model/known.ts';
import type { CreateAssertion, SharedEntry, SharedRead, SharedTier } from '../tiers/tier.ts';
import { type GatheredTier, overloadOf } from './gathered.ts';

export interface CreateParts {
  readonly clock: Clock;
  readonly outbox: Floor;
  readonly shared: SharedTier | undefined;
  readonly durable: GatheredTier;
  /** Brings to L3 what it lacks of a key. */
  readonly flush: (id: AddressId) => Promise<unknown>;
}

interface Newness {
  /**
   * What the L2 script has to find unchanged for the key to be new; `undefined` where L2 can't
   * say, so that L3 decides alone.
   */
  readonly assertion: CreateAssertion | undefined;
  /** It is new by a deletion that L3 lacks. */
  readonly isDeletedNear: boolean;
}

export async function assertNew(
  parts: CreateParts,
  address: Address,
  kind: 'value' | 'log',
): Promise<CreateAssertion | undefined> {
  const { assertion, isDeletedNear } = await look(parts, address, kind);
  if (!isDeletedNear) return assertion;
  // The rung of L3 goes by what L3 has, so that is told first; L2's cut moves with it.
  await parts.flush(address.id);
  return (await look(parts, address, kind)).assertion;
}

async function look(parts: CreateParts, address: Address, kind: 'value' | 'log'): Promise<Newness> {
  const { outbox, clock } = parts;
  const read = await askShared(parts.shared, address);
  const meta = read?.meta;
  // The newest that is known without L3: it may be a deletion, or lack what L3 has.
  const near = unite(readable(read?.entry, address), outbox.floor(address.id));
  if (isLive(near, clock.now())) throw exists(address);
  try {
    const row = await askDurable(parts.durable, address, kind);
    // A deletion that L3 has not been told of is newer than what L3 still holds.
    if (isLive(unite(row, near), clock.now())) throw exists(address);
    const isDeletedNear = isLive(row, clock.now());
    return { assertion: meta && { ...meta, proven: true }, isDeletedNear };
  } catch (error) {
    if (!(error instanceof TierError)) throw error;
    // L3 could be asked, and is not to be overwritten because so many do.
    const overload = overloadOf(error, 'none');
    if (overload !== undefined) throw overload;
    return { assertion: meta && { ...meta, proven: false }, isDeletedNear: false };
  }
}

async function askShared(
  shared: SharedTier | undefined,
  address: Address,
): Promise<SharedRead | undefined> {
  try {
    return (await shared?.read([address]))?.[0];
  } catch (error) {
    if (error instanceof TierError) return undefined;
    throw error;
  }
}

async function askDurable(
  durable: GatheredTier,
  address: Address,
  kind: 'value' | 'log',
): Promise<Known | undefined> {
  if (kind === 'value') return (await durable.read([address]))[0];
  const log = (await durable.readNewest([address]))[0];
  return log && { kind: 'log', ...log };
}

/** What L2 holds. A pending entry that this build can't read is there, whatever it says. */
function readable(entry: SharedEntry | undefined, address: Address): Known | undefined {
  if (entry?.kind === 'value') return entry.write;
  if (entry?.kind === 'log') {
    const { items, erasedTo, scope } = entry;
    return { kind: 'log', address, items, erasedTo, scope };
  }
  if (entry?.pending === true) throw exists(address);
  return undefined;
}

function exists(address: Address): ConflictError {
  return new ConflictError(`${address.namespace} has an entry under this key`, { outcome: 'none' });
}
