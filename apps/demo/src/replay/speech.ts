/** What a replay with `--speak` has to say of the speech: hits, waiting, and money. */
import type { AudioCacheStats } from '@cache/audio';
import Table from 'cli-table3';

/** Its shape is a contract of the service: that it is one is all there is to find out. */
export function isSpeechStats(body: unknown): body is AudioCacheStats {
  return typeof body === 'object' && body !== null && 'first_byte_ms' in body && 'money' in body;
}

/** Until the first byte, as the instances measured it, one row for each source of each. */
export function firstByteTable(stats: readonly AudioCacheStats[]): string {
  const head = ['instance', 'source', 'listeners', 'p50 ms', 'p95 ms', 'p99 ms'];
  const table = new Table({
    head,
    colAligns: ['left', 'left', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [], compact: true },
  });
  for (const [index, { first_byte_ms: waits }] of stats.entries()) {
    for (const [source, { count, p50, p95, p99 }] of Object.entries(waits)) {
      table.push([index + 1, source, count, p50.toFixed(2), p95.toFixed(2), p99.toFixed(2)]);
    }
  }
  return table.toString();
}

/** What it would have cost without the cache, and what it did cost. */
export function moneyLines(stats: readonly AudioCacheStats[]): readonly string[] {
  const sum = { hits: 0, misses: 0, syntheses: 0, saved: 0, spent: 0 };
  for (const { hits, misses, syntheses, money } of stats) {
    sum.hits += hits;
    sum.misses += misses;
    sum.syntheses += syntheses;
    sum.saved += money.saved;
    sum.spent += money.spent;
  }
  const currency = stats[0]?.money.currency ?? 'USD';
  const amount = (value: number) => `${value.toFixed(2)} ${currency}`;
  const all = sum.hits + sum.misses;
  const part = all === 0 ? 0 : (sum.hits / all) * 100;
  const { syntheses, saved, spent } = sum;
  return [
    `${all} sentences were heard, ${sum.hits} of them from the cache (${part.toFixed(1)} %); ${syntheses} were synthesised.`,
    `Each spoken anew would have cost ${amount(saved + spent)}; it did cost ${amount(spent)}: ${amount(saved)} saved.`,
  ];
}
