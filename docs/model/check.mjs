/**
 * Runs the model. The protocol as it is must show no error in any scenario; with one rule left
 * out, each of the others must show one: a model that can't fail says nothing.
 *
 *   node docs/model/check.mjs            everything, two at a time
 *   node docs/model/check.mjs cut        what has "cut" in its name
 *   node docs/model/check.mjs --keep DIR leaves the programs and the trails in DIR
 *
 * Needs spin and gcc. Exit code 0: all as expected; 1: not; 2: a program is missing.
 */
import { execFile, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const MODEL = fileURLToPath(new URL('protocol.pml', import.meta.url));
/** In megabytes: what it costs is far less; beyond it something has grown that should not. */
const MEMORY = 1800;

/** What may happen, each small enough for all its orders to be looked at. */
const SCENARIOS = {
  'two writes, one through L3, and a read': { THROUGH: 1, READS: 1 },
  'a command that Redis does not answer, and a crash': { SILENCES: 1, CRASHES: 1 },
  'Redis loses its data': { LOSSES: 1 },
  'Redis loses its data while a read is under way': { WRITES: 1, THROUGH: 1, LOSSES: 1, READS: 1 },
  'Redis is emptied under a read, all writes through L3': {
    THROUGH: 2,
    LOSSES: 1,
    DUMPS: 0,
    READS: 1,
  },
  'both stores do not answer, a journal, and a crash': {
    SILENCES: 1,
    OUTAGES: 1,
    CRASHES: 1,
    JOURNAL: 1,
  },
  'Redis and a process die together, the journal first': {
    WRITES: 1,
    JOURNAL: 2,
    LOSSES: 1,
    CRASHES: 1,
  },
  'an erasure, a silence and a crash': { WRITES: 1, ERASURES: 1, SILENCES: 1, CRASHES: 1 },
  'an eviction while a read is under way': { THROUGH: 1, READS: 1, EVICTIONS: 1 },
};

/** One rule left out, and where that shows. */
const WEAKENED = {
  'settle without comparing the stamp': { NO_SETTLE_COMPARE: 1, CRASHES: 1 },
  'put without a version check': { NO_TOO_LOW: 1, CRASHES: 1 },
  'L3 without comparing the row': { NO_ROW_COMPARE: 1 },
  'no cut': { NO_CUT: 1, SILENCES: 1, CRASHES: 1, EVICTIONS: 1 },
  'the cut does not rise with a release': {
    NO_CUT_RISE: 1,
    THROUGH: 2,
    LOSSES: 1,
    DUMPS: 0,
    READS: 1,
  },
  'a settled copy put below the cut': { NO_PAST: 1, THROUGH: 1, SILENCES: 1 },
  'a backfill without its ticket': { NO_TICKET: 1, READS: 1, EVICTIONS: 1 },
  'a cut quoted without its epoch': {
    NO_EPOCH_WITH_CUT: 1,
    THROUGH: 2,
    LOSSES: 1,
    DUMPS: 0,
    READS: 1,
  },
  'no epoch': { NO_EPOCH: 1, LOSSES: 1 },
  'a new epoch with no floor': { NO_HIGHEST_CUT: 1, THROUGH: 1, LOSSES: 1 },
  'no bypass mark': { NO_MARK: 1, THROUGH: 1, SILENCES: 1, CRASHES: 1 },
  'no mark for what only the journal held': {
    NO_JOURNAL_MARK: 1,
    SILENCES: 1,
    OUTAGES: 1,
    CRASHES: 1,
    JOURNAL: 1,
  },
  'no fence': { NO_FENCE: 1, ERASURES: 1 },
  'no outbox': { NO_OUTBOX: 1, LOSSES: 1 },
  'reads without the floor': { NO_FLOOR: 1, READS: 1, SILENCES: 1 },
  'a pending entry that expires': { PENDING_EXPIRES: 1, EVICTIONS: 1, CRASHES: 1 },
};

/** Builds the checker of one variant in a folder of its own and runs it to its end. */
async function check(dir, { name, defines, isWeakened }) {
  mkdirSync(dir, { recursive: true });
  copyFileSync(MODEL, join(dir, 'protocol.pml'));
  const flags = Object.entries(defines).map(([key, value]) => `-D${key}=${value}`);
  const at = { cwd: dir, maxBuffer: 1 << 26 };
  await run('spin', [...flags, '-a', 'protocol.pml'], at);
  // What is found at once is not worth an optimiser's time.
  const level = isWeakened ? '-O0' : '-O1';
  const cc = [level, '-w', '-DSAFETY', `-DMEMLIM=${MEMORY}`, '-o', 'pan', 'pan.c'];
  await run('gcc', cc, at);
  const { stdout } = await run(join(dir, 'pan'), ['-m100000'], at);
  const isComplete = !/max search depth|out of memory|reached -DMEMLIM/.test(stdout);
  const states = /(\S+) states, stored/.exec(stdout)?.[1];
  const found = /assertion violated \((.*)\) \(at depth/.exec(stdout)?.[1];
  const errors = /errors: (\d+)/.exec(stdout)?.[1];
  const isRight = isWeakened ? found !== undefined : errors === '0' && isComplete;
  return { name, flags: flags.join(' '), states, found, errors, isRight };
}

function report({ name, flags, states, found, errors, isRight }) {
  const what = found === undefined ? `no error in ${states} states` : `breaks ${found}`;
  const verdict = errors === '0' || found !== undefined ? what : 'an error that is no assertion';
  console.log(`${isRight ? 'ok  ' : 'BAD '} ${name}: ${verdict}\n       ${flags}`);
}

function variantsOf(filter) {
  const all = [
    ...Object.entries(SCENARIOS).map(([name, defines]) => ({ name, defines, isWeakened: false })),
    ...Object.entries(WEAKENED).map(([name, defines]) => ({ name, defines, isWeakened: true })),
  ];
  return all.filter(({ name }) => filter === undefined || name.includes(filter));
}

async function main(args) {
  const missing = ['spin', 'gcc'].filter((tool) => spawnSync(tool, ['--version']).error);
  if (missing.length > 0) {
    console.error(`not run: ${missing.join(' and ')} not found (Debian: apt-get install spin gcc)`);
    return 2;
  }
  const keep = args.includes('--keep') ? args[args.indexOf('--keep') + 1] : undefined;
  const filter = args.find((arg) => !arg.startsWith('--') && arg !== keep);
  const root = keep ?? mkdtempSync(join(tmpdir(), 'cache-model-'));
  const variants = variantsOf(filter);
  let next = 0;
  let isRight = variants.length > 0;
  const work = async () => {
    while (next < variants.length) {
      const nth = next++;
      const result = await check(join(root, String(nth)), variants[nth]);
      report(result);
      isRight &&= result.isRight;
    }
  };
  try {
    await Promise.all([work(), work()]);
  } finally {
    if (keep === undefined && existsSync(root)) rmSync(root, { recursive: true });
  }
  console.log(`${variants.length} variants: ${isRight ? 'all as expected' : 'NOT AS EXPECTED'}`);
  return isRight ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
