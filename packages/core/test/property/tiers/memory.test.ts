import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Clock } from '../../../src/clock.ts';
import type { Copy } from '../../../src/model/copy.ts';
import { type AddressId, address } from '../../../src/model/key.ts';
import { ENTRY_OVERHEAD_BYTES, MemoryTier } from '../../../src/tiers/memory.ts';

const MAX = 4;
const MAX_BYTES = 1500;
const TTL_MS = 100;

type Step =
  | { readonly do: 'set'; readonly key: string; readonly bytes: number; readonly life: number }
  | { readonly do: 'get' | 'delete'; readonly key: string }
  | { readonly do: 'pass'; readonly ms: number }
  | { readonly do: 'clear' };

const key = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f');
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('set' as const),
        key,
        bytes: fc.constantFrom(1, 100, 400, 1200, 2000),
        life: fc.constantFrom(0, 30, 99, 100, 500),
      }),
    },
    {
      weight: 6,
      arbitrary: fc.record({ do: fc.constantFrom('get' as const, 'delete'), key }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.nat(60) }) },
    { weight: 1, arbitrary: fc.constant({ do: 'clear' as const }) },
  ),
  { maxLength: 60 },
);

/** What L1 does, said plainly: a Map whose order is that of use. */
class Model {
  readonly entries = new Map<AddressId, { entry: Copy; end: number; size: number }>();
  now = 0;

  set(id: AddressId, entry: Copy): void {
    this.entries.delete(id);
    const size = entry.bytes + id.length + ENTRY_OVERHEAD_BYTES;
    const ttl = entry.expiresAt === 0 ? TTL_MS : Math.min(TTL_MS, entry.expiresAt - this.now);
    if (size > MAX_BYTES || ttl <= 0) return;
    while (this.entries.size >= MAX || this.bytes + size > MAX_BYTES) this.evict();
    this.entries.set(id, { entry, end: this.now + ttl, size });
  }

  evict(): void {
    for (const id of this.entries.keys()) {
      this.entries.delete(id);
      return;
    }
  }

  get(id: AddressId): Copy | undefined {
    const held = this.entries.get(id);
    if (held === undefined) return undefined;
    const over = this.now > held.end || this.now === held.entry.expiresAt;
    this.entries.delete(id);
    if (over) return undefined;
    this.entries.set(id, held);
    return held.entry;
  }

  get bytes(): number {
    return [...this.entries.values()].reduce((sum, { size }) => sum + size, 0);
  }
}

it('G6: L1 gives what a plain Map with an order of use would, and stays within both bounds', () => {
  fc.assert(
    fc.property(steps, (script) => {
      const model = new Model();
      model.now = 1;
      const clock: Clock = {
        now: () => model.now,
        monotonic: () => model.now - 1,
        after: () => () => {},
        random53: () => 4,
      };
      const options = { max: MAX, maxBytes: MAX_BYTES, ttlMs: TTL_MS };
      const tier = new MemoryTier(options, clock);
      for (const [i, step] of script.entries()) {
        if (step.do === 'pass') model.now += step.ms;
        else if (step.do === 'clear') {
          tier.clear();
          model.entries.clear();
        } else {
          const { id } = address('n', step.key);
          if (step.do === 'set') {
            const entry: Copy = {
              kind: 'value',
              value: i,
              version: i,
              intent: 0,
              expiresAt: step.life === 0 ? 0 : model.now + step.life,
              bytes: step.bytes,
              storedAt: model.now,
            };
            tier.set(id, entry);
            model.set(id, entry);
          } else if (step.do === 'delete') {
            expect(tier.delete(id)).toBe(model.entries.delete(id));
          } else {
            expect(tier.get(id)).toBe(model.get(id));
          }
        }
        expect(tier.size).toBe(model.entries.size);
        expect(tier.bytes).toBe(model.bytes);
        expect(tier.size <= MAX && tier.bytes <= MAX_BYTES).toBe(true);
      }
    }),
    { numRuns: 2000 },
  );
});
