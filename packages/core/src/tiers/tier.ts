/**
 * THE interface of the tiers, and the vocabulary of the protocol. Everything is batch-first:
 * one key is a batch of one. Replies are data, never exceptions; a rejected promise is a
 * {@link TierError} and says nothing about any key.
 *
 * `SharedTier` is L2 (Redis): fast, may be dead, frozen, emptied or set back at any time.
 * `DurableTier` is L3 (Supabase): the truth, slower, may be away for any length of time.
 * The memory tier is plain and synchronous and has no interface of its own.
 *
 * Invariants that every implementation keeps, and that the simulator's model defines:
 *  - no command acts under an epoch other than the one it was sent under (reply `epoch`);
 *  - a version at or below a shard's cut is never accepted, entry present or not, unless it is
 *    the write that is already there;
 *  - a pending entry has no TTL, is never evicted, never replaced by a backfill, and never
 *    replaced by anything where this build can't read it (reply `foreign`);
 *  - every release (settle, drop, repair) raises the cut to max(cut + 1, the version released);
 *  - settle, drop, repair and forget work when memory is full and never let a value grow;
 *  - what L3 answers for one row never depends on its neighbours in the batch.
 */
import type { LogItem, LogWrite, ValueWrite } from '../model/entry.ts';
import type { Address, Scope } from '../model/key.ts';
import type { Stamp } from '../model/version.ts';

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

// ---------------------------------------------------------------- L2

/** What one shard says about itself with every read. */
export interface ShardMeta {
  /** Random, one per incarnation of the server. */
  readonly epoch: number;
  /** No version at or below it is accepted any more. */
  readonly cut: number;
}

interface SharedHeader {
  /** L3 lacks something of this entry. */
  readonly pending: boolean;
  /**
   * The entry was written under an earlier incarnation of the server. Where it is settled it
   * is not returned at all; where it is pending it is never an answer alone.
   */
  readonly stale: boolean;
}

export interface SharedValue extends SharedHeader {
  readonly kind: 'value';
  readonly write: ValueWrite;
  /** Set by `create` while L3 was away: nobody knows yet whether L3 holds an older one. */
  readonly unproven: boolean;
}

export interface SharedLog extends SharedHeader {
  readonly kind: 'log';
  readonly address: Address;
  /** The highest version in the entry, its deletion included. */
  readonly version: number;
  /** In log order; none at or below `erasedTo`. */
  readonly items: readonly (LogItem & { readonly synced: boolean })[];
  readonly erasedTo: number;
  /** L3 knows of the deletion that `erasedTo` stands for. */
  readonly erasureSynced: boolean;
  /** L3 may hold items that this entry lacks: unite them. */
  readonly partial: boolean;
  readonly unproven: boolean;
  /** Deleted, and nothing appended since. */
  readonly tombstone: boolean;
  readonly scope: Scope | undefined;
}

/** An entry under our key that this build can't decode. A settled one is a miss. */
export interface SharedUnreadable {
  readonly kind: 'unreadable';
  readonly pending: boolean;
  /** Of a format that another build writes: it is a miss, and stays. */
  readonly isForeign: boolean;
  readonly reason: string;
}

export type SharedEntry = SharedValue | SharedLog | SharedUnreadable;

export interface SharedRead {
  readonly entry: SharedEntry | undefined;
  readonly meta: ShardMeta;
}

export type PutReply =
  | { readonly status: 'held' }
  | { readonly status: 'too-low'; readonly floor: number }
  /** `create` only: there is a live entry that is no tombstone. */
  | { readonly status: 'exists' }
  /** `create` only: the cut moved since the read that found nothing. */
  | { readonly status: 'moved' }
  /** A pending entry is there that this build can't read. */
  | { readonly status: 'foreign' }
  | { readonly status: 'epoch' };

export type AppendReply =
  /** The version that each item has now, in the order they were given. */
  | { readonly status: 'held'; readonly versions: readonly number[] }
  | Exclude<PutReply, { readonly status: 'held' }>;

/** The meta that came with a read that found nothing: what is quoted where nothing may have changed. */
export interface ShardTicket {
  readonly cut: number;
  /**
   * The epoch of that read: in another one a cut says nothing, even where it is the same number.
   * Left out: the present one.
   */
  readonly epoch?: number | undefined;
}

/** How a new key is asserted. */
export interface CreateAssertion extends ShardTicket {
  readonly proven: boolean;
}

export interface SharedPut {
  /** A value or its tombstone; a log's deletion is a {@link LogWrite} without items, its `erasedTo` the version. */
  readonly write: ValueWrite | LogWrite;
  readonly create?: CreateAssertion | undefined;
}

export interface SharedAppend {
  readonly write: LogWrite;
  readonly create?: CreateAssertion | undefined;
}

export type BackfillReply = 'held' | 'refused' | 'epoch';

/** What L3 holds, to be copied up. */
export type SharedBackfill =
  | ({ readonly kind: 'value'; readonly write: ValueWrite } & ShardTicket)
  /** The whole log as L3 has it. */
  | ({ readonly kind: 'log'; readonly write: LogWrite } & ShardTicket);

