/**
 * The rules of the protocol, each left out on purpose: what is replaced in which file, and the
 * one test that has to notice, for that reason. A text that is not found exactly once is an error,
 * so that no mutant outlives the code that it was made of.
 */

export interface Mutant {
  /** As the protocol calls what is missing. */
  readonly name: string;
  /** From the root of the repository. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
  readonly test: {
    readonly file: string;
    /** Behind the titles of the groups that it is in: `group > title`. */
    readonly title: string;
    /** In the message of the assertion that fails. */
    readonly reason: string;
  };
}

const CONTRACT = 'packages/core/test/contract/tiers.test.ts';
const ATTACKS = 'packages/core/test/property/core/attacks.test.ts';
const LUA = 'packages/core/src/tiers/redis';

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'settle without version check',
    file: `${LUA}/settle.lua`,
    from: 'if same(held, version, intent) then',
    to: 'if true then',
    test: {
      file: CONTRACT,
      title: 'Redis > G1: settling an older write leaves the newer one pending',
      reason: 'the newer write is still pending',
    },
  },
  {
    name: 'pending entry with a TTL',
    file: `${LUA}/put.lua`,
    from: "redis.call('SET', ENTRY, entry)",
    to: "redis.call('SET', ENTRY, entry, 'PX', 60000)",
    test: {
      file: 'packages/core/test/integration/redis/traps.test.ts',
      title: 'lifetimes > G1: a pending entry never has a TTL, a settled one always does',
      reason: 'the TTL of a pending entry',
    },
  },
  {
    name: 'stored + 1 instead of TOO_LOW',
    file: `${LUA}/put.lua`,
    from: "  return { 'too-low', string.format('%.0f', floor) }",
    to: '  write.version = floor + 1\n  entry = string.sub(entry, 1, 4) .. b64(write.version) .. string.sub(entry, 13)',
    test: {
      file: CONTRACT,
      title:
        'Redis > G4: an older write is told that it is too low; its version is never raised for it',
      reason: 'the newer write is still what is read',
    },
  },
  {
    name: 'no cut',
    file: `${LUA}/lib.lua`,
    from: "  redis.call('SETRANGE', META, 8, b64(cut))\n",
    to: '',
    test: {
      file: CONTRACT,
      title:
        'Redis > G4: what was released leaves a floor: nothing older is accepted where the entry is gone',
      reason: 'below the cut nothing is accepted',
    },
  },
  {
    name: 'no epoch',
    file: `${LUA}/epoch.lua`,
    from: "if meta ~= '' and string.sub(meta, 17) == run then",
    to: "if meta ~= '' then",
    test: {
      file: 'packages/core/test/integration/redis/connection.test.ts',
      title:
        'incarnations > G4: after a restart from a dump, what was settled is a miss and what was pending is stale',
      reason: 'a server that came back is another incarnation',
    },
  },
  {
    name: 'no bypass mark',
    file: 'packages/core/src/write/ladder.ts',
    from: 'climb.atDurable(durable, shared !== undefined)',
    to: 'climb.atDurable(durable, false)',
    test: {
      file: ATTACKS,
      title:
        'G3: a write that went around Redis leaves a mark, and Redis does not go on serving what it replaced',
      reason: 'the mark of a write that went around Redis',
    },
  },
  {
    name: 'no drain when the breaker opens',
    file: 'packages/core/src/instance.ts',
    from: 'onOpen: () => void this.#hooks.drain(),',
    to: 'onOpen: () => {},',
    test: {
      file: 'packages/core/test/integration/faults/redis.test.ts',
      title:
        'G1: when the breaker opens, what only Redis held is brought to L3 at once, not at the interval',
      reason: 'what Redis held is in L3 once the breaker is open',
    },
  },
  {
    name: 'outbox as a tier instead of a floor',
    file: 'packages/core/src/read/lookup.ts',
    from: 'known = unite(unite(known, before), floor.floor(address.id));',
    to: 'known = known ?? before ?? floor.floor(address.id);',
    test: {
      file: ATTACKS,
      title:
        'G2: a read is never below an own write, although Redis still holds what that replaced',
      reason: 'the outbox is a floor for what Redis says',
    },
  },
  {
    name: 'journal without fsync',
    file: 'packages/core/src/write/journal/appender.ts',
    from: '      await file.write(all, at);\n      await file.sync();\n',
    to: '      await file.write(all, at);\n',
    test: {
      file: 'packages/core/test/property/journal/power-loss.test.ts',
      title:
        'G1: nothing that the journal acknowledged is lost with the power, and nothing comes back that was taken back',
      reason: 'acknowledged by the journal, and lost with the power',
    },
  },
  {
    name: 'no erase fence',
    file: 'supabase/migrations/20261120000200_cache_rules.sql',
    from: '    (select f.version from public.cache_erase_fences f where f.scope_kind = kind and f.scope_id = id),\n    0\n',
    to: '    0\n',
    test: {
      file: CONTRACT,
      title: 'Supabase > G8: an erased scope has nothing, and nothing older of it comes back',
      reason: 'it did not come back',
    },
  },
  {
    name: 'bus silence trusted',
    file: 'packages/core/src/coherence/bus.ts',
    from: 'return this.#parts.clock.monotonic() - this.#proof < this.#parts.gapMs;',
    to: 'return this.#proof > Number.NEGATIVE_INFINITY;',
    test: {
      file: 'packages/core/test/unit/coherence/bus.test.ts',
      title:
        'G3: a bus that has heard nothing for gapTtl proves nothing: L1 is not served, and emptied',
      reason: 'L1 is served although the bus is silent',
    },
  },
  {
    name: 'index of an emptied Redis trusted',
    file: 'packages/core/src/write/others.ts',
    from: '    this.#epochs += 1;',
    to: '',
    test: {
      file: 'packages/core/test/integration/faults/barrier.test.ts',
      title:
        'G1: Redis is emptied under a writer that can not reach Supabase: a flush elsewhere does not speak for it',
      reason: 'its writer has not drained',
    },
  },
  {
    name: 'absence guessed when L3 is away',
    file: 'packages/core/src/read/lookup.ts',
    from: 'if (isAlone || floor.isOvertaken(address.id)) throw unknowable(space.name, error);',
    to: "if (isAlone || floor.isOvertaken(address.id)) return { known: own, row: undefined, tier: 'outbox' };",
    test: {
      file: ATTACKS,
      title: 'G2: what only L3 could say is unavailable while it is away, and not absent',
      reason: '"I can not know" is not "there is none"',
    },
  },
  {
    name: 'backfill without ticket',
    file: `${LUA}/backfill.lua`,
    from: 'if u64(ARGV[5], 1) ~= cut then',
    to: 'if false then',
    test: {
      file: CONTRACT,
      title:
        'Redis > G4: a copy whose ticket is out of date is refused: the cut rose since its miss',
      reason: 'the late copy is not there',
    },
  },
  {
    name: 'L1 copy without ticket',
    file: 'packages/core/src/coherence/copies.ts',
    from: '    if (this.#fences.get(ticket.id)?.generation !== ticket.generation) return;\n',
    to: '',
    test: {
      file: ATTACKS,
      title:
        'G3: what a read brings back is not kept in L1 where a newer write was heard of meanwhile',
      reason: 'a copy without a valid ticket',
    },
  },
  {
    name: 'log settled with frames unsent',
    file: `${LUA}/settle-log.lua`,
    from: 'local known = f.synced or version ~= nil',
    to: 'local known = true',
    test: {
      file: CONTRACT,
      title: 'Redis > G1: a log is settled item by item: what L3 did not name stays pending',
      reason: 'an unsent item is not settled',
    },
  },
];

/**
 * The text with the rule left out.
 * @throws Error where the mutant does not fit the text exactly once
 */
export function mutated(text: string, { name, file, from, to }: Mutant): string {
  const pieces = text.split(from);
  if (pieces.length !== 2) {
    const found = pieces.length - 1;
    throw new Error(`mutant "${name}": its text is ${found} times in ${file}, not once`);
  }
  return pieces.join(to);
}
