/** Our own tiers, and what is wrapped around them, against the contract that every tier keeps. */
import {
  durableTierContract,
  type RedisServer,
  type SupabaseServer,
  sharedTierContract,
  startRedis,
  startSupabase,
} from '@cache/testing';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { MeasuredTier } from '../../src/tiers/measured.ts';
import { SupabaseTier } from '../../src/tiers/supabase/supabase.ts';
import { openTier } from '../integration/redis/support.ts';
import { MIGRATIONS } from '../integration/supabase/l3.ts';

describe('Redis', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.close());

  const contract = sharedTierContract({
    open: async () => {
      const { tier } = openTier(server.url);
      await tier.connect();
      return { tier, close: () => tier.close() };
    },
    faults: {
      stall: { freeze: () => server.freeze(), thaw: () => server.thaw() },
      death: { kill: () => server.kill(), restart: () => server.restart() },
      empty: () => server.empty(),
    },
  });
  for (const { title, run } of contract) test(title, run);
});

describe('Supabase', () => {
  let server: SupabaseServer;
  beforeAll(async () => {
    server = await startSupabase({ migrations: MIGRATIONS });
  });
  afterAll(() => server.close());

  const contract = durableTierContract({
    open: async () => {
      const { url, secretKey: key } = server;
      const own = new SupabaseTier({ url, key, timeoutMs: 10_000, clock: systemClock });
      const parts = { clock: systemClock, onCall: () => {}, onState: () => {} };
      const { tier } = new MeasuredTier(own, parts);
      await tier.connect(16);
      return { tier, close: () => tier.close() };
    },
    faults: {
      stall: { freeze: () => server.freeze(), thaw: () => server.thaw() },
      death: { kill: () => server.kill(), restart: () => server.restart() },
    },
  });
  for (const { title, run } of contract) test(title, run);
});
