/**
 * Supabase is down while calls go on: everything is acknowledged, memory stays within its bounds,
 * and once it is back all of it is there within a minute, in batches.
 *
 * 15 seconds in the suite. Ten minutes, with the figures printed:
 *
 *   OUTAGE_SECONDS=600 npx vitest run packages/core/test/integration/faults/long-outage.test.ts
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { eventually, type Instance, Stage, turn, until } from '../support.ts';

const SECONDS = Number(process.env.OUTAGE_SECONDS ?? 15);
const WRITES_A_SECOND = 100;
/** A call has so many writes: half of them turns, half of them changes of its record. */
const WRITES_A_CALL = 20;
const BATCH = 100;
const DRAINED_WITHIN_MS = 60_000;
const MIB = 1024 * 1024;

setFlagsFromString('--expose-gc');
const collect: unknown = runInNewContext('gc');

function heapMiB(): number {
  if (typeof collect === 'function') collect();
  return process.memoryUsage().heapUsed / MIB;
}

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(async () => {
  await stage[Symbol.asyncDispose]();
});

const callOf = (n: number): string => `call-${Math.floor(n / WRITES_A_CALL)}`;

/** The n-th write of a steady load; says who held it. */
async function write(one: Instance, n: number): Promise<readonly string[]> {
  const { held } =
    n % 2 === 0
      ? await one.logs.append(callOf(n), turn(`t${n}`))
      : await one.records.set(callOf(n), { n });
  return held;
}

it(
  `G1, G6: Supabase is down for ${SECONDS} s of steady writing, and lacks nothing a minute after its return`,
  async () => {
    const maxBytes = 64 * MIB;
    const one = await stage.ready({
      // A machine that is busy with other tests is no fault of Redis.
      l2: { timeout: '10s' },
      sync: { interval: '2s', batchSize: BATCH, maxBytes },
      deadline: '1m',
    });
    await stage.stack.supabase.kill();
    const start = performance.now();
    const heaps = [heapMiB()];
    const holders = new Set<string>();
    let pending = 0;
    let n = 0;
    while (performance.now() - start < SECONDS * 1000) {
      const due = Math.floor(((performance.now() - start) / 1000) * WRITES_A_SECOND);
      for (; n < due; n += 1) for (const held of await write(one, n)) holders.add(held);
      const passed = (performance.now() - start) / (SECONDS * 1000);
      if (passed * 3 >= heaps.length) heaps.push(heapMiB());
      pending = Math.max(pending, one.cache.stats().sync.pending);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    // Nobody was turned away, and nothing was acknowledged from memory.
    expect([...holders]).toEqual(['l2']);
    expect(one.eventsOf('overloaded')).toEqual([]);
    const outbox = await bytesOf(one);
    expect(outbox).toBeLessThan(maxBytes);
    heaps.push(heapMiB());
    const growth = (heaps.at(-1) ?? 0) - (heaps[0] ?? 0);
    // What is pending weighs a few times its bytes, as objects; nothing else may grow.
    expect(growth).toBeLessThan(30 + (5 * outbox) / MIB);

    const before = one.eventsOf('flush').length;
    await stage.stack.supabase.restart();
    const back = performance.now();
    await until(() => one.cache.stats().sync.pending === 0, 'an empty outbox', DRAINED_WITHIN_MS);
    const drainedMs = performance.now() - back;
    const batches = one
      .eventsOf('flush')
      .slice(before)
      .map(({ applied }) => applied)
      .filter((rows) => rows > 0);
    // A batch is of so many keys, and a key has at most one row of each kind.
    expect(Math.max(...batches)).toBeGreaterThan(BATCH / 2);
    expect(Math.max(...batches)).toBeLessThanOrEqual(BATCH);
    await eventually(async () => expect(await stage.pending()).toBe(0));

    const wanted = Array.from({ length: n }, (_, it) => it);
    const turns = wanted.filter((it) => it % 2 === 0).map((it) => `${callOf(it)} t${it}`);
    expect(await storedTurns()).toEqual(new Set(turns));
    const records = wanted.filter((it) => it % 2 === 1).map((it) => [callOf(it), it] as const);
    expect(await storedRecords()).toEqual(new Map(records));
    const figures = {
      seconds: SECONDS,
      writes: n,
      pendingKeys: pending,
      outboxMiB: rounded(outbox / MIB),
      heapMiB: heaps.map(rounded),
      drainedSeconds: rounded(drainedMs / 1000),
      batches: batches.length,
      rowsInThem: batches.reduce((sum, rows) => sum + rows, 0),
    };
    process.stdout.write(`${JSON.stringify(figures)}\n`);
  },
  (SECONDS + 600) * 1000,
);

async function bytesOf(one: Instance): Promise<number> {
  const metric = one.cache.registry.getSingleMetric('cache_bytes');
  const { values } = (await metric?.get()) ?? { values: [] };
  return values.find(({ labels }) => labels.tier === 'outbox')?.value ?? 0;
}

async function* rowsOf(table: string, columns: string): AsyncGenerator<Record<string, unknown>> {
  const { url, secretKey } = stage.stack.supabase;
  const client = createClient(url, secretKey, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  for (let from = 0; ; from += 1000) {
    const { data, error } = await client
      .from(table)
      .select(columns)
      .order('version')
      .order('key')
      .range(from, from + 999)
      .overrideTypes<Record<string, unknown>[], { merge: false }>();
    if (error !== null) throw new Error(error.message);
    yield* data;
    if (data.length < 1000) return;
  }
}

async function storedTurns(): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for await (const { key, id } of rowsOf('cache_log_items', 'key,id,version')) {
    found.add(`${String(key)} ${String(id)}`);
  }
  return found;
}

async function storedRecords(): Promise<ReadonlyMap<string, unknown>> {
  const found = new Map<string, unknown>();
  for await (const row of rowsOf('cache_entries', 'key,version,n:value->n')) {
    found.set(String(row.key), row.n);
  }
  return found;
}

function rounded(figure: number): number {
  return Math.round(figure * 10) / 10;
}
