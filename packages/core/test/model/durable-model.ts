/**
 * The semantics of L3's functions, command by command: a plain, synchronous PostgreSQL in
 * memory. The simulator runs on it, and the real functions are held against it with random
 * commands. One call is one transaction; what it answers for a row never depends on others.
 *
 * What is refused, and why, comes from the options: a real server finds its own reasons.
 */
import { createHash } from 'node:crypto';
import type { LogItem, LogWrite, ValueWrite } from '../../src/model/entry.ts';
import { compareItems } from '../../src/model/entry.ts';
import type { Address, AddressId, Scope } from '../../src/model/key.ts';
import { compareStamps, type Stamp } from '../../src/model/version.ts';
import type * as tier from '../../src/tiers/tier.ts';
import { DurableDerivedModel, type DurableDerivedModelOptions } from './durable-derived-model.ts';
import { dumpPayload, dumpScope } from './stored.ts';

export interface DurableModelOptions {
  /** Why a write is a data error; `undefined`: it is none. */
  readonly refuses?: (write: ValueWrite | LogWrite) => string | undefined;
  readonly derived?: DurableDerivedModelOptions;
}

/** One per refused write that was to be kept; another attempt at the same write counts up. */
export interface DeadLetter {
  readonly address: Address;
  readonly kind: 'value' | 'log';
  /** Of a log: its one item's version, and an intent made of the item's id; or its deletion's, and 0. */
  readonly stamp: Stamp;
  readonly write: ValueWrite | LogWrite;
  readonly reason: string;
  readonly attempts: number;
}

/** Canonical plain data, for comparison with a real server's tables. Keys are address ids. */
export interface DurableDump {
  readonly rows: Readonly<Record<string, string>>;
  /** `id@version payload`, in log order. */
  readonly logs: Readonly<
    Record<
      string,
      {
        readonly erasedTo: number;
        readonly scope: string | undefined;
        readonly items: readonly string[];
      }
    >
  >;
  /** `kind id@version:intent`, oldest first. */
  readonly marks: readonly string[];
  readonly fences: Readonly<Record<string, number>>;
  readonly deadLetters: readonly string[];
  readonly prunedTo: number;
  readonly maxVersion: number;
}

interface StoredItems {
  readonly address: Address;
  readonly items: ReadonlyMap<string, LogItem>;
  readonly erasedTo: number;
  readonly scope: Scope | undefined;
}

export class DurableModel {
  readonly derived: DurableDerivedModel;
  readonly #refuses: (write: ValueWrite | LogWrite) => string | undefined;
  readonly #rows = new Map<AddressId, ValueWrite>();
  readonly #logs = new Map<AddressId, StoredItems>();
  readonly #fences = new Map<string, number>();
  readonly #deadLetters = new Map<string, DeadLetter>();
  #marks: tier.BypassMark[] = [];
  #lastMark = 0;
  #maxVersion = 0;
  #prunedTo = 0;

  constructor(options: DurableModelOptions = {}) {
    this.#refuses = options.refuses ?? (() => undefined);
    this.derived = new DurableDerivedModel((scope) => this.#fenceOf(scope), options.derived);
  }

  // ------------------------------------------------------------ values

  /** Tombstones are rows and are returned. */
  read(address: Address): ValueWrite | undefined {
    return this.#rows.get(address.id);
  }

  apply(apply: tier.DurableApply, now: number): tier.ApplyReply {
    const reply = this.#apply(apply, now);
    const row = this.#rows.get(apply.write.address.id);
    for (const [id, { kind, address, stamp }] of this.#deadLetters) {
      if (kind !== 'value' || address.id !== apply.write.address.id) continue;
      const isErased = reply.status === 'erased' && compareStamps(stamp, apply.write) === 0;
      if (isErased || (row !== undefined && compareStamps(stamp, row) <= 0)) {
        this.#deadLetters.delete(id);
      }
    }
    return reply;
  }

  #apply(apply: tier.DurableApply, now: number): tier.ApplyReply {
    const { write, mark, absent, keep = true } = apply;
    const row = this.#rows.get(write.address.id);
    if (row !== undefined && compareStamps(row, write) === 0) {
      if (mark) this.#mark(write.address, 'value', row);
      return { status: 'applied' };
    }
    if (absent && row !== undefined && !isGone(row, now)) return { status: 'exists' };
    if (row !== undefined && compareStamps(row, write) > 0) {
      if (mark) this.#mark(write.address, 'value', row);
      return { status: 'superseded', newer: row };
    }
    const refusal = this.#barred(write, row, keep);
    if (refusal !== undefined) return refusal;
    this.#setRow(write, now);
    if (mark) this.#mark(write.address, 'value', write);
    return { status: 'applied' };
  }

