/** G1 and G2 while L3 is away: a call begins, speaks and hangs up, and Redis alone is there. */
import { eventually, type SupabaseServer } from '@cache/testing';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { drained, type Fleet, healthy, startDatabase, startFleet } from './fleet.ts';
import { Ledger } from './ledger.ts';

// For machines that are busy with other things; every wait inside has its own bound.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 60_000 });

let supabase: SupabaseServer;
let fleet: Fleet;

beforeAll(async () => {
  supabase = await startDatabase();
  // Flushed again and again: what nobody hangs up a second time has to arrive by itself. Patient
  // with Redis, because on a busy machine a late answer would be the second fault at once.
  fleet = await startFleet({ supabase, env: { SYNC_INTERVAL: '1', REDIS_TIMEOUT_MS: '2000' } });
});

afterAll(async () => {
  await fleet?.[Symbol.asyncDispose]();
  await supabase?.close();
});

test.each([
  ['frozen', () => supabase.freeze(), () => supabase.thaw()],
  ['killed', () => supabase.kill(), () => supabase.restart()],
])(
  'G1: a call that begins, speaks and hangs up while Supabase is %s reads its own history, and is whole in L3 after',
  async (how, begin, end) => {
    const { a, b } = fleet;
    await healthy(a, b);
    const ledger = new Ledger(supabase);
    const [call, left] = [`${how}-call`, `${how}-left`];
    await begin();

    await Promise.all([ledger.begin(a, call), ledger.begin(b, left)]);
    for (let turn = 0; turn < 4; turn += 1) {
      await Promise.all([ledger.say(a, call), ledger.say(b, left)]);
      await Promise.all([ledger.read(a, call), ledger.read(b, left)]);
    }
    // The other instance has to say something too, and hears all of it.
    await ledger.say(b, call);
    await ledger.read(b, call);
    expect((await b.read(call)).turns).toHaveLength(5);
    const { status, body, ms } = await a.hangup(call);
    console.log(`hung up while Supabase was ${how}: ${status} after ${ms.toFixed(0)} ms`);
    expect({ status, body }).toMatchObject({ status: 503, body: { id: call, flushed: 0 } });
    // What could not be saved can still be read, and talked to.
    await ledger.say(a, call);
    await ledger.read(a, call);

    await end();
    // Only where L3 has every write of the call is the barrier passed.
    await eventually(async () => expect((await a.hangup(call)).status).toBe(200));
    expect(await ledger.inL3(call)).toHaveLength(6);
    await eventually(async () => expect(await ledger.lacking(), 'turns that L3 lacks').toBe(0));
    await drained(a, b);
    await ledger.expectWhole([a, b]);
  },
);
