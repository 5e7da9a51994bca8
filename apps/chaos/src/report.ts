/** What a run found, for a person and for a program: schedule, figures, a verdict per guarantee. */
import Table from 'cli-table3';
import { type Outcome, type Struck, WORTH_WRITES } from './conductor.ts';
import { FAULTS, type FaultName } from './faults.ts';
import type { Sample, Violation } from './protocol.ts';

export interface RunNames {
  readonly seed: number;
  readonly minutes: number;
  readonly instances: number;
  readonly faults: readonly FaultName[];
  /** The command that does the same again. */
  readonly replay: string;
}

export interface FaultFigures {
  readonly fault: FaultName;
  readonly struck: number;
  /** With at least {@link WORTH_WRITES} acknowledged writes that Supabase did not have. */
  readonly worthIt: number;
  readonly fewestPending: number;
}

export interface Verdict {
  readonly guarantee: string;
  readonly promise: string;
  /** How much was looked at. */
  readonly checks: number;
  readonly violations: number;
}

export interface Report extends RunNames {
  readonly isClean: boolean;
  readonly seconds: number;
  readonly verdicts: readonly Verdict[];
  readonly faultFigures: readonly FaultFigures[];
  /** Kills of a process of which Supabase lacked something that it had acknowledged. */
  readonly killsBeforeFlush: number;
  readonly apart: Outcome['apart'];
  readonly figures: Readonly<Record<string, number>>;
  readonly violations: readonly Violation[];
  readonly schedule: readonly Struck[];
  readonly samples: readonly Sample[];
}

/** What is checked, by the beginning of the names of the figures that count it. */
const PROMISES: readonly (readonly [guarantee: string, promise: string, counted: string])[] = [
  ['G1', 'no acknowledged write is lost', 'G1 '],
  ['G2', 'a process sees its own writes', 'G2 '],
  ['G3', 'nobody is staler than the bounds', 'G3 others'],
  ['G4', 'all agree in the end, on the newest', 'G4 answers held'],
  ['G5', 'no call beyond its deadline', 'G5 calls held'],
  ['G8', 'what is deleted or erased stays away', 'G8 '],
  ['G12', 'items once, in one order; counters exact', 'G12 '],
  ['calm', 'nothing is refused in a calm', 'calls '],
  ['errors', "every error is one of the cache's own", 'calls '],
  ['crashes', 'no process ends unasked', 'calls '],
];
const HEAP_GROWTH = 1.1;

export function reportOf(outcome: Outcome, names: RunNames): Report {
  const { figures } = outcome.findings;
  const verdicts = [
    ...PROMISES.map(([guarantee, promise, counted]) => ({
      guarantee,
      promise,
      checks: sum(figures, counted),
      violations: figures[`violations ${guarantee}`] ?? 0,
    })),
    heapVerdict(outcome.samples),
    handlesVerdict(outcome.samples),
  ];
  return {
    ...names,
    isClean: verdicts.every(({ violations }) => violations === 0),
    seconds: outcome.seconds,
    verdicts,
    faultFigures: names.faults.map((fault) => figuresOf(fault, outcome.struck)),
    killsBeforeFlush: outcome.struck.filter(({ ownPending = 0 }) => ownPending > 0).length,
    apart: outcome.apart,
    figures,
    violations: outcome.findings.violations,
    schedule: outcome.struck,
    samples: outcome.samples,
  };
}

function sum(figures: Readonly<Record<string, number>>, prefix: string): number {
  return Object.entries(figures).reduce(
    (total, [name, count]) =>
      name.startsWith(prefix) && !name.endsWith(', ms') ? total + count : total,
    0,
  );
}

function figuresOf(fault: FaultName, struck: readonly Struck[]): FaultFigures {
  const pending = struck.filter((one) => one.fault === fault).map((one) => one.pending);
  return {
    fault,
    struck: pending.length,
    worthIt: pending.filter((writes) => writes >= WORTH_WRITES).length,
    fewestPending: pending.length === 0 ? 0 : Math.min(...pending),
  };
}

/** The first sample is that of a process that has done nothing yet, and does not count. */
function heapVerdict(samples: readonly Sample[]): Verdict {
  const heaps = samples.slice(1).map(({ heapBytes }) => heapBytes);
  const third = Math.floor(heaps.length / 3);
  const first = mean(heaps.slice(0, third));
  const last = mean(heaps.slice(heaps.length - third));
  const promise =
    third === 0
      ? 'heap: too short a run to say'
      : `heap after a collection: ${megabytes(first)} MB, in the end ${megabytes(last)} MB`;
  const violations = third > 0 && last > first * HEAP_GROWTH ? 1 : 0;
  return { guarantee: 'heap', promise, checks: heaps.length, violations };
}

