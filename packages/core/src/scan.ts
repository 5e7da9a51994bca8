/**
 * `records.scan`: the live records of a namespace in key order, page by page from L3, united with
 * what this process has not synced. Keys are in the order of their code points, as in L3.
 */
import { boundsOf, type CallOptions, type Engine } from './calls.ts';
import { bounded } from './deadline.ts';
import { ConfigError, UnavailableError } from './errors.ts';
import { compareText, type Payload, type ValueWrite } from './model/entry.ts';
import { type Scope, scopeOf } from './model/key.ts';
import { isLive } from './model/known.ts';

export interface ScanOptions extends CallOptions {
  /** Keys that begin with it. */
  readonly prefix?: string | undefined;
  readonly scope?: readonly [kind: string, id: string] | undefined;
  /** At most so many. Default: all. */
  readonly limit?: number | undefined;
}

/** A write that holds a value. */
type LiveWrite = ValueWrite & { readonly payload: Payload };

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
  const pending = unsyncedOf(engine, namespace, prefix ?? '', scope);
  let after: string | undefined;
  for (;;) {
    const asked = engine.durable
      .scan({ namespace, prefix, scope, after, limit: PAGE })
      .catch((cause: unknown) => {
        throw new UnavailableError(`Supabase can not say what ${namespace} holds`, { cause });
      });
    const page = await bounded(asked, bounds, `a scan of ${namespace}`, engine.clock);
    const isLast = page.length < PAGE;
    after = page.at(-1)?.address.key;
    for (const write of uniteInOrder(page, pending, isLast ? undefined : after)) {
      if (left <= 0) return;
      if (!holdsValue(write) || !isLive(write, engine.clock.now())) continue;
      left -= 1;
      yield write;
    }
    if (isLast || left <= 0) return;
  }
}

function holdsValue(write: ValueWrite): write is LiveWrite {
  return write.payload !== undefined;
}

function unsyncedOf(
  engine: Engine,
  namespace: string,
  prefix: string,
  scope: Scope | undefined,
): ValueWrite[] {
  return engine.outbox.unsynced().flatMap((id) => {
    const known = engine.outbox.floor(id);
    if (known?.kind !== 'value' || known.address.namespace !== namespace) return [];
    if (!known.address.key.startsWith(prefix)) return [];
    const isOther = known.scope?.kind !== scope?.kind || known.scope?.id !== scope?.id;
    return scope !== undefined && isOther ? [] : [known];
  });
}

/** A page of L3 with the pending writes that sort up to its end; takes them out of `pending`. */
function uniteInOrder(
  page: readonly ValueWrite[],
  pending: ValueWrite[],
  upTo: string | undefined,
): ValueWrite[] {
  const byKey = new Map(page.map((write) => [write.address.key, write]));
  const later: ValueWrite[] = [];
  for (const write of pending.splice(0)) {
    const { key } = write.address;
    if (upTo !== undefined && compareText(key, upTo) > 0) later.push(write);
    else if ((byKey.get(key)?.version ?? 0) < write.version) byKey.set(key, write);
  }
  pending.push(...later);
  return [...byKey.values()].sort((a, b) => compareText(a.address.key, b.address.key));
}
