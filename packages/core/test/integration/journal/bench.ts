/**
 * Appends per second on the disk that a directory is on, which is the first argument. Each writer
 * waits for one append before it begins the next; the sync is real.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Directory } from '../../../src/write/journal/disk.ts';
import { Journal } from '../../../src/write/journal/journal.ts';
import { SILENT, writeOf } from '../../property/journal/schedule.ts';

const MIB = 1024 * 1024;
const SETTINGS = { maxBytes: 256 * MIB, segmentBytes: 8 * MIB };
const SECONDS = 3;
const VALUE_BYTES = 500;

const dir = mkdtempSync(join(process.argv[2] ?? '.', 'journal-bench-'));
const journal = new Journal(new Directory(dir), SETTINGS, SILENT);
const lines: string[] = [];
try {
  for (const writers of [1, 8, 64]) {
    const end = performance.now() + SECONDS * 1000;
    let appends = 0;
    const write = async (): Promise<void> => {
      while (performance.now() < end) {
        appends += 1;
        journal.release(await journal.append(writeOf(appends, VALUE_BYTES), false));
      }
    };
    await Promise.all(Array.from({ length: writers }, write));
    lines.push(`${writers} writers: ${Math.round(appends / SECONDS)} appends a second`);
  }
  await Promise.all(
    Array.from({ length: 20_000 }, (_, n) => journal.append(writeOf(n, VALUE_BYTES), false)),
  );
  const start = performance.now();
  const opened = new Journal(new Directory(dir), SETTINGS, SILENT).takeOpened();
  lines.push(`${opened.length} writes read in ${Math.round(performance.now() - start)} ms`);
  await journal.close();
} finally {
  rmSync(dir, { recursive: true, force: true });
}
process.stdout.write(`${lines.join('\n')}\n`);
