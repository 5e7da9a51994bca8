/** What the outbox lets go of, by what L2 confirms. */
import { expect, it } from 'vitest';
import { address } from '../../../src/model/key.ts';
import type { RepairReply } from '../../../src/tiers/tier.ts';
import { idOf, type Release, tell } from '../../../src/write/release.ts';

const one = address('turns', 'one');
const two = address('turns', 'two');

/** L2, as far as it is told of releases. */
function tierThatRepairs(reply: RepairReply) {
  const done = async (batch: readonly unknown[]) => batch.map(() => 'done' as const);
  const repair = async (batch: readonly unknown[]) => batch.map(() => reply);
  return { settle: done, drop: done, purge: done, repair };
}

function releasesOf(done: string[]): readonly Release[] {
  const settle = (of: typeof one): Release => ({
    tell: 'settle',
    settle: { kind: 'log', address: of, items: [], erasedTo: 0, others: false },
    done: () => done.push(`settled ${of.key}`),
  });
  return [
    settle(one),
    { tell: 'repair', id: one.id, version: 9, done: () => done.push('repaired one') },
    settle(two),
  ];
}

it('what L2 confirms is let go of', async () => {
  const done: string[] = [];
  expect(await tell(releasesOf(done), tierThatRepairs('done'))).toEqual([]);
  expect(done.sort()).toEqual(['repaired one', 'settled one', 'settled two']);
});

it('G4: of a log whose repair L2 did not confirm nothing is let go of, though it was settled', async () => {
  const done: string[] = [];
  const left = await tell(releasesOf(done), tierThatRepairs('away'));
  expect(left.map((release) => [release.tell, idOf(release)]).sort()).toEqual([
    ['repair', one.id],
    ['settle', one.id],
  ]);
  expect(done).toEqual(['settled two']);
});
