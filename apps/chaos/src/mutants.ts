/**
 * `npm run mutants`: each rule of the protocol is left out once, and the test that guards it has
 * to fail, by an assertion about this rule. First all of these tests run on the sources as they
 * are, and pass. Nothing is ever changed but a copy.
 */
import { fileURLToPath } from 'node:url';
import Table from 'cli-table3';
import { Command, InvalidArgumentError } from 'commander';
import { runNamed, type Verdict } from './mutants/judging.ts';
import { MUTANTS, type Mutant } from './mutants/mutants.ts';
import { Scratch } from './mutants/scratch.ts';

const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url));

interface Options {
  readonly only?: readonly Mutant[];
  readonly jobs: number;
}

interface Tried {
  readonly mutant: Mutant;
  readonly unmutated: Verdict;
  /** With the rule left out; `undefined` where the test fails anyway. */
  readonly verdict: Verdict | undefined;
  readonly seconds: number;
}

const options = new Command('mutants')
  .description('Leaves each rule of the protocol out once, and sees the test that guards it fail.')
  .option('--only <name>', 'those whose names contain this', named)
  .option('--jobs <n>', 'copies that are tried at once, 1 to 8', jobs, 2)
  .parse()
  .opts<Options>();

process.exitCode = await main(options);

async function main({ only = MUTANTS, jobs: atOnce }: Options): Promise<number> {
  const start = performance.now();
  const copies = await Promise.all(
    Array.from({ length: Math.min(atOnce, only.length) }, () => Scratch.make(REPOSITORY)),
  );
  try {
    const tried = await tryAll(only, copies);
    process.stdout.write(`${tableOf(tried)}\n`);
    const caught = tried.filter(({ verdict }) => verdict?.verdict === 'caught').length;
    const seconds = Math.round((performance.now() - start) / 1000);
    process.stdout.write(`${caught} of ${tried.length} mutants caught, in ${seconds} s\n`);
    return caught === tried.length ? 0 : 1;
  } finally {
    await Promise.all(copies.map((copy) => copy[Symbol.asyncDispose]()));
  }
}

async function tryAll(
  mutants: readonly Mutant[],
  copies: readonly Scratch[],
): Promise<readonly Tried[]> {
  const [first] = copies;
  if (first === undefined) return [];
  process.stderr.write('The named tests on the sources as they are ...\n');
  const before = await runNamed(
    first.path,
    mutants.map(({ test }) => test),
  );
  const tried = new Map<Mutant, Tried>();
  const waiting = [...mutants.entries()];
  const work = async (copy: Scratch) => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, mutant] = next;
      const unmutated = before[index] ?? { verdict: 'not run', said: 'it has no report' };
      tried.set(mutant, await attempt(mutant, unmutated, copy));
    }
  };
  await Promise.all(copies.map(work));
  return mutants.flatMap((mutant) => tried.get(mutant) ?? []);
}

async function attempt(mutant: Mutant, unmutated: Verdict, copy: Scratch): Promise<Tried> {
  const start = performance.now();
  let verdict: Verdict | undefined;
  if (unmutated.verdict === 'passed') {
    [verdict] = await copy.with(mutant, () => runNamed(copy.path, [mutant.test]));
  }
  process.stderr.write(`${mutant.name}: ${verdict?.verdict ?? 'not tried'}\n`);
  return { mutant, unmutated, verdict, seconds: (performance.now() - start) / 1000 };
}

function tableOf(tried: readonly Tried[]): string {
  const table = new Table({
    head: ['mutant', 'named test', 'verdict', 's'],
    colWidths: [24, 46, 20, 6],
    colAligns: ['left', 'left', 'left', 'right'],
    wordWrap: true,
    style: { head: [], border: [], compact: false },
  });
  for (const { mutant, unmutated, verdict, seconds } of tried) {
    const test = `${mutant.test.file.replace(/^packages\/core\/test\//, '')}: ${mutant.test.title}`;
    table.push([mutant.name, test, words(unmutated, verdict), seconds.toFixed(1)]);
  }
  return table.toString();
}

function words(unmutated: Verdict, verdict: Verdict | undefined): string {
  if (verdict === undefined) return `fails without it: ${said(unmutated)}`;
  if (verdict.verdict === 'caught') return 'caught';
  return verdict.verdict === 'passed' ? 'SURVIVED' : `SURVIVED: ${said(verdict)}`;
}

function said(verdict: Verdict): string {
  return 'said' in verdict ? `${verdict.verdict}: ${verdict.said}` : verdict.verdict;
}

function named(value: string): readonly Mutant[] {
  const found = MUTANTS.filter(({ name }) => name.includes(value));
  if (found.length > 0) return found;
  throw new InvalidArgumentError(`It takes one of: ${MUTANTS.map(({ name }) => name).join(', ')}.`);
}

function jobs(value: string): number {
  const count = Number(value);
  if (Number.isInteger(count) && count >= 1 && count <= 8) return count;
  throw new InvalidArgumentError('It takes a whole number from 1 to 8.');
}
