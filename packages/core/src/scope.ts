/**
 * A scope: everything that belongs to one call, one caller or one tenant, over all namespaces
 * that name it. What L3 lists is united with what is still pending in L2 and here.
 */
import {
  boundsOf,
  type CallOptions,
  type DerivedEngine,
  type Engine,
  type PreloadReport,
} from './calls.ts';
import { inChunks } from './chunks.ts';
import { bounded } from './deadline.ts';
import { TierError, UnavailableError, type WriteOutcome } from './errors.ts';
import { preloadAll } from './many.ts';
import { type Address, type AddressId, type Scope, sameScope } from './model/key.ts';
import { scopeTagId } from './model/tags.ts';
import type { Space } from './read/lookup.ts';
import type { SharedTier } from './tiers/tier.ts';
import { NOTHING_FLUSHED } from './write/flusher.ts';
import type { Others } from './write/others.ts';

/** One entry of a scope. */
export interface ScopeEntry {
  readonly namespace: string;
  readonly key: string;
  readonly kind: 'value' | 'log' | 'derived';
}

/** What {@link CacheScope.flush} did. */
export interface ScopeFlushReport {
  /** Rows of this scope that L3 has now. */
  readonly flushed: number;
  /** Rows that L3 refused, or did not answer for. */
  readonly failed: number;
  /** Keys of this scope that L3 still lacks something of. */
  readonly remaining: number;
  /**
   * What other instances have pending could not be found out: L2 does not say; or it was emptied, or
   * the journal of one of them alone holds something, and one has not drained since.
   */
  readonly unknown: boolean;
  readonly ms: number;
}

/** What {@link CacheScope.erase} removed. */
export interface ScopeEraseReport {
  readonly records: number;
  readonly items: number;
  readonly deadLetters: number;
  /** Derived values that were removed, counted in each of L2 and L3. */
  readonly derived: number;
  /** Keys whose copies were removed from L1 and L2. */
  readonly copies: number;
  /**
   * Something may be left for now: L2 did not confirm, an instance did not answer, something newer is
   * pending, or a journal could not be rewritten. Copies go as soon as L2 is back; erasing again
   * says whether all is gone.
   */
  readonly unknown: boolean;
  readonly ms: number;
}

/** What a scope needs of its cache beside the engine. */
export interface ScopeParts {
  readonly engine: Engine;
  readonly deriving: DerivedEngine;
  readonly shared: SharedTier | undefined;
  /** The scope that an open namespace gives a key; `'unknown'` where the namespace is not open here. */
  readonly scopeOf: (address: Address) => Scope | undefined | 'unknown';
  readonly spaceOf: (address: Address) => Space<unknown> | undefined;
  readonly others: Others;
  readonly removeCopy: (id: AddressId) => void;
  /** What was erased is not in the journal's files any more. False: it may be. */
  readonly expunge: () => Promise<boolean>;
}

/** Pending keys that are looked through for one scope; beyond it the answer is `unknown`. */
const MAX_PENDING_SEEN = 10_000;
/** How long the others may take to drain. */
const DRAIN_OTHERS_MS = 1000;

interface Member {
  readonly address: Address;
  readonly kind: 'value' | 'log';
}

/** What L3 lacks of a scope. */
interface Pending {
  readonly members: readonly Member[];
  /** L2 could not say, or not all of it. */
  readonly unknown: boolean;
}

export class CacheScope {
  readonly #parts: ScopeParts;
  readonly #scope: Scope;

  /** @internal */
  constructor(parts: ScopeParts, scope: Scope) {
    this.#parts = parts;
    this.#scope = scope;
  }

