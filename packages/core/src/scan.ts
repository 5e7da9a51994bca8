/**
 * `records.scan`: the live records of a namespace in key order, page by page from L3, united with
 * what this process holds and L3 lacks. Keys are in the order of their code points, as in L3.
 *
 * A page leaves out what is deleted, over, or of another scope. So where it lacks a key that is
 * pending here, L3 is asked for its row: it may have what is newer.
 */
import { boundsOf, type CallOptions, type Engine } from './calls.ts';
import { bounded } from './deadline.ts';
import { ConfigError, UnavailableError } from './errors.ts';
import { compareText, type Payload, type ValueWrite } from './model/entry.ts';
import { type AddressId, idOf, sameScope, scopeOf } from './model/key.ts';
import { isLive, type Known, unite } from './model/known.ts';
import { compareStamps } from './model/version.ts';

export interface ScanOptions extends CallOptions {
  /** Keys that begin with it. */
  readonly prefix?: string | undefined;
  readonly scope?: readonly [kind: string, id: string] | undefined;
  /** At most so many. Default: all. */
  readonly limit?: number | undefined;
}

/** A write that holds a value. */
type LiveWrite = ValueWrite & { readonly payload: Payload };

type Ask = <T>(question: Promise<T>) => Promise<T>;

/** What may be yielded of a key. */
interface Candidate {
  readonly write: ValueWrite;
  readonly isOnPage: boolean;
}

const PAGE = 200;

export async function* scanWrites(
  engine: Engine,
  namespace: string,
  options: ScanOptions,
): AsyncGenerator<LiveWrite> {
  const bounds = boundsOf(engine, options);
  const { prefix } = options;
  const scope = options.scope === undefined ? undefined : scopeOf(...options.scope);
  let left = options.limit ?? Number.POSITIVE_INFINITY;
  if (!(left >= 0)) throw new ConfigError('option "limit" takes a number of at least 0');
  const ask: Ask = (question) => {
    const asked = question.catch((cause: unknown) => {
      throw new UnavailableError(`Supabase can not say what ${namespace} holds`, { cause });
    });
    return bounded(asked, bounds, `a scan of ${namespace}`, engine.clock);
  };
  const isAnswer = (known: Known | undefined): known is LiveWrite =>
    known?.kind === 'value' &&
    isLive(known, engine.clock.now()) &&
    (scope === undefined || sameScope(known.scope, scope));
  let after: string | undefined;
  for (;;) {
    const pending = pendingOf(engine, namespace, prefix ?? '', after);
    const page = await ask(engine.durable.scan({ namespace, prefix, scope, after, limit: PAGE }));
    after = page.length < PAGE ? undefined : page.at(-1)?.address.key;
    const all = uniteInOrder(page, pending, after).filter(({ write }) => isAnswer(write));
    for (let start = 0; start < all.length; start += PAGE) {
      const some = all.slice(start, start + PAGE);
      const rows = await rowsOffPage(engine, some, ask);
      for (const { write, isOnPage } of some) {
        if (left <= 0) return;
        const { id } = write.address;
        const newest = unite(isOnPage ? write : rows.get(id), engine.outbox.floor(id));
        if (!isAnswer(newest)) continue;
        left -= 1;
        yield newest;
      }
    }
    if (after === undefined || left <= 0) return;
  }
}

/** What L3 lacks, or has refused, of the keys behind `after`. */
function pendingOf(
  { outbox }: Engine,
  namespace: string,
  prefix: string,
  after: string | undefined,
): ValueWrite[] {
  const start = idOf(namespace, prefix);
  return [...outbox.unsynced(), ...outbox.parked()].flatMap((id) => {
    const known = id.startsWith(start) ? outbox.floor(id) : undefined;
    if (known?.kind !== 'value') return [];
    return after !== undefined && compareText(known.address.key, after) <= 0 ? [] : [known];
  });
}

/** A page of L3 with the pending writes that sort up to its end. */
function uniteInOrder(
  page: readonly ValueWrite[],
  pending: readonly ValueWrite[],
  upTo: string | undefined,
): Candidate[] {
  const byId = new Map<AddressId, Candidate>();
  for (const write of page) byId.set(write.address.id, { write, isOnPage: true });
  for (const write of pending) {
    const { id, key } = write.address;
    if (upTo !== undefined && compareText(key, upTo) > 0) continue;
    const there = byId.get(id);
    if (there === undefined) byId.set(id, { write, isOnPage: false });
    else if (compareStamps(there.write, write) < 0) byId.set(id, { write, isOnPage: true });
  }
  return [...byId.values()].sort((a, b) => compareText(a.write.address.key, b.write.address.key));
}

/** What is known of those that the page lacks: L3's row, tombstones included, or the own write. */
async function rowsOffPage(
  { outbox, durable }: Engine,
  some: readonly Candidate[],
  ask: Ask,
): Promise<ReadonlyMap<AddressId, Known | undefined>> {
  const lacking = some.flatMap(({ write, isOnPage }) => (isOnPage ? [] : [write.address]));
  if (lacking.length === 0) return new Map();
  const before = lacking.map(({ id }) => outbox.floor(id));
  const rows = await ask(durable.read(lacking));
  return new Map(lacking.map(({ id }, index) => [id, unite(rows[index], before[index])]));
}
