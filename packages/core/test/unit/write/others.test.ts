/** Who is asked before an index is trusted again, on virtual time. */
import { expect, it } from 'vitest';
import { DRAIN, type DrainAnswer } from '../../../src/coherence/bus.ts';
import { Others } from '../../../src/write/others.ts';
import { VirtualTime } from '../../property/core/virtual-time.ts';

const DRAINED: DrainAnswer = { flushed: 1, refused: 0, failed: 0 };

/** A fleet as one of its instances sees it: whom Redis knows, whom it has heard, who answers what. */
class Fleet {
  readonly time: VirtualTime = new VirtualTime(1);
  readonly others: Others;
  known: readonly string[] = [];
  answers: Readonly<Record<string, DrainAnswer>> = {};
  questions = 0;

  constructor() {
    this.others = new Others({
      clock: this.time.clock(0, () => true),
      instance: 'self',
      fleet: { instances: async () => this.known.map((id) => ({ id, ageMs: 0 })) },
      bus: {
        ask: async (_question, living) => {
          this.questions += 1;
          const asked = await living();
          const told = asked.flatMap((id) => {
            const answer = this.answers[id];
            return answer === undefined ? [] : [[id, answer] as const];
          });
          return { answers: new Map(told), hasAll: told.length === asked.length };
        },
      },
    });
  }

  isWhole(): Promise<boolean> {
    return this.others.isIndexWhole(1000);
  }
}

it('G1: while Redis stays the same nobody is asked', async () => {
  const fleet = new Fleet();
  fleet.known = ['self', 'silent'];
  expect([await fleet.isWhole(), fleet.questions]).toEqual([true, 0]);
});

it('G1: after Redis changed, everybody who lives has to have drained, once', async () => {
  const fleet = new Fleet();
  fleet.known = ['self', 'other'];
  fleet.others.doubt();
  expect(await fleet.isWhole(), 'nobody answered').toBe(false);
  fleet.answers = { other: { ...DRAINED, failed: 1 } };
  expect(await fleet.isWhole(), 'Supabase did not answer it').toBe(false);
  fleet.answers = { other: { ...DRAINED, refused: 1 } };
  expect(await fleet.isWhole(), 'Supabase keeps it as a dead letter').toBe(true);
  expect([await fleet.isWhole(), fleet.questions]).toEqual([true, 3]);
  fleet.others.doubt();
  fleet.answers = {};
  expect(await fleet.isWhole(), 'Redis changed once more').toBe(false);
});

it('G1: who was heard before Redis changed is awaited for 30 s, though Redis does not know it', async () => {
  const fleet = new Fleet();
  fleet.others.heard('long before', 'here');
  await fleet.time.pass(5000);
  fleet.others.heard('before', 'here');
  fleet.others.heard('self', 'here');
  fleet.others.doubt();
  expect(await fleet.isWhole()).toBe(false);
  fleet.answers = { 'long before': DRAINED };
  await fleet.time.pass(29_000);
  expect(await fleet.isWhole(), 'before 30 s').toBe(false);
  await fleet.time.pass(1001);
  expect(await fleet.isWhole()).toBe(true);
});

it('G1: an outage of Redis of any length, in which nobody could be heard, makes nobody forgotten', async () => {
  const fleet = new Fleet();
  for (const id of ['self', 'before']) fleet.others.heard(id, 'here');
  await fleet.time.pass(120_000);
  // Its subscription is back before this one knows which Redis it is.
  fleet.others.heard('back', 'here');
  fleet.others.doubt();
  fleet.answers = { back: DRAINED };
  expect(await fleet.isWhole(), 'one of them is silent').toBe(false);
  fleet.answers = { back: DRAINED, before: DRAINED };
  expect(await fleet.isWhole()).toBe(true);
});

it('G6: many who want to know put one question', async () => {
  const fleet = new Fleet();
  fleet.known = ['other'];
  fleet.answers = { other: DRAINED };
  fleet.others.doubt();
  const all = await Promise.all(Array.from({ length: 50 }, () => fleet.isWhole()));
  expect([all.every((isWhole) => isWhole), fleet.questions]).toEqual([true, 1]);
});

it('G1: who has drained is not awaited any more, also where another one has not', async () => {
  const fleet = new Fleet();
  for (const id of ['first', 'second', 'third']) fleet.others.heard(id, 'here');
  fleet.others.heard('third', 'leaving');
  fleet.others.doubt();
  fleet.answers = { first: DRAINED };
  expect(await fleet.isWhole()).toBe(false);
  fleet.answers = { second: DRAINED };
  // It has closed by now.
  expect(await fleet.isWhole()).toBe(true);
});

it('G1: who leaves in good order has nothing left, and is not awaited', async () => {
  const fleet = new Fleet();
  fleet.others.heard('other', 'here');
  fleet.others.doubt();
  expect(await fleet.isWhole()).toBe(false);
  fleet.others.heard('other', 'leaving');
  expect(await fleet.isWhole()).toBe(true);
});

it('G1: a Redis that changes while they answer is doubted still', async () => {
  const fleet = new Fleet();
  fleet.known = ['other'];
  fleet.answers = { other: DRAINED };
  fleet.others.doubt();
  const drained = fleet.others.ask(DRAIN, 1000);
  fleet.others.doubt();
  expect((await drained).hasAll).toBe(true);
  expect(fleet.others.isTrusted).toBe(false);
});

it('G1: who says that nobody else knows of what it holds is asked, until it has drained', async () => {
  const fleet = new Fleet();
  fleet.known = ['self', 'other'];
  fleet.others.heard('other', 'aside');
  expect([await fleet.isWhole(), fleet.questions], 'it does not answer').toEqual([false, 1]);
  fleet.answers = { other: { ...DRAINED, failed: 1 } };
  expect(await fleet.isWhole(), 'Supabase did not answer it').toBe(false);
  fleet.answers = { other: DRAINED };
  fleet.others.heard('other', 'aside');
  expect([await fleet.isWhole(), fleet.questions]).toEqual([true, 3]);
  fleet.others.heard('other', 'here');
  expect([await fleet.isWhole(), fleet.questions], 'it has nothing more').toEqual([true, 3]);
  fleet.others.heard('other', 'aside');
  fleet.others.heard('other', 'leaving');
  expect(await fleet.isWhole()).toBe(true);
});

it('G1: who falls silent with what its journal alone holds is waited for half a minute', async () => {
  const fleet = new Fleet();
  fleet.known = ['self', 'other'];
  fleet.others.heard('other', 'aside');
  fleet.known = ['self'];
  expect(await fleet.isWhole()).toBe(false);
  await fleet.time.pass(30_001);
  expect(await fleet.isWhole()).toBe(true);
});

it('what this instance itself holds aside is its own to flush', async () => {
  const fleet = new Fleet();
  fleet.others.heard('self', 'aside');
  expect([await fleet.isWhole(), fleet.questions]).toEqual([true, 0]);
});
