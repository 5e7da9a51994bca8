/**
 * G12: a crowd on one key, through two instances. And what an operator asks of both at once: a
 * sync that leaves nothing pending anywhere, a preload that the other instance profits from.
 */
import { eventually, type SupabaseServer } from '@cache/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Fleet, healthy, startDatabase, startFleet } from './fleet.ts';
import type { Answer, Instance } from './instance.ts';
import { Ledger } from './ledger.ts';

const TURNS = 1000;
const INCREMENTS = 200;

// For machines that are busy with other things; every wait inside has its own bound.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 });

let supabase: SupabaseServer;
let fleet: Fleet;

beforeAll(async () => {
  supabase = await startDatabase();
  // Patient: a crowd on a busy machine is not to be taken for a Redis that is dead. What happens
  // when one is given up is what the outage is about.
  fleet = await startFleet({ supabase, env: { REDIS_TIMEOUT_MS: '2000' } });
});

afterAll(async () => {
  await fleet?.[Symbol.asyncDispose]();
  await supabase?.close();
});

/** So many requests, all of them sent before the first is answered, to both by turns. */
async function crowd(
  size: number,
  request: (instance: Instance) => Promise<Answer | undefined>,
): Promise<readonly Answer[]> {
  const { a, b } = fleet;
  const sent = Array.from({ length: size }, (_, index) => request(index % 2 === 0 ? a : b));
  return (await Promise.all(sent)).filter((answer) => answer !== undefined);
}

function slowest(answers: readonly Answer[]): string {
  return `${Math.max(...answers.map(({ ms }) => ms)).toFixed(0)} ms`;
}

test('G12: 1,000 concurrent turns to one conversation through two instances are all in it, none twice, in one order', async () => {
  const { a, b } = fleet;
  await healthy(a, b);
  const ledger = new Ledger(supabase);
  await ledger.begin(a, 'crowd');
  const answers = await crowd(TURNS, (instance) => ledger.say(instance, 'crowd'));
  console.log(`${TURNS} turns: the slowest was answered after ${slowest(answers)}`);
  expect(ledger.failures.slice(0, 5), `of ${ledger.failures.length} that failed`).toEqual([]);

  await healthy(a, b);
  expect(await a.hangup('crowd')).toMatchObject({ status: 200, body: { remaining: 0 } });
  expect(await ledger.inL3('crowd')).toHaveLength(TURNS);
  await ledger.expectWhole([a, b]);
});

test('G12: 200 concurrent PATCHes that each add one to a counter make it 200', async () => {
  const { a, b } = fleet;
  await healthy(a, b);
  expect((await a.begin('counter')).status).toBe(201);
  const answers = await crowd(INCREMENTS, (instance) =>
    instance.ask('PATCH', '/conversations/counter', { increment: { retries: 1 } }),
  );
  console.log(`${INCREMENTS} increments: the slowest was answered after ${slowest(answers)}`);
  const refused = answers.filter(({ status }) => status !== 200).map(({ body }) => body);
  expect(refused.slice(0, 3), `${refused.length} that were refused`).toEqual([]);
  // Each was answered with a sum of its own: nobody's addition was done twice or for nothing.
  const sums = answers.map(({ body }) => sumOf(body));
  expect(sums.sort((x, y) => x - y)).toEqual(sums.map((_, index) => index + 1));
  for (const instance of [a, b]) {
    await eventually(async () =>
      expect((await instance.read('counter')).metadata).toEqual({ retries: INCREMENTS }),
    );
  }
});

function sumOf(body: unknown): number {
  const found = /"retries":(\d+)/.exec(JSON.stringify(body))?.[1];
  if (found === undefined) throw new Error(`no counter in ${JSON.stringify(body)}`);
  return Number(found);
}

test('a forced sync is 401 without the token, and leaves nothing pending on any instance', async () => {
  const { a, b } = fleet;
  await healthy(a, b);
  const ledger = new Ledger(supabase);
  for (const [index, instance] of [a, b, a, b].entries()) {
    await ledger.begin(instance, `sync-${index}`);
    await ledger.say(instance, `sync-${index}`);
    await ledger.say(a, `sync-${index}`);
  }
  for (const instance of [a, b]) {
    expect(await instance.pending()).toBeGreaterThanOrEqual(4);
    expect((await instance.ask('POST', '/admin/cache/sync')).status).toBe(401);
    expect((await instance.ask('GET', '/admin/cache/sync')).status).toBe(401);
  }
  expect(await ledger.lacking(), 'turns that L3 lacks').toBe(8);

  const { status, body } = await a.admin('POST', '/admin/cache/sync');
  expect({ status, body }).toMatchObject({
    status: 200,
    body: { failed: 0, remaining: 0, unknown: false },
  });
  expect(await Promise.all([a.pending(), b.pending()])).toEqual([0, 0]);
  expect(await ledger.lacking(), 'turns that L3 lacks').toBe(0);
  await ledger.expectWhole([a, b]);
});

test.each([
  ['forgotten key by key', 'forget'],
  ['emptied with Redis', 'empty'],
])(
  'a preload after L1 and L2 were %s: the next read is l1, that of the other instance l2',
  async (_, how) => {
    const { a, b, redis } = fleet;
    await healthy(a, b);
    const id = `preload-${how}`;
    const ledger = new Ledger(supabase);
    await ledger.begin(a, id);
    await ledger.say(a, id);
    await ledger.say(b, id);
    await ledger.read(a, id);
    await ledger.read(b, id);
    expect((await b.admin('POST', '/admin/cache/sync')).status).toBe(200);

    if (how === 'empty') await redis.empty();
    else {
      expect((await a.admin('DELETE', `/admin/cache/entries/conversations/${id}`)).status).toBe(
        204,
      );
      expect((await a.admin('DELETE', `/admin/cache/entries/turns/${id}`)).status).toBe(204);
    }
    await eventually(async () => {
      for (const namespace of ['conversations', 'turns']) {
        for (const instance of [a, b]) {
          expect(await instance.copies(namespace, id), `${namespace} on ${instance.name}`).toEqual(
            [],
          );
        }
      }
    });
    await healthy(a, b);

    const { status, body } = await a.ask('POST', `/cache/preload/${id}`);
    expect({ status, body }).toMatchObject({
      status: 200,
      body: { id, loaded: 2, missing: 0, tiers: { l3: 2 } },
    });
    const first = await a.read(id);
    const second = await b.read(id);
    expect([first.tier, second.tier]).toEqual(['l1', 'l2']);
    await ledger.expectWhole([a, b]);
  },
);
