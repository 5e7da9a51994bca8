/** Dead letters in L3: each method is one call of one function of supabase/migrations. */
import type { Clock } from '../../clock.ts';
import { type Address, address } from '../../model/key.ts';
import type {
  DropReply,
  DurableLetters,
  KeptLetter,
  LetterAnswer,
  RetryReply,
  UnsentReply,
  UnsentWrite,
} from '../letters.ts';
import type { CallOptions } from '../tier.ts';
import { malformedError } from './failures.ts';
import * as rows from './rows.ts';
import type { Rpc } from './rpc.ts';

const RETRY_REPLIES = [
  'unknown',
  'unsent',
  'applied',
  'superseded',
  'erased',
  'expired',
  'refused',
] as const satisfies readonly RetryReply[];
const DROP_REPLIES = ['unknown', 'dropped', 'deletion'] as const satisfies readonly DropReply[];
const UNSENT_REPLIES = ['refused', 'erased', 'dropped'] as const satisfies readonly UnsentReply[];

export class SupabaseLetters implements DurableLetters {
  readonly #rpc: Rpc;
  readonly #clock: Clock;

  constructor(rpc: Rpc, clock: Clock) {
    this.#rpc = rpc;
    this.#clock = clock;
  }

  async list(o: Parameters<DurableLetters['list']>[0]): Promise<readonly KeptLetter[]> {
    const args = {
      namespace: o.namespace ?? null,
      after: o.after === undefined ? null : String(o.after),
      newest: String(o.newestFirst),
      max_rows: String(o.limit),
    };
    const answer = await this.#rpc.call('read', 'cache_dead_letter_page', args, o.signal);
    return rows.list(answer).map(letterFrom);
  }

  async get(id: number, o: CallOptions = {}): Promise<KeptLetter | undefined> {
    const args = { id: String(id) };
    const answer = await this.#rpc.call('read', 'cache_dead_letter_one', args, o.signal);
    return answer === null ? undefined : letterFrom(answer);
  }

  async keepUnsent({ write, reason }: UnsentWrite, o: CallOptions = {}): Promise<UnsentReply> {
    const { kind, stamp, payload } =
      'item' in write
        ? { kind: 'log', stamp: write.item, payload: write.item.payload }
        : { kind: 'value', stamp: write, payload: write.payload };
    const isValue = !('item' in write);
    const args = {
      namespace: write.address.namespace,
      key: write.address.key,
      kind,
      version: String(stamp.version),
      intent: isValue ? String(write.intent) : null,
      item_id: isValue ? null : write.item.id,
      codec: payload?.codec ?? null,
      bytes: String(payload?.bytes.byteLength ?? 0),
      expires: isValue ? String(write.expiresAt) : '0',
      scope_kind: write.scope?.kind ?? null,
      scope_id: write.scope?.id ?? null,
      tags: isValue && write.tags.length > 0 ? JSON.stringify(write.tags) : null,
      reason,
    };
    const answer = await this.#rpc.call('write', 'cache_keep_unsent', args, o.signal);
    return oneOf(UNSENT_REPLIES, rows.field(answer, 'status'));
  }

  async retry(id: number, o: CallOptions = {}): Promise<LetterAnswer<RetryReply>> {
    const args = { id: String(id), at: String(this.#clock.now()) };
    const answer = await this.#rpc.call('write', 'cache_retry_dead_letter', args, o.signal);
    const status = oneOf(RETRY_REPLIES, rows.field(answer, 'status'));
    return { status, address: addressOf(status, answer) };
  }

  async drop(id: number, o: CallOptions = {}): Promise<LetterAnswer<DropReply>> {
    const args = { id: String(id) };
    const answer = await this.#rpc.call('write', 'cache_drop_dead_letter', args, o.signal);
    const status = oneOf(DROP_REPLIES, rows.field(answer, 'status'));
    return { status, address: addressOf(status, answer) };
  }
}

function addressOf(status: string, answer: unknown): Address | undefined {
  if (status === 'unknown') return undefined;
  return address(rows.text(rows.field(answer, 'namespace')), rows.text(rows.field(answer, 'key')));
}

function oneOf<S extends string>(known: readonly S[], status: unknown): S {
  const found = known.find((one) => one === status);
  if (found === undefined) throw malformedError();
  return found;
}

/** See `cache_dead_letter` for the columns. */
function letterFrom(row: unknown): KeptLetter {
  const [
    id,
    namespace,
    key,
    kind,
    version,
    items,
    codec,
    bytes,
    isKept,
    reason,
    attempts,
    ...rest
  ] = rows.list(row);
  const [createdAt, updatedAt, scopeKind, scopeId, payload] = rest;
  return {
    id: rows.number(id),
    address: address(rows.text(namespace), rows.text(key)),
    kind: oneOf(['value', 'log'], kind),
    version: rows.number(version),
    items: items === null ? [] : rows.list(items).map(rows.text),
    codec: codec === null ? undefined : rows.text(codec),
    bytes: rows.number(bytes),
    isKept: isKept === true,
    reason: rows.text(reason),
    attempts: rows.number(attempts),
    createdAt: rows.number(createdAt),
    updatedAt: rows.number(updatedAt),
    scope: rows.scopeFrom(scopeKind, scopeId),
    payload: payload === null ? undefined : rows.text(payload),
  };
}
