/**
 * A cache whose only place to write to is a journal on a disk that fills up. Arguments: the
 * directory of the journal, and a file whose removal makes room. Says what happened, as JSON.
 */
import { rmSync } from 'node:fs';
import { CacheError, createCache, supabase } from '../../../src/index.ts';

const [dir = '', ballast = ''] = process.argv.slice(2);
const VALUE_LENGTH = 50_000;

function open() {
  const cache = createCache({
    // Nobody listens there: every write needs the journal.
    l3: supabase({ url: 'http://127.0.0.1:1', key: 'key', timeout: 2000 }),
    // Asked first, so that a write which it can't hold went nowhere else before.
    journal: { dir, mode: 'always' },
  });
  return { cache, values: cache.records<string>('values') };
}

async function write(key: string): Promise<string> {
  try {
    const { held } = await first.values.set(key, key.padEnd(VALUE_LENGTH, '.'));
    return held.join();
  } catch (error) {
    return error instanceof CacheError ? `${error.code} ${error.outcome}` : String(error);
  }
}

const first = open();
const outcomes: Record<string, string> = {};
for (let round = 0; round < 10; round += 1) {
  const keys = [0, 1, 2, 3].map((n) => `k${round}-${n}`);
  const said = await Promise.all(keys.map(write));
  for (const [index, key] of keys.entries()) outcomes[key] = said[index] ?? '';
}
const whileFull = (await first.cache.health()).journal;
rmSync(ballast, { force: true });
const last = await write('last');
await first.cache.close({ deadline: '50ms' });

const second = open();
const found: string[] = [];
for (const key of [...Object.keys(outcomes), 'last']) {
  const held = (await second.cache.inspect('values', key, { value: true })).outbox;
  const value = typeof held === 'object' ? held.value : undefined;
  if (value === key.padEnd(VALUE_LENGTH, '.')) found.push(key);
  else if (held !== undefined) found.push(`${key}, but not as it was written`);
}
await second.cache.close({ deadline: '50ms' });
process.stdout.write(JSON.stringify({ outcomes, whileFull, last, found }));
