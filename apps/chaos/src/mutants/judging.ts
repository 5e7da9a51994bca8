/**
 * Runs named tests of a copy, and says how each ended. Caught means: the test failed, by an
 * assertion, whose message names the reason. Everything else that looks like a failure is not
 * one: a crash, a time-out, an import or a type that does not fit, a test that was not found.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import type { Mutant } from './mutants.ts';

const DEADLINE_MS = 180_000;

const Report = z.object({
  testResults: z.array(
    z.object({
      message: z.string(),
      assertionResults: z.array(
        z.object({
          ancestorTitles: z.array(z.string()),
          title: z.string(),
          status: z.string(),
          failureMessages: z.array(z.string()).nullish(),
        }),
      ),
    }),
  ),
});
export type Report = z.infer<typeof Report>;

export type Verdict =
  | { readonly verdict: 'passed' }
  | { readonly verdict: 'caught'; readonly said: string }
  /** It failed, and not for the reason. */
  | { readonly verdict: 'failed otherwise'; readonly said: string }
  | { readonly verdict: 'not run'; readonly said: string };

/** What the report says of the named test. */
export function judge({ testResults }: Report, { title, reason }: Mutant['test']): Verdict {
  const all = testResults.flatMap(({ assertionResults }) => assertionResults);
  const named = all.filter((one) => [...one.ancestorTitles, one.title].join(' > ') === title);
  const [test] = named;
  if (test === undefined || named.length > 1 || !['passed', 'failed'].includes(test.status)) {
    const why = testResults.map(({ message }) => message).find((message) => message !== '');
    return { verdict: 'not run', said: why ?? `${named.length} tests have this title` };
  }
  if (test.status === 'passed') return { verdict: 'passed' };
  const messages = test.failureMessages ?? [];
  const caught = messages.find((one) => /^AssertionError\b/.test(one) && one.includes(reason));
  if (caught !== undefined) return { verdict: 'caught', said: firstLine(caught) };
  return { verdict: 'failed otherwise', said: firstLine(messages[0] ?? 'it says nothing') };
}

/** Runs named tests in the copy of the repository at `path`; the verdicts are in their order. */
export async function runNamed(
  path: string,
  tests: readonly Mutant['test'][],
): Promise<readonly Verdict[]> {
  const folder = await mkdtemp(join(tmpdir(), 'cache-mutant-report-'));
  const file = join(folder, 'report.json');
  const titles = tests.map(({ title }) => title.replaceAll(/[$()*+.?[\\\]^{|}]/g, '\\$&'));
  const files = new Set(tests.map((test) => test.file));
  const pattern = ['--testNamePattern', `^(${titles.join('|')})$`];
  const reporter = ['--reporter=json', `--outputFile=${file}`];
  try {
    const output = await vitest(path, ['run', ...files, ...pattern, ...reporter]);
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text === undefined) {
      return tests.map(() => ({ verdict: 'not run', said: output.trim().slice(-400) }));
    }
    const report = Report.parse(JSON.parse(text));
    return tests.map((test) => judge(report, test));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function vitest(cwd: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const entry = join(cwd, 'node_modules', 'vitest', 'vitest.mjs');
    const child = spawn(process.execPath, [entry, ...args], {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: DEADLINE_MS,
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    child.once('error', reject);
    child.once('close', () => resolve(output));
  });
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? '';
}
