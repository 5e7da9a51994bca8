import { expect, it } from 'vitest';
import { Watches } from '../../../src/coherence/watches.ts';
import { address } from '../../../src/model/key.ts';

const { id } = address('profiles', 'a');
const other = address('profiles', 'b').id;

it('a message wakes who waits for its key, and nobody else', async () => {
  const watches = new Watches();
  const watch = watches.watch(id);
  const idle = watches.watch(other);
  let isIdle = true;
  void idle.next().then(() => {
    isIdle = false;
  });
  const woken = watch.next();
  watches.heard(id, false);
  await woken;
  expect(isIdle).toBe(true);
  expect(watch.isMoved).toBe(false);
  expect(idle.isMoved).toBe(false);
});

it('a message that came before anybody waited wakes at once', async () => {
  const watches = new Watches();
  const watch = watches.watch(id);
  watches.heard(id, true);
  await watch.next();
  expect(watch.isMoved).toBe(true);
});

it('a gap of the bus moves every key', async () => {
  const watches = new Watches();
  const all = [watches.watch(id), watches.watch(other)];
  const woken = Promise.all(all.map((watch) => watch.next()));
  watches.empty();
  await woken;
  expect(all.every((watch) => watch.isMoved)).toBe(true);
});

it('who watches from now on knows nothing of what came before', () => {
  const watches = new Watches();
  const early = watches.watch(id);
  watches.heard(id, true);
  expect(early.isMoved).toBe(true);
  expect(watches.watch(id).isMoved).toBe(false);
});

it('G6: nothing is kept of a key that nobody watches, and its waiter is let go', async () => {
  const watches = new Watches();
  const [one, two] = [watches.watch(id), watches.watch(id)];
  const woken = one.next();
  one.end();
  await woken;
  one.end();
  expect(watches.size).toBe(1);
  two.end();
  expect(watches.size).toBe(0);
  watches.heard(id, true);
});
