import { describe, expect, it } from 'vitest';
import { Journal, JournalError, type JournalTales } from '../../../../src/write/journal/journal.ts';
import { ForgetfulDisk } from '../../../model/forgetful-disk.ts';
import { SILENT, writeOf } from '../../../property/journal/schedule.ts';

const KIB = 1024;
const ROOMY = { maxBytes: 1024 * KIB, segmentBytes: 64 * KIB };

function open(settings = ROOMY, tales: JournalTales = SILENT) {
  const disk = new ForgetfulDisk();
  return { disk, journal: new Journal(disk, settings, tales) };
}

async function errorOf(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** Everything that a journal opened on the same directory would find. */
function foundOn(disk: ForgetfulDisk): readonly string[] {
  return new Journal(
    disk.afterCrash(() => 0),
    ROOMY,
    SILENT,
  )
    .takeOpened()
    .map(({ write }) => write.address.key);
}

describe('an append', () => {
  it('G1: resolves after its sync, not before, and so do all that travel with it', async () => {
    const { disk, journal } = open();
    await journal.append(writeOf(0), false);
    let letGo = () => {};
    disk.gate = new Promise((resolve) => {
      letGo = resolve;
    });
    let resolved = 0;
    const syncs = disk.steps.sync;
    const all = Array.from({ length: 50 }, (_, n) =>
      journal.append(writeOf(n + 1), false).then(() => {
        resolved += 1;
      }),
    );
    await new Promise((resolve) => setImmediate(resolve));
    expect(resolved).toBe(0);
    letGo();
    await Promise.all(all);
    // The first one alone, and the 49 that came meanwhile together.
    expect(disk.steps.sync - syncs).toBe(2);
    expect(foundOn(disk)).toHaveLength(51);
  });

  it('G6: at the bound rejects with the outcome none, and leaves nothing behind', async () => {
    const { disk, journal } = open({ maxBytes: 10 * KIB, segmentBytes: 2 * KIB });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 30 }, (_, n) => journal.append(writeOf(n, KIB), false)),
    );
    const held = outcomes.filter(({ status }) => status === 'fulfilled').length;
    expect(held).toBeGreaterThan(5);
    expect(held).toBeLessThan(10);
    expect(await errorOf(journal.append(writeOf(99, KIB), false))).toMatchObject({
      reason: 'bound',
      outcome: 'none',
    });
    expect(journal.bytes).toBeLessThanOrEqual(10 * KIB);
    expect(journal.isWritable).toBe(false);
    expect(foundOn(disk)).toHaveLength(held);
  });

  it('G6: what is too large for the room that is left says nothing about what fits', async () => {
    const { journal } = open({ maxBytes: 10 * KIB, segmentBytes: 2 * KIB });
    expect(await errorOf(journal.append(writeOf(0, 20 * KIB), false))).toMatchObject({
      reason: 'bound',
    });
    expect(journal.isWritable).toBe(false);
    await journal.append(writeOf(1, KIB), false);
    expect(journal.isWritable).toBe(true);
  });

  it.each([
    ['write', 'ENOSPC', 'disk-full'],
    ['sync', 'EIO', 'failed'],
    ['create', 'ENOSPC', 'disk-full'],
    ['syncNames', 'EIO', 'failed'],
  ] as const)(
    'G1: whose %s fails rejects, and is cut off so that it is never read',
    async (step, code, reason) => {
      const { disk, journal } = open();
      if (step === 'write' || step === 'sync') await journal.append(writeOf(1), false);
      disk.fail(step, code);
      const failed = await Promise.all([
        errorOf(journal.append(writeOf(2), false)),
        errorOf(journal.append(writeOf(3), false)),
      ]);
      for (const error of failed) {
        expect(error).toBeInstanceOf(JournalError);
        // A sync that fails can't confirm the cut either.
        expect(error).toMatchObject({ reason, outcome: step === 'sync' ? 'unknown' : 'none' });
      }
      expect(journal.isWritable).toBe(false);
      disk.heal();
      await journal.append(writeOf(4), false);
      expect(journal.isWritable).toBe(true);
      expect(foundOn(disk)).toEqual([...(step === 'write' || step === 'sync' ? ['k1'] : []), 'k4']);
    },
  );

  it('after a failed sync goes to another file: what the system says of the old one proves nothing', async () => {
    const { disk, journal } = open();
    await journal.append(writeOf(1), false);
    disk.fail('sync', 'EIO');
    await errorOf(journal.append(writeOf(2), false));
    disk.heal();
    await journal.append(writeOf(3), false);
    expect(disk.names()).toHaveLength(2);
  });
});

