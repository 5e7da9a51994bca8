/** What an L2 promises of values. */
import assert from 'node:assert/strict';
import { type ContractCase, type ContractOptions, caseOf, has, writeOf } from './case.ts';
import type { ContractAddress, ContractSharedTier } from './tiers.ts';

/** The floor of the shard that holds the address. */
export async function cutOf(tier: ContractSharedTier, address: ContractAddress): Promise<number> {
  const [read] = await tier.read([address]);
  assert.ok(read, 'one read for one address');
  return read.meta.cut;
}

export async function isPending(
  tier: ContractSharedTier,
  address: ContractAddress,
): Promise<boolean> {
  const { addresses } = await tier.pending(Number.MAX_SAFE_INTEGER, 10_000);
  return addresses.some(({ id }) => id === address.id);
}

export async function entryOf(
  tier: ContractSharedTier,
  address: ContractAddress,
): Promise<object | undefined> {
  const [read] = await tier.read([address]);
  return read?.entry;
}

export function sharedValueCases(
  options: ContractOptions<ContractSharedTier>,
): readonly ContractCase[] {
  return [...putting(options), ...releasing(options), ...copying(options)];
}

function putting(options: ContractOptions<ContractSharedTier>): readonly ContractCase[] {
  return [
    caseOf(options, 'what is not there is a miss that quotes its cut', async (tier, of) => {
      const [read] = await tier.read([of('none')]);
      assert.equal(read?.entry, undefined, 'nothing was put there');
      assert.ok(Number.isSafeInteger(read?.meta.cut), 'the cut is a number');
    }),
    caseOf(
      options,
      'G1, G10: what was put is pending, and read as it was put',
      async (tier, of) => {
        const at = of('a');
        const scope = { kind: 'call', id: 'é/1' };
        const write = writeOf(at, (await cutOf(tier, at)) + 10, 7, { scope, tags: ['red'] });
        has(await tier.put([{ write }]), [{ status: 'held' }], 'it is held');
        has(await entryOf(tier, at), { kind: 'value', pending: true, write }, 'it is what was put');
        assert.ok(await isPending(tier, at), 'L3 lacks it, and pending() says so');
      },
    ),
    caseOf(options, 'the same write again is the same write', async (tier, of) => {
      const at = of('a');
      const write = writeOf(at, (await cutOf(tier, at)) + 10, 1);
      await tier.put([{ write }]);
      has(await tier.put([{ write }]), [{ status: 'held' }], 'a retry is held');
    }),
    caseOf(
      options,
      'G4: an older write is told that it is too low; its version is never raised for it',
      async (tier, of) => {
        const at = of('a');
        const cut = await cutOf(tier, at);
        const newer = writeOf(at, cut + 10, 1);
        await tier.put([{ write: newer }]);
        const older = writeOf(at, cut + 5, 2);
        const reply = await tier.put([{ write: older }]);
        has(await entryOf(tier, at), { write: newer }, 'the newer write is still what is read');
        has(reply, [{ status: 'too-low', floor: cut + 10 }], 'it is told what is there');
      },
    ),
    caseOf(options, 'create is refused where there is a live entry', async (tier, of) => {
      const at = of('a');
      const cut = await cutOf(tier, at);
      await tier.put([{ write: writeOf(at, cut + 1, 1) }]);
      const create = { cut: await cutOf(tier, at), proven: true };
      const again = { write: writeOf(at, cut + 9, 2), create };
      has(await tier.put([again]), [{ status: 'exists' }], 'it is there already');
    }),
    caseOf(options, 'create is refused where the cut rose since its miss', async (tier, of) => {
      const at = of('a');
      const cut = await cutOf(tier, at);
      await tier.drop([{ address: at, newer: { version: cut + 1, intent: 1 } }]);
      const create = { write: writeOf(at, cut + 90, 2), create: { cut, proven: true } };
      has(await tier.put([create]), [{ status: 'moved' }], 'the miss is out of date');
    }),
    caseOf(options, 'a batch is answered in its order', async (tier, of) => {
      const all = ['a', 'b', 'c'].map(of);
      const cuts = await Promise.all(all.map((one) => cutOf(tier, one)));
      const writes = all.map((one, i) => writeOf(one, (cuts[i] ?? 0) + 10 + i, i));
      await tier.put(writes.map((write) => ({ write })));
      const reads = await tier.read([...all].reverse());
      const expected = [...writes].reverse().map((write) => ({ write }));
      has(
        reads.map(({ entry }) => entry),
        expected,
        'each read is of its own address',
      );
    }),
  ];
}

