/**
 * Dead letters in L3: writes that somebody was told are held, and that L3 does not take. What a
 * letter is and what becomes of it is written in supabase/migrations, cache_letters.
 *
 * Like {@link DurableTier} these are data, never exceptions, and a rejected promise says nothing.
 */
import type { LogItem, ValueWrite } from '../model/entry.ts';
import type { Address, Scope } from '../model/key.ts';
import type { CallOptions } from './tier.ts';

/** What is known of one letter. */
export interface KeptLetter {
  readonly id: number;
  readonly address: Address;
  readonly kind: 'value' | 'log';
  readonly version: number;
  /** The ids of a log's items; empty where it is the log's deletion. */
  readonly items: readonly string[];
  readonly codec: string | undefined;
  readonly bytes: number;
  /** Whether the payload is in L3. One that could not be sent is pending in L2 alone. */
  readonly isKept: boolean;
  readonly reason: string;
  readonly attempts: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly scope: Scope | undefined;
  /** The text of a JSON value, base64 of any other, of a log's items the JSON array. Where asked for. */
  readonly payload: string | undefined;
}

/** A row that L3 can't be sent: too large for a call, or for the time that one may take. */
export interface UnsentWrite {
  /** Of a log the one item. */
  readonly write:
    | ValueWrite
    | { readonly address: Address; readonly scope: Scope | undefined; readonly item: LogItem };
  readonly reason: string;
}

/** `dropped`: an operator dropped it meanwhile. `erased`: its scope was. */
export type UnsentReply = 'refused' | 'erased' | 'dropped';

/** `unsent`: the payload is not in L3, whoever holds it has to send it. */
export type RetryReply =
  | 'unknown'
  | 'unsent'
  | 'applied'
  | 'superseded'
  | 'erased'
  | 'expired'
  | 'refused';

/** `deletion`: that a log was deleted can't be dropped. */
export type DropReply = 'unknown' | 'dropped' | 'deletion';

export interface DurableLetters {
  /** By id, behind `after`, without payloads. */
  list(
    o: CallOptions & {
      readonly namespace?: string | undefined;
      readonly after?: number | undefined;
      readonly newestFirst: boolean;
      readonly limit: number;
    },
  ): Promise<readonly KeptLetter[]>;
  /** With its payload. */
  get(id: number, o?: CallOptions): Promise<KeptLetter | undefined>;
  keepUnsent(unsent: UnsentWrite, o?: CallOptions): Promise<UnsentReply>;
  /** Sends the stored write again, with its own stamp. */
  retry(id: number, o?: CallOptions): Promise<LetterAnswer<RetryReply>>;
  /** The letter goes, and its write is answered as erased or dropped from now on, wherever it still is. */
  drop(id: number, o?: CallOptions): Promise<LetterAnswer<DropReply>>;
}

/** What was done, and to which key; `undefined` where there is no such letter. */
export interface LetterAnswer<S extends string> {
  readonly status: S;
  readonly address: Address | undefined;
}
