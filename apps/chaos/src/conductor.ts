/**
 * One run: the stage is set, and for each cycle
 *
 *   storm    callers talk; both lanes strike, fault after fault, each when enough is pending;
 *   calm     everything is given back; within some seconds all has to be as if nothing had been,
 *            while callers go on;
 *   rest     callers stop; every instance is asked to sync until nothing remains;
 *   audit    Supabase and every instance are held against what was acknowledged; the memory and
 *            the open handles of the first instance are looked at.
 *
 * It keeps apart the two faults that together are a documented loss (see faults.ts): before the
 * second of them strikes, everything that was acknowledged until the first is in Supabase. Where
 * that does not come true in time, the fault comes last, or is left out, and counted.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { FAULTS, type FaultName } from './faults.ts';
import { OracleClient } from './oracle-client.ts';
import { conditionSchema, type Findings, type Sample, sampleSchema } from './protocol.ts';
import type { CyclePlan, Strike } from './schedule.ts';
import { type JournalMode, type Place, Stage } from './stage.ts';
import { strikeWith } from './strikes.ts';
import { RECOVERY_MS } from './weather.ts';

/** A fault that finds nothing pending can lose nothing. */
export const WORTH_WRITES = 50;
/** Of these, a process that is killed has so many itself. */
const OWN_WRITES = 12;
const WORTH_WAITING_MS = 20_000;
const SAVED_WITHIN_MS = 30_000;
const HEALTHY_WITHIN_MS = 30_000;
const BARRIER_WITHIN_MS = 30_000;
const CALM_MS = 4000;
/** Longer than idle connections are kept. */
const IDLE_MS = 2500;
const POLL_MS = 200;

export interface RunOptions {
  readonly seed: number;
  readonly instances: number;
  readonly callers: number;
  readonly database: 'postgres' | 'pglite';
  readonly journal: JournalMode;
  readonly plan: readonly CyclePlan[];
  readonly deadlineMs: number;
  readonly intervalMs: number;
  /** Where the instances write what happens to them. */
  readonly trace: string | undefined;
  readonly say: (line: string) => void;
}

/** A fault as it happened. */
export interface Struck {
  readonly cycle: number;
  readonly fault: FaultName;
  readonly slot: number;
  readonly ms: number;
  readonly atSeconds: number;
  /** Acknowledged writes that Supabase did not have. Of a kill: and how many of them were its own. */
  readonly pending: number;
  readonly ownPending: number | undefined;
}

export interface Outcome {
  readonly struck: readonly Struck[];
  readonly findings: Findings;
  /** Of the first instance, at its start and after each cycle. */
  readonly samples: readonly Sample[];
  readonly apart: { readonly waits: number; readonly ms: number; readonly leftOut: number };
  readonly seconds: number;
}

export async function conduct(options: RunOptions): Promise<Outcome> {
  const { instances, database, journal, deadlineMs, intervalMs, trace } = options;
  const settings = { deadlineMs, intervalMs };
  const traced = { ...settings, trace };
  await using stage = await Stage.open({ instances, database, journal, settings: traced });
  await using oracle = await OracleClient.start({
    seed: options.seed,
    callers: options.callers,
    supabaseUrl: stage.supabase.url,
    supabaseKey: stage.supabase.secretKey,
    ...settings,
  });
  stage.sourceUrl = `${oracle.url}/source`;
  return await new Conductor(options, stage, oracle).run();
}

class Conductor {
  readonly #options: RunOptions;
  readonly #stage: Stage;
  readonly #oracle: OracleClient;
  readonly #startedAt: number = performance.now();
  readonly #struck: Struck[] = [];
  readonly #samples: Sample[] = [];
  /** Until when everything acknowledged has to be in Supabase, before the other half may strike. */
  readonly #losses = new Map<'process' | 'redis', number>();
  readonly #apart = { waits: 0, ms: 0, leftOut: 0 };

  constructor(options: RunOptions, stage: Stage, oracle: OracleClient) {
    this.#options = options;
    this.#stage = stage;
    this.#oracle = oracle;
  }

