/**
 * How a write comes to be acknowledged: L2; where it does not answer, the same write to L3, with
 * a bypass mark; where that does not answer either, nothing is acknowledged, and it may still
 * take effect. A store that has something newer says so, and the writer proposes higher.
 */
import type { Address } from '../../src/model/key.ts';
import { isLive } from '../../src/model/known.ts';
import type { CreateAssertion, PutReply, ShardMeta } from '../../src/tiers/tier.ts';
import type { Instance } from './instance.ts';
import { LOST, type Maybe } from './network.ts';
import type { Task } from './world.ts';

const PROPOSALS = 12;

/** What a store said, once the details of values and logs are out of the way. */
export type Rung =
  | { readonly status: 'held' }
  | { readonly status: 'too-low'; readonly floor: number }
  /** The assertion of a `create` is out of date: look again. */
  | { readonly status: 'moved' }
  /** This store can't take it. */
  | { readonly status: 'next' }
  /** It exists, or it is refused. */
  | { readonly status: 'no' };

export interface Climb {
  readonly address: Address;
  readonly isCreate: boolean;
  /** Before each attempt. */
  begin(newness: Newness): void;
  propose(above: number): void;
  atShared(create: Assertion | undefined): Task<Maybe<Rung>>;
  atDurable(): Task<Maybe<Rung>>;
}

/** The cut that came with the look at L2, and the epoch in which it says something. */
export interface Assertion extends CreateAssertion {
  readonly epoch: number;
}

/** What is known of a key that is asserted to be new. */
export interface Newness {
  /** What the script has to find unchanged; `undefined`: L2 can't say, so L3 decides alone. */
  readonly create: Assertion | undefined;
  /** How far L3 has erased this log. */
  readonly erasedTo: number;
}

/** Nothing is asserted. */
const EXPECTED: Newness = { create: undefined, erasedTo: 0 };

export type ClimbOutcome = 'l2' | 'l3' | 'rejected' | 'unknown';

/** Who holds the write now; or that nobody does (`rejected`), or that nobody knows. */
export function* climb(p: Instance, { address, isCreate, ...steps }: Climb): Task<ClimbOutcome> {
  let newness = isCreate ? yield* assertNew(p, address) : EXPECTED;
  for (let attempt = 0; attempt < PROPOSALS; attempt += 1) {
    if (newness === undefined) return 'rejected';
    steps.begin(newness);
    if (!isCreate || newness.create !== undefined) {
      const reply = yield* steps.atShared(newness.create);
      if (reply !== LOST) {
        if (reply.status === 'held') return 'l2';
        if (reply.status === 'no') return 'rejected';
        if (reply.status === 'moved') newness = yield* assertNew(p, address);
        if (reply.status === 'too-low') steps.propose(reply.floor);
        if (reply.status !== 'next') continue;
      }
    }
    const reply = yield* steps.atDurable();
    if (reply === LOST) return 'unknown';
    if (reply.status === 'held') return 'l3';
    if (reply.status !== 'too-low') return 'rejected';
    steps.propose(reply.floor);
  }
  return 'unknown';
}

/** Whether the assertion was made in another epoch: there, its cut says nothing. */
export function isOutdated(p: Instance, create: Assertion | undefined, epoch: number): boolean {
  return create !== undefined && create.epoch !== epoch && p.world.rule('cut-quoted-with-epoch');
}

/** A script's answer as a rung's. */
export function rungOf(reply: PutReply): Rung {
  switch (reply.status) {
    case 'held':
    case 'too-low':
    case 'moved':
      return reply;
    case 'exists':
      return { status: 'no' };
    case 'foreign':
    case 'epoch':
      return { status: 'next' };
    default:
      return reply satisfies never;
  }
}

/** `undefined`: it exists. */
export function* assertNew(p: Instance, address: Address): Task<Newness | undefined> {
  const { world, network } = p;
  const { redis, supabase } = network;
  if (isLive(p.outbox.floor(address.id), world.now)) return undefined;
  const shared = yield* p.askShared((epoch) => redis.model.read(epoch, address, world.now));
  let meta: ShardMeta | undefined;
  if (shared !== LOST && shared !== 'epoch') {
    const { entry } = shared;
    if (entry?.kind === 'value' && isLive(entry.write, world.now)) return undefined;
    if (entry?.kind === 'log' && !entry.tombstone) return undefined;
    ({ meta } = shared);
  }
  const there = yield* p.askDurable(() => {
    const log = supabase.model.readLog(address);
    const row = supabase.model.read(address);
    const isThere = isLive(row, world.now) || (log?.items.length ?? 0) > 0;
    return { isThere, erasedTo: log?.erasedTo ?? 0 };
  });
  const proven = there !== LOST;
  if (proven && there.isThere) return undefined;
  // A slow writer: much may happen between the look and the script.
  if (world.chance(0.2)) yield world.around(100);
  const create = meta && { ...meta, proven };
  return { create, erasedTo: proven ? there.erasedTo : 0 };
}
