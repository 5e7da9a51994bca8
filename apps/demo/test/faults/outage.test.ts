/**
 * G5: Redis dies, comes back, freezes and goes on, under a load that does not stop. What a caller
 * felt is measured from outside; the bound is relative to what the same run found L3 to cost.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { eventually, type SupabaseServer } from '@cache/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { READ_MS, WRITE_MS } from '../../src/request-bounds.ts';
import { drained, healthy, startDatabase, startFleet } from './fleet.ts';
import type { Instance } from './instance.ts';
import { Ledger } from './ledger.ts';
import { Load, percentile, type Took } from './load.ts';

const L2_TIMEOUT_MS = 50;

// For machines that are busy with other things; every wait inside has its own bound.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 });

let supabase: SupabaseServer;

beforeAll(async () => {
  supabase = await startDatabase();
});

afterAll(async () => {
  await supabase?.close();
});

/** Resolves when each breaker has come to the state so often. */
async function breakers(
  instances: readonly Instance[],
  state: 'CLOSED' | 'OPEN',
  times: readonly number[],
): Promise<void> {
  await eventually(async () => {
    const seen = await Promise.all(instances.map((instance) => instance.transitions()));
    seen.forEach((counts, index) => {
      expect(counts[state], `${state} of ${instances[index]?.name}`).toBeGreaterThan(
        times[index] ?? 0,
      );
    });
  });
}

async function times(
  instances: readonly Instance[],
  state: 'CLOSED' | 'OPEN',
): Promise<readonly number[]> {
  return await Promise.all(instances.map(async (one) => (await one.transitions())[state]));
}

/** An outage that both notice, lasts for a while of the load, and ends when both have recovered. */
async function outage(
  instances: readonly Instance[],
  load: Load,
  begin: () => Promise<void> | void,
  end: () => Promise<void> | void,
): Promise<void> {
  const opened = await times(instances, 'OPEN');
  const closed = await times(instances, 'CLOSED');
  await begin();
  await breakers(instances, 'OPEN', opened);
  await load.goesOn(120);
  await end();
  await breakers(instances, 'CLOSED', closed);
  await healthy(...instances);
}

function slowest(took: readonly Took[]): string {
  return [...took]
    .sort((x, y) => y.ms - x.ms)
    .slice(0, 16)
    .map(
      ({ what, by, ms, atMs }) => `${what}@${by} ${ms.toFixed(0)} (${(atMs / 1000).toFixed(1)}s)`,
    )
    .join(', ');
}

test('G5: with Redis killed, then frozen, under a steady load on two instances no request fails', async () => {
  await using fleet = await startFleet({ supabase });
  const { a, b, redis } = fleet;
  const instances = [a, b];
  const ledger = new Ledger(supabase);
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const load = await Load.start({ ledger, instances, prefix: 'outage' });
  await load.goesOn(200);
  await outage(
    instances,
    load,
    () => redis.kill(),
    () => redis.restart(),
  );
  await load.goesOn(120);
  await outage(
    instances,
    load,
    () => redis.freeze(),
    () => redis.thaw(),
  );
  await load.goesOn(120);
  await load.stop();
  delay.disable();

  const { took } = load;
  const l3 = Math.max(
    ...(await Promise.all(instances.map((one) => one.stats()))).map(
      ({ tiers }) => tiers.l3.latencyMs.p99,
    ),
  );
  const all = took.map(({ ms }) => ms);
  const p99 = percentile(all, 0.99);
  const bound = L2_TIMEOUT_MS + 3 * l3;
  const figures = {
    requests: took.length,
    p50: percentile(all, 0.5),
    p99,
    max: Math.max(...all),
    l3ReadP99: l3,
    bound,
    ownLoopP99: delay.percentile(99) / 1e6,
    ownLoopMax: delay.max / 1e6,
  };
  const shown = Object.entries(figures).map(([name, value]) => `${name} ${value.toFixed(1)}`);
  console.log(`${shown.join(', ')}\nslowest: ${slowest(took)}`);

  expect(ledger.failures.slice(0, 10), `of ${ledger.failures.length} that failed`).toEqual([]);
  expect(p99, 'p99 of a request').toBeLessThanOrEqual(bound);
  for (const { what, ms } of took) {
    expect(ms, `a ${what} within its deadline`).toBeLessThanOrEqual(
      what === 'read' ? READ_MS : WRITE_MS,
    );
  }
  for (const one of instances) {
    const { CLOSED, OPEN, HALF_OPEN } = await one.transitions();
    // Every time that it opened it was tried, and every outage ended.
    expect(HALF_OPEN, `trials of ${one.name}`).toBe(OPEN);
    expect(CLOSED, `recoveries of ${one.name}`).toBeGreaterThanOrEqual(2);
  }
  expect((await a.admin('POST', '/admin/cache/sync')).status).toBe(200);
  await drained(a, b);
  await ledger.expectWhole(instances);
});
