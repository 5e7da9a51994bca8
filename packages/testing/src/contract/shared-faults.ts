/** What an L2 promises while its store fails, and afterwards. */
import assert from 'node:assert/strict';
import { eventually } from '../eventually.ts';
import {
  type ContractCase,
  type ContractOptions,
  caseOf,
  has,
  rejectsWithOutcome,
  writeOf,
} from './case.ts';
import { cutOf, entryOf } from './shared-values.ts';
import type { ContractSharedTier } from './tiers.ts';

export function sharedFaultCases(
  options: ContractOptions<ContractSharedTier>,
): readonly ContractCase[] {
  const { stall, death, empty } = options.faults ?? {};
  const list: ContractCase[] = [];
  if (empty !== undefined) list.push(emptied(options, empty));
  if (stall !== undefined) list.push(frozen(options, stall));
  if (death !== undefined) list.push(dead(options, death));
  return list;
}

function emptied(
  options: ContractOptions<ContractSharedTier>,
  empty: () => Promise<void>,
): ContractCase {
  return caseOf(
    options,
    'G4: emptied, the store begins a new epoch: the command that finds out has no effect, and nothing older is accepted',
    async (tier, of) => {
      const address = of('a');
      const [before] = await tier.read([address]);
      const write = writeOf(address, (before?.meta.cut ?? 0) + 10, 1);
      await tier.put([{ write }]);
      await empty();
      has(await tier.put([{ write }]), [{ status: 'epoch' }], 'it has no effect');
      await eventually(async () => {
        const [after] = await tier.read([address]);
        assert.equal(after?.entry, undefined, 'nothing is there any more');
        assert.notEqual(after?.meta.epoch, before?.meta.epoch, 'it is another incarnation');
      });
      const [reply] = await tier.put([{ write }]);
      assert.equal(reply?.status, 'too-low', 'the new epoch begins above what was there');
    },
  );
}

function frozen(
  options: ContractOptions<ContractSharedTier>,
  { freeze, thaw }: { readonly freeze: () => void; readonly thaw: () => void },
): ContractCase {
  return caseOf(
    options,
    'G5: frozen, a call ends with its signal; what is executed late is the same write',
    async (tier, of) => {
      const address = of('a');
      const write = writeOf(address, (await cutOf(tier, address)) + 10, 1);
      freeze();
      try {
        const signal = AbortSignal.timeout(50);
        await rejectsWithOutcome(tier.put([{ write }], { signal }), 'a call to a frozen store');
      } finally {
        thaw();
      }
      await eventually(async () => {
        has(await tier.put([{ write }]), [{ status: 'held' }], 'sent again, it is held');
      });
      has(await entryOf(tier, address), { pending: true, write }, 'it is there once');
    },
  );
}

function dead(
  options: ContractOptions<ContractSharedTier>,
  death: { readonly kill: () => Promise<void>; readonly restart: () => Promise<void> },
): ContractCase {
  return caseOf(
    options,
    'G5: killed, a call rejects and says its outcome; back, the tier finds its store by itself',
    async (tier, of) => {
      const address = of('a');
      const write = writeOf(address, (await cutOf(tier, address)) + 10, 1);
      await tier.put([{ write }]);
      await death.kill();
      try {
        const call = tier.put([{ write }], { signal: AbortSignal.timeout(5_000) });
        await rejectsWithOutcome(call, 'a call to a dead store');
      } finally {
        await death.restart();
      }
      const entry = await eventually(() => entryOf(tier, address));
      assert.equal(entry, undefined, 'it came back with nothing');
      const [reply] = await tier.put([{ write }]);
      assert.equal(reply?.status, 'too-low', 'the new epoch begins above what was there');
    },
  );
}
