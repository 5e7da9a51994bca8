/**
 * What only the journal held is not in L2, which may go on showing something older. Found by the
 * model of the protocol (docs/model): L3 took it from a flush, the process died before it could
 * settle, and nobody was left to tell L2.
 */
import { expect, it } from 'vitest';
import type { ValueWrite } from '../../../src/model/entry.ts';
import { address } from '../../../src/model/key.ts';
import { SimulatedInstance } from '../../property/core/instance.ts';
import { DurableHost, RedisHost } from '../../property/core/servers.ts';
import { VirtualTime } from '../../property/core/virtual-time.ts';

const KEY = address('numbers', 'k');

/** A writes 1, which everybody has. Its journal takes 2; L3 gets it, and A dies at once. */
async function versionsAfterDeath(isAside: boolean) {
  const time = new VirtualTime(1);
  const l3 = new DurableHost(time);
  const redis = new RedisHost();
  const a = new SimulatedInstance('a', time, redis, l3, 0);
  const b = new SimulatedInstance('b', time, redis, l3, 0);
  await time.pass(500);
  const first = a.records.set('k', 1);
  await time.pass(50);
  const { version } = await first;
  const synced = a.sync();
  await time.pass(200);
  await synced;

  const known = l3.model.read(KEY);
  if (known === undefined) throw new Error('L3 has not got the first write');
  const second: ValueWrite = { ...known, version: version + 4096, intent: 2 };
  a.outbox.holdValue(second, 'unsynced', time.wall);
  if (isAside) a.outbox.setAside(KEY.id);
  void a.drainer.drain();
  while (l3.model.read(KEY)?.version === version) await time.pass(1);
  a.crash();
  // Nor does anything else that it had in hand reach L3.
  l3.state = 'down';
  await time.pass(200);
  l3.state = 'up';

  await time.pass(5000);
  const read = b.version('k');
  await time.pass(100);
  return { shown: (await read) - version, marks: l3.model.marks(10).length };
}

it('G4: what only a journal held reaches the others although its process dies before it settles', async () => {
  expect(await versionsAfterDeath(true)).toEqual({ shown: 4096, marks: 0 });
});

it('and this is what the mark is for: without it L2 goes on showing what was there before', async () => {
  expect(await versionsAfterDeath(false)).toEqual({ shown: 0, marks: 0 });
});
