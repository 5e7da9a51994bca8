/** Mutants can not rot, and a verdict is not given for the wrong reason. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { judge, type Report } from '../../src/mutants/judging.ts';
import { MUTANTS, mutated } from '../../src/mutants/mutants.ts';

const repository = fileURLToPath(new URL('../../../..', import.meta.url));

function read(file: string): Promise<string> {
  return readFile(join(repository, file), 'utf8');
}

describe.each(MUTANTS)('the mutant "$name"', (mutant) => {
  test('fits the sources as they are, exactly once', async () => {
    const text = await read(mutant.file);
    expect(mutated(text, mutant)).not.toBe(text);
    expect(() => mutated(text + mutant.from, mutant)).toThrow('2 times');
    expect(() => mutated('', mutant)).toThrow('0 times');
  });

  test('names a test whose assertion says the reason', async () => {
    const { file, title, reason } = mutant.test;
    const sources = [await read(file), ...(await contract())].join('\n');
    const words = title.slice(title.search(/G\d/));
    expect(sources, 'the title').toContain(words);
    expect(sources, 'the reason').toContain(reason);
  });
});

describe('a mutant is caught', () => {
  const named = { file: 'a.test.ts', title: 'group > it is kept', reason: 'the rule' };
  const verdicts: readonly [what: string, test: object, verdict: string][] = [
    ['by an assertion about its rule', failed('AssertionError: the rule: 1'), 'caught'],
    ['not by another assertion', failed('AssertionError: other'), 'failed otherwise'],
    ['not by a crash', failed('TypeError: the rule'), 'failed otherwise'],
    ['not by a time-out', failed('Error: Test timed out in 1ms. the rule'), 'failed otherwise'],
    ['not by a test that passes', { status: 'passed' }, 'passed'],
    ['not by a test that is skipped', { status: 'skipped' }, 'not run'],
    ['not by another test', { ...failed('AssertionError: the rule'), title: 'b' }, 'not run'],
  ];
  test.each(verdicts)('%s', (_, one, verdict) => {
    expect(judge(reportOf(one), named).verdict).toBe(verdict);
  });

  test('not by a file that can not be loaded', () => {
    const report = { testResults: [{ message: 'cannot find x', assertionResults: [] }] };
    expect(judge(report, named)).toEqual({ verdict: 'not run', said: 'cannot find x' });
  });
});

function failed(message: string) {
  return { status: 'failed', failureMessages: [message] };
}

function reportOf(one: object): Report {
  const test = { ancestorTitles: ['group'], title: 'it is kept', status: 'passed', ...one };
  return { testResults: [{ message: '', assertionResults: [test] }] };
}

function contract(): Promise<readonly string[]> {
  const files = ['shared-values', 'shared-logs', 'shared-faults', 'durable', 'durable-faults'];
  return Promise.all(files.map((name) => read(`packages/testing/src/contract/${name}.ts`)));
}
