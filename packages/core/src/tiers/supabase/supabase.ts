/**
 * L3: the truth, in Supabase. Every method is one call of one function of supabase/migrations
 * (for more rows than fit into one call, several, one after the other); what the functions do
 * is written there.
 *
 * Nothing is tried again here: a rejected promise is a `TierError` and says nothing about any
 * row, and the same rows may be sent again, because they carry their versions and intents. Of
 * a batch that was cut into several calls, the first ones may have been written.
 */
import type { Clock } from '../../clock.ts';
import { ConfigError } from '../../errors.ts';
import type { ValueWrite } from '../../model/entry.ts';
import type { Address, Scope } from '../../model/key.ts';
import type { Stamp } from '../../model/version.ts';
import type { DurableDerived } from '../derived.ts';
import type { DurableLetters } from '../letters.ts';
import type { DurableTables } from '../tables.ts';
import type {
  ApplyReply,
  BypassMark,
  CallOptions,
  CompareAndSetReply,
  DurableApply,
  DurableInsert,
  DurableLog,
  DurableTier,
  EraseReport,
  InsertReply,
  LogSlice,
} from '../tier.ts';
import {
  batchesOf,
  MAX_BYTES,
  MAX_READS,
  MAX_WRITES,
  sizeOfApply,
  sizeOfInsert,
} from './batches.ts';
import { createRpcClient, type RpcClient } from './client.ts';
import { SupabaseDerived } from './derived.ts';
import { malformedError, missingMigrationsError, toConnectError } from './failures.ts';
import { SupabaseLetters } from './letters.ts';
import * as rows from './rows.ts';
import { type Kind, Rpc } from './rpc.ts';
import { SupabaseTables } from './tables.ts';

/** What the functions of this version take and answer; cache_settings.schema_version. */
const SCHEMA_VERSION = 1;

/** How far the migrations have to have come; cache_settings.revision. Older ones answer none. */
const REVISION = 7;

/** Where the project is: its address and secret key, or a client that the caller owns. */
export type SupabaseAccess =
  | {
      readonly url: string;
      readonly key: string;
      readonly fetch?: typeof globalThis.fetch | undefined;
    }
  | { readonly client: RpcClient };

export type SupabaseTierOptions = SupabaseAccess & {
  /** What one call may take. */
  readonly timeoutMs: number;
  readonly clock: Clock;
};

export class SupabaseTier implements DurableTier {
  readonly derived: DurableDerived;
  readonly letters: DurableLetters;
  readonly tables: DurableTables;
  readonly #rpc: Rpc;
  readonly #clock: Clock;

