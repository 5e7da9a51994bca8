/**
 * The model of Redis with rules left out: each override is one rule of {@link SharedModel},
 * weakened to what an earlier draft did. With all rules kept it is the model itself.
 */
import type { Address } from '../../src/model/key.ts';
import type { Stamp } from '../../src/model/version.ts';
import type { PutReply, ShardMeta, SharedPut, SharedSettle } from '../../src/tiers/tier.ts';
import { SharedModel } from '../model/shared-model.ts';
import type { Live, ShardState, SharedServerOptions } from '../model/shared-server.ts';
import type { Stored, StoredLog, StoredValue } from '../model/stored.ts';
import type { RuleName } from './rules.ts';

type LogSettle = Extract<SharedSettle, { readonly kind: 'log' }>;

export class WeakShared extends SharedModel {
  readonly #keeps: (rule: RuleName) => boolean;

  constructor(options: SharedServerOptions, keeps: (rule: RuleName) => boolean) {
    super(options);
    this.#keeps = keeps;
  }

  /** The epoch of the server under this run id; `undefined`: there is none, one has to begin. */
  epochOf(runId: string): number | undefined {
    const meta = this.metas[0];
    return meta?.runId === runId ? meta.epoch : undefined;
  }

  /** What a draft that counts epochs would take. */
  nextEpoch(): number {
    return (this.metas[0]?.epoch ?? 0) + 1;
  }

  override put(epoch: number, put: SharedPut, now: number): PutReply {
    const reply = super.put(epoch, put, now);
    if (reply.status !== 'too-low' || this.#keeps('too-low-instead-of-plus-one')) return reply;
    const version = reply.floor + 1;
    const { write } = put;
    const raised = write.kind === 'value' ? { ...write, version } : { ...write, erasedTo: version };
    return super.put(epoch, { ...put, write: raised }, now);
  }

  protected override metaOf(epoch: number, address: Address): ShardState | undefined {
    if (this.#keeps('scripts-quote-epoch')) return super.metaOf(epoch, address);
    return this.metas[this.shardOf(address)];
  }

  protected override floor(entry: Live, meta: ShardMeta): number {
    if (entry?.kind === 'log' && !this.#keeps('log-delete-floor')) return 0;
    return super.floor(entry, meta);
  }

  protected override cutOf(meta: ShardMeta, entry: Live): number {
    return this.#keeps('cut') ? super.cutOf(meta, entry) : 0;
  }

  protected override cutOfNewEpoch(found: ShardMeta | undefined, floor: number): number {
    const keeps = this.#keeps('epoch-starts-with-highest-cut');
    return super.cutOfNewEpoch(found, keeps ? floor : 0);
  }

  protected override isCurrent(entry: StoredValue | StoredLog, meta: ShardMeta): boolean {
    return !this.#keeps('epoch') || super.isCurrent(entry, meta);
  }

  protected override isKept(stored: Stored): boolean {
    return this.#keeps('pending-has-no-ttl') && super.isKept(stored);
  }

  protected override hasMoved(cut: number, meta: ShardMeta): boolean {
    return this.#keeps('create-quotes-cut') && super.hasMoved(cut, meta);
  }

  protected override isFillLate(cut: number, meta: ShardMeta): boolean {
    return this.#keeps('backfill-quotes-cut') && super.isFillLate(cut, meta);
  }

  protected override isCutPast(version: number, meta: ShardMeta): boolean {
    return this.#keeps('put-settled-above-cut') && super.isCutPast(version, meta);
  }

  protected override release(address: Address, version: number): void {
    if (this.#keeps('cut-rises-on-release')) {
      super.release(address, version);
      return;
    }
    const shard = this.shardOf(address);
    const meta = this.metas[shard];
    if (meta) this.metas[shard] = { ...meta, cut: Math.max(meta.cut, version) };
  }

  protected override releaseDropped(address: Address, newer: Stamp): void {
    if (this.#keeps('drop-raises-cut')) super.releaseDropped(address, newer);
    else this.release(address, 0);
  }

  protected override isSettled(entry: StoredValue, settle: Stamp): boolean {
    return !this.#keeps('settle-compares-stamp') || super.isSettled(entry, settle);
  }

  protected override isOlder(entry: StoredValue, settle: Stamp): boolean {
    return this.#keeps('settle-removes-older') && super.isOlder(entry, settle);
  }

  protected override settledLog(entry: StoredLog, settle: LogSettle): StoredLog | undefined {
    const held = new Map(entry.frames.map((frame) => [frame.id, frame]));
    let { items } = settle;
    if (!this.#keeps('settle-names-frames')) {
      const mark = Math.max(...items.map((item) => item.version));
      const below = entry.frames.filter((frame) => frame.version <= mark && !frame.synced);
      items = [...below, ...items];
    }
    if (!this.#keeps('unknown-frame-makes-partial')) {
      items = items.filter((item) => held.has(item.id));
    }
    if (!this.#keeps('frames-take-l3-version')) {
      items = items.map((item) => held.get(item.id) ?? item);
    }
    const others = settle.others && this.#keeps('unproven-becomes-partial');
    return super.settledLog(entry, { ...settle, items, others });
  }
}
