/** The tally for the eye: 88 columns. */
import Table from 'cli-table3';
import type { Row } from './tally.ts';

export function tableOf(rows: readonly Row[], faults: ReadonlyMap<string, number>): string {
  const table = new Table({
    head: ['', 'guarantee', 'tests', 'failed', 'files', 'faults', 's'],
    colAligns: ['left', 'left', 'right', 'right', 'right', 'right', 'right'],
    colWidths: [5, 42, 7, 8, 7, 8, 7],
    style: { head: [], border: [], compact: true },
  });
  for (const { number, words, passed, failed, files, faults: played, ms } of rows) {
    const seconds = (ms / 1000).toFixed(0);
    table.push([number, words, passed + failed, failed || '', files, played || '', seconds]);
  }
  const kinds = [...faults].map(([kind, count]) => `${count} × ${kind}`).join(', ');
  const told = kinds === '' ? 'none' : kinds;
  return `${table.toString()}\nFaults played: ${told}.`;
}
