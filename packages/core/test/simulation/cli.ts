/**
 * The simulator on the command line. Exit code 1 on any violation that no documented limit
 * excuses; with `--rules`, where a rule's absence was not noticed.
 */
import { parseArgs } from 'node:util';
import { type Campaign, pairsOfFaults, runCampaign } from './campaign.ts';
import { FAULT_NAMES, FAULTS, type FaultName, isFaultName } from './fault-names.ts';
import { documentedLimits, outsideTheChecks } from './limits.ts';
import { isRuleName, RULE_NAMES, RULES, type RuleName, SECOND_LINES } from './rules.ts';
import { runSchedule } from './schedule.ts';

const USAGE = `Runs seeded schedules of the protocol.

  --faults a,b     these faults (default: none)
  --without r,s    leave these rules out
  --runs N         schedules of each (default 1000)
  --from N         the first seed (default 1)
  --seed S         one schedule, with everything that happens in it
  --all            each fault, and each pair of faults
  --pairs          each pair of faults
  --rules          which faults find out that a rule is missing, and after how many schedules
  --limits         what is promised nowhere

faults: ${FAULT_NAMES.map((name) => `\n  ${name.padEnd(9)} ${FAULTS[name]}`).join('')}
rules:  ${RULE_NAMES.map((name) => `\n  ${name}\n      ${RULES[name].why}`).join('')}
also:   ${Object.entries(SECOND_LINES)
  .map(([name, why]) => `\n  ${name}\n      ${why}`)
  .join('')}
`;

try {
  process.exitCode = main();
} catch (error) {
  // Bad input: one line, not a stack.
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}

function main(): number {
  const { values } = parseArgs({
    options: {
      faults: { type: 'string', default: '' },
      without: { type: 'string', default: '' },
      runs: { type: 'string', default: '1000' },
      from: { type: 'string', default: '1' },
      seed: { type: 'string' },
      all: { type: 'boolean', default: false },
      pairs: { type: 'boolean', default: false },
      rules: { type: 'boolean', default: false },
      limits: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const faults = listed(values.faults, isFaultName, 'fault');
  const without = listed(values.without, isRuleName, 'rule');
  const runs = counted(values.runs, '--runs');
  if (values.help) return say(USAGE);
  if (values.limits) return tellLimits();
  if (values.seed !== undefined) return replay(counted(values.seed, '--seed'), faults, without);
  if (values.rules) return findRules(runs);
  const combinations: (readonly FaultName[])[] = [];
  if (values.all) combinations.push([], ...FAULT_NAMES.map((name) => [name]));
  if (values.all || values.pairs) combinations.push(...pairsOfFaults());
  if (combinations.length === 0) combinations.push(faults);
  return table(combinations, { without, runs, seed: counted(values.from, '--from') });
}

function tellLimits(): number {
  const limits = documentedLimits.map(({ name, why }) => `${name}\n  ${why}\n`);
  return say([...limits, ...outsideTheChecks.map((text) => `not checked\n  ${text}\n`)].join(''));
}

function replay(seed: number, faults: readonly FaultName[], without: readonly RuleName[]): number {
  const options = { seed, faults: new Set(faults), without: new Set(without), trace: true };
  const { lines, violations } = runSchedule(options);
  say(`${lines.join('\n')}\n`);
  say(violations.map(({ kind, detail }) => `${kind}: ${detail}\n`).join('') || 'no violation\n');
  return violations.length > 0 ? 1 : 0;
}

function table(
  combinations: readonly (readonly FaultName[])[],
  campaign: Omit<Campaign, 'faults'>,
): number {
  say(`${row('faults', 'schedules', 'acknowledged', 'bad', 'excused', 'per s')} first\n`);
  let bad = 0;
  let schedules = 0;
  let acknowledged = 0;
  for (const faults of combinations) {
    const start = performance.now();
    const found = runCampaign({ ...campaign, faults });
    const rate = Math.round((1000 * found.schedules) / (performance.now() - start));
    bad += found.bad;
    schedules += found.schedules;
    acknowledged += found.acknowledged;
    const name = faults.join(',') || 'none';
    const first = found.firstSeed === undefined ? '' : `seed ${found.firstSeed}, ${found.first}`;
    const numbers = [found.schedules, found.acknowledged, found.bad, found.excused, rate];
    say(`${row(name, ...numbers)} ${first}\n`);
  }
  say(`${row('sum', schedules, acknowledged, bad, '', '')}\n`);
  return bad > 0 ? 1 : 0;
}

function findRules(runs: number): number {
  let unnoticed = 0;
  for (const name of RULE_NAMES) {
    const { faults, from = 1 } = RULES[name];
    const found = runCampaign({ faults, without: [name], runs, seed: from, untilFound: true });
    if (found.bad === 0) unnoticed += 1;
    const result = found.bad > 0 ? `after ${found.schedules}: ${found.first}` : 'NOT FOUND';
    say(`${name.padEnd(34)}${(faults.join(',') || 'none').padEnd(18)}${result}\n`);
  }
  return unnoticed > 0 ? 1 : 0;
}

function row(name: string, ...columns: readonly (number | string)[]): string {
  return name.padEnd(20) + columns.map((column) => String(column).padStart(13)).join('');
}

function listed<T extends string>(
  text: string,
  is: (name: string) => name is T,
  what: string,
): T[] {
  return text
    .split(',')
    .filter((name) => name !== '')
    .map((name) => {
      if (!is(name)) throw new RangeError(`there is no ${what} "${name}"; --help lists them`);
      return name;
    });
}

function counted(text: string, option: string): number {
  const count = Number(text);
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new RangeError(`${option} takes a whole number above 0, got "${text}"`);
}

function say(text: string): number {
  process.stdout.write(text);
  return 0;
}
