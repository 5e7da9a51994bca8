/** Source: the hotel agent's audio cache (2025-10-07), its automatic clean-up. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  type CleanupPolicy,
  fifo,
  gdsf,
  literal,
  lru,
  PROTECTION,
  ranks,
} from '../src/cleanup-policy.ts';
import type { ClipEntry } from '../src/store.ts';
import { keyOf, metadata, NOW } from './file-store/support.ts';

const POLICIES: readonly CleanupPolicy[] = [ranks(), gdsf(), lru(), fifo(), literal()];
const AT = NOW + 1_000_000;

interface Given {
  readonly name: string;
  readonly age?: number;
  readonly idle?: number;
  readonly uses?: number;
  readonly bytes?: number;
  readonly contentType?: string;
  readonly characters?: number;
}

function entry(given: Given): ClipEntry {
  const { name, age = 1_000, idle = age, uses = 0, bytes = 1_000, contentType = 'other' } = given;
  return {
    key: keyOf(name),
    metadata: metadata({ contentType, createdAt: AT - age, characters: given.characters ?? 10 }),
    storedBytes: bytes,
    lastAccessedAt: AT - idle,
    accessCount: uses,
  };
}

function first(policy: CleanupPolicy, ...given: readonly Given[]): string {
  const names = new Map(given.map(({ name }) => [keyOf(name), name]));
  return policy
    .order(given.map(entry), AT)
    .map(({ key }) => names.get(key))
    .join(' ');
}

const anyEntries = fc
  .uniqueArray(
    fc.record({
      name: fc.integer({ min: 0, max: 999 }).map(String),
      age: fc.integer({ min: 500, max: 900_000 }),
      idle: fc.integer({ min: 0, max: 500 }),
      uses: fc.integer({ min: 0, max: 20 }),
      bytes: fc.integer({ min: 1, max: 100_000 }),
      contentType: fc.constantFrom('other', ...Object.keys(PROTECTION)),
    }),
    { selector: ({ name }) => name, maxLength: 30 },
  )
  .map((given) => given.map(entry));

it.each(POLICIES)(
  '$name: gives every entry once, leaves what it was given alone, and does not depend on its order',
  (policy) => {
    fc.assert(
      fc.property(anyEntries, fc.integer(), (entries, turn) => {
        const before = [...entries];
        const ordered = policy.order(entries, AT);
        expect(entries).toEqual(before);
        expect(new Set(ordered)).toEqual(new Set(entries));
        expect(ordered).toHaveLength(entries.length);
        const from = Math.abs(turn) % Math.max(1, entries.length);
        const turned = [...entries.slice(from), ...entries.slice(0, from)].toReversed();
        expect(policy.order(turned, AT)).toEqual(ordered);
      }),
    );
  },
);

it.each([ranks(), gdsf(), literal()])(
  '$name: what is older, less used, larger and no better protected goes first',
  (policy) => {
    fc.assert(
      fc.property(anyEntries, fc.integer({ min: 0, max: 29 }), (entries, at) => {
        const some = entries[at % Math.max(1, entries.length)];
        if (some === undefined) return;
        const worse: ClipEntry = {
          ...some,
          key: keyOf('worse'),
          metadata: { ...some.metadata, createdAt: some.metadata.createdAt - 1 },
          lastAccessedAt: some.lastAccessedAt - 1,
          storedBytes: some.storedBytes + 1,
        };
        const keys = policy.order([...entries, worse], AT).map(({ key }) => key);
        expect(keys.indexOf(worse.key)).toBeLessThan(keys.indexOf(some.key));
      }),
    );
  },
);

it('ranks: only the order of ages and uses counts, not their scale', () => {
  fc.assert(
    fc.property(anyEntries, (entries) => {
      const stretched = entries.map((one) => ({
        ...one,
        lastAccessedAt: AT - (AT - one.lastAccessedAt) ** 2,
        accessCount: one.accessCount ** 3,
      }));
      const keys = (some: readonly ClipEntry[]) =>
        ranks()
          .order(some, AT)
          .map(({ key }) => key);
      expect(keys(stretched)).toEqual(keys(entries));
    }),
  );
});

it('ranks: age counts seventy parts of a hundred, use thirty', () => {
  const old = { name: 'old', idle: 100, uses: 1 };
  const unused = { name: 'unused', idle: 1, uses: 0 };
  expect(first(ranks(), unused, old)).toBe('old unused');
  expect(first(ranks({ ageWeight: 0.4 }), unused, old)).toBe('unused old');
});

it('ranks: age is that since the last access, where the letter of the source has that since creation', () => {
  const heardJustNow = { name: 'heard', age: 900, idle: 1, uses: 3 };
  const forgotten = { name: 'forgotten', age: 800, idle: 700, uses: 3 };
  expect(first(ranks(), heardJustNow, forgotten)).toBe('forgotten heard');
  expect(first(literal(), heardJustNow, forgotten)).toBe('heard forgotten');
});

it('ranks: one clip that is used a thousand times does not make all the others equal', () => {
  const others = [
    { name: 'never', idle: 50, uses: 0 },
    { name: 'often', idle: 60, uses: 9 },
    { name: 'star', idle: 10, uses: 1_000 },
    { name: 'fresh', idle: 2, uses: 1 },
  ];
  const half = ranks({ ageWeight: 0.3 });
  expect(first(half, ...others).split(' ')[0]).toBe('never');
  // Divided by the largest, nine times is nothing.
  expect(
    first(literal({ ageWeight: 0.3 }), ...others.map((one) => ({ ...one, age: one.idle }))).split(
      ' ',
    )[0],
  ).toBe('often');
});

it('ranks: welcome and common messages are protected, each by its factor', () => {
  const types = [
    'other',
    'hotel_location',
    'error_messages',
    'common_responses',
    'welcome_message',
  ];
  const entries = types.map((contentType) => ({ name: contentType, contentType }));
  expect(first(ranks(), ...entries.toReversed())).toBe(types.join(' '));
  expect(first(literal(), ...entries.toReversed())).toBe(types.join(' '));
  const own = ranks({ protection: { welcome_message: 1, other: 0 } });
  expect(
    first(own, ...entries)
      .split(' ')
      .at(-1),
  ).toBe('other');
});

it('of clips that are equal the largest goes first, whatever the policy', () => {
  for (const policy of POLICIES) {
    const sizes = [
      { name: 'small', bytes: 10 },
      { name: 'large', bytes: 30 },
      { name: 'middle', bytes: 20 },
    ];
    expect(first(policy, ...sizes), policy.name).toBe('large middle small');
  }
});

it('ranks: within a hundredth of danger, too, the largest goes first', () => {
  const many = Array.from({ length: 400 }, (_, n) => ({
    name: `${n}`,
    idle: 1_000 + n,
    bytes: 10,
  }));
  const large = { name: 'large', idle: 1_200.5, bytes: 1_000 };
  const names = first(ranks(), ...many, large).split(' ');
  // Those that were not heard for longer are 199; it is among the last of those, not behind them.
  expect(names.indexOf('large')).toBeLessThan(199);
  expect(names.indexOf('large')).toBeGreaterThan(190);
});

it('gdsf: of two clips that are used as much the one that costs less for its bytes goes first', () => {
  const dear = { name: 'dear', characters: 200, bytes: 1_000 };
  const cheap = { name: 'cheap', characters: 20, bytes: 1_000 };
  const large = { name: 'large', characters: 20, bytes: 9_000 };
  expect(first(gdsf(), dear, cheap, large)).toBe('large cheap dear');
  expect(first(gdsf({ cost: () => 1 }), dear, large).split(' ')[0]).toBe('large');
});

it('gdsf: what was worth a lot goes all the same when it is not heard for long enough', () => {
  const star = (idle: number) => ({ name: 'star', uses: 9, idle });
  const others = Array.from({ length: 9 }, (_, n) => ({ name: `${n}`, uses: 1, idle: 10 + n }));
  expect(
    first(gdsf(), star(60), ...others)
      .split(' ')
      .at(-1),
  ).toBe('star');
  expect(first(gdsf(), star(600), ...others).split(' ')[0]).toBe('star');
});

it('weights and factors outside of 0 to 1 are no options', () => {
  for (const ageWeight of [-0.1, 1.1, Number.NaN]) {
    expect(() => ranks({ ageWeight })).toThrow(RangeError);
    expect(() => literal({ protection: { other: ageWeight } })).toThrow(RangeError);
  }
});