/** Says that L3 has this write. */
export type SharedSettle =
  | ({ readonly kind: 'value'; readonly address: Address } & Stamp)
  | {
      readonly kind: 'log';
      readonly address: Address;
      /** The items that L3 named, with the version that L3 holds each under; 0: it is to go. */
      readonly items: readonly { readonly id: string; readonly version: number }[];
      /** The deletion that L3 applied along with them; 0: none. */
      readonly erasedTo: number;
      /** L3 holds items beyond these: an unproven log is partial from now on. */
      readonly others: boolean;
    };

/**
 * `done`: the shard released the version. `epoch`: nothing happened. `away`: the server of this
 * shard did not answer, while those of others did; whether it happened nobody knows.
 */
export type ReleaseReply = 'done' | 'epoch' | 'away';
/** `pending`: the version is released, but an older pending write is still there: flush it. */
export type RepairReply = ReleaseReply | 'pending';

/**
 * The servers that make up a tier, each of which may fail without the others. A lane is named by
 * where its server is; a shard that another server takes over changes lanes.
 */
export interface TierLanes {
  of(address: Address): string;
  /** Every lane that has a shard now. */
  all(): readonly string[];
  /** PING and handshake; rejects where either fails. */
  probe(lane: string): Promise<void>;
  /** Compares its epochs; says `onEpoch` where the server is another one by now. */
  check(lane: string): Promise<void>;
  /** Drops its connection and what is queued on it, and connects anew. */
  drop(lane: string): void;
}

export interface SharedTier {
  /**
   * Where given: what is asked for in one turn is asked for part by part, because a part may fail
   * without the others, and a batch fails as a whole.
   */
  readonly partOf?: ((address: Address) => number) | undefined;
  /** Resolves when the first handshake is through; rejects with `ConfigError` for a wrong password. */
  connect(): Promise<void>;
  read(addresses: readonly Address[], o?: CallOptions): Promise<readonly SharedRead[]>;
  put(puts: readonly SharedPut[], o?: CallOptions): Promise<readonly PutReply[]>;
  append(appends: readonly SharedAppend[], o?: CallOptions): Promise<readonly AppendReply[]>;
  /** Copies of what L3 has. Never over anything pending, never where the cut rose. */
  backfill(fills: readonly SharedBackfill[], o?: CallOptions): Promise<readonly BackfillReply[]>;
  /** A write that went through L3, as a settled copy: above the cut and above what is there. */
  putSettled(writes: readonly ValueWrite[], o?: CallOptions): Promise<readonly ReleaseReply[]>;
  settle(settles: readonly SharedSettle[], o?: CallOptions): Promise<readonly ReleaseReply[]>;
  /** L3 has something newer than this process's write: what is older than `newer` goes, pending or not. */
  drop(
    drops: readonly { readonly address: Address; readonly newer: Stamp }[],
    o?: CallOptions,
  ): Promise<readonly ReleaseReply[]>;
  /** A write went around L2: a settled older copy goes, a log is partial or gone. */
  repair(
    repairs: readonly {
      readonly address: Address;
      readonly kind: 'value' | 'log';
      readonly stamp: Stamp;
    }[],
    o?: CallOptions,
  ): Promise<readonly RepairReply[]>;
  /** The settled copies go; a pending one stays. */
  forget(addresses: readonly Address[], o?: CallOptions): Promise<readonly ReleaseReply[]>;
  /** Everything of these goes, pending or not (erasure): the fence is in L3. */
  purge(
    purges: readonly { readonly address: Address; readonly version: number }[],
    o?: CallOptions,
  ): Promise<readonly ReleaseReply[]>;
  /** Pending keys that became so at or before `before` (ms since 1970), oldest first, from all shards. */
  pending(
    before: number,
    limit: number,
    o?: CallOptions,
  ): Promise<{
    readonly addresses: readonly Address[];
    readonly total: number;
    readonly oldest: number | undefined;
  }>;
  close(): Promise<void>;
}

// ---------------------------------------------------------------- L3

interface Refused {
  readonly status: 'refused';
  readonly reason: string;
  /** It could not even be sent: its letter is without its payload. */
  readonly unsent?: boolean | undefined;
}

export type ApplyReply =
  | { readonly status: 'applied' }
  /** `newer` is what L3 holds instead. */
  | { readonly status: 'superseded'; readonly newer: ValueWrite }
  /** Older than what was pruned: nobody knows any more what it would overwrite. */
  | { readonly status: 'expired' }
  /** Its scope was erased after it was written, or an operator dropped it. */
  | { readonly status: 'erased' }
  /** A data error of this row alone; it is kept as a dead letter where that was asked for. */
  | Refused
  /** `absent` only: there is a live row. */
  | { readonly status: 'exists' };