  /** Brings all of the scope into L1 and L2: what the next turn of a call will ask for. */
  async preload(options?: CallOptions): Promise<PreloadReport> {
    const { engine, spaceOf } = this.#parts;
    const bounds = boundsOf(engine, options);
    const work = this.#members().then((addresses) => {
      const open = addresses.filter((address) => spaceOf(address) !== undefined);
      return preloadAll(open, (address) => {
        const space = spaceOf(address);
        if (space === undefined) throw new UnavailableError('a namespace was closed');
        return engine.lookup.find(space, address, { ...bounds, preload: true });
      });
    });
    return bounded(work, bounds, 'a preload of a scope', engine.clock);
  }

  /**
   * A barrier: when nothing remains, nothing failed and nothing is unknown, L3 has every write of
   * this scope that was acknowledged before the call. Except what an instance that is cut off from
   * L2 and L3 at once has acknowledged with its journal alone: nobody else knows of that.
   */
  async flush(options?: CallOptions): Promise<ScopeFlushReport> {
    const { engine } = this.#parts;
    const bounds = boundsOf(engine, options);
    const start = engine.clock.monotonic();
    const work = this.#flush();
    const report = await bounded(work, bounds, 'a flush of a scope', engine.clock);
    return { ...report, ms: engine.clock.monotonic() - start };
  }

  async #flush(): Promise<Omit<ScopeFlushReport, 'ms'>> {
    const { engine } = this.#parts;
    const before = await this.#pending();
    const ids = before.members.map(({ address }) => address.id);
    const report = ids.length === 0 ? NOTHING_FLUSHED : await engine.flush(ids);
    const after = await this.#pending();
    const isWhole = await this.#parts.others.isIndexWhole(DRAIN_OTHERS_MS);
    return {
      flushed: report.flushed,
      failed: report.failed + report.refused,
      remaining: after.members.length,
      unknown: before.unknown || after.unknown || !isWhole,
    };
  }

  /**
   * What belongs to the scope, without values. While L2 does not answer, what other instances have
   * pending there is not in it, nor are derived values: {@link flush} says `unknown` then.
   */
  async entries(options?: CallOptions): Promise<readonly ScopeEntry[]> {
    const { engine } = this.#parts;
    const bounds = boundsOf(engine, options);
    const derived = this.#parts.deriving.shared?.members(this.#scope).catch(ignoreTier);
    const work = Promise.all([this.#durable(), this.#pending(), derived]);
    const [durable, pending, members] = await bounded(
      work,
      bounds,
      'a list of a scope',
      engine.clock,
    );
    const entries = new Map<AddressId, ScopeEntry>();
    for (const { address, kind } of [...pending.members, ...durable]) {
      const { namespace, key, id } = address;
      entries.set(id, { namespace, key, kind });
    }
    for (const { namespace, key, id } of members ?? []) {
      entries.set(id, { namespace, key, kind: 'derived' });
    }
    return [...entries.values()];
  }

  /**
   * Removes all of the scope from every tier, for good: a fence in L3 keeps what was written
   * before, and arrives later, from coming back. Rejects where L3 can't be reached.
   */
  async erase(options?: CallOptions): Promise<ScopeEraseReport> {
    const { engine } = this.#parts;
    const bounds = boundsOf(engine, options);
    const start = engine.clock.monotonic();
    const report = await bounded(this.#erase(), bounds, 'an erasure', engine.clock, 'unknown');
    return { ...report, ms: engine.clock.monotonic() - start };
  }

  async #erase(): Promise<Omit<ScopeEraseReport, 'ms'>> {
    const { engine, removeCopy } = this.#parts;
    const pending = await this.#pending();
    await this.#learn(pending.members.map(({ address }) => address));
    const version = engine.ladder.parts.versions.propose();
    const report = await engine.durable.erase(this.#scope, version).catch(unreachable('unknown'));
    const addresses = new Map<AddressId, Address>();
    for (const { address } of [...pending.members, ...report.addresses]) {
      addresses.set(address.id, address);
    }
    for (const id of addresses.keys()) {
      engine.outbox.discard(id, { version, intent: Number.MAX_SAFE_INTEGER });
      removeCopy(id);
    }
    const isPurged = await this.#purge([...addresses.values()], version);
    const derived = await this.#eraseDerived();
    // What was acknowledged while this went on is below the fence too: flushing it says so.
    const left = await this.#flush();
    const isDrained = await this.#tellOthers(version);
    // Last, because until then something of it may have been acknowledged.
    const isExpunged = await this.#parts.expunge();
    const isLeft = left.unknown || left.remaining > 0 || !isDrained || !isExpunged;
    const unknown = pending.unknown || !isPurged || derived === undefined || isLeft;
    const { records, items, deadLetters } = report;
    return {
      records,
      items,
      deadLetters,
      derived: report.derived + (derived ?? 0),
      copies: addresses.size,
      unknown,
    };
  }

  /** Whether the others have let go of what they held when they were asked, on their disks too. */
  async #tellOthers(erasedTo: number): Promise<boolean> {
    try {
      const { hasAll, answers } = await this.#parts.others.ask({ erasedTo }, DRAIN_OTHERS_MS);
      return hasAll && answers.every(({ failed }) => failed === 0);
    } catch (error) {
      if (!(error instanceof TierError)) throw error;
      return false;
    }
  }

  /** `undefined`: L2 did not confirm. */
  async #eraseDerived(): Promise<number | undefined> {
    const { patient, tags } = this.#parts.deriving;
    const tag = scopeTagId(this.#scope);
    tags.hear(tag);
    try {
      if (patient === undefined) return 0;
      // Once more, where Redis has only just become another one.
      for (let left = 2; left > 0; left -= 1) {
        const reply = await patient.erase(this.#scope);
        if (reply !== 'epoch') return reply.removed;
      }
      return undefined;
    } catch (error) {
      if (!(error instanceof TierError)) throw error;
      return undefined;
    } finally {
      tags.hear(tag);
    }
  }

  async #purge(addresses: readonly Address[], version: number): Promise<boolean> {
    const { shared } = this.#parts;
    if (shared === undefined) return true;
    const purges = addresses.map((address) => ({ address, version }));
    try {
      const replies = await inChunks(purges, (some) => shared.purge(some));
      return replies.every((reply) => reply === 'done');
    } catch (error) {
      if (!(error instanceof TierError)) throw error;
      return false;
    }
  }

  /** The fence has to be above all that it stands for, whoever's clock that was written by. */
  async #learn(pending: readonly Address[]): Promise<void> {
    const { engine, shared } = this.#parts;
    const { versions } = engine.ladder.parts;
    versions.observe(await engine.durable.maxVersion().catch(unreachable('none')));
    const reads =
      shared === undefined
        ? []
        : ((await inChunks(pending, (some) => shared.read(some)).catch(ignoreTier)) ?? []);
    for (const { entry } of reads) {
      if (entry === undefined || entry.kind === 'unreadable') continue;
      versions.observe(entry.kind === 'value' ? entry.write.version : entry.version);
    }
  }

  async #members(): Promise<readonly Address[]> {
    const [durable, pending] = await Promise.all([this.#durable(), this.#pending()]);
    const all = [...pending.members, ...durable];
    return [...new Map(all.map(({ address }) => [address.id, address])).values()];
  }

  async #durable() {
    try {
      return await this.#parts.engine.durable.scope(this.#scope);
    } catch (cause) {
      throw new UnavailableError('Supabase can not say what belongs to this scope', { cause });
    }
  }

  /** What L3 lacks of this scope: here, and as far as L2 can say anywhere else. */
  async #pending(): Promise<Pending> {
    const { engine, shared } = this.#parts;
    const members = new Map<AddressId, Member>();
    for (const id of [...engine.outbox.unsynced(), ...engine.outbox.parked()]) {
      const known = engine.outbox.floor(id);
      if (known !== undefined && sameScope(known.scope, this.#scope)) members.set(id, known);
    }
    if (shared === undefined) return { members: [...members.values()], unknown: false };
    try {
      const { addresses: pending, total } = await shared.pending(
        Number.MAX_SAFE_INTEGER,
        MAX_PENDING_SEEN,
      );
      const { mine, isUnreadable } = await this.#ofScope(pending, shared);
      for (const member of mine) members.set(member.address.id, member);
      const unknown = total > pending.length || isUnreadable;
      return { members: [...members.values()], unknown };
    } catch (error) {
      if (!(error instanceof TierError)) throw error;
      return { members: [...members.values()], unknown: true };
    }
  }

  /** `isUnreadable`: of some, only another build, or one with another key, knows the scope. */
  async #ofScope(pending: readonly Address[], shared: SharedTier) {
    const mine: Member[] = [];
    const foreign: Address[] = [];
    for (const address of pending) {
      const scope = this.#parts.scopeOf(address);
      if (scope !== 'unknown' && !sameScope(scope, this.#scope)) continue;
      const kind = scope === 'unknown' ? undefined : this.#parts.spaceOf(address)?.kind;
      if (kind === undefined) foreign.push(address);
      else mine.push({ address, kind });
    }
    let isUnreadable = false;
    if (foreign.length === 0) return { mine, isUnreadable };
    const reads = await inChunks(foreign, (some) => shared.read(some));
    for (const { entry } of reads) {
      if (entry === undefined) continue;
      if (entry.kind === 'unreadable') {
        isUnreadable ||= entry.pending;
        continue;
      }
      const { kind, scope, address } = entry.kind === 'value' ? entry.write : entry;
      if (sameScope(scope, this.#scope)) mine.push({ address, kind });
    }
    return { mine, isUnreadable };
  }
}

function unreachable(outcome: WriteOutcome): (cause: unknown) => never {
  return (cause) => {
    const message = 'Supabase can not be reached to erase a scope';
    throw new UnavailableError(message, { cause, outcome });
  };
}

/** L2 does not answer: that is told by its pending keys, where the caller is told. */
function ignoreTier(error: unknown): undefined {
  if (!(error instanceof TierError)) throw error;
}
