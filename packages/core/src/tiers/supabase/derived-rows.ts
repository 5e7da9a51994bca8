/**
 * Between derived values and the arguments and answers of the functions in L3, as `rows.ts` does
 * it for records. Pure.
 */
import type { Address } from '../../model/key.ts';
import type { DerivedHeld, DurableDerived } from '../derived.ts';
import { malformedError } from './failures.ts';
import {
  addressArguments,
  list,
  number,
  payloadFrom,
  scopeFrom,
  sentPayload,
  text,
} from './rows.ts';

export type DurablePut = Parameters<DurableDerived['put']>[0][number];

/** A hundred years: what is to live longer lives so long. */
const MAX_LIFE_MS = 100 * 365.25 * 24 * 3_600_000;

/** Beside the payload. */
const ROW_BYTES = 200;

export function sizeOfPut({ entry }: DurablePut): number {
  const tags = entry.tags.reduce((bytes, tag) => bytes + tag.length, 0);
  return ROW_BYTES + entry.address.key.length + tags + (entry.payload?.bytes.length ?? 0);
}

function milliseconds(ms: number): string {
  return String(Math.floor(Math.min(Math.max(ms, 0), MAX_LIFE_MS)));
}

export function putArguments(puts: readonly DurablePut[]): object {
  const entries = puts.map((put) => put.entry);
  const payloads = entries.map(({ payload }) => payload && sentPayload(payload));
  return {
    ...addressArguments(entries.map((entry) => entry.address)),
    codecs: payloads.map((payload) => payload?.codec ?? null),
    payloads: payloads.map((payload) => payload?.text ?? null),
    versions: entries.map((entry) => String(entry.version)),
    intents: entries.map((entry) => String(entry.intent)),
    load_ms: entries.map((entry) => String(entry.loadMs)),
    tags: entries.map(({ tags }) => (tags.length === 0 ? null : JSON.stringify(tags))),
    scope_kinds: entries.map((entry) => entry.scope?.kind ?? null),
    scope_ids: entries.map((entry) => entry.scope?.id ?? null),
    fresh_ms: puts.map((put) => milliseconds(put.freshMs)),
    life_ms: puts.map((put) => milliseconds(put.lifeMs)),
    sequences: puts.map(({ sequence }) => (sequence === undefined ? null : String(sequence))),
  };
}

export function putReplyFrom(reply: unknown): 'held' | 'voided' {
  if (reply !== 'held' && reply !== 'voided') throw malformedError();
  return reply;
}

/** `[version, intent, codec, payload, load_ms, fresh_ms, life_ms, kind, id, tags]` */
export function heldFrom(at: Address, row: unknown): DerivedHeld {
  const [version, intent, codec, body, loadMs, freshMs, lifeMs, kind, id, tags] = list(row);
  return {
    entry: {
      address: at,
      version: number(version),
      intent: number(intent),
      payload: codec === null ? undefined : payloadFrom(codec, body),
      loadMs: number(loadMs),
      tags: list(tags).map(text),
      scope: scopeFrom(kind, id),
    },
    freshMs: number(freshMs),
    lifeMs: number(lifeMs),
  };
}
