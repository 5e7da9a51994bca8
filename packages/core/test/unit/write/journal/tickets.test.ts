import { expect, it } from 'vitest';
import type { LogWrite } from '../../../../src/model/entry.ts';
import { address } from '../../../../src/model/key.ts';
import { Journal } from '../../../../src/write/journal/journal.ts';
import { Tickets } from '../../../../src/write/journal/tickets.ts';
import { ForgetfulDisk } from '../../../model/forgetful-disk.ts';
import { SILENT } from '../../../property/journal/schedule.ts';

const KIB = 1024;
const LOG = address('turns', 'call');

function saying(version: number): LogWrite {
  const payload = { codec: 'json', bytes: new Uint8Array([version]) } as const;
  const items = [{ id: '1', version, payload }];
  return { kind: 'log', address: LOG, items, erasedTo: 0, scope: undefined };
}

it('G1: what is known of an item says nothing of one that was said again under its id', async () => {
  const settings = { maxBytes: 1024 * KIB, segmentBytes: 64 * KIB };
  const journal = new Journal(new ForgetfulDisk(), settings, SILENT);
  const tickets = new Tickets(journal);
  for (const version of [10, 30]) {
    tickets.keep(saying(version), await journal.append(saying(version), false));
  }
  expect(journal.size).toBe(2);
  tickets.itemsDone(LOG.id, [{ id: '1', version: 10 }]);
  expect(journal.size).toBe(1);
  tickets.itemsDone(LOG.id, [{ id: '1', version: 30 }]);
  expect(journal.size).toBe(0);
});
