/** A stack under a schedule of faults, and what is told of it. */
import { once } from 'node:events';
import { join } from 'node:path';
import { type FaultyStack, STACK_FAULTS, startStack } from '@cache/testing';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { faultRun } from '../src/fault-run.ts';
import { planFaults } from '../src/schedule.ts';

const supabase = { migrations: join(import.meta.dirname, 'migrations') };

describe('the schedule', () => {
  test('is the same for the same seed, and another for another', () => {
    const faults = { seed: 7, rounds: 3 };
    expect(planFaults(faults)).toEqual(planFaults(faults));
    expect(planFaults({ ...faults, seed: 8 })).not.toEqual(planFaults(faults));
  });

  test('has each kind once a round, for no longer than was asked for', () => {
    const plan = planFaults({ kinds: STACK_FAULTS, rounds: 2, longestMs: 80 });
    const half = plan.slice(0, STACK_FAULTS.length).map(({ kind }) => kind);
    expect(half.sort()).toEqual([...STACK_FAULTS].sort());
    expect(plan).toHaveLength(2 * STACK_FAULTS.length);
    for (const { pauseMs, lastsMs } of plan) {
      expect(Math.min(pauseMs, lastsMs)).toBeGreaterThan(0);
      expect(Math.max(pauseMs, lastsMs)).toBeLessThanOrEqual(80);
    }
  });
});

describe('a stack with faults', () => {
  let stack: FaultyStack;
  let client: Redis;
  beforeAll(async () => {
    const faults = { seed: 3, kinds: STACK_FAULTS, longestMs: 40 };
    stack = await startStack({ supabase, faults });
    // One that feels a connection that is gone at every step, instead of waiting for the next one.
    client = new Redis(stack.redis.url, {
      enableOfflineQueue: false,
      maxRetriesPerRequest: 0,
      commandTimeout: 100,
      retryStrategy: () => 20,
    });
    client.on('error', () => {});
    await once(client, 'ready');
  }, 60_000);
  afterAll(async () => {
    client.disconnect();
    await stack.close();
  });

  test('plays its whole schedule while the program works, and is well again', {
    timeout: 60_000,
  }, async () => {
    let failed = 0;
    const report = await stack.faults.play(async () => {
      await client.ping().catch(() => {
        failed += 1;
      });
    });
    expect(report.faults.map(({ kind }) => kind)).toEqual(
      stack.faults.plan.map(({ kind }) => kind),
    );
    for (const { steps } of report.faults) expect(steps).toBeGreaterThan(0);
    expect(failed, 'the program felt them').toBeGreaterThan(0);
    expect(failed, 'and not all the time').toBeLessThan(report.steps);
    await expect.poll(() => client.ping().catch(() => 'no answer')).toBe('PONG');
  });

  test('a step that fails ends it, with the fault that it began under, and everything is well', async () => {
    let isStruck = false;
    const play = stack.faults.play(async () => {
      const answer = await client.ping().catch((error: unknown) => error);
      if (answer === 'PONG') return;
      isStruck = true;
      throw new Error('the agent has no answer');
    });
    const error: unknown = await play.catch((reason: unknown) => reason);
    expect(isStruck).toBe(true);
    expect(error).toMatchObject({
      message: expect.stringMatching(/^step \d+ failed, begun (under|between) .* \(seed 3\)$/),
      cause: { message: 'the agent has no answer' },
    });
    await expect.poll(() => client.ping().catch(() => 'no answer')).toBe('PONG');
  });

  test('a step that fails while a fault is only beginning ends it too', async () => {
    const struck = Promise.withResolvers<void>();
    const failed = Promise.withResolvers<void>();
    const { redis, supabase: durable } = stack;
    const slowToDie = {
      kill: async () => {
        await redis.kill();
        struck.resolve();
        await failed.promise;
      },
      restart: () => redis.restart(),
      freeze: () => redis.freeze(),
      thaw: () => redis.thaw(),
      empty: () => redis.empty(),
    };
    const nothing = () => {};
    const proxy = { cut: nothing, stall: nothing, delay: nothing, heal: nothing };
    const plan = [{ kind: 'redis-kill', pauseMs: 1, lastsMs: 1 }] as const;
    const play = faultRun(plan, 1, { redis: slowToDie, proxy, supabase: durable }).play(
      async () => {
        await struck.promise;
        setImmediate(failed.resolve);
        throw new Error('it noticed at once');
      },
    );
    await expect(play).rejects.toMatchObject({ cause: { message: 'it noticed at once' } });
    await expect.poll(() => client.ping().catch(() => 'no answer')).toBe('PONG');
  });
});
