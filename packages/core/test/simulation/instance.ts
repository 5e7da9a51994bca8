/**
 * One process of the fleet: what it knows and what it holds. The outbox, the copies with their
 * fences and the version clock are the product's own; the tasks in the other modules are what
 * the product does around them, one step at a time.
 */
import { Copies, type Copy, type Ticket } from '../../src/coherence/copies.ts';
import type { ValueWrite } from '../../src/model/entry.ts';
import type { Address, AddressId } from '../../src/model/key.ts';
import { type Known, stampOf } from '../../src/model/known.ts';
import { VersionClock, versionAt, WARNED_SKEW_MS } from '../../src/model/version.ts';
import { Outbox } from '../../src/write/outbox.ts';
import type { BusMessage } from '../model/shared-server.ts';
import type { Bus, Listener } from './bus.ts';
import type { History } from './history.ts';
import { LOST, type Maybe, type Network, OTHER_RUN } from './network.ts';
import type { Task, World } from './world.ts';

export const GAP_TTL_MS = 500;
const BREAKER_FAILURES = 3;
/** The lowest intent: a message without one loses against every copy of its version. */
const NOBODY = { intent: 0 } as const;
const EPOCH_TRIES = 3;

/** What an instance has acknowledged or shown: nothing it answers later may be older. */
export interface Promised {
  version: number;
  readonly items: Map<string, number>;
}

export class Instance implements Listener {
  readonly id: number;
  readonly world: World;
  readonly network: Network;
  readonly bus: Bus;
  readonly history: History;
  readonly skew: number;
  readonly versions: VersionClock;
  readonly outbox: Outbox = new Outbox({ maxPending: 1000, maxBytes: 1_000_000 });
  readonly l1: Map<AddressId, Copy> = new Map<AddressId, Copy>();
  readonly copies: Copies;
  readonly acknowledged: Map<AddressId, Promised> = new Map<AddressId, Promised>();
  readonly seen: Map<AddressId, Promised> = new Map<AddressId, Promised>();
  /** Keys of which a flush is under way. */
  readonly flushing: Set<AddressId> = new Set<AddressId>();
  isAlive = true;
  /** It can't reach Redis, though others can. */
  isCut = false;
  /** The incarnation that it introduced itself to, and the epoch that it quotes. */
  run = '';
  epoch = 0;
  /** The breaker. Closed: traffic flows; open: none does, but for the trial's. */
  isOpen = false;
  openedAt = 0;
  #failures = 0;
  /** A drain is due at once, and has to leave marks. */
  mustDrain = false;
  /** When its own heartbeat was last heard, and whether the subscription stands. */
  proof: number;
  isSubscribed = true;
  subscription = 0;
  readonly #knownOf = new WeakMap<Copy, Known>();
  readonly #unproven = new WeakSet<Copy>();

  constructor(id: number, network: Network, bus: Bus, history: History, skew: number) {
    const { world } = network;
    this.bus = bus;
    this.id = id;
    this.network = network;
    this.world = world;
    this.history = history;
    this.skew = skew;
    this.proof = world.now;
    this.versions = new VersionClock(world.clock(skew));
    const isBusAlive = (): boolean => world.now - this.proof < GAP_TTL_MS;
    const near = {
      get: (id: AddressId) => this.l1.get(id),
      set: (id: AddressId, copy: Copy) => void this.l1.set(id, copy),
      delete: (id: AddressId) => void this.l1.delete(id),
      clear: () => this.l1.clear(),
    };
    this.copies = new Copies(near, { isAlive: isBusAlive });
  }

  /** Somebody wrote, settled or removed this key. */
  hear(message: BusMessage): void {
    const { version, kind, address } = message;
    this.versions.observe(version);
    const { intent } = this.world.rule('bus-names-intent') ? message : NOBODY;
    this.copies.heard(address.id, { version, intent }, kind);
  }

  /** Nobody knows what was missed. */
  emptyCopies(): void {
    if (this.world.rule('l1-emptied-on-gap')) this.copies.empty();
  }

  /** L2 holds this own write: it may be in L1, unless something newer came or may have been missed. */
  keepOwn(ticket: Ticket, write: ValueWrite): void {
    const { copies } = this;
    if (this.world.rule('own-copy-not-over-gap')) {
      copies.wrote(ticket, write, this.copyOf(write));
      return;
    }
    // A ticket that is taken only now knows of no gap.
    const late = copies.enter(ticket.id);
    copies.wrote(late, write, this.copyOf(write));
    copies.leave(late);
  }

  /** An own write that L2 does not hold: nothing older may come into L1 any more. */
  keepNothing(ticket: Ticket, write: ValueWrite): void {
    if (this.world.rule('own-write-counts-as-heard')) this.copies.wrote(ticket, write, undefined);
    else this.copies.remove(ticket.id);
  }

