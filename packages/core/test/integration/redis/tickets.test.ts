/** What a read found may be filled in, or built upon, only in the epoch in which it was read. */
import { type RedisServer, startRedis } from '@cache/testing';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { address } from '../../../src/model/key.ts';
import { logOf, type Opened, openTier, writeOf } from './support.ts';

const VALUE = address('v', 'a');
const LOG = address('log', 'a');

let server: RedisServer;
let opened: Opened;

beforeAll(async () => {
  server = await startRedis();
});

beforeEach(async () => {
  opened = openTier(server.url);
  await opened.tier.connect();
});

afterEach(async () => {
  await opened.tier.close();
});

afterAll(async () => {
  await server.close();
});

/** The meta as it is, and as another incarnation would have shown it with the same cut. */
async function tickets(of: typeof VALUE) {
  const [read] = await opened.tier.read([of]);
  if (read === undefined) throw new Error('no answer');
  const { epoch, cut } = read.meta;
  return { present: { epoch, cut }, another: { epoch: epoch + 1, cut } };
}

test('G4: a fill that quotes the cut of another epoch is refused, even where it is the same number', async () => {
  const { tier } = opened;
  const { present, another } = await tickets(VALUE);
  const write = writeOf(VALUE, present.cut + 1, 1);
  expect(await tier.backfill([{ kind: 'value', write, ...another }])).toEqual(['refused']);
  expect(await tier.backfill([{ kind: 'value', write, ...present }])).toEqual(['held']);
  expect(opened.heard.epochs).toBe(0);
});

test('G4: a create that quotes the cut of another epoch has to look again', async () => {
  const { tier } = opened;
  const { present, another } = await tickets(LOG);
  const write = logOf(LOG, [['a', present.cut + 1]]);
  const create = { ...another, proven: true };
  expect(await tier.append([{ write, create }])).toMatchObject([{ status: 'moved' }]);
  const again = { ...present, proven: true };
  expect(await tier.append([{ write, create: again }])).toMatchObject([{ status: 'held' }]);
});
