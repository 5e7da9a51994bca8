/**
 * `set`, `delete` and `create` of a value: what the rungs of the ladder mean for it.
 */

import type { Copy } from '../coherence/copies.ts';
import { ConflictError } from '../errors.ts';
import type { Payload, ValueWrite } from '../model/entry.ts';
import type { Address, Scope } from '../model/key.ts';
import type { ApplyReply, CreateAssertion, PutReply, SharedTier } from '../tiers/tier.ts';
import { assertNew } from './create.ts';
import type { GatheredTier } from './gathered.ts';
import {
  type Climb,
  holders,
  type Ladder,
  needsFloor,
  type Receipt,
  type RungReply,
} from './ladder.ts';

export interface ValueRequest {
  readonly address: Address;
  /** `undefined` deletes. */
  readonly payload: Payload | undefined;
  readonly expiresAt: number;
  readonly scope: Scope | undefined;
  readonly tags: readonly string[];
  readonly through: boolean;
  /** Reject where the key is known to exist. */
  readonly create: boolean;
  /** What L1 keeps of it, once L2 holds it. */
  readonly copy: (write: ValueWrite) => Copy | undefined;
}

export async function writeValue(ladder: Ladder, request: ValueRequest): Promise<Receipt> {
  const { copies, outbox, versions, clock } = ladder.parts;
  return ladder.write(request.address.id, async (ticket) => {
    const climb = new ValueClimb(ladder, request, versions.proposeStamp());
    const { value: write, held, unproven, isJournalled } = await ladder.climb(climb);
    const { version } = write;
    if (held !== 'l3') {
      outbox.holdValue(write, 'unsynced', clock.now(), unproven);
      if (held === 'journal') outbox.setAside(write.address.id);
      copies.wrote(ticket, write, held === 'l2' ? request.copy(write) : undefined);
      return { version, held: holders(held, isJournalled) };
    }
    const settled = await settleThrough(ladder, write);
    // L2 was told, which is not to say that it holds this: it may have something newer.
    copies.wrote(ticket, write, undefined);
    const where = holders('l3', isJournalled);
    return { version, held: settled ? ['l2', ...where] : where };
  });
}

/**
 * L3 has the write, L2 was not asked. The outbox is the floor until L2 is brought up to date,
 * here or, where it does not answer, by the mark that the write left.
 */
export async function settleThrough(ladder: Ladder, write: ValueWrite): Promise<boolean> {
  const { outbox, shared, clock } = ladder.parts;
  if (shared === undefined || !needsFloor(ladder.parts, write.address.id)) return false;
  outbox.holdValue(write, 'synced', clock.now());
  try {
    const [reply] = await shared.putSettled([write]);
    if (reply !== 'done') return false;
    outbox.confirmed(write.address.id, write);
    return true;
  } catch {
    // Its mark is in L3: repair will tell L2.
    return false;
  }
}

class ValueClimb implements Climb<ValueWrite> {
  readonly namespace: string;
  readonly through: boolean;
  readonly assertNew?: () => Promise<CreateAssertion | undefined>;
  readonly #ladder: Ladder;
  readonly #create: boolean;
  #write: ValueWrite;

  get write(): ValueWrite {
    return this.#write;
  }

  constructor(
    ladder: Ladder,
    request: ValueRequest,
    stamp: { readonly version: number; readonly intent: number },
  ) {
    const { address, payload, expiresAt, scope, tags } = request;
    this.namespace = address.namespace;
    this.through = request.through;
    this.#ladder = ladder;
    this.#create = request.create;
    this.#write = { kind: 'value', address, payload, expiresAt, scope, tags, ...stamp };
    if (request.create) this.assertNew = () => assertNew(ladder.parts, address, 'value');
  }

  propose(above: number): void {
    this.#write = { ...this.#write, version: this.#ladder.parts.versions.propose(above) };
  }

  async atShared(
    shared: SharedTier,
    create: CreateAssertion | undefined,
  ): Promise<RungReply<ValueWrite>> {
    const [reply] = await shared.put([{ write: this.#write, create }]);
    return ofPut(reply, this.#write);
  }

  async atDurable(durable: GatheredTier, mark: boolean): Promise<RungReply<ValueWrite>> {
    const [reply] = await durable.apply([
      // Whoever is refused is told so: nobody has to keep it.
      { write: this.#write, mark, absent: this.#create, keep: false },
    ]);
    if (reply?.status === 'applied') return { status: 'held', value: this.#write };
    return ofApply(reply, durable);
  }
}

/** Shared by values and the deletion of logs. */
export function ofPut<T>(reply: PutReply | undefined, value: T): RungReply<T> {
  switch (reply?.status) {
    case 'held':
      return { status: 'held', value };
    case 'too-low':
      return { status: 'again', above: reply.floor };
    case 'epoch':
      return { status: 'same-again' };
    case 'exists':
    case 'moved':
      return reply;
    default:
      return { status: 'next' };
  }
}

async function ofApply(
  reply: Exclude<ApplyReply, { readonly status: 'applied' }> | undefined,
  durable: GatheredTier,
): Promise<RungReply<ValueWrite>> {
  switch (reply?.status) {
    case 'superseded':
      return { status: 'again', above: reply.newer.version };
    case 'expired':
    case 'erased':
      // A new write, proposed by a clock that is behind: above everything there ever was.
      return { status: 'again', above: await durable.maxVersion() };
    case 'refused':
    case 'exists':
      return reply;
    default:
      throw new ConflictError('Supabase did not answer for this row', { outcome: 'unknown' });
  }
}
