/**
 * What strikes, in which order, whom and for how long: drawn from the seed, and from nothing else.
 * A minute is a cycle, in which each fault strikes once; then all is well for a while, and the
 * cycle is audited. When exactly a fault strikes depends on the machine: it waits until enough is
 * pending to be worth it.
 */
import { FAULTS, type FaultName } from './faults.ts';
import { Random } from './random.ts';

export interface Strike {
  readonly id: number;
  readonly fault: FaultName;
  /** Which instance, from 1; 0: everybody. */
  readonly slot: number;
  readonly ms: number;
  /** How long after the one before it in its lane, at least. */
  readonly gapMs: number;
  /** Where the fault has a size: how slow, how far before or behind. One for each instance. */
  readonly sizes: readonly number[];
}

export interface CyclePlan {
  readonly cycle: number;
  readonly servers: readonly Strike[];
  readonly links: readonly Strike[];
}

export interface ScheduleOptions {
  readonly seed: number;
  readonly cycles: number;
  readonly instances: number;
  readonly faults: readonly FaultName[];
}

/** Their victim loses its memory. */
const KILLS: ReadonlySet<FaultName> = new Set<FaultName>(['kill', 'kill-both']);
/** The differences between clocks that go without a warning. */
const SKEW_MS = 240;
/** Less than what a call to Redis may take, so that it is late and not away. */
const REDIS_SLOW_MS = [10, 40] as const;
const SUPABASE_SLOW_MS = [100, 500] as const;

export function planCycles(options: ScheduleOptions): readonly CyclePlan[] {
  let id = 0;
  return Array.from({ length: options.cycles }, (_, index) => {
    const cycle = index + 1;
    const random = new Random(options.seed, `cycle ${cycle}`);
    const strike = (fault: FaultName): Strike => {
      id += 1;
      const { ms, target } = FAULTS[fault];
      return {
        id,
        fault,
        slot: target === 'all' ? 0 : slotFor(fault, options.instances, random),
        ms: random.whole(...ms),
        gapMs: random.whole(200, 1200),
        sizes: Array.from({ length: options.instances }, () => sizeOf(fault, random)),
      };
    };
    const of = (chosen: (fault: FaultName) => boolean) =>
      random.shuffled(options.faults.filter(chosen)).map(strike);
    const inServers = (loses: string) => (fault: FaultName) =>
      FAULTS[fault].lane === 'servers' && FAULTS[fault].loses === loses;
    // The halves of the documented loss as far from each other as the cycle allows.
    const halves = [of(inServers('process')), of(inServers('redis'))] as const;
    const [first, last] = random.chance(0.5) ? halves : ([halves[1], halves[0]] as const);
    return {
      cycle,
      servers: [...first, ...of(inServers('nothing')), ...last],
      links: of((fault) => FAULTS[fault].lane === 'links'),
    };
  });
}

/** The first instance is never killed: it is the one whose memory is watched. */
function slotFor(fault: FaultName, instances: number, random: Random): number {
  return KILLS.has(fault) && instances > 1
    ? random.whole(2, instances)
    : random.whole(1, instances);
}

function sizeOf(fault: FaultName, random: Random): number {
  if (fault === 'skew') return random.whole(-SKEW_MS, SKEW_MS);
  if (fault === 'redis-slow') return random.whole(...REDIS_SLOW_MS);
  if (fault === 'supabase-slow') return random.whole(...SUPABASE_SLOW_MS);
  return 0;
}
