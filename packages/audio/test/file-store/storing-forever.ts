/**
 * Stores, replaces, reads and deletes clips until it is killed. Arguments: the directory, a seed.
 * Says "going" when a clip that nobody else touches is stored, and goes on with those of everybody.
 */
import { FileStore } from '../../src/file-store.ts';
import { clip, keyOf, NOW, realClock } from './support.ts';

const [dir = '', seed = ''] = process.argv.slice(2);
const store = new FileStore({ dir, clock: realClock });
const beyond = { expiresAt: NOW + 1e12 };
await store.put(keyOf(`own ${seed}`), clip(`own ${seed}`, 30_000, beyond));
process.stdout.write('going\n');
for (let n = 0; ; n += 1) {
  const some = [0, 1, 2].map(async (at) => {
    const key = keyOf(`${(n * 3 + at) % 11}`);
    // What it is, is in what is known of it: a mixture of two would be found out.
    const name = `${seed} ${n} ${at}`;
    await store.put(key, clip(name, 20_000 + ((n * 7_919) % 180_000), beyond));
    await store.get(key);
    store.touch(key, NOW + n);
  });
  await Promise.all(some);
  if (n % 5 === 4) await store.delete(keyOf(`${n % 11}`));
}
