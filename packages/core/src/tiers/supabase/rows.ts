/**
 * Between the cache's data and the arguments and answers of the functions in L3. Pure.
 *
 * Arguments are parallel lists of text, one element per row, which the functions cast row by
 * row. The text of a JSON value travels as it is and comes back as it was; other bytes travel
 * as base64. Bytes that claim to be JSON and are no text (or hold U+0000, which no text in
 * PostgreSQL can) would fail the whole call, so they travel under a codec that does not exist:
 * the row is refused alone and its bytes are kept with the dead letter.
 */
import { isUtf8 } from 'node:buffer';
import { KeyError } from '../../errors.ts';
import type { LogItem, Payload, ValueWrite } from '../../model/entry.ts';
import { type Address, address, type Scope } from '../../model/key.ts';
import type { Stamp } from '../../model/version.ts';
import type {
  ApplyReply,
  BypassMark,
  CompareAndSetReply,
  DurableApply,
  DurableInsert,
  DurableLog,
  EraseReport,
  InsertReply,
} from '../tier.ts';
import { malformedError } from './failures.ts';

type Text = string | null;

// ---------------------------------------------------------------- arguments

export interface SentPayload {
  readonly codec: string;
  readonly text: string;
}

export function sentPayload({ codec, bytes }: Payload): SentPayload {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (codec !== 'json') return { codec, text: buffer.toString('base64') };
  if (isUtf8(buffer) && !buffer.includes(0)) return { codec, text: buffer.toString('utf8') };
  return { codec: 'json in base64', text: buffer.toString('base64') };
}

/** The stamp that a compare-and-set expects, as `cache_apply` takes it. */
function baseText(base: Stamp | undefined): string {
  return base === undefined ? 'none' : `${base.version}:${base.intent}`;
}

interface ValueColumns {
  readonly namespace: string;
  readonly key: string;
  readonly codec: Text;
  readonly payload: Text;
  readonly version: string;
  readonly intent: string;
  readonly expires: string;
  readonly scope_kind: Text;
  readonly scope_id: Text;
  readonly tags: Text;
}

function valueColumns(write: ValueWrite): ValueColumns {
  const payload = write.payload && sentPayload(write.payload);
  return {
    namespace: write.address.namespace,
    key: write.address.key,
    codec: payload?.codec ?? null,
    payload: payload?.text ?? null,
    version: String(write.version),
    intent: String(write.intent),
    expires: String(write.expiresAt),
    scope_kind: write.scope?.kind ?? null,
    scope_id: write.scope?.id ?? null,
    tags: write.tags.length === 0 ? null : JSON.stringify(write.tags),
  };
}

export function applyArguments(rows: readonly DurableApply[], now: number): object {
  const columns = rows.map((row) => valueColumns(row.write));
  return {
    namespaces: columns.map((row) => row.namespace),
    keys: columns.map((row) => row.key),
    codecs: columns.map((row) => row.codec),
    payloads: columns.map((row) => row.payload),
    versions: columns.map((row) => row.version),
    intents: columns.map((row) => row.intent),
    expires: columns.map((row) => row.expires),
    scope_kinds: columns.map((row) => row.scope_kind),
    scope_ids: columns.map((row) => row.scope_id),
    tags: columns.map((row) => row.tags),
    marks: rows.map((row) => String(row.mark)),
    absents: rows.map((row) => String(row.absent ?? false)),
    bases: rows.map(() => 'any'),
    keeps: rows.map((row) => String(row.keep ?? true)),
    at: String(now),
  };
}

export function compareAndSetArguments(
  write: ValueWrite,
  base: Stamp | undefined,
  now: number,
): object {
  return { ...valueColumns(write), base: baseText(base), at: String(now) };
}

export function insertArguments(rows: readonly DurableInsert[]): object {
  const items = rows.flatMap((row) => row.write.items);
  const payloads = items.map((item) => sentPayload(item.payload));
  return {
    ...addressArguments(rows.map((row) => row.write.address)),
    erased: rows.map((row) => String(row.write.erasedTo)),
    scope_kinds: rows.map((row) => row.write.scope?.kind ?? null),
    scope_ids: rows.map((row) => row.write.scope?.id ?? null),
    keeps: rows.map((row) => String(row.keep ?? true)),
    counts: rows.map((row) => String(row.write.items.length)),
    ids: items.map((item) => item.id),
    versions: items.map((item) => String(item.version)),
    codecs: payloads.map((payload) => payload.codec),
    payloads: payloads.map((payload) => payload.text),
    marks: rows.map((row) => String(row.mark)),
    absents: rows.map((row) => String(row.absent ?? false)),
  };
}

export function addressArguments(addresses: readonly Address[]): {
  readonly namespaces: readonly string[];
  readonly keys: readonly string[];
} {
  return {
    namespaces: addresses.map((it) => it.namespace),
    keys: addresses.map((it) => it.key),
  };
}

/** The smallest text above everything that begins with `prefix`; `null`: there is none. */
export function afterPrefix(prefix: string): Text {
  const points = Array.from(prefix, (character) => character.codePointAt(0) ?? 0);
  while (points.length > 0) {
    const last = points.pop() ?? 0;
    if (last === 0x10ffff) continue;
    // What follows U+D7FF in this order is U+E000: surrogates are no characters.
    return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1);
  }
  return null;
}

// ---------------------------------------------------------------- answers

export function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw malformedError();
  return value;
}

/** An answer that has exactly one element for each that was sent. */
export function listOf(length: number, value: unknown): readonly unknown[] {
  const elements = list(value);
  if (elements.length !== length) throw malformedError();
  return elements;
}

