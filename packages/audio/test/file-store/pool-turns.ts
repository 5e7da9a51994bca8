/**
 * Counts what waits for a thread, in a process that has only one (UV_THREADPOOL_SIZE=1): there the
 * order is that of the queue, whatever the speed of the machine. Argument: a directory. Prints, as
 * JSON, how many other jobs had their turn until a clip was unpacked, how many until one was read,
 * and how many jobs were begun while one was read beside hearings that were being written down.
 */
import { createHook } from 'node:async_hooks';
import { stat } from 'node:fs/promises';
import { ClipCompression } from '../../src/clip-compression.ts';
import { FileStore } from '../../src/file-store.ts';
import { clip, HeldClock, keyOf, NOW } from './support.ts';

const HEARD = 40;

const [dir = ''] = process.argv.slice(2);
const compression = new ClipCompression();
const samples = Buffer.alloc(1_000_000);
for (let at = 0; at < samples.length; at += 2) samples.writeInt16LE(at % 900, at);
const packed = await compression.pack(samples, 'wav');

/** Jobs that were done, one behind the other, until `work` was. */
async function turnsUntil(work: Promise<unknown>): Promise<number> {
  let turns = 0;
  let isDone = false;
  const done = work.then(() => {
    isDone = true;
  });
  while (!isDone) {
    await stat('.');
    turns += 1;
  }
  await done;
  return turns;
}

const unpacking = await turnsUntil(compression.unpack(packed));

const clock = new HeldClock();
const store = new FileStore({ dir, clock, compression });
const long = { ...clip('long'), bytes: samples };
await store.put(keyOf('long'), { ...long, metadata: { ...long.metadata, format: 'wav' } });
const reading = await turnsUntil(store.get(keyOf('long')));

for (let n = 0; n < HEARD; n += 1) await store.put(keyOf(`${n}`), clip(`${n}`, 1_000));
for (let n = 0; n < HEARD; n += 1) store.touch(keyOf(`${n}`), NOW);
let begun = 0;
const jobs = createHook({
  init(_id, type) {
    if (type === 'FSREQPROMISE') begun += 1;
  },
}).enable();
clock.advance(1_000);
await store.get(keyOf('0'));
jobs.disable();
const beside = begun;
await store.close();
process.stdout.write(JSON.stringify({ unpacking, reading, beside }));
