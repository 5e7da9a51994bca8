/** What L3 had and has no more is no floor; what happens while it is being asked stays. */
import { expect, it } from 'vitest';
import { Copies } from '../../../src/coherence/copies.ts';
import { EventHub } from '../../../src/events.ts';
import { systemClock } from '../../../src/index.ts';
import type { LogItem, ValueWrite } from '../../../src/model/entry.ts';
import { address } from '../../../src/model/key.ts';
import type { Known } from '../../../src/model/known.ts';
import { Lookup, type Space } from '../../../src/read/lookup.ts';
import { releasesOfValue } from '../../../src/write/answers.ts';
import { Outbox } from '../../../src/write/outbox.ts';

const KEY = address('things', 'k');
const L2 = { version: Number.MAX_SAFE_INTEGER, intent: 0 };

function valueAt(version: number): ValueWrite {
  const payload = { codec: 'json', bytes: Buffer.from(String(version)) } as const;
  const rest = { payload, expiresAt: 0, scope: undefined, tags: [] };
  return { kind: 'value', address: KEY, version, intent: 1, ...rest };
}

function itemOf(id: string, version: number): LogItem {
  return { id, version, payload: { codec: 'json', bytes: Buffer.from('1') } };
}

/** A read that L2 does not answer, and what L3 says when `meanwhile` has happened. */
function reading(kind: 'value' | 'log') {
  const outbox = new Outbox({ maxPending: 10, maxBytes: 10_000 });
  const space: Space<unknown> = {
    name: 'things',
    kind,
    decode: (known) => (known.kind === 'value' ? known.version : known.items.map(({ id }) => id)),
    count: () => {},
    answered: () => {},
    failed: () => {},
  };
  const read = async (row: Known | undefined, meanwhile: () => void) => {
    const lookup = new Lookup({
      clock: systemClock,
      copies: new Copies(undefined, { isAlive: () => false }),
      floor: outbox,
      isDurableAway: () => false,
      shared: undefined,
      backfill: async () => {},
      forget: async () => {},
      durable: async () => {
        meanwhile();
        return row;
      },
      observe: () => {},
      unreadable: () => {},
    });
    return (await lookup.find(space, KEY, { deadlineMs: 1000 })).value;
  };
  return { outbox, read };
}

it('G8: what L3 had before it was asked, and lacks when it answers, is neither read nor held', async () => {
  const { outbox, read } = reading('value');
  outbox.holdValue(valueAt(1), 'synced', 0);
  expect(await read(undefined, () => {})).toBeUndefined();
  expect(outbox.size).toBe(0);
});

it('G8: what L3 answers erased is no floor, although L2 can not be told', async () => {
  const { outbox, read } = reading('value');
  outbox.holdValue(valueAt(1), 'unsynced', 0);
  const parts = {
    outbox,
    events: new EventHub(),
    observe: () => {},
    removeCopy: () => {},
  };
  const row = { id: KEY.id, write: valueAt(1), unproven: false };
  releasesOfValue(parts, row, { status: 'erased' });
  expect(await read(undefined, () => {})).toBeUndefined();
});

it('G2: a set while L3 is being asked stays, although what it replaced is gone', async () => {
  const { outbox, read } = reading('value');
  outbox.holdValue(valueAt(1), 'synced', 0);
  expect(await read(undefined, () => outbox.holdValue(valueAt(2), 'unsynced', 0))).toBe(2);
  expect(outbox.floorVersion(KEY.id)).toBe(2);
});

it('G2: what reaches L3 while L3 is being asked may not be in its answer, and stays', async () => {
  const { outbox, read } = reading('value');
  outbox.holdValue(valueAt(1), 'unsynced', 0);
  expect(await read(undefined, () => outbox.valueInL3(KEY.id, valueAt(1)))).toBe(1);
  expect(outbox.floorVersion(KEY.id)).toBe(1);
});

it('G2: of a log what L3 has had is gone, and what it was given meanwhile stays, confirmed or not', async () => {
  const { outbox, read } = reading('log');
  const [erased, kept, flushed, added] = [
    itemOf('erased', 1),
    itemOf('kept', 2),
    itemOf('flushed', 3),
    itemOf('added', 4),
  ];
  outbox.holdItems(KEY, undefined, [erased, kept], 'synced', 0);
  outbox.holdItems(KEY, undefined, [flushed], 'unsynced', 0);
  const row = { kind: 'log', address: KEY, items: [kept], erasedTo: 0, scope: undefined } as const;
  const items = await read(row, () => {
    outbox.itemsInL3(KEY.id, [{ ...flushed, sent: flushed.version }], 0);
    outbox.itemsConfirmed(KEY.id, [flushed], 0);
    outbox.holdItems(KEY, undefined, [added], 'unsynced', 0);
  });
  expect(items).toEqual(['kept', 'flushed', 'added']);
  const left = outbox.floor(KEY.id);
  expect(left).toMatchObject({ items: [{ id: 'kept' }, { id: 'added' }] });
});

it('G2: a deletion stays until L2 knows of it, although L3 has forgotten it', async () => {
  const { outbox, read } = reading('value');
  outbox.holdValue({ ...valueAt(1), payload: undefined }, 'synced', 0);
  expect(await read(undefined, () => {})).toBeUndefined();
  expect(outbox.size).toBe(1);
  outbox.confirmed(KEY.id, L2);
  expect(outbox.size).toBe(0);
});
