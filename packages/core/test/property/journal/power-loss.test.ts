/** The machine loses its power at any moment: what the journal acknowledged is there again. */
import { expect, it } from 'vitest';
import type { Disk } from '../../../src/write/journal/disk.ts';
import { ForgetfulDisk } from '../../model/forgetful-disk.ts';
import { liveOnce, type Verdict } from './schedule.ts';

/** For the long run, set `CACHE_JOURNAL_SEEDS`. */
const SEEDS = Number(process.env.CACHE_JOURNAL_SEEDS ?? 150);
/** So many are enough to see that a rule is broken. */
const SEEDS_OF_A_MUTANT = 40;

/** Each seed lives three times on one directory: a crash may meet what another crash left. */
async function campaign(seeds: number, through?: (disk: ForgetfulDisk) => Disk): Promise<Verdict> {
  const sum = { lost: [] as string[], risen: [] as string[], changed: [] as string[], found: 0 };
  for (let seed = 1; seed <= seeds; seed += 1) {
    let disk = new ForgetfulDisk();
    for (let life = 0; life < 3; life += 1) {
      const { verdict, after } = await liveOnce(seed * 3 + life, disk, through);
      sum.lost.push(...verdict.lost);
      sum.risen.push(...verdict.risen);
      sum.changed.push(...verdict.changed);
      sum.found += verdict.found;
      disk = after;
    }
  }
  return sum;
}

it('G1: nothing that the journal acknowledged is lost with the power, and nothing comes back that was taken back', async () => {
  const { lost, risen, changed, found } = await campaign(SEEDS);
  expect(lost, 'acknowledged by the journal, and lost with the power').toEqual([]);
  expect(risen).toEqual([]);
  expect(changed).toEqual([]);
  expect(found).toBeGreaterThan(SEEDS);
});

it('G1: a journal whose syncs do not reach the disk loses writes, and this test sees it', async () => {
  const { lost } = await campaign(SEEDS_OF_A_MUTANT, (disk) => ({
    ...portOf(disk),
    create: async (name) => ({ ...(await disk.create(name)), sync: async () => {} }),
  }));
  expect(lost.length).toBeGreaterThan(0);
});

it('G1: a journal that does not sync the names of its files loses whole files, and this test sees it', async () => {
  const { lost } = await campaign(SEEDS_OF_A_MUTANT, (disk) => ({
    ...portOf(disk),
    syncNames: async () => {},
  }));
  expect(lost.length).toBeGreaterThan(0);
});

function portOf(disk: ForgetfulDisk): Disk {
  return {
    names: () => disk.names(),
    readNow: (name) => disk.readNow(name),
    putNow: (name, bytes) => disk.putNow(name, bytes),
    renameNow: (from, to) => disk.renameNow(from, to),
    create: (name) => disk.create(name),
    read: (name) => disk.read(name),
    remove: (name) => disk.remove(name),
    syncNames: () => disk.syncNames(),
  };
}
