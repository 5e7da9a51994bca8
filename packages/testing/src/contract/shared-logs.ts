/** What an L2 promises of logs. */
import assert from 'node:assert/strict';
import { type ContractCase, type ContractOptions, caseOf, has, itemOf, logOf } from './case.ts';
import { cutOf, entryOf, isPending } from './shared-values.ts';
import type { ContractSharedTier } from './tiers.ts';

export function sharedLogCases(
  options: ContractOptions<ContractSharedTier>,
): readonly ContractCase[] {
  return [
    caseOf(
      options,
      'G12: items are united by id, and one that is not above the last is raised',
      async (tier, of) => {
        const address = of('log');
        const cut = await cutOf(tier, address);
        const first = [itemOf('x', cut + 10), itemOf('y', cut + 11)];
        await tier.append([{ write: logOf(address, first) }]);
        const again = [itemOf('y', cut + 12, 'other words'), itemOf('z', cut + 5)];
        const replies = await tier.append([{ write: logOf(address, again) }]);
        const versions = [cut + 11, cut + 12];
        has(replies, [{ status: 'held', versions }], 'it says under which version each is held');
        const items = [...first, itemOf('z', cut + 12)].map((item) => ({ ...item, synced: false }));
        has(await entryOf(tier, address), { kind: 'log', items, pending: true }, 'each is once');
      },
    ),
    caseOf(
      options,
      'G1: a log is settled item by item: what L3 did not name stays pending',
      async (tier, of) => {
        const address = of('log');
        const cut = await cutOf(tier, address);
        const items = [itemOf('sent', cut + 10), itemOf('unsent', cut + 11)];
        await tier.append([{ write: logOf(address, items) }]);
        const named = [{ id: 'sent', version: cut + 10 }];
        await tier.settle([{ kind: 'log', address, items: named, erasedTo: 0, others: false }]);
        const flags = [
          { id: 'sent', synced: true },
          { id: 'unsent', synced: false },
        ];
        has(await entryOf(tier, address), { items: flags }, 'an unsent item is not settled');
        has(await entryOf(tier, address), { pending: true }, 'its log is still pending');
        assert.ok(await isPending(tier, address), 'somebody has to flush it');
      },
    ),
    caseOf(options, 'G12: a settled item takes the version that L3 has', async (tier, of) => {
      const address = of('log');
      const cut = await cutOf(tier, address);
      const write = logOf(address, [itemOf('x', cut + 10)]);
      await tier.append([{ write, create: { cut, proven: true } }]);
      const items = [{ id: 'x', version: cut + 7 }];
      await tier.settle([{ kind: 'log', address, items, erasedTo: 0, others: false }]);
      has(await entryOf(tier, address), { pending: false, items }, 'in the order of L3');
      assert.equal(await isPending(tier, address), false, 'L3 lacks nothing of it');
    }),
    caseOf(
      options,
      'G8: a partial log goes with its last settled item: L3 may have erased some of it',
      async (tier, of) => {
        const address = of('log');
        const cut = await cutOf(tier, address);
        const write = logOf(address, [itemOf('x', cut + 10), itemOf('y', cut + 11)]);
        await tier.append([{ write, create: { cut, proven: true } }]);
        // What erased it came after the insert, and is told before the answer to that is.
        await tier.repair([{ address, kind: 'log', stamp: { version: cut + 20, intent: 0 } }]);
        const settle = (id: string, version: number) => {
          const items = [{ id, version }];
          return { kind: 'log', address, items, erasedTo: 0, others: false } as const;
        };
        await tier.settle([settle('x', cut + 10)]);
        has(await entryOf(tier, address), { partial: true, pending: true }, 'it has one left');
        await tier.settle([settle('y', cut + 11)]);
        assert.equal(await entryOf(tier, address), undefined, 'it has gone');
        assert.equal(await isPending(tier, address), false, 'L3 lacks nothing of it');
      },
    ),
    caseOf(
      options,
      'a log that began in L2 alone is partial until L3 was united with it',
      async (tier, of) => {
        const address = of('log');
        const cut = await cutOf(tier, address);
        await tier.append([{ write: logOf(address, [itemOf('new', cut + 10)]) }]);
        has(await entryOf(tier, address), { partial: true }, 'L3 may have more');
        const write = logOf(address, [itemOf('old', cut - 10)]);
        const replies = await tier.backfill([{ kind: 'log', write, cut }]);
        assert.deepEqual([...replies], ['held']);
        const items = [
          { id: 'old', synced: true },
          { id: 'new', synced: false },
        ];
        has(await entryOf(tier, address), { partial: false, pending: true, items }, 'united');
      },
    ),
    caseOf(options, 'G4: a deleted log has none of its items', async (tier, of) => {
      const address = of('log');
      const cut = await cutOf(tier, address);
      await tier.append([{ write: logOf(address, [itemOf('x', cut + 10)]) }]);
      const deletion = { write: logOf(address, [], { erasedTo: cut + 20 }) };
      has(await tier.put([deletion]), [{ status: 'held' }], 'a deletion is held');
      has(await entryOf(tier, address), { items: [], tombstone: true }, 'nothing is left');
      const late = await tier.append([{ write: logOf(address, [itemOf('x', cut + 15)]) }]);
      has(late, [{ status: 'too-low', floor: cut + 20 }], 'an older item does not come back');
    }),
  ];
}