function handlesVerdict(samples: readonly Sample[]): Verdict {
  const [first, last] = [samples[0], samples.at(-1)].map((sample) => told(sample));
  const promise = `open handles: ${first}${first === last ? ', as in the end' : `; in the end ${last}`}`;
  const violations = first === last ? 0 : 1;
  return { guarantee: 'handles', promise, checks: samples.length, violations };
}

function told(sample: Sample | undefined): string {
  return Object.entries(sample?.handles ?? {})
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([kind, count]) => `${count} ${kind}`)
    .join(', ');
}

function mean(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0) / Math.max(1, values.length);
}

function megabytes(bytes: number): string {
  return (bytes / 1_048_576).toFixed(1);
}

type Row = readonly (string | number)[];

function sections(
  report: Report,
): readonly { title: string; head: readonly string[]; rows: readonly Row[] }[] {
  return [
    {
      title: 'Faults',
      head: ['fault', 'struck', `with ${WORTH_WRITES} writes pending`, 'fewest', 'what it is'],
      rows: report.faultFigures.map(({ fault, struck, worthIt, fewestPending }) => [
        fault,
        struck,
        worthIt,
        fewestPending,
        FAULTS[fault].what,
      ]),
    },
    {
      title: 'Verdicts',
      head: ['', 'promise', 'checks', 'violations'],
      rows: report.verdicts.map(({ guarantee, promise, checks, violations }) => [
        guarantee,
        promise,
        checks,
        violations === 0 ? 'none' : violations,
      ]),
    },
  ];
}

function remarks(report: Report): readonly string[] {
  const { apart, killsBeforeFlush } = report;
  const refused = sum(report.figures, 'refused ');
  const { figures } = report;
  const calls = sum(figures, 'calls ');
  return [
    `${killsBeforeFlush} kills struck between an acknowledgement and its flush.`,
    `The documented double loss was kept apart ${apart.waits} times, by waiting ${(apart.ms / 1000).toFixed(0)} s in all; ${apart.leftOut} faults were left out for it.`,
    `${calls} calls, ${refused} of them refused under faults, ${figures['answers that never came'] ?? 0} never answered.`,
    `The longest call took ${figures['G5 longest call, ms'] ?? 0} ms; the oldest write that another instance did not see yet: ${figures['G3 oldest write not seen, in a calm, ms'] ?? 0} ms in a calm, ${figures['G3 oldest write not seen, under faults, ms'] ?? 0} ms under faults.`,
  ];
}

function conclusion(report: Report): string {
  const minutes = (report.seconds / 60).toFixed(1);
  const verdict = report.isClean ? 'Every promise was kept.' : 'PROMISES WERE BROKEN.';
  return `${verdict} Seed ${report.seed}, ${report.instances} instances, ${report.schedule.length} faults in ${minutes} minutes.`;
}

function toldViolation({ guarantee, what, cycle, atSeconds, during }: Violation): string {
  const going = during.length === 0 ? 'in a calm' : `during ${during.join(', ')}`;
  return `${guarantee}, cycle ${cycle}, ${atSeconds} s, ${going}: ${what}`;
}

export function textOf(report: Report): string {
  const tables = sections(report).map(({ title, head, rows }) => {
    const table = new Table({ head: [...head], style: { head: [], border: [] } });
    for (const row of rows) table.push([...row]);
    return `\n${title}\n${table.toString()}`;
  });
  const violations = report.violations.slice(0, 20).map(toldViolation);
  return [
    ...tables,
    '',
    ...remarks(report),
    ...(violations.length === 0 ? [] : ['', ...violations]),
    '',
    conclusion(report),
    `Again: ${report.replay}`,
  ].join('\n');
}

export function markdownOf(report: Report): string {
  const line = (cells: Row) => `| ${cells.join(' | ')} |`;
  const table = (head: readonly string[], rows: readonly Row[]) =>
    [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
  const schedule = report.schedule.map(
    ({ cycle, atSeconds, fault, slot, ms, pending, ownPending }) => [
      cycle,
      atSeconds,
      fault,
      slot === 0 ? 'all' : slot,
      ms,
      pending,
      ownPending ?? '',
    ],
  );
  const figures = Object.entries(report.figures).sort(([a], [b]) => a.localeCompare(b));
  const head = ['cycle', 'second', 'fault', 'instance', 'ms', 'pending', 'of these its own'];
  return [
    '# A run of chaos',
    conclusion(report),
    `Again: \`${report.replay}\``,
    ...sections(report).flatMap(({ title, head: names, rows }) => [
      `## ${title}`,
      table(names, rows),
    ]),
    remarks(report).join(' '),
    ...(report.violations.length === 0
      ? []
      : ['## Violations', report.violations.map((one) => `- ${toldViolation(one)}`).join('\n')]),
    '## Schedule',
    table(head, schedule),
    '## Figures',
    table(['figure', ''], figures),
    '',
  ].join('\n\n');
}
