/** One promise of a tier with the attempt to break it; knows no test runner. */
import assert from 'node:assert/strict';
import type { ContractAddress, ContractItem, ContractLog, ContractValue } from './tiers.ts';

/** Hand `title` and `run` to any test runner: `for (const { title, run } of …) test(title, run)`. */
export interface ContractCase {
  /** A sentence, with the number of the guarantee where it attacks one. */
  readonly title: string;
  /** Rejects with an `AssertionError` where the tier breaks the promise. */
  readonly run: () => Promise<void>;
}

/** A tier for one case. */
export interface TierUnderTest<T> {
  readonly tier: T;
  /** Ends what `open` began. */
  close(): Promise<void>;
}

/** What can be done to the store behind a tier. Each that is given adds its cases. */
export interface ContractFaults {
  /** It stops answering; connections stay. `thaw` ends that, and late commands are executed. */
  readonly stall?: { readonly freeze: () => void; readonly thaw: () => void };
  /** It is gone with its connections, and comes back: L2 empty, L3 with what it acknowledged. */
  readonly death?: { readonly kill: () => Promise<void>; readonly restart: () => Promise<void> };
  /** It forgets everything and goes on. Of an L2 only. */
  readonly empty?: () => Promise<void>;
}

export interface ContractOptions<T> {
  /** A connected tier. The store may be shared by all cases, and need not be empty. */
  readonly open: () => Promise<TierUnderTest<T>>;
  readonly faults?: ContractFaults | undefined;
}

type Check<T> = (tier: T, of: (key: string) => ContractAddress) => Promise<void>;

let cases = 0;

/** Addresses of one case are no other case's. */
export function caseOf<T>(
  { open }: ContractOptions<T>,
  title: string,
  check: Check<T>,
): ContractCase {
  const run = async () => {
    cases += 1;
    const prefix = `${process.pid}-${cases}-${Date.now()}`;
    const { tier, close } = await open();
    try {
      await check(tier, (key) => addressOf('contract', `${prefix}-${key}`));
    } finally {
      await close();
    }
  };
  return { title, run };
}

function addressOf(namespace: string, key: string): ContractAddress {
  return { namespace, key, id: `${namespace}/${key}` };
}

export function writeOf(
  address: ContractAddress,
  version: number,
  intent: number,
  more: Partial<ContractValue> = {},
): ContractValue {
  const bytes = Buffer.from(JSON.stringify({ version, intent }));
  return {
    kind: 'value',
    address,
    version,
    intent,
    payload: { codec: 'json', bytes },
    expiresAt: 0,
    scope: undefined,
    tags: [],
    ...more,
  };
}

export function itemOf(id: string, version: number, words: string = id): ContractItem {
  return { id, version, payload: { codec: 'json', bytes: Buffer.from(JSON.stringify(words)) } };
}

export function logOf(
  address: ContractAddress,
  items: readonly ContractItem[],
  more: Partial<ContractLog> = {},
): ContractLog {
  return { kind: 'log', address, items, erasedTo: 0, scope: undefined, ...more };
}

/** `part` is in `actual`, whatever else is: replies may say more than the contract asks. */
export function has(actual: unknown, part: unknown, promise: string): void {
  assert.deepEqual(only(actual, part), part, promise);
}

function only(actual: unknown, part: unknown): unknown {
  if (Array.isArray(part) && Array.isArray(actual)) {
    return actual.map((member, index) => (index in part ? only(member, part[index]) : member));
  }
  if (!isPlain(part) || !isPlain(actual)) return actual;
  const there = new Map(Object.entries(actual));
  return Object.fromEntries(
    Object.entries(part).map(([name, member]) => [name, only(there.get(name), member)]),
  );
}

function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !(value instanceof Uint8Array);
}

/** A call that has no answer rejects, and says whether it may have had an effect. */
export async function rejectsWithOutcome(call: Promise<unknown>, promise: string): Promise<void> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof Error, `${promise}: it rejects`);
  const outcome = 'outcome' in error ? error.outcome : undefined;
  assert.ok(outcome === 'none' || outcome === 'unknown', `${promise}: the error says its outcome`);
}
