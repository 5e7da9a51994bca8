/**
 * `npm run chaos`: kill and audit. Several real processes of the cache, a real Redis, the API of
 * Supabase on a real PostgreSQL; faults by a seeded schedule; and afterwards every promise is held
 * against what was acknowledged.
 *
 *   conductor   this process: the schedule, the servers, the links between them. It acknowledges
 *               nothing and remembers nothing of what was written.
 *   instances   a process each (worker.ts): `@cache/core` as an application uses it, its verbs
 *               over HTTP, a clock that can be set wrong. They are killed, stopped and cut off.
 *   oracle      a process (oracle.ts) that nobody harms: the callers, and the ledger of everything
 *               that was acknowledged to them, written in the turn of the event loop in which the
 *               answer arrives. No death of anything else can take a record from it.
 *
 * The workload: conversations with their turns, begun, hung up (a barrier) and some of them
 * erased; a few logs, records and counters that everybody writes to at once; records that are
 * deleted for good; derived values and the changes of their source. What strikes is in faults.ts,
 * in which order in schedule.ts, how a cycle goes in conductor.ts, what is promised in judge.ts
 * (while it goes on) and audit.ts (afterwards).
 *
 * The same seed gives the same schedule and the same callers. It does not give the same
 * interleaving: processes are real. What was found is therefore told with what was going on.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { conduct } from './conductor.ts';
import { FAULT_NAMES, FAULTS, type FaultName } from './faults.ts';
import { markdownOf, reportOf, textOf } from './report.ts';
import { planCycles } from './schedule.ts';
import type { JournalMode } from './stage.ts';

const REPORTS = fileURLToPath(new URL('../../../.data/chaos', import.meta.url));
const DEADLINE_MS = 4000;
const INTERVAL_MS = 8000;

interface Options {
  readonly minutes: number;
  readonly seed: number;
  readonly instances: number;
  readonly callers: number;
  readonly faults: readonly FaultName[];
  readonly database: 'postgres' | 'pglite';
  readonly journal: JournalMode;
  readonly report: string;
  readonly trace?: boolean;
}

const program = new Command('chaos')
  .description('Kills, freezes, empties and cuts what a cache stands on, and audits what is left.')
  .option(
    '--minutes <n>',
    'cycles of about a minute; in each, every fault strikes once',
    whole(240),
    3,
  )
  .option('--seed <n>', 'the schedule and the callers', whole(4_294_967_295), 1)
  .option('--instances <n>', 'processes of the cache', whole(8), 3)
  .option('--callers <n>', 'conversations at once', whole(64), 16)
  .option('--faults <names>', `some of: ${FAULT_NAMES.join(',')}`, faultNames, FAULT_NAMES)
  .option(
    '--database <kind>',
    'postgres, or pglite, which has one connection',
    database,
    'postgres',
  )
  .option('--journal <mode>', 'off, fallback, or always, which adds kill-both', journalMode, 'off')
  .option('--report <folder>', 'where the report goes', REPORTS)
  .option('--trace', 'beside the report: what happened to each instance, event by event')
  .addHelpText(
    'after',
    () =>
      `\n${FAULT_NAMES.map((name) => `  ${name.padEnd(15)} ${FAULTS[name].what}`).join('\n')}\n`,
  )
  .parse();

process.exitCode = await main(program.opts<Options>());

async function main(options: Options): Promise<number> {
  const { minutes, seed, instances, callers, faults, database: kind, journal } = options;
  const possible = faults.filter(
    (name) =>
      (name !== 'postgres-kill' || kind === 'postgres') &&
      (name !== 'kill-both' || journal === 'always'),
  );
  const plan = planCycles({ seed, cycles: minutes, instances, faults: possible });
  say(
    `Starting Redis, Supabase (${kind}), the oracle and ${instances} instances; seed ${seed} ...`,
  );
  const name = `seed-${seed}-${new Date().toISOString().replaceAll(':', '-')}`;
  const path = join(options.report, name);
  await mkdir(dirname(path), { recursive: true });
  const outcome = await conduct({
    seed,
    instances,
    callers,
    database: kind,
    journal,
    plan,
    deadlineMs: DEADLINE_MS,
    intervalMs: INTERVAL_MS,
    trace: options.trace === true ? `${path}.jsonl` : undefined,
    say,
  });
  const replay = `npm run chaos -- --minutes ${minutes} --seed ${seed} --instances ${instances} --callers ${callers} --database ${kind} --journal ${journal} --faults ${possible.join(',')}`;
  const report = reportOf(outcome, { seed, minutes, instances, replay, faults: possible });
  await writeFile(`${path}.json`, `${JSON.stringify(report, null, 2)}\n`);
  await writeFile(`${path}.md`, markdownOf(report));
  say(textOf(report));
  say(`Written to ${path}.md and .json`);
  return report.isClean ? 0 : 1;
}

function faultNames(value: string): readonly FaultName[] {
  const names = value.split(',').map((name) => FAULT_NAMES.find((known) => known === name.trim()));
  const known = names.filter((name) => name !== undefined);
  if (known.length === names.length) return known;
  throw new InvalidArgumentError(`It takes some of ${FAULT_NAMES.join(', ')}.`);
}

function journalMode(value: string): JournalMode {
  if (value === 'off' || value === 'fallback' || value === 'always') return value;
  throw new InvalidArgumentError('It takes off, fallback or always.');
}

function database(value: string): 'postgres' | 'pglite' {
  if (value === 'postgres' || value === 'pglite') return value;
  throw new InvalidArgumentError('It takes postgres or pglite.');
}

function whole(most: number): (value: string) => number {
  return (value) => {
    const number = /^\d{1,10}$/.test(value) ? Number(value) : 0;
    if (number >= 1 && number <= most) return number;
    throw new InvalidArgumentError(`It takes a whole number from 1 to ${most}.`);
  };
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
