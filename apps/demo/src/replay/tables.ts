/** What a replay prints at its end. */
import type { CacheStats } from '@cache/core';
import Table from 'cli-table3';
import type { Figures, Measured } from './figures.ts';

/** As the callers felt it. */
export function latencyTable(rows: readonly (Measured & Figures)[]): string {
  const table = plain(['operation', 'tier', 'count', 'p50 ms', 'p95 ms', 'p99 ms', 'max ms']);
  for (const row of rows) {
    const { operation, tier, count, p50, p95, p99, max } = row;
    table.push([operation, tier, count, ms(p50), ms(p95), ms(p99), ms(max)]);
  }
  return table.toString();
}

/** As the instances measured it, one row for each tier of each. */
export function tierTable(stats: readonly CacheStats[]): string {
  const table = plain([
    'instance',
    'tier',
    'hits',
    'misses',
    'ratio',
    'p50 ms',
    'p95 ms',
    'p99 ms',
  ]);
  for (const [index, { tiers, overall }] of stats.entries()) {
    for (const name of ['l1', 'l2', 'l3'] as const) {
      const { hits, misses, hitRatio, latencyMs } = tiers[name];
      const { p50, p95, p99 } = latencyMs;
      table.push([index + 1, name, hits, misses, share(hitRatio), ms(p50), ms(p95), ms(p99)]);
    }
    const { hits, misses, hitRatio } = overall;
    table.push([index + 1, 'overall', hits, misses, share(hitRatio), '', '', '']);
  }
  return table.toString();
}

export function compressionLine(stats: readonly CacheStats[]): string {
  const sum = { compressed: 0, skipped: 0, bytesIn: 0, bytesOut: 0 };
  for (const { compression } of stats) {
    sum.compressed += compression.compressed;
    sum.skipped += compression.skipped;
    sum.bytesIn += compression.bytesIn;
    sum.bytesOut += compression.bytesOut;
  }
  const { compressed, skipped, bytesIn, bytesOut } = sum;
  const saved = bytesIn - bytesOut;
  const part = bytesIn === 0 ? 0 : saved / bytesIn;
  return `Compression saved ${saved.toLocaleString('en')} of ${bytesIn.toLocaleString('en')} bytes (${share(part)}): ${compressed} payloads compressed, ${skipped} left as they are (below the threshold, or not worth it).`;
}

function plain(head: string[]): Table.Table {
  const numbers = head.map((name) =>
    ['operation', 'tier', 'instance'].includes(name) ? 'left' : 'right',
  );
  return new Table({ head, colAligns: numbers, style: { head: [], border: [], compact: true } });
}

function ms(value: number): string {
  return value.toFixed(value < 10 ? 2 : 0);
}

function share(value: number): string {
  return `${(value * 100).toFixed(1)} %`;
}