  constructor(options: SupabaseTierOptions) {
    const client =
      'client' in options
        ? options.client
        : createRpcClient(options.url, options.key, options.fetch);
    this.#rpc = new Rpc(client, options.timeoutMs, options.clock);
    this.#clock = options.clock;
    this.derived = new SupabaseDerived(this.#rpc);
    this.letters = new SupabaseLetters(this.#rpc, this.#clock);
    this.tables = new SupabaseTables(this.#rpc);
  }

  async connect(shards: number | undefined, o: CallOptions = {}): Promise<void> {
    const args = { shards: shards === undefined ? null : String(shards) };
    const reply = await this.#rpc.attempt('write', 'cache_connect', args, o.signal);
    if (!reply.ok) throw toConnectError(reply.failure);
    const schema = rows.number(rows.field(reply.data, 'schema'));
    if (schema !== SCHEMA_VERSION) {
      throw new ConfigError(
        `the tables in Supabase have version ${schema}, this build knows version ${SCHEMA_VERSION}: ${
          schema < SCHEMA_VERSION ? 'apply supabase/migrations' : 'update @cache/core'
        }`,
      );
    }
    const revision = rows.field(reply.data, 'revision');
    if (typeof revision !== 'number' || revision < REVISION) throw missingMigrationsError();
    if (shards === undefined) return;
    const kept = rows.number(rows.field(reply.data, 'shards'));
    if (kept !== shards) {
      throw new ConfigError(
        `\`shards\` is ${shards} here and ${kept} in Supabase: it is fixed by the first cache that connects, set it to ${kept}`,
      );
    }
  }

  async read(
    addresses: readonly Address[],
    o: CallOptions = {},
  ): Promise<readonly (ValueWrite | undefined)[]> {
    const args = { budget: String(MAX_BYTES) };
    return await this.#readAll('cache_read', addresses, args, o, rows.valueFrom);
  }

  async readLogs(
    addresses: readonly Address[],
    o: CallOptions & { readonly slice?: LogSlice | undefined } = {},
  ): Promise<readonly (DurableLog | undefined)[]> {
    const { last, after } = o.slice ?? {};
    const args = {
      newest: last === undefined ? null : String(Math.max(0, last)),
      after: after ?? null,
      budget: String(MAX_BYTES),
    };
    return await this.#readAll('cache_read_logs', addresses, args, o, rows.logFrom);
  }

  async apply(
    writes: readonly DurableApply[],
    o: CallOptions = {},
  ): Promise<readonly ApplyReply[]> {
    const replies: ApplyReply[] = [];
    for (const batch of batchesOf(writes, MAX_WRITES, sizeOfApply)) {
      const args = rows.applyArguments(batch, this.#clock.now());
      const answers = rows.listOf(batch.length, await this.#call('write', 'cache_apply', args, o));
      for (const [index, { write }] of batch.entries()) {
        replies.push(rows.applyReplyFrom(write.address, answers[index]));
      }
    }
    return replies;
  }

  async insert(
    inserts: readonly DurableInsert[],
    o: CallOptions = {},
  ): Promise<readonly InsertReply[]> {
    const replies: InsertReply[] = [];
    for (const batch of batchesOf(inserts, MAX_WRITES, sizeOfInsert)) {
      const args = rows.insertArguments(batch);
      const answers = rows.listOf(batch.length, await this.#call('write', 'cache_insert', args, o));
      for (const [index, { write }] of batch.entries()) {
        replies.push(rows.insertReplyFrom(write.items.length, answers[index]));
      }
    }
    return replies;
  }

  async compareAndSet(
    write: ValueWrite,
    base: Stamp | undefined,
    o: CallOptions = {},
  ): Promise<CompareAndSetReply> {
    const args = rows.compareAndSetArguments(write, base, this.#clock.now());
    const answer = await this.#call('write', 'cache_compare_and_set', args, o);
    return rows.compareAndSetReplyFrom(write.address, answer);
  }

  async marks(
    limit: number,
    after?: number | undefined,
    o: CallOptions = {},
  ): Promise<readonly BypassMark[]> {
    const args = {
      max_rows: String(limit),
      after_id: after === undefined ? null : String(after),
    };
    const answer = rows.list(await this.#call('read', 'cache_marks', args, o));
    const { marks, nobodys } = rows.marksFrom(answer);
    if (nobodys.length > 0) await this.unmark(nobodys, o);
    return marks;
  }

  async unmark(ids: readonly number[], o: CallOptions = {}): Promise<void> {
    for (const batch of batchesOf(ids, 10 * MAX_READS)) {
      await this.#call('write', 'cache_unmark', { ids: batch.map(String) }, o);
    }
  }

  async maxVersion(o: CallOptions = {}): Promise<number> {
    return rows.number(await this.#call('read', 'cache_max_version', {}, o));
  }

  async scope(
    scope: Scope,
    o: CallOptions = {},
  ): Promise<readonly { readonly address: Address; readonly kind: 'value' | 'log' }[]> {
    const args = { scope_kind: scope.kind, scope_id: scope.id, at: String(this.#clock.now()) };
    return rows.list(await this.#call('read', 'cache_scope', args, o)).map(rows.namedFrom);
  }

  async scan(
    o: CallOptions & {
      readonly namespace: string;
      readonly prefix?: string | undefined;
      readonly scope?: Scope | undefined;
      readonly after?: string | undefined;
      readonly limit: number;
    },
  ): Promise<readonly ValueWrite[]> {
    const found: ValueWrite[] = [];
    for (;;) {
      const args = {
        namespace: o.namespace,
        lower: o.prefix ?? null,
        upper: o.prefix === undefined ? null : rows.afterPrefix(o.prefix),
        after: found.at(-1)?.address.key ?? o.after ?? null,
        scope_kind: o.scope?.kind ?? null,
        scope_id: o.scope?.id ?? null,
        max_rows: String(Math.min(MAX_READS, o.limit - found.length)),
        budget: String(MAX_BYTES),
        at: String(this.#clock.now()),
      };
      const answer = await this.#call('read', 'cache_scan', args, o);
      const page = rows.list(rows.field(answer, 'rows'));
      for (const row of page) found.push(rows.scannedFrom(o.namespace, row));
      const cut = rows.field(answer, 'more') === true || page.length === MAX_READS;
      if (!cut || found.length >= o.limit) return found;
    }
  }

  async tagged(tags: readonly string[], o: CallOptions = {}): Promise<readonly Address[]> {
    const args = { tags, at: String(this.#clock.now()) };
    return rows.list(await this.#call('read', 'cache_tagged', args, o)).map(rows.addressFrom);
  }

  async erase(scope: Scope, version: number, o: CallOptions = {}): Promise<EraseReport> {
    const args = { scope_kind: scope.kind, scope_id: scope.id, version: String(version) };
    return rows.eraseReportFrom(await this.#call('write', 'cache_erase', args, o));
  }

  async deadLetters(o: CallOptions = {}): Promise<number> {
    return rows.number(await this.#call('read', 'cache_dead_letter_count', {}, o));
  }

  /** Gives up what is under way. A client that the caller owns stays as it is. */
  async close(): Promise<void> {
    await this.#rpc.close();
  }

  async #call(kind: Kind, name: string, args: object, o: CallOptions): Promise<unknown> {
    return await this.#rpc.call(kind, name, args, o.signal);
  }

  /** Asks for the rest for as long as an answer ended before everything asked for was in it. */
  async #readAll<T>(
    name: string,
    addresses: readonly Address[],
    args: object,
    o: CallOptions,
    from: (at: Address, row: unknown) => T,
  ): Promise<readonly (T | undefined)[]> {
    const found: (T | undefined)[] = [];
    while (found.length < addresses.length) {
      const asked = addresses.slice(found.length, found.length + MAX_READS);
      const body = { ...rows.addressArguments(asked), ...args };
      const answer = rows.list(await this.#call('read', name, body, o));
      if (answer.length === 0 || answer.length > asked.length) throw malformedError();
      for (const [index, row] of answer.entries()) {
        const at = asked[index];
        found.push(row === null || at === undefined ? undefined : from(at, row));
      }
    }
    return found;
  }
}
