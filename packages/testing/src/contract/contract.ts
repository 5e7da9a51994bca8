/**
 * The contract of the tiers, so that whoever writes a tier, or wraps one, can hold it against what
 * @cache/core relies on, faults included. It asks the tier alone, and looks behind it nowhere.
 *
 * A tier passes where every case does. It needs an open store and no certain test runner: every
 * case is a title and a function that rejects.
 */
import type { ContractCase, ContractOptions } from './case.ts';
import { durableCases } from './durable.ts';
import { durableFaultCases } from './durable-faults.ts';
import { sharedFaultCases } from './shared-faults.ts';
import { sharedLogCases } from './shared-logs.ts';
import { sharedValueCases } from './shared-values.ts';
import type { ContractDurableTier, ContractSharedTier } from './tiers.ts';

/** What an L2 has to keep: a `SharedTier` of @cache/core. */
export function sharedTierContract(
  options: ContractOptions<ContractSharedTier>,
): readonly ContractCase[] {
  return [...sharedValueCases(options), ...sharedLogCases(options), ...sharedFaultCases(options)];
}

/** What an L3 has to keep: a `DurableTier` of @cache/core. */
export function durableTierContract(
  options: ContractOptions<ContractDurableTier>,
): readonly ContractCase[] {
  return [...durableCases(options), ...durableFaultCases(options)];
}
