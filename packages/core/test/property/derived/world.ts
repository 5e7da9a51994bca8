/**
 * The world of one schedule: time, servers, instances, the source and the oracle, what is under
 * way, and what was found wrong.
 */
import { CacheError } from '../../../src/errors.ts';
import { DurableHost, RedisHost } from '../core/servers.ts';
import { VirtualTime } from '../core/virtual-time.ts';
import { DerivedInstance, type Weakness } from './instance.ts';
import { GAP_MS, Oracle, type Question } from './oracle.ts';
import { Source } from './source.ts';
import { textOf } from './values.ts';

/** What fails. `alone`: there is no L2, and one instance. */
export const FAMILIES = ['calm', 'lines', 'redis', 'crash', 'persist', 'all', 'alone'] as const;
export type Family = (typeof FAMILIES)[number];

export interface ScheduleOptions {
  readonly seed: number;
  readonly family: Family;
  readonly steps: number;
  readonly weakness?: Weakness;
  readonly trace?: (line: string) => void;
}

/** What a command in flight may be late by: more where servers freeze and connections break. */
const SLACK_MS = {
  calm: 130,
  lines: 1300,
  redis: 1300,
  crash: 130,
  persist: 1300,
  all: 1300,
  alone: 130,
} as const satisfies Record<Family, number>;
/** A read of L3, and a load. */
const LONGEST_FLIGHT_MS = 3500;
const REPLY_MS = 25;
const LIMBO_MS = 600;
/** Redis' notes of tags, so few that they are forgotten. */
const MAX_NOTES = 4;

/** How a call may reject; anything else is wrong. */
const ALLOWED: ReadonlySet<string> = new Set(['LOAD', 'TIMEOUT', 'UNAVAILABLE', 'ABORTED', 'TIER']);

/** A caller does not want to wait any longer. */
export class Aborted extends Error {
  readonly code = 'ABORTED';
}

export class World {
  readonly family: Family;
  readonly time: VirtualTime;
  readonly redis: RedisHost;
  readonly l3: DurableHost | undefined;
  readonly oracle: Oracle;
  readonly source: Source;
  readonly lies: string[] = [];
  instances: DerivedInstance[] = [];
  /** Answers that were judged. */
  answers = 0;
  readonly #options: ScheduleOptions;
  readonly #running = new Map<Promise<void>, DerivedInstance>();
  #started = 0;

  constructor(options: ScheduleOptions) {
    this.#options = options;
    const { seed, family, weakness } = options;
    this.family = family;
    this.time = new VirtualTime(seed);
    const isPersistent = family === 'persist' || family === 'all';
    this.redis = new RedisHost({
      maxNotes: MAX_NOTES,
      limboMs: family === 'lines' || family === 'all' ? LIMBO_MS : 0,
      replyMs: REPLY_MS,
      ...weakness?.redis,
    });
    this.l3 = isPersistent ? new DurableHost(this.time) : undefined;
    const deafMs = isPersistent ? LONGEST_FLIGHT_MS : GAP_MS;
    this.oracle = new Oracle(this.time, { slackMs: SLACK_MS[family], deafMs });
    this.source = new Source(this.time, this.oracle, (lie) => this.lie(lie));
    for (let i = 0; i < (family === 'alone' ? 1 : 3); i += 1) this.start();
  }

  /** A process begins. */
  start(): void {
    this.#started += 1;
    this.instances.push(
      new DerivedInstance({
        name: `i${this.#started}`,
        time: this.time,
        host: this.redis,
        l3: this.l3,
        source: this.source,
        skewMs: this.time.below(400) - 200,
        isAlone: this.family === 'alone',
        weakness: this.#options.weakness ?? {},
      }),
    );
  }

  /** Calls of living instances that have not ended. */
  get running(): number {
    return [...this.#running.values()].filter(({ isAlive }) => isAlive).length;
  }

  trace(line: string): void {
    this.#options.trace?.(`${this.time.now} ${line}`);
  }

  lie(line: string): void {
    this.trace(`LIE ${line}`);
    this.lies.push(line);
  }

  /** Somebody calls, and the schedule goes on. */
  run(instance: DerivedInstance, name: string, work: Promise<void>): void {
    this.trace(`${instance.name} ${name}`);
    const checked = work.catch((error: unknown) => {
      if (!instance.isAlive) return;
      const isKnown = error instanceof CacheError || error instanceof Aborted;
      const code = isKnown ? error.code : String(error);
      this.trace(`${instance.name} ${name} rejected: ${code}`);
      if (!ALLOWED.has(code)) this.lie(`${name} rejected with ${code}: ${String(error)}`);
    });
    this.#running.set(checked, instance);
    void checked.finally(() => this.#running.delete(checked));
  }

  question(instance: DerivedInstance, key: string): Question {
    return { ...instance.asker, key, asked: this.oracle.moment() };
  }

  /** `foundAt`: where an answer had to wait for something else, when it was found at the earliest. */
  judge(
    question: Question,
    value: unknown,
    freshness?: 'fresh' | 'stale',
    foundAt: number = this.time.now,
  ): void {
    this.answers += 1;
    this.trace(`${question.instance} answered ${textOf(value)} for ${question.key} ${freshness}`);
    const lie = this.oracle.judge(question, { value, freshness, foundAt });
    if (lie !== undefined) this.lie(lie);
  }
}
