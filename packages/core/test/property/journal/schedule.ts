/**
 * One life of a journal, drawn from a seed: writes that are kept, released and taken back, syncs
 * that fail, and the loss of power at the end. What the journal said on the way is written down
 * here, and held against what it finds when it is opened again.
 */
import type { Payload, ValueWrite } from '../../../src/model/entry.ts';
import { address } from '../../../src/model/key.ts';
import type { Disk } from '../../../src/write/journal/disk.ts';
import { Journal, type JournalTales, type Ticket } from '../../../src/write/journal/journal.ts';
import type { DiskStep, ForgetfulDisk } from '../../model/forgetful-disk.ts';

export const SMALL: { readonly maxBytes: number; readonly segmentBytes: number } = Object.freeze({
  maxBytes: 1024 * 1024,
  segmentBytes: 1500,
});

export const SILENT: JournalTales = Object.freeze({
  onAppend: () => {},
  onCorrupt: () => {},
  onTrouble: () => {},
});

export function writeOf(n: number, bytes = 40): ValueWrite {
  const payload: Payload = { codec: 'bytes', bytes: new Uint8Array(bytes).fill(n % 251) };
  return {
    kind: 'value',
    address: address('calls', `k${n}`),
    version: 1000 + n,
    intent: n,
    payload,
    expiresAt: 0,
    scope: undefined,
    tags: [],
  };
}

/** mulberry32: numbers from 0 to 1, the same for the same seed. */
export function drawer(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Verdict {
  /** Acknowledged, not released, and not there after the crash. */
  readonly lost: readonly string[];
  /** Taken back, and there after the crash all the same. */
  readonly risen: readonly string[];
  /** There, but not as it was written. */
  readonly changed: readonly string[];
  readonly found: number;
}

const FAULTS: readonly DiskStep[] = ['write', 'sync', 'create', 'syncNames', 'cut', 'remove'];

/** Lives and dies once. `through` stands between the journal and the directory. */
export async function liveOnce(
  seed: number,
  disk: ForgetfulDisk,
  through: (disk: ForgetfulDisk) => Disk = (same) => same,
): Promise<{ readonly verdict: Verdict; readonly after: ForgetfulDisk }> {
  const draw = drawer(seed);
  const journal = new Journal(through(disk), SMALL, SILENT);
  const state = new Map<string, 'kept' | 'free' | 'revoked'>();
  const tickets: { readonly name: string; readonly ticket: Ticket }[] = [];
  for (const { write, ticket } of journal.takeOpened()) {
    state.set(write.address.key, 'kept');
    tickets.push({ name: write.address.key, ticket });
  }
  const working: Promise<unknown>[] = [];
  const steps = 20 + Math.floor(draw() * 60);
  for (let step = 0; step < steps; step += 1) {
    const choice = draw();
    if (choice < 0.6) working.push(append(seed * 1000 + step));
    else if (choice < 0.75) release();
    else if (choice < 0.85) working.push(revoke());
    else if (choice < 0.9) {
      disk.fail(FAULTS[Math.floor(draw() * FAULTS.length)] ?? 'write', 'ENOSPC');
    } else if (choice < 0.95) disk.heal();
    else if (choice < 0.97) working.push(journal.expunge());
    else await Promise.all(working.splice(0));
  }
  if (draw() < 0.7) await Promise.all(working);
  const after = disk.afterCrash(draw);
  const sofar = new Map(state);
  // What was under way is nobody's business any more, but must not outlive the test.
  disk.heal();
  await Promise.all(working);
  await journal.close();
  return { verdict: judge(after, sofar), after };

  async function append(n: number): Promise<void> {
    const write = writeOf(n, Math.floor(draw() * 400));
    const name = write.address.key;
    try {
      const ticket = await journal.append(write, false);
      state.set(name, 'kept');
      tickets.push({ name, ticket });
    } catch {
      state.set(name, 'free');
    }
  }

  function release(): void {
    const [one] = tickets.splice(Math.floor(draw() * tickets.length), 1);
    if (one === undefined) return;
    state.set(one.name, 'free');
    journal.release(one.ticket);
  }

  async function revoke(): Promise<void> {
    const some = tickets.splice(Math.floor(draw() * tickets.length), 2);
    for (const { name } of some) state.set(name, 'free');
    try {
      await journal.revoke(some.map(({ ticket }) => ticket));
      for (const { name } of some) state.set(name, 'revoked');
    } catch {
      // Not written down: it may come back.
    }
  }
}

function judge(after: Disk, state: ReadonlyMap<string, 'kept' | 'free' | 'revoked'>): Verdict {
  const found = new Map(
    new Journal(after, SMALL, SILENT).takeOpened().map(({ write }) => [write.address.key, write]),
  );
  const lost = [...state].filter(([name, is]) => is === 'kept' && !found.has(name));
  const risen = [...state].filter(([name, is]) => is === 'revoked' && found.has(name));
  const changed = [...found].filter(([name, write]) => {
    if (write.kind !== 'value') return true;
    const n = Number(name.slice(1));
    const again = writeOf(n, write.payload?.bytes.byteLength);
    return (
      write.version !== again.version ||
      write.intent !== again.intent ||
      write.payload?.bytes.some((byte) => byte !== n % 251)
    );
  });
  return {
    lost: lost.map(([name]) => name),
    risen: risen.map(([name]) => name),
    changed: changed.map(([name]) => name),
    found: found.size,
  };
}
