/** Works on a directory that is full or read-only, and says what happened, as JSON. */
import { readdirSync, rmSync } from 'node:fs';
import { FileStore } from '../../src/file-store.ts';
import { StoreError } from '../../src/store.ts';
import { bodyOf, clip, entriesOf, keyOf, NOW, realClock } from './support.ts';

const [dir = '', ballast = ''] = process.argv.slice(2);
const LENGTH = 60_000;
const BEYOND = NOW + 1e12;

async function outcome(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
    return 'done';
  } catch (error) {
    return error instanceof StoreError ? error.reason : String(error);
  }
}

const store = new FileStore({ dir, clock: realClock });
const outcomes: string[] = [];
const names = Array.from({ length: 12 }, (_, n) => `${n}`);
const put = (name: string) => () =>
  store.put(keyOf(name), clip(name, LENGTH, { expiresAt: BEYOND }));
for (const name of names) outcomes.push(await outcome(put(name)));
for (const name of names) store.touch(keyOf(name), NOW);
const served: string[] = [];
for (const name of names) {
  const found = await store.get(keyOf(name));
  if (found === undefined) continue;
  served.push(bodyOf(name, LENGTH).equals(found.bytes) ? name : `${name}, but not as it was`);
}
const whileBad = {
  usage: await store.usage(),
  entries: (await entriesOf(store)).length,
  deleted: await outcome(() => store.delete(keyOf('0'))),
  locked: await outcome(() => store.exclusively(async () => {})),
  parts: readdirSync(dir).filter((name) => name.endsWith('.part')).length,
};
rmSync(ballast, { force: true });
const last = await outcome(put('last'));
await store.close();
process.stdout.write(JSON.stringify({ outcomes, served, whileBad, last }));
