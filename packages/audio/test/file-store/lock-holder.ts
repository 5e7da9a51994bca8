/** Holds the lock of a directory until it is killed. Says "held". */
import { FileStore } from '../../src/file-store.ts';
import { realClock } from './support.ts';

const store = new FileStore({ dir: process.argv[2] ?? '', clock: realClock });
await store.exclusively(async () => {
  process.stdout.write('held\n');
  const { promise } = Promise.withResolvers<void>();
  setInterval(() => {}, 60_000);
  await promise;
});