  compareAndSet(write: ValueWrite, base: Stamp | undefined, now: number): tier.CompareAndSetReply {
    const row = this.#rows.get(write.address.id);
    if (row === undefined || compareStamps(row, write) !== 0) {
      const isBase =
        row === undefined || base === undefined ? row === base : compareStamps(row, base) === 0;
      if (!isBase || (row !== undefined && write.version <= row.version)) {
        return { status: 'mismatch', current: row };
      }
      const refusal = this.#barred(write, row, false);
      if (refusal !== undefined) return refusal;
      this.#setRow(write, now);
    }
    this.#mark(write.address, 'value', write);
    return { status: 'applied' };
  }

  /** What keeps a write out that is newer than the row, in this order. */
  #barred(write: ValueWrite, row: ValueWrite | undefined, keep: boolean) {
    if (write.version <= this.#fenceOf(write.scope)) return { status: 'erased' } as const;
    if (row === undefined && write.version <= this.#prunedTo) return { status: 'expired' } as const;
    const reason = this.#refuses(write);
    if (reason === undefined) return undefined;
    if (keep) this.#refuse(write, write, reason);
    return { status: 'refused', reason } as const;
  }

  /** A value that is past its life is written as a tombstone. */
  #setRow(write: ValueWrite, now: number): void {
    const isDead = write.expiresAt > 0 && write.expiresAt <= now;
    const row = isDead ? { ...write, payload: undefined, expiresAt: 0, tags: [] } : write;
    this.#rows.set(write.address.id, row);
    this.#saw(write.version);
  }

  // ------------------------------------------------------------ logs

  readLog(address: Address, slice: tier.LogSlice = {}): tier.DurableLog | undefined {
    const log = this.#logs.get(address.id);
    if (log === undefined) return undefined;
    let items = [...log.items.values()].sort(compareItems);
    if (slice.after !== undefined) {
      const at = items.findIndex((item) => item.id === slice.after);
      items = items.slice(at + 1);
    }
    if (slice.last !== undefined) items = slice.last > 0 ? items.slice(-slice.last) : [];
    return { address: log.address, items, erasedTo: log.erasedTo, scope: log.scope };
  }

  /** One log. The deletion comes first, then the items, by id: the first version of an id stands. */
  insert(insert: tier.DurableInsert): tier.InsertReply {
    const reply = this.#insert(insert);
    const log = this.#logs.get(insert.write.address.id);
    for (const [id, { kind, address, write }] of this.#deadLetters) {
      if (kind !== 'log' || address.id !== log?.address.id || write.kind !== 'log') continue;
      const lacks = write.items.some(
        (item) => item.version > log.erasedTo && !log.items.has(item.id),
      );
      if (!lacks && write.erasedTo <= log.erasedTo) this.#deadLetters.delete(id);
    }
    return reply;
  }

  #insert(insert: tier.DurableInsert): tier.InsertReply {
    const { write, mark, absent, keep = true } = insert;
    const { address } = write;
    const found = this.#logs.get(address.id);
    const named = new Set(write.items.map((item) => item.id));
    if (absent && found && hasOthers(found.items, named)) return { status: 'exists' };
    const reason = this.#refuses(write);
    if (reason !== undefined) {
      if (keep && write.items.length <= 1) this.#refuse(write, stampOfLetter(write), reason);
      return { status: 'refused', reason };
    }
    const erasedTo = Math.max(found?.erasedTo ?? 0, write.erasedTo);
    const items = new Map(found?.items);
    for (const item of items.values()) if (item.version <= erasedTo) items.delete(item.id);
    const floor = Math.max(erasedTo, this.#fenceOf(write.scope));
    const dead: string[] = [];
    const versions: number[] = [];
    for (const item of write.items) {
      const known = items.get(item.id);
      versions.push(known?.version ?? item.version);
      if (known !== undefined) continue;
      if (item.version <= floor) dead.push(item.id);
      else items.set(item.id, item);
    }
    this.#logs.set(address.id, { address, items, erasedTo, scope: found?.scope ?? write.scope });
    let newest = erasedTo;
    for (const [index, item] of write.items.entries()) {
      if (items.has(item.id)) newest = Math.max(newest, versions[index] ?? 0);
    }
    this.#saw(newest);
    if (mark) this.#mark(address, 'log', { version: newest, intent: 0 });
    const others = hasOthers(items, named);
    if (dead.length > 0) return { status: 'erased', dead, versions, others, erasedTo };
    return { status: 'applied', versions, others, erasedTo };
  }

