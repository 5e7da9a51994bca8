import { expect, it } from 'vitest';
import { createCache, memory } from '../../../src/index.ts';

it('G6: the tags of a derived value count for the bytes of L1', async () => {
  await using cache = createCache({ l1: memory() });
  const tags = Array.from({ length: 100 }, (_, n) => `${n}-${'x'.repeat(1000)}`);
  const values = cache.derived('tagged', { load: () => 1, ttl: '1m', tags: () => tags });
  await values.get('a');
  expect(cache.stats().tiers.l1.bytes).toBeGreaterThan(100_000);
});