export function number(value: unknown): number {
  if (typeof value !== 'number') throw malformedError();
  return value;
}

export function text(value: unknown): string {
  if (typeof value !== 'string') throw malformedError();
  return value;
}

export function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) throw malformedError();
  return Reflect.get(value, name);
}

export function payloadFrom(codec: unknown, body: unknown): Payload {
  switch (codec) {
    case 'json':
      return { codec, bytes: Buffer.from(text(body), 'utf8') };
    case 'bytes':
    case 'structured':
    case 'encrypted':
      return { codec, bytes: Buffer.from(text(body), 'base64') };
    default:
      throw malformedError();
  }
}

export function scopeFrom(kind: unknown, id: unknown): Scope | undefined {
  return kind === null ? undefined : { kind: text(kind), id: text(id) };
}

/** `[version, intent, codec, payload, expires_at, scope_kind, scope_id, tags]` */
export function valueFrom(at: Address, row: unknown): ValueWrite {
  const [version, intent, codec, body, expiresAt, kind, id, tags] = list(row);
  return {
    kind: 'value',
    address: at,
    version: number(version),
    intent: number(intent),
    payload: codec === null ? undefined : payloadFrom(codec, body),
    expiresAt: number(expiresAt),
    scope: scopeFrom(kind, id),
    tags: list(tags).map(text),
  };
}

/** `[id, version, codec, payload]` */
function itemFrom(row: unknown): LogItem {
  const [id, version, codec, body] = list(row);
  return { id: text(id), version: number(version), payload: payloadFrom(codec, body) };
}

/** `[erased_to, scope_kind, scope_id, items]` */
export function logFrom(at: Address, row: unknown): DurableLog {
  const [erasedTo, kind, id, items] = list(row);
  return {
    address: at,
    items: list(items).map(itemFrom),
    erasedTo: number(erasedTo),
    scope: scopeFrom(kind, id),
  };
}

export function applyReplyFrom(at: Address, reply: unknown): ApplyReply {
  const status = field(reply, 'status');
  switch (status) {
    case 'superseded':
      return { status, newer: valueFrom(at, field(reply, 'newer')) };
    case 'refused':
      return { status, reason: text(field(reply, 'reason')) };
    case 'applied':
    case 'expired':
    case 'erased':
    case 'exists':
      return { status };
    default:
      throw malformedError();
  }
}

export function compareAndSetReplyFrom(at: Address, reply: unknown): CompareAndSetReply {
  const status = field(reply, 'status');
  switch (status) {
    case 'mismatch': {
      const newer = field(reply, 'newer');
      return { status, current: newer === null ? undefined : valueFrom(at, newer) };
    }
    case 'refused':
      return { status, reason: text(field(reply, 'reason')) };
    case 'applied':
    case 'expired':
    case 'erased':
      return { status };
    default:
      throw malformedError();
  }
}

export function insertReplyFrom(size: number, reply: unknown): InsertReply {
  const status = field(reply, 'status');
  if (status === 'exists') return { status };
  if (status === 'refused') return { status, reason: text(field(reply, 'reason')) };
  const versions = listOf(size, field(reply, 'versions')).map(number);
  const others = field(reply, 'others') === true;
  const erasedTo = number(field(reply, 'erasedTo'));
  const dropped = list(field(reply, 'dropped') ?? []).map(text);
  const told = { versions, others, erasedTo, ...(dropped.length > 0 && { dropped }) };
  if (status === 'applied') return { status, ...told };
  if (status !== 'erased') throw malformedError();
  return { status, dead: list(field(reply, 'dead')).map(text), ...told };
}

function kindFrom(value: unknown): 'value' | 'log' {
  if (value !== 'value' && value !== 'log') throw malformedError();
  return value;
}

/** `[namespace, key]` */
export function addressFrom(row: unknown): Address {
  const [namespace, key] = list(row);
  return address(text(namespace), text(key));
}

/** `[namespace, key, kind]` */
export function namedFrom(row: unknown): {
  readonly address: Address;
  readonly kind: 'value' | 'log';
} {
  return { address: addressFrom(row), kind: kindFrom(list(row)[2]) };
}

/**
 * Marks of what no cache can hold, because another program wrote a key that is none: nobody has to
 * be told of them, and they hold up no others.
 */
export function marksFrom(marks: readonly unknown[]): {
  readonly marks: readonly BypassMark[];
  readonly nobodys: readonly number[];
} {
  const nobodys: number[] = [];
  const readable = marks.flatMap((mark) => {
    try {
      return [markFrom(mark)];
    } catch (error) {
      if (!(error instanceof KeyError)) throw error;
      nobodys.push(number(list(mark)[0]));
      return [];
    }
  });
  return { marks: readable, nobodys };
}

/** `[id, namespace, key, kind, version, intent]` */
function markFrom(row: unknown): BypassMark {
  const [id, namespace, key, kind, version, intent] = list(row);
  return {
    id: number(id),
    address: address(text(namespace), text(key)),
    kind: kindFrom(kind),
    stamp: { version: number(version), intent: number(intent) },
  };
}

/** `[key, row]` */
export function scannedFrom(namespace: string, row: unknown): ValueWrite {
  const [key, value] = list(row);
  return valueFrom(address(namespace, text(key)), value);
}

export function eraseReportFrom(reply: unknown): EraseReport {
  return {
    addresses: list(field(reply, 'addresses')).map(namedFrom),
    records: number(field(reply, 'records')),
    items: number(field(reply, 'items')),
    deadLetters: number(field(reply, 'deadLetters')),
    derived: number(field(reply, 'derived')),
  };
}