  // ------------------------------------------------------------ marks

  marks(limit: number, after = 0): readonly tier.BypassMark[] {
    return this.#marks.filter(({ id }) => id > after).slice(0, limit);
  }

  unmark(ids: readonly number[]): void {
    const gone = new Set(ids);
    this.#marks = this.#marks.filter((mark) => !gone.has(mark.id));
  }

  /** The id of the youngest mark. */
  get lastMark(): number {
    return this.#lastMark;
  }

  #mark(address: Address, kind: 'value' | 'log', stamp: Stamp): void {
    const { version, intent } = stamp;
    this.#lastMark += 1;
    this.#marks.push({ id: this.#lastMark, address, kind, stamp: { version, intent } });
  }

  // ------------------------------------------------------------ everything else

  /** The highest of all rows, items, deletions and fences that ever were. */
  maxVersion(): number {
    return this.#maxVersion;
  }

  /** By namespace and key; of values what is alive, of logs what has items. */
  scope(
    scope: Scope,
    now: number,
  ): { readonly address: Address; readonly kind: 'value' | 'log' }[] {
    const values = [...this.#rows.values()]
      .filter((row) => isScope(row.scope, scope) && !isGone(row, now))
      .map((row) => ({ address: row.address, kind: 'value' as const }));
    const logs = [...this.#logs.values()]
      .filter((log) => isScope(log.scope, scope) && log.items.size > 0)
      .map((log) => ({ address: log.address, kind: 'log' as const }));
    return [...values, ...logs].sort((a, b) => compareAddresses(a.address, b.address));
  }

  scan(o: Omit<Parameters<tier.DurableTier['scan']>[0], 'signal'>, now: number): ValueWrite[] {
    return [...this.#rows.values()]
      .filter((row) => row.address.namespace === o.namespace && !isGone(row, now))
      .filter((row) => row.address.key.startsWith(o.prefix ?? ''))
      .filter((row) => o.scope === undefined || isScope(row.scope, o.scope))
      .filter((row) => o.after === undefined || compareText(row.address.key, o.after) > 0)
      .sort((a, b) => compareAddresses(a.address, b.address))
      .slice(0, o.limit);
  }

  tagged(tags: readonly string[], now: number): Address[] {
    return [...this.#rows.values()]
      .filter((row) => !isGone(row, now) && row.tags.some((tag) => tags.includes(tag)))
      .map((row) => row.address)
      .sort(compareAddresses);
  }

  /**
   * Everything of the scope goes, newer than `version` or not: it was there. The fence is at
   * the highest of `version`, the fence before and what went, so that none of it comes back.
   */
  erase(scope: Scope, version: number): tier.EraseReport {
    const rows = [...this.#rows.values()].filter((row) => isScope(row.scope, scope));
    const logs = [...this.#logs.values()].filter((log) => isScope(log.scope, scope));
    const letters = [...this.#deadLetters].filter(([, it]) => isScope(it.write.scope, scope));
    const items = logs.flatMap((log) => [...log.items.values()]);
    const went = [...rows, ...items].map((it) => it.version);
    const fence = Math.max(
      version,
      this.#fenceOf(scope),
      ...went,
      ...logs.map((log) => log.erasedTo),
    );
    for (const row of rows) this.#rows.delete(row.address.id);
    for (const log of logs) this.#logs.delete(log.address.id);
    for (const [id] of letters) this.#deadLetters.delete(id);
    this.#fences.set(`${scope.kind}:${scope.id}`, fence);
    this.#saw(fence);
    const addresses = [
      ...rows.map((row) => ({ address: row.address, kind: 'value' as const })),
      ...logs.map((log) => ({ address: log.address, kind: 'log' as const })),
    ].sort((a, b) => compareAddresses(a.address, b.address));
    const stamp = { version: fence, intent: Number.MAX_SAFE_INTEGER };
    for (const { address, kind } of addresses) this.#mark(address, kind, stamp);
    return {
      addresses,
      records: rows.length,
      items: items.length,
      deadLetters: letters.length,
      derived: this.derived.erase(scope),
    };
  }

  /** Tombstones and expired values at or below `before` go, and their highest version is kept. */
  prune(before: number, now: number): number {
    const gone = [...this.#rows.values()].filter(
      (row) => row.version <= before && isGone(row, now),
    );
    for (const row of gone) this.#rows.delete(row.address.id);
    this.#prunedTo = Math.max(this.#prunedTo, ...gone.map((row) => row.version));
    return gone.length;
  }

  deadLetters(): readonly DeadLetter[] {
    return [...this.#deadLetters.values()];
  }

  dump(): DurableDump {
    const rows = [...this.#rows]
      .sort(([a], [b]) => compareText(a, b))
      .map(([id, row]) => {
        const { version, intent, payload, expiresAt, scope, tags } = row;
        const rest = `expires ${expiresAt} scope ${dumpScope(scope)} tags ${tags.join(' ')}`;
        return [id, `${version}:${intent} ${dumpPayload(payload)} ${rest}`] as const;
      });
    const logs = [...this.#logs]
      .sort(([a], [b]) => compareText(a, b))
      .map(([id, log]) => {
        const items = [...log.items.values()].sort(compareItems);
        const texts = items.map((it) => `${it.id}@${it.version} ${dumpPayload(it.payload)}`);
        return [id, { erasedTo: log.erasedTo, scope: dumpScope(log.scope), items: texts }] as const;
      });
    return {
      rows: Object.fromEntries(rows),
      logs: Object.fromEntries(logs),
      marks: this.#marks.map(
        (it) => `${it.kind} ${it.address.id}@${it.stamp.version}:${it.stamp.intent}`,
      ),
      fences: Object.fromEntries([...this.#fences].sort(([a], [b]) => compareText(a, b))),
      deadLetters: [...this.#deadLetters]
        .map(([id, it]) => `${id} ${it.reason} ${it.attempts}`)
        .sort(compareText),
      prunedTo: this.#prunedTo,
      maxVersion: this.#maxVersion,
    };
  }

  #saw(version: number): void {
    if (version > this.#maxVersion) this.#maxVersion = version;
  }

  #fenceOf(scope: Scope | undefined): number {
    return scope === undefined ? 0 : (this.#fences.get(`${scope.kind}:${scope.id}`) ?? 0);
  }

  #refuse(write: ValueWrite | LogWrite, stamp: Stamp, reason: string): void {
    const { address, kind } = write;
    const id = `${address.id}@${stamp.version}:${stamp.intent}`;
    const attempts = (this.#deadLetters.get(id)?.attempts ?? 0) + 1;
    const { version, intent } = stamp;
    this.#deadLetters.set(id, {
      address,
      kind,
      stamp: { version, intent },
      write,
      reason,
      attempts,
    });
  }
}

/** Deleted, or past its own life. */
function isGone(row: ValueWrite, now: number): boolean {
  return row.payload === undefined || (row.expiresAt > 0 && row.expiresAt <= now);
}

/** 52 bits of the item's id, as `cache_item_intent` has them. */
function stampOfLetter({ items: [item], erasedTo }: LogWrite): Stamp {
  if (item === undefined) return { version: erasedTo, intent: 0 };
  const hash = createHash('sha256').update(item.id).digest('hex');
  return { version: item.version, intent: Number.parseInt(hash.slice(0, 13), 16) };
}

function hasOthers(items: ReadonlyMap<string, LogItem>, named: ReadonlySet<string>): boolean {
  for (const id of items.keys()) if (!named.has(id)) return true;
  return false;
}

function isScope(a: Scope | undefined, b: Scope): boolean {
  return a?.kind === b.kind && a.id === b.id;
}

/** By code point, as `collate "C"` orders UTF-8. */
function compareText(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function compareAddresses(a: Address, b: Address): number {
  return compareText(a.namespace, b.namespace) || compareText(a.key, b.key);
}
