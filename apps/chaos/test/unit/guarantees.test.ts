import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { tableOf } from '../../src/guarantees/table.ts';
import {
  type Attack,
  faultsOf,
  guaranteesIn,
  numbersIn,
  rowsOf,
} from '../../src/guarantees/tally.ts';

const document = fileURLToPath(new URL('../../../../docs/guarantees.md', import.meta.url));
const guarantees = guaranteesIn(await readFile(document, 'utf8'));

/** What attacks them says so; this file does not. */
function titled(words: string, ...numbers: readonly string[]): string {
  return `${numbers.join(', ')}: ${words}`;
}

function attack(title: string, more: Partial<Attack> = {}): Attack {
  return { title, file: 'a.test.ts', state: 'passed', ms: 1000, faults: {}, ...more };
}

test('the guarantees are those of the document, in their order', () => {
  const numbers = guarantees.map(({ number }) => number);
  expect(numbers).toEqual(Array.from({ length: 12 }, (_, i) => `G${i + 1}`));
});

test('a title names guarantees before its words, in brackets, or in those of its group', () => {
  const titles = [
    titled('late', 'G4'),
    `group > ${titled('kept', 'G1', 'G12')}`,
    'the judge > (G2, G3) finds',
    'G: G5 and (G)',
  ];
  expect(titles.map((title) => [...numbersIn(title)])).toEqual([
    ['G4'],
    ['G1', 'G12'],
    ['G2', 'G3'],
    [],
  ]);
});

test('every guarantee has its row; a test of two counts for both, its faults in all once', () => {
  const attacks = [
    attack(titled('a', 'G1', 'G2'), { faults: { kill: 2, cut: 1 } }),
    attack(titled('b', 'G1'), { file: 'b.test.ts', state: 'failed', faults: { cut: 2 } }),
    attack('no number'),
  ];
  const rows = rowsOf(guarantees, attacks);
  expect(rows).toHaveLength(guarantees.length);
  expect(rows[0]).toMatchObject({ passed: 1, failed: 1, files: 2, faults: 5, ms: 2000 });
  expect(rows[1]).toMatchObject({ passed: 1, failed: 0, files: 1, faults: 3, ms: 1000 });
  expect(rows[2]).toMatchObject({ passed: 0, failed: 0, files: 0, faults: 0 });
  expect([...faultsOf(attacks)]).toEqual([
    ['cut', 3],
    ['kill', 2],
  ]);
});

test('the table fits into 100 columns, and into a terminal of 90', () => {
  const lines = tableOf(
    rowsOf(guarantees, [attack(titled('a', 'G1'))]),
    new Map([['kill', 3]]),
  ).split('\n');
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(94);
  expect(lines.filter((line) => /│ G\d+ /.test(line))).toHaveLength(12);
  expect(lines.at(-1)).toBe('Faults played: 3 × kill.');
});
