/**
 * An instance in a process of its own, to be killed: writes what it is told to, says so, and
 * waits for its end. Arguments: JSON with the servers and the keys.
 */
import { createCache, memory, redis, supabase } from '../../../src/index.ts';

interface Told {
  readonly redis: string;
  readonly url: string;
  readonly key: string;
  readonly records: readonly string[];
  readonly log: string;
  readonly items: readonly { readonly id: string; readonly text: string }[];
}

const told: Told = JSON.parse(process.argv[2] ?? '{}');
const cache = createCache({
  l1: memory(),
  l2: redis({ url: told.redis, timeout: '5s' }),
  l3: supabase({ url: told.url, key: told.key }),
});
await cache.ready();
const records = cache.records<{ n: number }>('counts', { scope: (key) => ['call', key] });
const logs = cache.logs<{ id: string; text: string }>('turns', {
  scope: (key) => ['call', key],
  id: (item) => item.id,
});
await Promise.all(told.records.map((key, n) => records.set(key, { n })));
await logs.append(told.log, told.items);
process.stdout.write('acknowledged\n');
setInterval(() => {}, 1000);
