/**
 * An instance with a journal in a process of its own, to be killed. Says `ready`, waits for a
 * line, and writes then: every acknowledgement is a line of its own, on its way out before the
 * next write begins. Argument: JSON.
 */
import { once } from 'node:events';
import { createCache, memory, redis, supabase } from '../../../src/index.ts';

interface Told {
  readonly redis: string;
  readonly url: string;
  readonly key: string;
  readonly journal: { readonly dir: string; readonly mode: 'fallback' | 'always' };
  readonly records: readonly string[];
  readonly log: string;
  readonly rounds: number;
}

const told: Told = JSON.parse(process.argv[2] ?? '{}');
const cache = createCache({
  l1: memory(),
  l2: redis({ url: told.redis, timeout: 1000, breaker: { failures: 3, reset: 100, trial: 1 } }),
  l3: supabase({ url: told.url, key: told.key, timeout: 6000 }),
  journal: told.journal,
  deadline: 20_000,
});
const records = cache.records<{ n: number }>('counts', { scope: (key) => ['call', key] });
const logs = cache.logs<{ id: string; text: string }>('turns', {
  scope: (key) => ['call', key],
  id: (item) => item.id,
});

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function record(key: string, round: number): Promise<void> {
  try {
    const { held } = await records.set(key, { n: round });
    say({ kind: 'record', key, n: round, held });
  } catch {
    // Not acknowledged: nothing was promised.
  }
}

async function item(round: number): Promise<void> {
  const id = `i${round}`;
  try {
    const { held } = await logs.append(told.log, { id, text: `text of ${id}` });
    say({ kind: 'item', key: id, n: round, held });
  } catch {
    // The same.
  }
}

await cache.ready();
say({ kind: 'ready' });
await once(process.stdin, 'data');
for (let round = 1; round <= told.rounds; round += 1) {
  await Promise.all([...told.records.map((key) => record(key, round)), item(round)]);
}
say({ kind: 'done' });
setInterval(() => {}, 1000);
