/**
 * A Supabase with the project's migrations for one file of tests, a tier on it, and a look at
 * the tables from outside, in the form in which the model shows its own.
 */
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type SupabaseServer, startSupabase } from '@cache/testing';
import { createClient } from '@supabase/supabase-js';
import { type Clock, systemClock } from '../../../src/clock.ts';
import type { LogItem, LogWrite, Payload, ValueWrite } from '../../../src/model/entry.ts';
import { address, type Scope } from '../../../src/model/key.ts';
import { createRpcClient, type RpcClient } from '../../../src/tiers/supabase/client.ts';
import { SupabaseTier } from '../../../src/tiers/supabase/supabase.ts';

export const MIGRATIONS: string = fileURLToPath(
  new URL('../../../../../supabase/migrations', import.meta.url),
);

/** The system's timers under a time that the test sets. */
export class SetClock implements Clock {
  time = 1_800_000_000_000;
  now(): number {
    return this.time;
  }
  monotonic(): number {
    return systemClock.monotonic();
  }
  after(ms: number, run: () => void): () => void {
    return systemClock.after(ms, run);
  }
  random53(): number {
    return systemClock.random53();
  }
}

export class L3 implements AsyncDisposable {
  readonly clock: SetClock = new SetClock();
  readonly server: SupabaseServer;
  readonly tier: SupabaseTier;
  readonly client: RpcClient;
  readonly #folder: string | undefined;

  constructor(server: SupabaseServer, folder: string | undefined) {
    this.server = server;
    this.#folder = folder;
    this.client = createRpcClient(server.url, server.secretKey);
    this.tier = this.connect({});
  }

  /** Another tier on the same server. */
  connect(o: { key?: string; timeoutMs?: number; fetch?: typeof globalThis.fetch }): SupabaseTier {
    const { key = this.server.secretKey, timeoutMs = 10_000, fetch } = o;
    return new SupabaseTier({ url: this.server.url, key, timeoutMs, clock: this.clock, fetch });
  }

  async rpc(name: string, args: object = {}): Promise<unknown> {
    const { data, error } = await this.client.rpc(name, args);
    if (error !== null) throw new Error(`${name}: ${error.code} ${error.message}`);
    return data;
  }

  /** All rows of a table, past the cap of one select. */
  async rows(table: string, order: string): Promise<readonly Record<string, unknown>[]> {
    const client = createClient(this.server.url, this.server.secretKey, {
      auth: { persistSession: false, autoRefreshToken: false },
    });
    const all: Record<string, unknown>[] = [];
    for (;;) {
      const { data, error } = await client
        .from(table)
        .select('*')
        .order(order)
        .range(all.length, all.length + 999);
      if (error !== null) throw new Error(`${table}: ${error.message}`);
      all.push(...data);
      if (data.length < 1000) return all;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.tier.close();
    await this.server.close();
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true });
  }
}

/** `later`: SQL of one more migration. */
export async function startL3(later?: string): Promise<L3> {
  if (later === undefined)
    return new L3(await startSupabase({ migrations: MIGRATIONS }), undefined);
  const folder = await mkdtemp(join(tmpdir(), 'cache-migrations-'));
  await cp(MIGRATIONS, folder, { recursive: true });
  await writeFile(join(folder, '20991231000000_later.sql'), later);
  return new L3(await startSupabase({ migrations: folder }), folder);
}

// ---------------------------------------------------------------- writes

export function json(text: string): Payload {
  return { codec: 'json', bytes: Buffer.from(text) };
}

export function bytes(...values: number[]): Payload {
  return { codec: 'bytes', bytes: Uint8Array.from(values) };
}

export function value(
  key: string,
  version: number,
  rest: Partial<Omit<ValueWrite, 'kind' | 'address' | 'version'>> & { namespace?: string } = {},
): ValueWrite {
  const { namespace = 'values', ...fields } = rest;
  return {
    kind: 'value',
    address: address(namespace, key),
    version,
    intent: 1,
    payload: json(`{"version":${version}}`),
    expiresAt: 0,
    scope: undefined,
    tags: [],
    ...fields,
  };
}

export function item(id: string, version: number, payload: Payload = json(`"${id}"`)): LogItem {
  return { id, version, payload };
}

export function log(
  key: string,
  items: readonly LogItem[],
  rest: { erasedTo?: number; scope?: Scope | undefined } = {},
): LogWrite {
  const { erasedTo = 0, scope } = rest;
  return { kind: 'log', address: address('logs', key), items, erasedTo, scope };
}

/** Any answer of a tier as plain text: payloads by their bytes, absent members left out. */
export function shown(answer: unknown): string {
  return JSON.stringify(plain(answer));
}

function plain(part: unknown): unknown {
  if (part instanceof Uint8Array) return Buffer.from(part).toString('hex');
  if (Array.isArray(part)) return part.map(plain);
  if (typeof part !== 'object' || part === null) return part;
  return Object.fromEntries(Object.entries(part).map(([name, member]) => [name, plain(member)]));
}

export function textOf(payload: Payload | undefined): string | undefined {
  return payload && Buffer.from(payload.bytes).toString('utf8');
}
