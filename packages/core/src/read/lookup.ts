/**
 * The one read path: L1 → L2 → L3, never below the outbox, and copies back up.
 *
 * What may be answered:
 *  - an L1 copy, while the bus is proven alive;
 *  - a whole, readable L2 entry of the server's current incarnation;
 *  - otherwise L3's word united with what L2 holds pending; L2's word alone never, where the
 *    entry is stale or partial;
 *  - while L3 is away: an own acknowledged value, unless this process has seen a newer one; an
 *    entry that was created while L3 was away; never "absent" otherwise, and never another log
 *    that may lack items. Neither is kept in L1.
 *
 * "There is none" without an answer of L2 may be wrong of what is pending from another instance:
 * it is answered, and said to be unsure. A partial log that L2 did not unite may lack such items.
 *
 * The outbox is asked before the first question and again after the last answer: a write that
 * was acknowledged in between must not be overlooked, nor one that has just been released. What L3
 * had and has no more is no floor (erased.ts).
 *
 * Not for: deciding what a value means (spaces decode), or waiting for anybody (bounded here,
 * shared by nobody but readers of the same turn).
 */
import type { Clock } from '../clock.ts';
import type { Copies, Copy } from '../coherence/copies.ts';
import { bounded, type CallBounds } from '../deadline.ts';
import { CodecError, TierError, UnavailableError } from '../errors.ts';
import type { LogWrite } from '../model/entry.ts';
import type { Address, AddressId } from '../model/key.ts';
import {
  type Floor,
  isEncrypted,
  isLive,
  type Known,
  stampOf,
  unite,
  versionOf,
} from '../model/known.ts';
import type { SharedBackfill, SharedEntry, SharedRead } from '../tiers/tier.ts';
import { traced } from '../tracing.ts';
import { goneFrom, without } from './erased.ts';

/** The tier that an answer needed: the slowest of them. */
export type TierName = 'l1' | 'outbox' | 'l2' | 'l3';

/** How one namespace turns what is known into what its callers see. */
export interface Space<V> {
  readonly name: string;
  readonly kind: 'value' | 'log';
  /** The decoded, frozen value. Called for live knowledge only. */
  decode(known: Known): V;
  /** One question answered by one tier. */
  count(tier: TierName, result: 'hit' | 'miss' | 'error' | 'timeout'): void;
  /** One call answered. */
  answered(hit: boolean): void;
  /** One call that could not be answered. */
  failed(error: unknown): void;
}

export interface Found<V> {
  readonly tier: TierName;
  /** `undefined`: there is none; whether that is sure, {@link Found.isSure} says. */
  readonly value: V | undefined;
  /**
   * `false`: no tier knows of the key, but L2 could not be asked, where another instance may have
   * something pending. A value, and a deletion, are known.
   */
  readonly isSure: boolean;
  /** 0 where nothing is known. */
  readonly version: number;
}

export interface FindOptions extends CallBounds {
  /** Ask L2 and L3 whatever L1 has, and resolve when L2 has its copy. */
  readonly preload?: boolean | undefined;
}

export interface LookupParts {
  readonly clock: Clock;
  readonly copies: Copies;
  readonly floor: Floor;
  /** The last question to L3 was not answered. */
  readonly isDurableAway: () => boolean;
  /** Coalesced reads of L2; absent where there is no L2. */
  readonly shared: ((address: Address) => Promise<SharedRead>) | undefined;
  readonly backfill: (fill: SharedBackfill) => Promise<unknown>;
  /** Removes a settled entry of L2. */
  readonly forget: (address: Address) => Promise<unknown>;
  /** Coalesced reads of L3. */
  readonly durable: (address: Address, kind: 'value' | 'log') => Promise<Known | undefined>;
  /** Every version that comes by advances the clock. */
  readonly observe: (version: number) => void;
  readonly unreadable: (space: string, tier: 'l2' | 'l3', pending: boolean, reason: string) => void;
}

