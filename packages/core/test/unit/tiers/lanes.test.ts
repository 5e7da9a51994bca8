/** Breakers of several servers, on a clock that moves when it is told to. */
import { expect, test } from 'vitest';
import { TierError } from '../../../src/errors.ts';
import { byLane, Lanes } from '../../../src/tiers/lanes.ts';
import { HeldClock } from '../../integration/derived/held-clock.ts';

const RESET_MS = 100;
const away = new TierError('gone', 'unreachable');

function opened() {
  const clock = new HeldClock();
  const world = {
    clock,
    owners: ['a', 'b'],
    answers: true,
    recovers: true,
    said: [] as string[],
    onRecover: () => {},
  };
  const lanes = new Lanes({
    clock,
    failures: 2,
    resetMs: RESET_MS,
    trial: 2,
    patienceMs: 1000,
    lanes: {
      of: () => 'a',
      all: () => world.owners,
      probe: async (lane) => {
        world.said.push(`probe ${lane}`);
        if (!world.answers) throw away;
      },
      check: async () => {},
      drop: (lane) => world.said.push(`drop ${lane}`),
    },
    recover: async () => {
      world.said.push('recover');
      world.onRecover();
      if (!world.recovers) throw away;
    },
    onAway: (lane) => world.said.push(`away ${lane}`),
    onBack: (lane) => world.said.push(`back ${lane}`),
    onNone: () => world.said.push('none'),
  });
  const passes = async (ms: number) => {
    await clock.pass(ms);
  };
  return { lanes, world, passes };
}

test('G5: only consecutive failures open a lane, and the others go on', async () => {
  const { lanes, world } = opened();
  lanes.failed('a', away);
  lanes.succeeded('a');
  lanes.failed('a', away);
  expect(lanes.passes('a')).toBe(true);
  lanes.failed('a', away);
  expect([lanes.passes('a'), lanes.isOpen('a'), lanes.passes('b')]).toEqual([false, true, true]);
  expect(lanes.away).toEqual(['a']);
  expect(world.said).toEqual(['drop a', 'away a']);
  await lanes.close();
});

test('one that is full, or says that a shard is elsewhere, is alive', async () => {
  const { lanes } = opened();
  for (const reason of ['full', 'moved', 'full', 'moved'] as const) {
    lanes.failed('a', new TierError('alive', reason));
  }
  expect(lanes.passes('a')).toBe(true);
  await lanes.close();
});

test('G2: it passes calls again when its probes succeeded and L2 was brought up to date, not before', async () => {
  const { lanes, world, passes } = opened();
  lanes.failed('a', away);
  lanes.failed('a', away);
  world.said.length = 0;
  world.answers = false;
  await passes(RESET_MS);
  expect([world.said, lanes.passes('a')]).toEqual([['probe a'], false]);
  world.answers = true;
  world.recovers = false;
  await passes(RESET_MS);
  expect([world.said.slice(1), lanes.passes('a')]).toEqual([
    ['probe a', 'probe a', 'recover'],
    false,
  ]);
  world.recovers = true;
  // While L2 is being repaired, the lane does not answer: what it holds may still be old.
  world.onRecover = () => lanes.giveUp('a', 'it did not answer a repair');
  await passes(RESET_MS);
  expect(lanes.passes('a')).toBe(false);
  world.onRecover = () => expect(lanes.passes('a')).toBe(false);
  await passes(RESET_MS);
  expect([world.said.at(-1), lanes.passes('a')]).toEqual(['back a', true]);
  await lanes.close();
});

test('a lane without a shard is forgotten; without any lane the tier is away', async () => {
  const { lanes, world, passes } = opened();
  lanes.failed('a', away);
  lanes.failed('a', away);
  world.owners = ['b', 'c'];
  await passes(RESET_MS);
  expect(lanes.away).toEqual([]);
  lanes.giveUp('b', 'gone');
  expect(world.said).not.toContain('none');
  lanes.giveUp('c', 'gone');
  expect(world.said.at(-1)).toBe('none');
  lanes.clear();
  expect(lanes.passes('b')).toBe(true);
  await lanes.close();
});

test('a batch is answered lane by lane, in its order, and a lane that fails harms nobody where there is a word for it', async () => {
  const laneOf = (one: number) => (one % 2 === 0 ? 'even' : 'odd');
  const ask = async (lane: string, some: readonly number[]) => {
    if (lane === 'odd') throw away;
    return some.map(String);
  };
  const word = () => 'away';
  expect(await byLane([1, 2, 3, 4], laneOf, ask, word)).toEqual(['away', '2', 'away', '4']);
  await expect(byLane([1, 2], laneOf, ask, () => undefined)).rejects.toBe(away);
});