export interface DurableApply {
  readonly write: ValueWrite;
  /** Leave a bypass mark in the same transaction: L2 was not told, or not heard. */
  readonly mark: boolean;
  /** Refuse where a live row (not deleted, not expired) is there. */
  readonly absent?: boolean | undefined;
  /** Whether a refused row becomes a dead letter: somebody was told that it is held. Default true. */
  readonly keep?: boolean | undefined;
}

export type InsertReply =
  /** The version that L3 holds each item under, in the order given; `others`: it holds more than these. */
  | {
      readonly status: 'applied';
      readonly versions: readonly number[];
      readonly others: boolean;
      readonly erasedTo: number;
      /** Items that an operator dropped: not stored, and not to be kept anywhere. */
      readonly dropped?: readonly string[] | undefined;
    }
  /** Items at or below the log's deletion, or its scope's erasure: dead. The rest was inserted. */
  | {
      readonly status: 'erased';
      readonly dead: readonly string[];
      readonly versions: readonly number[];
      readonly others: boolean;
      readonly erasedTo: number;
      readonly dropped?: readonly string[] | undefined;
    }
  | Refused
  | { readonly status: 'exists' };

export interface DurableInsert {
  readonly write: LogWrite;
  readonly mark: boolean;
  /** Refuse where the log has live items. */
  readonly absent?: boolean | undefined;
  /** As in {@link DurableApply}; only a single item becomes a letter. Default true. */
  readonly keep?: boolean | undefined;
}

export type CompareAndSetReply =
  | { readonly status: 'applied' }
  /** `current`: what L3 holds; `undefined` where it holds nothing, not even a tombstone. */
  | { readonly status: 'mismatch'; readonly current: ValueWrite | undefined }
  | { readonly status: 'expired' }
  | { readonly status: 'erased' }
  | { readonly status: 'refused'; readonly reason: string };

export interface LogSlice {
  /** The newest `last` items. */
  readonly last?: number | undefined;
  /** Items behind this id. */
  readonly after?: string | undefined;
}

export interface DurableLog {
  readonly address: Address;
  /** In log order. */
  readonly items: readonly LogItem[];
  readonly erasedTo: number;
  readonly scope: Scope | undefined;
}

/** A write that L2 has not been told of. */
export interface BypassMark {
  readonly id: number;
  readonly address: Address;
  readonly kind: 'value' | 'log';
  readonly stamp: Stamp;
}

export interface EraseReport {
  readonly addresses: readonly { readonly address: Address; readonly kind: 'value' | 'log' }[];
  readonly records: number;
  readonly items: number;
  readonly deadLetters: number;
  /** Derived values that were in L3. */
  readonly derived: number;
}

export interface DurableTier {
  /**
   * Rejects with `ConfigError` where the migrations are missing, the key is wrong, or `shards`
   * differ; without L2 there are none (`undefined`), and nothing to agree on.
   */
  connect(shards: number | undefined, o?: CallOptions): Promise<void>;
  read(
    addresses: readonly Address[],
    o?: CallOptions,
  ): Promise<readonly (ValueWrite | undefined)[]>;
  /** `undefined`: L3 has never heard of this log. */
  readLogs(
    addresses: readonly Address[],
    o?: CallOptions & { readonly slice?: LogSlice | undefined },
  ): Promise<readonly (DurableLog | undefined)[]>;
  apply(rows: readonly DurableApply[], o?: CallOptions): Promise<readonly ApplyReply[]>;
  insert(rows: readonly DurableInsert[], o?: CallOptions): Promise<readonly InsertReply[]>;
  /** Sets where L3 holds exactly `base` (`undefined`: no row). Always leaves a bypass mark. The same stamp again is `applied`. */
  compareAndSet(
    write: ValueWrite,
    base: Stamp | undefined,
    o?: CallOptions,
  ): Promise<CompareAndSetReply>;
  /** The oldest marks first, behind the one with the id `after`. Fewer than `limit`: there are no more. */
  marks(limit: number, after?: number | undefined, o?: CallOptions): Promise<readonly BypassMark[]>;
  unmark(ids: readonly number[], o?: CallOptions): Promise<void>;
  /** The highest version that L3 has ever held, pruned ones included. */
  maxVersion(o?: CallOptions): Promise<number>;
  /** What names this scope, tombstones left out. */
  scope(
    scope: Scope,
    o?: CallOptions,
  ): Promise<readonly { readonly address: Address; readonly kind: 'value' | 'log' }[]>;
  /** Live records of one namespace in key order, after `after`. */
  scan(
    o: CallOptions & {
      readonly namespace: string;
      readonly prefix?: string | undefined;
      readonly scope?: Scope | undefined;
      readonly after?: string | undefined;
      readonly limit: number;
    },
  ): Promise<readonly ValueWrite[]>;
  /** Live records that bear any of these tags. */
  tagged(tags: readonly string[], o?: CallOptions): Promise<readonly Address[]>;
  /** Deletes all of the scope and leaves a fence at `version`, in one transaction. */
  erase(scope: Scope, version: number, o?: CallOptions): Promise<EraseReport>;
  /** How many rows wait as dead letters. */
  deadLetters(o?: CallOptions): Promise<number>;
  close(): Promise<void>;
}