  async run(): Promise<Outcome> {
    await Promise.all(this.#stage.places.map((place) => this.#up(place)));
    await this.#healthy();
    await this.#sample();
    for (const plan of this.#options.plan) await this.#cycle(plan);
    await this.#oracle.audit(0, this.#stage.addresses);
    return {
      struck: this.#struck,
      findings: await this.#oracle.report(),
      samples: this.#samples,
      apart: this.#apart,
      seconds: this.#seconds(),
    };
  }

  async #cycle({ cycle, servers, links }: CyclePlan): Promise<void> {
    await this.#oracle.begin(cycle);
    await Promise.all([this.#lane(cycle, servers), this.#lane(cycle, links)]);
    this.#stage.heal();
    await this.#healthy();
    await delay(RECOVERY_MS + CALM_MS);
    await this.#crashes();
    await this.#oracle.rest();
    await this.#barrier();
    await this.#oracle.audit(cycle, this.#stage.addresses);
    await this.#sample();
    this.#losses.clear();
    const { violations } = await this.#oracle.report();
    const told = `${this.#struck.length} faults so far, ${violations.length} violations`;
    this.#options.say(`cycle ${cycle} of ${this.#options.plan.length}: ${told}`);
  }

  async #lane(cycle: number, strikes: readonly Strike[]): Promise<void> {
    const late: Strike[] = [];
    for (const strike of strikes) if (!(await this.#next(cycle, strike))) late.push(strike);
    for (const strike of late) if (!(await this.#next(cycle, strike))) this.#apart.leftOut += 1;
  }

  /** False: it had to be left out, for now. */
  async #next(cycle: number, strike: Strike): Promise<boolean> {
    await delay(strike.gapMs);
    await this.#crashes();
    if (!(await this.#mayStrike(strike))) return false;
    await this.#strike(cycle, strike);
    return true;
  }

  async #strike(cycle: number, strike: Strike): Promise<void> {
    const { id, fault, slot, ms } = strike;
    const victim = slot === 0 ? undefined : this.#stage.place(slot).address?.id;
    const pending = await this.#worthIt(fault.startsWith('kill') ? victim : undefined);
    const atSeconds = this.#seconds();
    let ownPending: number | undefined;
    await this.#oracle.fault(id, fault, true);
    try {
      const down = async (gone: string) => {
        await this.#oracle.down(gone);
        // What Supabase lacks now was acknowledged and not flushed when the process died.
        ownPending = await this.#oracle.unsaved(victim, true);
      };
      const parts = { stage: this.#stage, down, up: (place: Place) => this.#up(place) };
      await strikeWith(parts, strike);
    } finally {
      await this.#oracle.fault(id, fault, false);
    }
    const { loses } = FAULTS[fault];
    if (loses !== 'nothing') this.#losses.set(loses, await this.#oracle.mark());
    this.#struck.push({ cycle, fault, slot, ms, atSeconds, pending, ownPending });
  }

  /**
   * Waits a while for enough to be pending, for a kill also of the victim's own: between an
   * acknowledgement and its flush. Resolves with how much it is.
   */
  async #worthIt(victim: string | undefined): Promise<number> {
    const end = performance.now() + WORTH_WAITING_MS;
    for (;;) {
      const pending = await this.#oracle.unsaved(undefined, false);
      const own = victim === undefined ? OWN_WRITES : await this.#oracle.unsaved(victim, true);
      if (pending >= WORTH_WRITES && own >= OWN_WRITES) return pending;
      if (performance.now() > end) return pending;
      await delay(POLL_MS);
    }
  }

  /** The other half of the documented loss has to be over. */
  async #mayStrike({ fault }: Strike): Promise<boolean> {
    const { loses } = FAULTS[fault];
    if (loses === 'nothing' || this.#options.journal === 'always') return true;
    const mark = this.#losses.get(loses === 'redis' ? 'process' : 'redis');
    if (mark === undefined) return true;
    const start = performance.now();
    this.#apart.waits += 1;
    const isSaved = await within(SAVED_WITHIN_MS, () => this.#oracle.isSaved(mark));
    this.#apart.ms += performance.now() - start;
    return isSaved;
  }

  async #up(place: Place): Promise<void> {
    await this.#oracle.up(await this.#stage.start(place));
  }

  /** Nobody ends who was not ended: that would be a finding. Others take the places. */
  async #crashes(): Promise<void> {
    for (const place of this.#stage.places) {
      const { process, address } = place;
      if (process === undefined || process.alive || address === undefined) continue;
      const what = `${address.id} ended by itself: ${process.output.slice(-1500)}`;
      await this.#oracle.violation('crashes', what);
      await this.#oracle.down(address.id);
      await this.#up(place);
    }
  }

  async #healthy(): Promise<void> {
    const isWell = await within(HEALTHY_WITHIN_MS, async () => {
      const conditions = await Promise.all(
        this.#stage.places.map((place) => this.#stage.ask(place, { op: 'condition' })),
      );
      return conditions.every(
        (answer) => answer.ok && conditionSchema.parse(answer.result).healthy,
      );
    });
    if (!isWell) await this.#oracle.violation('G4', 'not every instance became healthy again');
  }

  async #barrier(): Promise<void> {
    let left: unknown;
    const isClean = await within(BARRIER_WITHIN_MS, async () => {
      const answers = await Promise.all(
        this.#stage.places.map((place) => this.#stage.ask(place, { op: 'sync' })),
      );
      left = answers.map((answer) => (answer.ok ? answer.result : answer.code));
      return answers.every(
        (answer) =>
          answer.ok && /"remaining":0,"unknown":false/.test(JSON.stringify(answer.result)),
      );
    });
    if (isClean) return;
    await this.#oracle.violation('G4', `no barrier came true: ${JSON.stringify(left)}`);
  }

  async #sample(): Promise<void> {
    await delay(IDLE_MS);
    const answer = await this.#stage.ask(this.#stage.place(1), { op: 'sample' });
    if (answer.ok) this.#samples.push(sampleSchema.parse(answer.result));
  }

  #seconds(): number {
    return Math.round((performance.now() - this.#startedAt) / 100) / 10;
  }
}

/** Whether it comes true in time. What rejects is not true yet. */
async function within(ms: number, isTrue: () => Promise<boolean>): Promise<boolean> {
  const end = performance.now() + ms;
  for (;;) {
    if (await isTrue().catch(() => false)) return true;
    if (performance.now() > end) return false;
    await delay(POLL_MS);
  }
}