describe('a file of the journal', () => {
  it('G6: goes when the last of its records was released', async () => {
    const { disk, journal } = open({ maxBytes: 1024 * KIB, segmentBytes: 4 * KIB });
    const tickets = [];
    for (let n = 0; n < 20; n += 1) tickets.push(await journal.append(writeOf(n, KIB), false));
    expect(disk.names().length).toBeGreaterThan(5);
    for (const ticket of tickets) journal.release(ticket);
    await journal.close();
    expect(disk.names()).toEqual([]);
    expect(journal.bytes).toBe(0);
  });

  it('G6: is not kept whole by one old record: half full, what is needed of it moves on', async () => {
    const { disk, journal } = open({ maxBytes: 100 * KIB, segmentBytes: 10 * KIB });
    const old = await journal.append(writeOf(0, KIB), false);
    const stragglers = [];
    for (let n = 1; n < 400; n += 1) {
      const ticket = await journal.append(writeOf(n, KIB), false);
      // One in twenty stays: without moving on, each would keep 10 KiB, together twice the bound.
      if (n % 20 === 0) stragglers.push(ticket);
      else journal.release(ticket);
    }
    expect(journal.bytes).toBeLessThan(100 * KIB);
    expect(foundOn(disk)).toContain('k0');
    for (const ticket of [old, ...stragglers]) journal.release(ticket);
    await journal.close();
    expect(disk.names()).toEqual([]);
  });

  it('G8: after an erasure holds nothing of what was released, and all of the rest', async () => {
    const { disk, journal } = open();
    const tickets = await Promise.all(
      [1, 2, 3, 4].map((n) => journal.append(writeOf(n, 100), false)),
    );
    const [first, , third] = tickets;
    if (first === undefined || third === undefined) throw new Error('no tickets');
    journal.release(first);
    journal.release(third);
    expect(await journal.expunge()).toBe(true);
    const bytes = Buffer.concat(disk.names().map((name) => disk.readNow(name)));
    expect(bytes.includes(Buffer.alloc(100, 1))).toBe(false);
    expect(bytes.includes(Buffer.alloc(100, 3))).toBe(false);
    expect(foundOn(disk)).toEqual(['k2', 'k4']);
    expect(await journal.expunge()).toBe(true);
  });

  it('G8: an erasure that can not delete a file says so, and ends with the next one that can', async () => {
    const { disk, journal } = open();
    const ticket = await journal.append(writeOf(1), false);
    await journal.append(writeOf(2), false);
    journal.release(ticket);
    disk.fail('remove', 'EPERM');
    expect(await journal.expunge()).toBe(false);
    disk.heal();
    await journal.append(writeOf(3), false);
    await journal.close();
    expect(disk.names()).toHaveLength(1);
    expect(foundOn(disk)).toEqual(['k2', 'k3']);
  });
});

describe('a write that is taken back', () => {
  it('G1: is not read again, however long what it was taken back with has to stay', async () => {
    const { disk, journal } = open({ maxBytes: 1024 * KIB, segmentBytes: 3 * KIB });
    const taken = await journal.append(writeOf(1, KIB), false);
    await journal.append(writeOf(2, KIB), false);
    const others = [];
    for (let n = 3; n < 12; n += 1) others.push(await journal.append(writeOf(n, KIB), false));
    await journal.revoke([taken]);
    for (const ticket of others) journal.release(ticket);
    await journal.append(writeOf(20, KIB), false);
    await journal.close();
    // What was released may still be there, beside something that is needed.
    expect(foundOn(disk)).toEqual(expect.arrayContaining(['k2', 'k20']));
    expect(foundOn(disk)).not.toContain('k1');
    // Opened again, nothing of it is needed: it goes, and what it was taken back with does too.
    const after = disk.afterCrash(() => 0);
    const again = new Journal(after, ROOMY, SILENT);
    for (const { ticket, write } of again.takeOpened()) {
      if (write.address.key !== 'k2') again.release(ticket);
    }
    expect(await again.expunge()).toBe(true);
    await again.close();
    expect(foundOn(after)).toEqual(['k2']);
    expect(after.names()).toHaveLength(1);
  });

  it('is rejected where that can not be written down', async () => {
    const { disk, journal } = open();
    const ticket = await journal.append(writeOf(1), false);
    disk.fail('write', 'ENOSPC');
    expect(await errorOf(journal.revoke([ticket]))).toBeInstanceOf(JournalError);
    expect(journal.size).toBe(0);
  });
});
