/**
 * What the tests of derived values in L3 share: one Supabase for a file of tests, and short
 * words for what they do to one entry. Importing it starts the server of that file.
 */
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { type Address, address, type Scope } from '../../../src/model/key.ts';
import type { DerivedEntry, DurableDerived } from '../../../src/tiers/derived.ts';
import { json, type L3, startL3, textOf } from './l3.ts';

/** Time passes by hand; a transaction says which of the cache's last locks it holds. */
const SETUP = `
  create function public.age(ms text) returns json language plpgsql as $$
  begin
    update public.cache_derived set
      fresh_until = fresh_until - $1::bigint * interval '1 ms',
      expires_at = expires_at - $1::bigint * interval '1 ms' where true;
    return null;
  end $$;
  create function public.keep_notes(most text) returns json language plpgsql as $$
  begin
    update public.cache_settings set derived_notes = $1::integer where true;
    return null;
  end $$;
  create function public.locks_of(statement text) returns json language plpgsql as $$
  begin
    execute statement;
    return (
      select json_agg(l.mode) from pg_locks l where l.locktype = 'advisory' and l.granted
        and l.classid = 1080246627 and l.objid = 65 and l.pid = pg_backend_pid()
    );
  end $$;
  alter table public.cache_derived add constraint no_poison check (key not like 'poison%');`;

export const MINUTE = 60_000;

export let l3: L3;
export let derived: DurableDerived;
/** Every test has keys, tags and scopes of its own. */
export let at: Address;
export let other: Address;
export let tag: string;
export let scope: Scope;
export let tests = 0;

beforeAll(async () => {
  l3 = await startL3(SETUP);
  derived = l3.tier.derived;
  await l3.tier.connect(16);
}, 60_000);
afterAll(async () => {
  await l3[Symbol.asyncDispose]();
});
beforeEach(() => {
  tests += 1;
  at = address('derived', `key ${tests}`);
  other = address('derived', `other ${tests}`);
  tag = `tag ${tests}`;
  scope = { kind: 'call', id: String(tests) };
});

export function entry(
  version: number,
  rest: Partial<Omit<DerivedEntry, 'version'>> & { address?: Address } = {},
): DerivedEntry {
  return {
    address: at,
    version,
    intent: 1,
    payload: json(String(version)),
    loadMs: 1.5,
    tags: [],
    scope: undefined,
    ...rest,
  };
}

/** The number that a load begins with. */
export async function begin(): Promise<number> {
  return (await derived.read([])).sequence;
}

export async function put(
  what: DerivedEntry,
  sequence: number | undefined,
): Promise<string | undefined> {
  const life = { freshMs: MINUTE, lifeMs: 2 * MINUTE };
  return (await derived.put([{ entry: what, sequence, ...life }]))[0];
}

export async function seen(where: Address = at): Promise<string | undefined> {
  return textOf((await derived.read([where])).held[0]?.entry.payload);
}

export async function age(ms: number): Promise<void> {
  await l3.rpc('age', { ms: String(ms) });
}
