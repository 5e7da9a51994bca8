/** What an L3 promises while its store fails, and afterwards. */
import { eventually } from '../eventually.ts';
import {
  type ContractCase,
  type ContractOptions,
  caseOf,
  has,
  rejectsWithOutcome,
  writeOf,
} from './case.ts';
import { above } from './durable.ts';
import type { ContractDurableTier } from './tiers.ts';

export function durableFaultCases(
  options: ContractOptions<ContractDurableTier>,
): readonly ContractCase[] {
  const { stall, death } = options.faults ?? {};
  const list: ContractCase[] = [];
  if (stall !== undefined) list.push(frozen(options, stall));
  if (death !== undefined) list.push(dead(options, death));
  return list;
}

function frozen(
  options: ContractOptions<ContractDurableTier>,
  { freeze, thaw }: { readonly freeze: () => void; readonly thaw: () => void },
): ContractCase {
  return caseOf(
    options,
    'G5: frozen, a call ends with its signal; sent again, the write is the same write',
    async (tier, of) => {
      const row = { write: writeOf(of('a'), await above(tier), 1), mark: false };
      freeze();
      try {
        const call = tier.apply([row], { signal: AbortSignal.timeout(100) });
        await rejectsWithOutcome(call, 'a call to a frozen store');
      } finally {
        thaw();
      }
      await eventually(async () => {
        has(await tier.apply([row]), [{ status: 'applied' }], 'it is applied, once');
      });
      const { version, intent } = row.write;
      has(await tier.read([of('a')]), [{ version, intent }], 'it is there');
    },
  );
}

function dead(
  options: ContractOptions<ContractDurableTier>,
  death: { readonly kill: () => Promise<void>; readonly restart: () => Promise<void> },
): ContractCase {
  return caseOf(
    options,
    'G1: killed, a call rejects and says its outcome; back, what was applied is there',
    async (tier, of) => {
      const write = writeOf(of('a'), await above(tier), 1);
      has(await tier.apply([{ write, mark: false }]), [{ status: 'applied' }], 'it is applied');
      await death.kill();
      try {
        const signal = AbortSignal.timeout(5_000);
        const call = tier.apply([{ write, mark: false }], { signal });
        await rejectsWithOutcome(call, 'a call to a dead store');
      } finally {
        await death.restart();
      }
      const { version, intent } = write;
      await eventually(async () => {
        has(await tier.read([of('a')]), [{ version, intent }], 'what was applied is there');
      });
    },
  );
}
