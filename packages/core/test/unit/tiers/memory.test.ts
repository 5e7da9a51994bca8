import { describe, expect, it } from 'vitest';
import type { Clock } from '../../../src/clock.ts';
import type { Copy } from '../../../src/model/copy.ts';
import { type AddressId, address, scopeOf } from '../../../src/model/key.ts';
import { scopeTagId, type TagId, tagId } from '../../../src/model/tags.ts';
import {
  ENTRY_OVERHEAD_BYTES,
  type EvictReason,
  MemoryTier,
  type MemoryTierOptions,
} from '../../../src/tiers/memory.ts';

/** Both of its times stand still until they are moved. */
class HeldClock implements Clock {
  wall = 1_800_000_000_000;
  mono = 0;
  pass(ms: number): void {
    this.wall += ms;
    this.mono += ms;
  }
  now(): number {
    return this.wall;
  }
  monotonic(): number {
    return this.mono;
  }
  after(): () => void {
    throw new Error('L1 needs no timer');
  }
  random53(): number {
    return 4;
  }
}

const id = (key: string): AddressId => address('calls', key).id;
const entry = (value: unknown, over: Partial<Copy> = {}): Copy => ({
  kind: 'value',
  value,
  version: 1,
  intent: 1,
  expiresAt: 0,
  bytes: 10,
  storedAt: 0,
  ...over,
});
/** What an entry with a key of one letter and `bytes` of payload is taken to need. */
const sizeOf = (bytes: number): number => bytes + 'calls/a'.length + ENTRY_OVERHEAD_BYTES;

function tier(over: Partial<MemoryTierOptions> = {}) {
  const clock = new HeldClock();
  const gone: EvictReason[] = [];
  const options = { max: 100, maxBytes: 1_000_000, ttlMs: 1000, ...over };
  const memory = new MemoryTier(options, clock, (reason) => gone.push(reason));
  return { clock, gone, memory };
}

describe('L1', () => {
  it('G10: holds null, 0, false, "" and a known absence as entries', () => {
    const { memory } = tier();
    for (const [i, value] of [null, 0, false, '', undefined].entries()) {
      expect(memory.set(id(`k${i}`), entry(value))).toBe(true);
      expect(memory.get(id(`k${i}`))).toEqual(entry(value));
    }
    expect(memory.size).toBe(5);
    expect(memory.get(id('other'))).toBeUndefined();
  });

  it('G6: is bounded by entries, and what was used longest ago goes', () => {
    const { memory, gone } = tier({ max: 2 });
    memory.set(id('a'), entry(1));
    memory.set(id('b'), entry(2));
    memory.get(id('a'));
    memory.set(id('c'), entry(3));
    expect(memory.get(id('b'))).toBeUndefined();
    expect(memory.get(id('a'))?.value).toBe(1);
    expect(memory.size).toBe(2);
    expect(gone).toEqual(['evict']);
  });

  it('G6: is bounded by bytes, keys and bookkeeping included', () => {
    const { memory, gone } = tier({ maxBytes: 2 * sizeOf(1000) });
    memory.set(id('a'), entry(1, { bytes: 1000 }));
    memory.set(id('b'), entry(2, { bytes: 1000 }));
    expect(memory.bytes).toBe(2 * sizeOf(1000));
    memory.set(id('c'), entry(3, { bytes: 1 }));
    expect(memory.get(id('a'))).toBeUndefined();
    expect(memory.bytes).toBe(sizeOf(1000) + sizeOf(1));
    expect(gone).toEqual(['evict']);
  });

  it('never holds what alone would fill it, nor the older entry in its place', () => {
    const { memory, gone } = tier({ maxBytes: sizeOf(1000) });
    expect(memory.set(id('a'), entry(1, { bytes: 1000 }))).toBe(true);
    expect(memory.set(id('a'), entry(2, { bytes: 1001 }))).toBe(false);
    expect(memory.get(id('a'))).toBeUndefined();
    expect(memory.bytes).toBe(0);
    expect(gone).toEqual(['delete', 'oversized']);
  });

  it('serves an entry for its time to live, counted from when it was put, whatever the reads', () => {
    const { memory, clock, gone } = tier();
    memory.set(id('a'), entry(1));
    clock.pass(600);
    expect(memory.get(id('a'))?.value).toBe(1);
    clock.pass(401);
    expect(memory.get(id('a'))).toBeUndefined();
    expect(memory.size).toBe(0);
    expect(gone).toEqual(['expire']);
  });

  it('never serves a record beyond its own life, however long the time to live', () => {
    const { memory, clock } = tier();
    const expiresAt = clock.now() + 100;
    memory.set(id('a'), entry(1, { expiresAt }));
    clock.pass(99);
    expect(memory.get(id('a'))?.value).toBe(1);
    clock.pass(1);
    expect(memory.get(id('a'))).toBeUndefined();
    expect(memory.set(id('a'), entry(1, { expiresAt }))).toBe(false);
  });

  it('goes by the wall clock for a record’s life, also where that clock jumped', () => {
    const { memory, clock, gone } = tier({ ttlMs: 1_000_000 });
    memory.set(id('a'), entry(1, { expiresAt: clock.now() + 500_000 }));
    clock.wall += 500_000;
    expect(memory.get(id('a'))).toBeUndefined();
    expect(memory.size).toBe(0);
    expect(gone).toEqual(['expire']);
  });

  it('keeps both times where the wall clock jumps back', () => {
    const { memory, clock } = tier();
    memory.set(id('a'), entry(1));
    memory.set(id('b'), entry(1, { expiresAt: clock.now() + 100 }));
    clock.wall -= 1_000_000;
    clock.mono += 101;
    expect(memory.get(id('b'))).toBeUndefined();
    clock.mono += 900;
    expect(memory.get(id('a'))).toBeUndefined();
  });

  it('says why each entry went', () => {
    const { memory, gone } = tier();
    memory.set(id('a'), entry(1));
    memory.set(id('a'), entry(2));
    memory.set(id('b'), entry(3));
    expect(memory.delete(id('a'))).toBe(true);
    expect(memory.delete(id('a'))).toBe(false);
    memory.clear();
    expect(gone).toEqual(['set', 'delete', 'clear']);
    expect([memory.size, memory.bytes]).toEqual([0, 0]);
  });

  it('G8: lets go of every derived value that bears a tag, and of nothing else', () => {
    const { memory, gone } = tier();
    const derived = (...tagIds: TagId[]) => ({
      derived: { lifeMs: 100, freshUntil: 50, endsAt: 50, goneAt: 100, loadMs: 1, tagIds, seen: 0 },
    });
    const erased = scopeTagId(scopeOf('caller', 'a'));
    memory.set(id('a'), entry(1, derived(tagId('crm'), erased)));
    memory.set(id('b'), entry(2, derived(tagId('crm'), scopeTagId(scopeOf('caller', 'b')))));
    memory.set(id('c'), entry(3, derived()));
    memory.set(id('d'), entry(4));
    memory.deleteBearing(erased);
    expect(['a', 'b', 'c', 'd'].map((key) => memory.get(id(key))?.value)).toEqual([
      undefined,
      2,
      3,
      4,
    ]);
    expect(gone).toEqual(['delete']);
  });
});
