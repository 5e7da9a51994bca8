/**
 * A reporter of vitest: after the last test it says per guarantee how many tests attacked it, how
 * they ended, in how many files, with how many faults played on real servers, and how long they
 * took. Of a run of everything it is a failure where a guarantee has no test that passed; of a
 * run of some, only what was attacked is told.
 */
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { Reporter, TestCase, TestModule, Vitest } from 'vitest/node';
import { tableOf } from './table.ts';
import { type Attack, faultsOf, guaranteesIn, type Row, rowsOf } from './tally.ts';

const DOCUMENT = new URL('../../../../docs/guarantees.md', import.meta.url);

export class GuaranteesReporter implements Reporter {
  #vitest: Vitest | undefined;

  onInit(vitest: Vitest): void {
    this.#vitest = vitest;
  }

  async onTestRunEnd(modules: readonly TestModule[]): Promise<void> {
    const vitest = this.#vitest;
    if (vitest === undefined) return;
    const attacks = modules.flatMap((module) => {
      const file = relative(vitest.config.root, module.moduleId);
      return [...module.children.allTests()].flatMap((test) => attackOf(test, file));
    });
    const guarantees = guaranteesIn(readFileSync(DOCUMENT, 'utf8'));
    const rows = rowsOf(guarantees, attacks);
    const isWhole = await isUnnarrowed(vitest, modules.length);
    const shown = isWhole ? rows : rows.filter(isAttacked);
    if (shown.length > 0) vitest.logger.log(`\n${tableOf(shown, faultsOf(attacks))}`);
    const unproven = rows.filter(({ passed }) => passed === 0);
    if (!isWhole || unproven.length === 0) return;
    const names = unproven.map(({ number }) => number).join(', ');
    vitest.logger.error(`\nNo test that attacks ${names} has passed.`);
    process.exitCode = 1;
  }
}

function attackOf(test: TestCase, file: string): readonly Attack[] {
  const { state } = test.result();
  if (state !== 'passed' && state !== 'failed') return [];
  const ms = test.diagnostic()?.duration ?? 0;
  return [{ title: test.fullName, file, state, ms, faults: faultsIn(test.meta()) }];
}

/** What the setup file of the tests left there. */
function faultsIn(meta: object): Attack['faults'] {
  const faults: unknown = 'faults' in meta ? meta.faults : undefined;
  if (typeof faults !== 'object' || faults === null) return {};
  const counts = Object.entries(faults).map(([kind, count]) => [kind, Number(count)] as const);
  return Object.fromEntries(counts);
}

/** No titles were picked, and all files ran. */
async function isUnnarrowed(vitest: Vitest, files: number): Promise<boolean> {
  if (vitest.config.testNamePattern !== undefined) return false;
  return files === (await vitest.globTestSpecifications()).length;
}

function isAttacked({ passed, failed }: Row): boolean {
  return passed + failed > 0;
}
