/** Many processes want the same value at once: real processes on a real Redis, and its faults. */
import { type RedisServer, startRedis } from '@cache/testing';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { LEASE_MS } from '../../../src/read/lease.ts';
import { until } from '../support.ts';
import { Source, startWorkers, type Worker } from './fleet.ts';
import type { CallAnswer, Settings } from './worker.ts';

// Five processes take their time to start where a machine has other work.
vi.setConfig({ testTimeout: 120_000 });

const CALLERS = 250;
/** No call waits for so long where the rule holds: the source, or a thaw, is sooner. */
const PATIENT_MS = 25_000;

let stack: AsyncDisposableStack;
let server: RedisServer;
let source: Source;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  server = stack.use(await startRedis());
  source = new Source(200);
});
afterEach(async () => {
  server.thaw();
  await stack.disposeAsync();
});

/** The breaker never opens by itself, so that it is the timeout which bounds a wait. */
function settings(change: Partial<Settings> = {}): Settings {
  return { redis: server.url, timeout: 5000, failures: 1000, ...change };
}

function four(change: Partial<Settings> = {}): Readonly<Record<string, Settings>> {
  const own = settings(change);
  return { a: own, b: own, c: own, d: own };
}

function burst(workers: readonly Worker[], key: string): Promise<readonly CallAnswer[]> {
  return Promise.all(workers.map((worker) => worker.burst(key, CALLERS))).then((all) => all.flat());
}

/** The distinct answers, each with how many callers were given it. */
function tally(answers: readonly CallAnswer[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const answer of answers) {
    const text = JSON.stringify(answer);
    counts[text] = (counts[text] ?? 0) + 1;
  }
  return counts;
}

async function healthy(workers: readonly Worker[]): Promise<void> {
  for (const worker of workers) {
    await until(async () => {
      const { breaker, isBusAlive } = await worker.look();
      return breaker === 'CLOSED' && isBusAlive;
    }, `${worker.name} is healthy`);
  }
}

it('G11: 4 processes × 250 concurrent getOrSet of one cold key with a 200 ms loader: the loader runs once in all', async () => {
  const workers = await startWorkers(stack, source, four());
  const answers = await burst(workers, 'k');
  expect(source.loads).toHaveLength(1);
  expect(tally(answers)).toEqual({ '{"value":{"nth":1}}': 4 * CALLERS });
  // And whoever asks again finds it.
  expect(tally(await burst(workers, 'k'))).toEqual({ '{"value":{"nth":1}}': 4 * CALLERS });
  expect(source.loads).toHaveLength(1);
});

it('G11: the holder killed in mid-load: it is loaded once more, and all who remain have an answer', async () => {
  const all = await startWorkers(stack, source, { ...four(), fresh: settings() });
  const [fresh, workers] = [all[4], all.slice(0, 4)];
  source.isStuck = ({ nth }) => nth === 1;
  const bursts = new Map(workers.map((worker) => [worker, worker.burst('k', CALLERS)]));
  const { worker: holder } = await source.begun(1);
  const rest = workers.filter((worker) => worker !== holder);
  for (const worker of rest) {
    await until(async () => (await worker.look()).waited > 0, `${worker.name} waits`);
  }
  bursts.get(holder)?.catch(() => {});
  await holder.kill();
  const killedAt = performance.now();
  const answers = await Promise.all(
    [...rest.map((worker) => bursts.get(worker)), fresh?.burst('k', CALLERS)].map((one) => one),
  );
  const ms = Math.round(performance.now() - killedAt);
  const message = `${ms} ms after the kill; a lease is ${LEASE_MS} ms and a load ${source.ms} ms`;
  expect(source.loads, message).toHaveLength(2);
  expect(tally(answers.flatMap((some) => some ?? [])), message).toEqual({
    '{"value":{"nth":2}}': 4 * CALLERS,
  });
  expect(ms, message).toBeLessThan(8 * (LEASE_MS + source.ms));
});

it('G5, G11: Redis frozen during the same: every process loads once, and waits for no longer than its own timeout', async () => {
  const small = four({ timeout: 50 });
  const all = await startWorkers(stack, source, {
    ...small,
    patient: settings({ timeout: PATIENT_MS }),
  });
  const [patient, workers] = [all[4], all.slice(0, 4)];
  server.freeze();
  const waiting = patient?.burst('k', CALLERS);
  const answers = await burst(workers, 'k');
  // Of five who asked at once only he who may wait for Redis is still at it.
  expect([...source.loaders].toSorted()).toEqual(['a', 'b', 'c', 'd']);
  const counts = Object.entries(tally(answers)).toSorted();
  expect(counts).toEqual([1, 2, 3, 4].map((nth) => [`{"value":{"nth":${nth}}}`, CALLERS]));
  server.thaw();
  expect(Object.values(tally((await waiting) ?? []))).toEqual([CALLERS]);
  expect(source.loads.length).toBeLessThanOrEqual(5);
});

it('G11: Redis frozen while the holder loads: its own callers have their answer, and one load is in all where it thaws in time', async () => {
  const workers = await startWorkers(stack, source, four({ timeout: PATIENT_MS }));
  const answers = burst(workers, 'k');
  const { worker: holder } = await source.begun(1);
  server.freeze();
  // What its callers are told does not wait for Redis to take it.
  const again = await holder.burst('k', 1);
  expect(again).toEqual([{ value: { nth: 1 } }]);
  server.thaw();
  const counts = tally(await answers);
  expect(Object.values(counts).reduce((sum, count) => sum + count)).toBe(4 * CALLERS);
  expect(Object.keys(counts).every((answer) => answer.startsWith('{"value"'))).toBe(true);
});

it('G5, G11: Redis down: single-flight per process and no waiting; Redis back: loaded once, and stored again', async () => {
  const workers = await startWorkers(stack, source, four({ timeout: PATIENT_MS, failures: 3 }));
  await server.kill();
  const answers = await burst(workers, 'k');
  expect([...source.loaders].toSorted()).toEqual(['a', 'b', 'c', 'd']);
  expect(Object.values(tally(answers))).toEqual([CALLERS, CALLERS, CALLERS, CALLERS]);
  await server.restart();
  await healthy(workers);
  expect(tally(await burst(workers, 'k'))).toEqual({ '{"value":{"nth":5}}': 4 * CALLERS });
  expect(source.loads).toHaveLength(5);
  await burst(workers, 'k');
  expect(source.loads).toHaveLength(5);
});

it('G3: an invalidation by one process is seen by the three others: the next round loads once in all, and nobody is given what was', async () => {
  const workers = await startWorkers(stack, source, four());
  for (let round = 1; round <= 8; round += 1) {
    // All have a copy, and use it: a second round of reads loads nothing.
    for (let again = 0; again < 2; again += 1) {
      expect(Object.keys(tally(await burst(workers, 'k')))).toEqual([`{"value":{"nth":${round}}}`]);
    }
    expect(source.loads).toHaveLength(round);
    await workers[round % 4]?.invalidate('of k');
    await until(
      async () => {
        const answers = await Promise.all(workers.map((worker) => worker.burst('k', 1)));
        return answers
          .flat()
          .every((answer) => 'value' in answer && isNth(answer.value, round + 1));
      },
      `all four answer with load ${round + 1}`,
    );
  }
});

function isNth(value: unknown, nth: number): boolean {
  return JSON.stringify(value) === JSON.stringify({ nth });
}