  /** The subscription is gone: what is published from now on will not be heard. */
  disconnect(): void {
    this.isSubscribed = false;
  }

  say(text: () => string): void {
    this.world.say(() => `P${this.id} ${text()}`);
  }

  /** What no read may fall below. */
  floor(address: Address): Known | undefined {
    return this.world.rule('outbox-is-floor') ? this.outbox.floor(address.id) : undefined;
  }

  // ------------------------------------------------------------ asking L2 and L3

  /** A script, or a read, under the present epoch; asked again where that has changed. */
  *askShared<R>(command: (epoch: number) => R, isTrial = false): Task<Maybe<R>> {
    if (this.isOpen && !isTrial) return LOST;
    for (let attempt = 0; attempt < EPOCH_TRIES; attempt += 1) {
      const { epoch } = this;
      const reply = yield* this.network.toRedis(this, () => command(epoch));
      if (reply === LOST) break;
      if (reply !== OTHER_RUN && !isEpoch(reply)) {
        this.#failures = 0;
        return reply;
      }
      if (!(yield* this.introduce())) break;
    }
    this.#fail();
    return LOST;
  }

  *askDurable<R>(call: () => R): Task<Maybe<R>> {
    return yield* this.network.toSupabase(call);
  }

  #fail(): void {
    this.#failures += 1;
    if (this.#failures < BREAKER_FAILURES || this.isOpen) return;
    this.isOpen = true;
    this.openedAt = this.world.now;
    this.mustDrain = this.world.rule('drain-when-breaker-opens');
    this.say(() => 'breaker opens');
  }

  closeBreaker(): void {
    this.isOpen = false;
    this.#failures = 0;
    this.say(() => 'breaker closes');
  }

  /**
   * No command passes a new connection before the server's run id was compared. Another one,
   * or no meta: a new epoch, whose cut is above everything that may have been accepted.
   */
  *introduce(): Task<boolean> {
    const { redis, supabase } = this.network;
    const shown = yield* this.network.toRedis(this, () => redis.model.runId, true);
    if (typeof shown !== 'string') return false;
    const known = yield* this.network.toRedis(this, () => redis.model.epochOf(shown), true);
    if (known === LOST || known === OTHER_RUN) return false;
    let floor = 0;
    if (known === undefined) {
      const highest = yield* this.askDurable(() => supabase.model.maxVersion());
      if (highest === LOST) return false;
      const ahead = versionAt(this.world.now + this.skew + WARNED_SKEW_MS);
      floor = Math.max(highest, this.versions.last, ahead);
    }
    const { world } = this;
    // Only a finished introduction counts: until then no other command may pass.
    const introduced = { isCut: this.isCut, run: shown };
    const candidate = world.rule('epoch-is-unique') ? 1 + world.below(2 ** 40) : undefined;
    const meta = yield* this.network.toRedis(introduced, () => {
      if (known === undefined || redis.model.epochOf(shown) !== undefined) {
        return redis.model.handshake(0, shown, candidate ?? redis.model.nextEpoch(), floor);
      }
      return undefined;
    });
    if (meta === LOST || meta === OTHER_RUN || meta === undefined) return false;
    this.run = shown;
    this.versions.observe(meta.cut);
    if (meta.epoch !== this.epoch) this.#enter(meta.epoch);
    return true;
  }

  /** Another epoch: what is here may be all that is left of some writes. */
  #enter(epoch: number): void {
    this.say(() => `enters epoch ${epoch}`);
    this.epoch = epoch;
    this.mustDrain ||= this.world.rule('drain-when-breaker-opens');
    this.emptyCopies();
  }

  // ------------------------------------------------------------ what was promised

  promise(book: Map<AddressId, Promised>, address: Address): Promised {
    let promised = book.get(address.id);
    if (promised === undefined) {
      promised = { version: 0, items: new Map() };
      book.set(address.id, promised);
    }
    return promised;
  }

  promiseVersion(address: Address, version: number): void {
    const promised = this.promise(this.acknowledged, address);
    promised.version = Math.max(promised.version, version);
  }

  copyOf(known: Known, unproven = false): Copy {
    const { version, intent } = stampOf(known);
    const copy = {
      kind: known.kind,
      value: known,
      version,
      intent,
      expiresAt: 0,
      bytes: 0,
      storedAt: 0,
    };
    this.#knownOf.set(copy, known);
    if (unproven) this.#unproven.add(copy);
    return copy;
  }

  /** A copy of a log that was created while L3 was away. */
  isUnproven(copy: Copy): boolean {
    return this.#unproven.has(copy);
  }

  /** What a copy says. */
  knownOf(copy: Copy): Known | undefined {
    return this.#knownOf.get(copy);
  }
}

function isEpoch(reply: unknown): boolean {
  if (reply === 'epoch') return true;
  return (
    typeof reply === 'object' && reply !== null && 'status' in reply && reply.status === 'epoch'
  );
}