export class Lookup {
  readonly #parts: LookupParts;
  readonly #filling = new Set<Promise<unknown>>();

  constructor(parts: LookupParts) {
    this.#parts = parts;
  }

  /** An L1 copy that may be answered now. The hot path: no promise, no allocation. */
  copy(id: AddressId): Copy | undefined {
    const { copies, floor, clock } = this.#parts;
    const copy = copies.get(id);
    if (copy === undefined) return undefined;
    if (copy.expiresAt !== 0 && copy.expiresAt <= clock.now()) return undefined;
    return copy.version >= floor.floorVersion(id) ? copy : undefined;
  }

  async find<V>(space: Space<V>, address: Address, options: FindOptions): Promise<Found<V>> {
    const work = traced('cache.get', { 'cache.namespace': space.name }, () =>
      options.preload === true ? this.#preload(space, address) : this.#ask(space, address, false),
    );
    try {
      return await bounded(work, options, `a read of ${space.name}`, this.#parts.clock);
    } catch (error) {
      space.failed(error);
      throw error;
    }
  }

  async #preload<V>(space: Space<V>, address: Address): Promise<Found<V>> {
    const { copies } = this.#parts;
    const found = await this.#ask(space, address, true);
    // A message about the key that was under way kept L1 from its copy: once more, from L2.
    const lacksCopy = copies.isServed && copies.get(address.id) === undefined;
    if (found.value !== undefined && lacksCopy) await this.#ask(space, address, true);
    return found;
  }

