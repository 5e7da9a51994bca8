/**
 * `append`, `create` and `delete` of a log: what the rungs of the ladder mean for it.
 *
 * Items are united by id, so there is nothing to disagree about: a retry, a fallback to L3 and
 * a command executed late add nothing. L2 may raise versions that would not sort last, and L3
 * keeps the version that an id came with first; the receipt carries what was answered.
 */
import { TierError } from '../errors.ts';
import type { LogItem, LogWrite } from '../model/entry.ts';
import type { Address, Scope } from '../model/key.ts';
import { versionOf } from '../model/known.ts';
import type { CreateAssertion, SharedTier } from '../tiers/tier.ts';
import { assertNew } from './create.ts';
import type { GatheredTier } from './gathered.ts';
import {
  type Climb,
  holders,
  type Ladder,
  type LadderParts,
  needsFloor,
  type Receipt,
  type RungReply,
} from './ladder.ts';
import { ofPut } from './values.ts';

export interface AppendRequest {
  readonly address: Address;
  readonly scope: Scope | undefined;
  /** In the order they shall have; versions are proposed here. */
  readonly items: readonly Omit<LogItem, 'version'>[];
  readonly through: boolean;
  readonly create: boolean;
}

export async function appendItems(ladder: Ladder, request: AppendRequest): Promise<Receipt> {
  const { outbox, clock } = ladder.parts;
  return inFlight(ladder, request.address, async () => {
    const {
      value: write,
      held,
      isJournalled,
    } = await ladder.climb(new AppendClimb(ladder.parts, request));
    // A log that begins without items has nothing for the outbox to hold.
    const isHeld = held !== 'l3' || needsFloor(ladder.parts, request.address.id);
    if (isHeld && write.items.length > 0) {
      const state = held === 'l3' ? 'synced' : 'unsynced';
      outbox.holdItems(request.address, request.scope, write.items, state, clock.now());
      if (held === 'journal') outbox.setAside(request.address.id);
    }
    return { version: versionOf(write), held: holders(held, isJournalled) };
  });
}

export async function deleteLog(
  ladder: Ladder,
  request: {
    readonly address: Address;
    readonly scope: Scope | undefined;
    readonly through: boolean;
  },
): Promise<Receipt> {
  const { outbox, clock } = ladder.parts;
  return inFlight(ladder, request.address, async () => {
    const {
      value: write,
      held,
      isJournalled,
    } = await ladder.climb(new DeleteLogClimb(ladder.parts, request));
    if (held !== 'l3' || needsFloor(ladder.parts, request.address.id)) {
      const state = held === 'l3' ? 'synced' : 'unsynced';
      outbox.holdErasure(request.address, request.scope, write.erasedTo, state, clock.now());
      if (held === 'journal') outbox.setAside(request.address.id);
    }
    return { version: write.erasedTo, held: holders(held, isJournalled) };
  });
}

/** Its fence is up until after its copy is gone from L1. */
function inFlight(
  ladder: Ladder,
  { id }: Address,
  write: () => Promise<Receipt>,
): Promise<Receipt> {
  return ladder.write(id, async () => {
    const receipt = await write();
    ladder.parts.copies.remove(id);
    return receipt;
  });
}

class AppendClimb implements Climb<LogWrite> {
  readonly namespace: string;
  readonly through: boolean;
  readonly assertNew?: () => Promise<CreateAssertion | undefined>;
  readonly #parts: LadderParts;
  readonly #create: boolean;
  #write: LogWrite;

  get write(): LogWrite {
    return this.#write;
  }

  constructor(parts: LadderParts, request: AppendRequest) {
    const { address, scope } = request;
    this.namespace = address.namespace;
    this.through = request.through;
    this.#parts = parts;
    this.#create = request.create;
    const items = request.items.map((item) => ({ ...item, version: parts.versions.propose() }));
    this.#write = { kind: 'log', address, items, erasedTo: 0, scope };
    if (request.create) this.assertNew = () => assertNew(parts, address, 'log');
  }

  propose(above: number): void {
    const { versions } = this.#parts;
    versions.observe(above);
    const items = this.#write.items.map((item) => ({ ...item, version: versions.propose(above) }));
    this.#write = { ...this.#write, items };
  }

  async atShared(
    shared: SharedTier,
    create: CreateAssertion | undefined,
  ): Promise<RungReply<LogWrite>> {
    const erasedTo = this.#parts.outbox.erasedTo(this.#write.address.id);
    const [reply] = await shared.append([{ write: this.#write, create }]);
    if (reply?.status !== 'held') return ofPut(reply, this.#write);
    // L2 had not been told of a deletion that went around it: what it has under this id is dead.
    if (reply.versions.some((version) => version <= erasedTo)) {
      // Others of them it may have taken.
      const message = 'Redis had not been told of a deletion of this log';
      throw new TierError(message, 'refused', { outcome: 'unknown' });
    }
    return { status: 'held', value: this.#under(reply.versions) };
  }

  async atDurable(durable: GatheredTier, mark: boolean): Promise<RungReply<LogWrite>> {
    const [reply] = await durable.insert([
      { write: this.#write, mark, absent: this.#create, keep: false },
    ]);
    switch (reply?.status) {
      case 'applied':
        return { status: 'held', value: this.#under(reply.versions) };
      case 'erased':
        // A new item, proposed by a clock that is behind the deletion: above everything.
        return { status: 'again', above: await durable.maxVersion() };
      case 'refused':
      case 'exists':
        return reply;
      default:
        return { status: 'next' };
    }
  }

  #under(versions: readonly number[]): LogWrite {
    const items = this.#write.items.map((item, index) => {
      const version = versions[index] ?? item.version;
      this.#parts.versions.observe(version);
      return { ...item, version };
    });
    return { ...this.#write, items };
  }
}

class DeleteLogClimb implements Climb<LogWrite> {
  readonly namespace: string;
  readonly through: boolean;
  readonly #parts: LadderParts;
  #write: LogWrite;

  get write(): LogWrite {
    return this.#write;
  }

  constructor(
    parts: LadderParts,
    request: {
      readonly address: Address;
      readonly scope: Scope | undefined;
      readonly through: boolean;
    },
  ) {
    const { address, scope } = request;
    this.namespace = address.namespace;
    this.through = request.through;
    this.#parts = parts;
    const erasedTo = parts.versions.propose();
    this.#write = { kind: 'log', address, items: [], erasedTo, scope };
  }

  propose(above: number): void {
    this.#write = { ...this.#write, erasedTo: this.#parts.versions.propose(above) };
  }

  async atShared(shared: SharedTier): Promise<RungReply<LogWrite>> {
    const [reply] = await shared.put([{ write: this.#write }]);
    return ofPut(reply, this.#write);
  }

  async atDurable(durable: GatheredTier, mark: boolean): Promise<RungReply<LogWrite>> {
    // L2's script would have known the newest item; here L3 has to be asked for it.
    const [there] = await durable.readNewest([this.#write.address]);
    const newest = there?.items.at(-1)?.version ?? 0;
    if (newest >= this.#write.erasedTo) return { status: 'again', above: newest };
    const [reply] = await durable.insert([{ write: this.#write, mark, keep: false }]);
    switch (reply?.status) {
      case 'applied':
      case 'erased':
        return { status: 'held', value: this.#write };
      case 'refused':
        return reply;
      default:
        return { status: 'next' };
    }
  }
}