function releasing(options: ContractOptions<ContractSharedTier>): readonly ContractCase[] {
  return [
    caseOf(options, 'G1: what L3 has is settled', async (tier, of) => {
      const address = of('a');
      const write = writeOf(address, (await cutOf(tier, address)) + 10, 1);
      await tier.put([{ write }]);
      const { version, intent } = write;
      const replies = await tier.settle([{ kind: 'value', address, version, intent }]);
      assert.deepEqual([...replies], ['done']);
      has(await entryOf(tier, address), { pending: false, write }, 'it stays, as a copy');
      assert.equal(await isPending(tier, address), false, 'L3 lacks nothing of it');
    }),
    caseOf(
      options,
      'G1: settling an older write leaves the newer one pending',
      async (tier, of) => {
        const address = of('a');
        const cut = await cutOf(tier, address);
        const newer = writeOf(address, cut + 20, 2);
        await tier.put([{ write: writeOf(address, cut + 10, 1) }]);
        await tier.put([{ write: newer }]);
        await tier.settle([{ kind: 'value', address, version: cut + 10, intent: 1 }]);
        const entry = await entryOf(tier, address);
        has(entry, { pending: true, write: newer }, 'the newer write is still pending');
        assert.ok(await isPending(tier, address), 'the newer write is still to be flushed');
      },
    ),
    caseOf(options, 'G4: settling a newer write takes the older copy away', async (tier, of) => {
      const address = of('a');
      const cut = await cutOf(tier, address);
      await tier.put([{ write: writeOf(address, cut + 10, 1) }]);
      await tier.settle([{ kind: 'value', address, version: cut + 20, intent: 2 }]);
      assert.equal(await entryOf(tier, address), undefined, 'the older copy is gone');
    }),
    caseOf(
      options,
      'G4: what was released leaves a floor: nothing older is accepted where the entry is gone',
      async (tier, of) => {
        const address = of('a');
        const cut = await cutOf(tier, address);
        const [version, intent] = [cut + 10, 1];
        await tier.put([{ write: writeOf(address, version, intent) }]);
        await tier.settle([{ kind: 'value', address, version, intent }]);
        await tier.forget([address]);
        assert.equal(await entryOf(tier, address), undefined, 'a settled copy can be forgotten');
        const late = writeOf(address, version - 1, 3);
        const [reply] = await tier.put([{ write: late }]);
        assert.equal(reply?.status, 'too-low', 'below the cut nothing is accepted');
      },
    ),
    caseOf(options, 'G4: every release raises the cut, however often', async (tier, of) => {
      const address = of('a');
      const newer = { version: (await cutOf(tier, address)) - 100, intent: 1 };
      for (const release of [
        () => tier.settle([{ kind: 'value', address, ...newer }]),
        () => tier.drop([{ address, newer }]),
        () => tier.repair([{ address, kind: 'value', stamp: newer }]),
      ]) {
        const before = await cutOf(tier, address);
        await release();
        assert.ok((await cutOf(tier, address)) > before, 'the cut rises with every release');
      }
    }),
    caseOf(options, 'G4: drop takes what is older, pending or not', async (tier, of) => {
      const address = of('a');
      const cut = await cutOf(tier, address);
      await tier.put([{ write: writeOf(address, cut + 10, 1) }]);
      await tier.drop([{ address, newer: { version: cut + 10, intent: 0 } }]);
      has(await entryOf(tier, address), { pending: true }, 'what is newer than L3 stays');
      await tier.drop([{ address, newer: { version: cut + 11, intent: 1 } }]);
      assert.equal(await entryOf(tier, address), undefined, 'what is older than L3 goes');
    }),
    caseOf(options, 'G1: repair leaves an older pending write, and says so', async (tier, of) => {
      const address = of('a');
      const cut = await cutOf(tier, address);
      await tier.put([{ write: writeOf(address, cut + 10, 1) }]);
      const stamp = { version: cut + 20, intent: 1 };
      const replies = await tier.repair([{ address, kind: 'value', stamp }]);
      assert.deepEqual([...replies], ['pending'], 'it has to be flushed first');
      has(await entryOf(tier, address), { pending: true }, 'nothing pending is lost');
    }),
    caseOf(options, 'G1: forget leaves what is pending; purge takes it', async (tier, of) => {
      const address = of('a');
      const version = (await cutOf(tier, address)) + 10;
      await tier.put([{ write: writeOf(address, version, 1) }]);
      await tier.forget([address]);
      has(await entryOf(tier, address), { pending: true }, 'nothing pending is forgotten');
      await tier.purge([{ address, version }]);
      assert.equal(await entryOf(tier, address), undefined, 'what was erased is gone');
      assert.equal(await isPending(tier, address), false, 'and nobody flushes it');
    }),
  ];
}

function copying(options: ContractOptions<ContractSharedTier>): readonly ContractCase[] {
  return [
    caseOf(options, 'G4: a copy fills a miss', async (tier, of) => {
      const address = of('a');
      const cut = await cutOf(tier, address);
      const write = writeOf(address, cut - 10, 1);
      assert.deepEqual([...(await tier.backfill([{ kind: 'value', write, cut }]))], ['held']);
      has(await entryOf(tier, address), { pending: false, write }, 'L3 has it, so it is settled');
    }),
    caseOf(
      options,
      'G4: a copy whose ticket is out of date is refused: the cut rose since its miss',
      async (tier, of) => {
        const address = of('a');
        const cut = await cutOf(tier, address);
        const newer = { version: cut + 10, intent: 2 };
        await tier.drop([{ address, newer }]);
        const write = writeOf(address, cut - 10, 1);
        const replies = await tier.backfill([{ kind: 'value', write, cut }]);
        assert.equal(await entryOf(tier, address), undefined, 'the late copy is not there');
        assert.deepEqual([...replies], ['refused']);
      },
    ),
    caseOf(options, 'G1: a copy never replaces what is pending', async (tier, of) => {
      const address = of('a');
      const cut = await cutOf(tier, address);
      const pending = writeOf(address, cut + 10, 1);
      await tier.put([{ write: pending }]);
      const write = writeOf(address, cut + 20, 2);
      const quoted = await cutOf(tier, address);
      assert.deepEqual(
        [...(await tier.backfill([{ kind: 'value', write, cut: quoted }]))],
        ['refused'],
      );
      has(await entryOf(tier, address), { pending: true, write: pending }, 'it is still there');
    }),
    caseOf(options, 'a write that went through L3 is a settled copy', async (tier, of) => {
      const address = of('a');
      const write = writeOf(address, (await cutOf(tier, address)) + 10, 1);
      assert.deepEqual([...(await tier.putSettled([write]))], ['done']);
      has(await entryOf(tier, address), { pending: false, write }, 'L3 has it');
      assert.ok((await cutOf(tier, address)) >= write.version, 'it was released');
    }),
  ];
}