  async #ask<V>(space: Space<V>, address: Address, preload: boolean): Promise<Found<V>> {
    const { copies, floor } = this.#parts;
    let before = floor.floor(address.id);
    const synced = before && floor.toConfirm(address.id);
    const ticket = copies.enter(address.id);
    try {
      const shared = await this.#askShared(space, address);
      const entry = shared?.entry;
      const read = this.#readable(space, entry);
      const held = read?.known;
      if (held !== undefined) floor.overtake(address.id, stampOf(held));
      let tier: TierName = 'l2';
      let known = held;
      if (known === undefined || !this.#isEnough(entry)) {
        const answer = await this.#askDurable(space, address, before, held, entry);
        known = answer.known;
        tier = answer.tier;
        const gone = tier === 'l3' ? goneFrom(answer.row, synced) : undefined;
        if (gone !== undefined) {
          before = without(before, gone);
          this.#release(gone);
        }
        if (tier === 'l3' && shared !== undefined) {
          const corrupt = read === undefined && shared.entry !== undefined && !isForeign(entry);
          await this.#backfill(space.kind, { address, row: answer.row, shared, corrupt, preload });
        }
      } else {
        space.count('l2', isLive(known, this.#parts.clock.now()) ? 'hit' : 'miss');
      }
      const seen = versionOf(known);
      known = unite(unite(known, before), floor.floor(address.id));
      if (versionOf(known) > seen && tier === 'l2') tier = 'outbox';
      const value = known === held ? read?.value : undefined;
      const isAsked = shared !== undefined || this.#parts.shared === undefined;
      return this.#answer(space, tier, known, value, isAsked, (copy) => {
        // What L3 was not asked about, or did not answer, may be older than what it has.
        const isSure = tier === 'l3' || isWhole(entry);
        if (shared !== undefined && isSure) copies.offer(ticket, copy);
      });
    } finally {
      copies.leave(ticket);
    }
  }

  #release(gone: Known): void {
    const { floor } = this.#parts;
    if (gone.kind === 'value') floor.confirmed(gone.address.id, gone);
    else floor.itemsConfirmed(gone.address.id, gone.items, gone.erasedTo);
  }

  /** Whether an L2 entry may be answered without asking L3. */
  #isEnough(entry: SharedEntry | undefined): boolean {
    return isWhole(entry) || (isUnproven(entry) && this.#parts.isDurableAway());
  }

  #answer<V>(
    space: Space<V>,
    tier: TierName,
    known: Known | undefined,
    decoded: V | undefined,
    isAsked: boolean,
    keep: (copy: Copy) => void,
  ): Found<V> {
    const version = versionOf(known);
    if (version > 0) this.#parts.observe(version);
    if (known === undefined || !isLive(known, this.#parts.clock.now())) {
      space.answered(false);
      return { tier, value: undefined, version, isSure: isAsked || known !== undefined };
    }
    const value = decoded ?? space.decode(known);
    space.answered(true);
    keep(copyOf(known, value, this.#parts.clock.now()));
    return { tier, value, version, isSure: true };
  }

  async #askShared<V>(space: Space<V>, address: Address): Promise<SharedRead | undefined> {
    if (this.#parts.shared === undefined) return undefined;
    try {
      return await this.#parts.shared(address);
    } catch (error) {
      if (!(error instanceof TierError)) throw error;
      space.count('l2', error.reason === 'timeout' ? 'timeout' : 'error');
      return undefined;
    }
  }

  /** What an L2 entry says; a pending one that can't be read makes every answer a guess. */
  #readable<V>(
    space: Space<V>,
    entry: SharedEntry | undefined,
  ): { readonly known: Known; readonly value: V | undefined } | undefined {
    if (entry === undefined) return undefined;
    if (entry.kind === 'unreadable') return this.#unreadable(space, entry.pending, entry.reason);
    const known: Known = entry.kind === 'value' ? entry.write : logOf(entry);
    if (known.kind !== space.kind) return this.#unreadable(space, entry.pending, 'another kind');
    try {
      const isAnswer = isLive(known, this.#parts.clock.now()) && isWhole(entry);
      return { known, value: isAnswer ? space.decode(known) : undefined };
    } catch (error) {
      if (!(error instanceof CodecError)) throw error;
      return this.#unreadable(space, entry.pending, error.message);
    }
  }

  #unreadable<V>(space: Space<V>, pending: boolean, reason: string): undefined {
    this.#parts.unreadable(space.name, 'l2', pending, reason);
    if (!pending) return undefined;
    throw new UnavailableError(
      `an entry of ${space.name} waits for L3 in a format that this build can't read`,
    );
  }

  async #askDurable<V>(
    space: Space<V>,
    address: Address,
    before: Known | undefined,
    held: Known | undefined,
    entry: SharedEntry | undefined,
  ): Promise<{ known: Known | undefined; row: Known | undefined; tier: TierName }> {
    if (entry === undefined && this.#parts.shared !== undefined) space.count('l2', 'miss');
    try {
      const row = await this.#parts.durable(address, space.kind);
      if (row !== undefined) this.#parts.floor.overtake(address.id, stampOf(row));
      if (isEncrypted(row)) {
        this.#parts.unreadable(space.name, 'l3', false, 'it is encrypted under a key not here');
      }
      space.count('l3', isLive(row, this.#parts.clock.now()) ? 'hit' : 'miss');
      return { known: unite(row, lackedByL3(held, entry)), row, tier: 'l3' };
    } catch (error) {
      if (!(error instanceof TierError)) throw error;
      space.count('l3', error.reason === 'timeout' ? 'timeout' : 'error');
      const { floor } = this.#parts;
      const own = unite(before, floor.floor(address.id));
      if (isUnproven(entry)) {
        // Nobody knows better: a call that begins while L3 is away reads its own history.
        space.count('l2', 'hit');
        return { known: unite(held, own), row: undefined, tier: 'l2' };
      }
      const isAlone = own === undefined || own.kind === 'log';
      if (isAlone || floor.isOvertaken(address.id)) throw unknowable(space.name, error);
      space.count('outbox', 'hit');
      return { known: unite(own, held), row: undefined, tier: 'outbox' };
    }
  }

  /** Copies L3's word up, over nothing or over what is corrupt. Nobody waits for it but a preload. */
  async #backfill(kind: 'value' | 'log', copyUp: CopyUp): Promise<void> {
    const fill = fillOf(kind, copyUp);
    if (fill === undefined) return;
    const filling = this.#fill(fill, copyUp).catch(() => {
      // L2 is down or full: the next reader asks L3 again.
    });
    this.#filling.add(filling);
    const done = filling.finally(() => this.#filling.delete(filling));
    if (copyUp.preload) await done;
  }

  async #fill(fill: SharedBackfill, { address, corrupt }: CopyUp): Promise<void> {
    if (corrupt) await this.#parts.forget(address);
    await this.#parts.backfill(fill);
  }

  /** Resolves when no copy is on its way up any more. */
  async close(): Promise<void> {
    await Promise.all(this.#filling);
  }
}

/** What is copied up, and over what. */
interface CopyUp {
  readonly address: Address;
  /** What L3 said. */
  readonly row: Known | undefined;
  /** What L2 said. */
  readonly shared: SharedRead;
  /** L2 holds a settled entry that can't be read. */
  readonly corrupt: boolean;
  readonly preload: boolean;
}

function fillOf(
  kind: 'value' | 'log',
  { address, row, shared }: CopyUp,
): SharedBackfill | undefined {
  if (isEncrypted(row)) return undefined;
  const { meta } = shared;
  if (row?.kind === 'value') return { kind: 'value', write: row, ...meta };
  if (row?.kind === 'log') return { kind: 'log', write: row, ...meta };
  // L3 has never heard of this log: what L2 holds of it is all there is.
  const isAll = kind === 'log' && shared.entry?.kind === 'log';
  return isAll ? { kind: 'log', write: emptyLog(address), ...meta } : undefined;
}

/** Another build's copy, for others of its kind. */
function isForeign(entry: SharedEntry | undefined): boolean {
  return entry?.kind === 'unreadable' && entry.isForeign;
}

/** Says everything about its key by itself. */
function isWhole(entry: SharedEntry | undefined): boolean {
  if (entry === undefined || entry.kind === 'unreadable') return false;
  return !entry.stale && !entry.unproven && (entry.kind === 'value' || !entry.partial);
}

/** A `create` that nobody could prove: everything that is known, unless L3 knows more. */
function isUnproven(entry: SharedEntry | undefined): boolean {
  if (entry === undefined || entry.kind === 'unreadable' || entry.stale) return false;
  return entry.unproven && (entry.kind === 'value' || !entry.partial);
}

/** Of a log in L2, what L3 may lack: an item that L3 had, and does not name any more, is gone. */
function lackedByL3(held: Known | undefined, entry: SharedEntry | undefined): Known | undefined {
  if (held?.kind !== 'log' || entry?.kind !== 'log') return held;
  return { ...held, items: entry.items.filter((item) => !item.synced) };
}

function logOf(entry: SharedEntry & { readonly kind: 'log' }): LogWrite {
  const { address, items, erasedTo, scope } = entry;
  return { kind: 'log', address, items, erasedTo, scope };
}

function emptyLog(address: Address): LogWrite {
  return { kind: 'log', address, items: [], erasedTo: 0, scope: undefined };
}

/** What L1 keeps of an answer. */
export function copyOf(known: Known, value: unknown, now: number): Copy {
  const { version, intent } = stampOf(known);
  let bytes = 0;
  if (known.kind === 'value') bytes = known.payload?.bytes.byteLength ?? 0;
  else for (const item of known.items) bytes += item.payload.bytes.byteLength;
  const expiresAt = known.kind === 'value' ? known.expiresAt : 0;
  return { kind: known.kind, value, version, intent, expiresAt, bytes, storedAt: now };
}

function unknowable(namespace: string, cause: unknown): UnavailableError {
  return new UnavailableError(`no tier can say what ${namespace} holds under this key`, { cause });
}
