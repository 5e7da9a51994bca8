/**
 * What passes between the callers and the instances: every call is timed, counted, and held
 * against its deadline (G5). In a calm, every refusal is a finding, unless this process, whom
 * nobody harms, was itself late: then the machine had no time. Under faults refusals are counted.
 */
import { z } from 'zod';
import type { Findings } from './findings.ts';
import { postJson } from './json-http.ts';
import type { Lag } from './lag.ts';
import { type Answer, answerSchema, type Call, type InstanceAddress } from './protocol.ts';
import type { Weather } from './weather.ts';

/** Nobody is stopped for so long. */
const GIVEN_UP_MS = 60_000;
/** What a call may take beyond its deadline and the lateness of its process's timers. */
const GRACE_MS = 150;
/** To begin is a call to the records and then one to the logs, each with a deadline. */
const CALLS_OF_BEGIN = 2;
/** Later than this, the oracle's own timers say that the machine is overloaded. */
const BUSY_MS = 250;

/** `gone`: the process did not answer. Where it was never reached, nothing was done. */
export type Reply = Answer | { readonly ok: 'gone'; readonly wasReached: boolean };

const causeSchema = z.object({ cause: z.object({ code: z.string() }) });

export class Exchange {
  readonly #instances = new Map<number, InstanceAddress>();
  readonly #findings: Findings;
  readonly #weather: Weather;
  readonly #deadlineMs: number;
  readonly #lag: Lag;
  readonly #open = new Set<Promise<Reply>>();
  readonly #waiting = new Map<string, number>();

  constructor(findings: Findings, weather: Weather, deadlineMs: number, lag: Lag) {
    this.#findings = findings;
    this.#weather = weather;
    this.#deadlineMs = deadlineMs;
    this.#lag = lag;
  }

  up(instance: InstanceAddress): void {
    this.#instances.set(instance.slot, instance);
  }

  down(id: string): void {
    for (const [slot, instance] of this.#instances) {
      if (instance.id === id) this.#instances.delete(slot);
    }
  }

  /** Those that are up, and do not owe more answers than a caller has patience for. */
  responsive(): readonly InstanceAddress[] {
    return [...this.#instances.values()].filter(({ id }) => (this.#waiting.get(id) ?? 0) < 8);
  }

  isUp(id: string): boolean {
    return [...this.#instances.values()].some((instance) => instance.id === id);
  }

  /** Resolves when every call has been answered, or its process is gone. */
  async quiet(): Promise<void> {
    while (this.#open.size > 0) await Promise.all(this.#open);
  }

  /** Never rejects. */
  call(instance: InstanceAddress, call: Call): Promise<Reply> {
    const replied = this.#call(instance, call);
    this.#open.add(replied);
    this.#waiting.set(instance.id, (this.#waiting.get(instance.id) ?? 0) + 1);
    replied.finally(() => {
      this.#open.delete(replied);
      this.#waiting.set(instance.id, (this.#waiting.get(instance.id) ?? 1) - 1);
    });
    return replied;
  }

  async #call(instance: InstanceAddress, call: Call): Promise<Reply> {
    const sentAt = performance.now();
    this.#findings.count(`calls ${call.op}`);
    try {
      const answer = answerSchema.parse(await postJson(instance.url, call, GIVEN_UP_MS));
      this.#judge(instance, call, answer, sentAt);
      return answer;
    } catch (error) {
      const { data } = causeSchema.safeParse(error);
      const waited = performance.now() - sentAt;
      this.#findings.count('answers that never came');
      if (waited >= GIVEN_UP_MS && this.isUp(instance.id)) {
        this.#findings.violation('G5', `${call.op} on ${instance.id} was never answered`, sentAt);
      }
      return { ok: 'gone', wasReached: data?.cause.code !== 'ECONNREFUSED' };
    }
  }

  #judge({ id }: InstanceAddress, call: Call, answer: Answer, sentAt: number): void {
    const now = performance.now();
    const allowed = this.#deadlineMs * (call.op === 'begin' ? CALLS_OF_BEGIN : 1);
    const beyond = answer.ms - allowed - answer.lagMs;
    this.#findings.count('G5 calls held against their deadline');
    this.#findings.most('G5 longest call, ms', answer.ms);
    if (beyond > GRACE_MS && call.op !== 'sync') {
      const took = `${Math.round(answer.ms)} ms, its timers ${Math.round(answer.lagMs)} ms late`;
      this.#findings.violation('G5', `${call.op} on ${id} took ${took}`, sentAt);
    }
    if (answer.ok) return;
    this.#findings.count(`refused ${call.op} ${answer.code}`);
    if (answer.code === 'UNTYPED') {
      this.#findings.violation('errors', `${call.op} on ${id}: ${answer.message}`, sentAt);
    } else if (this.#weather.isCalm(sentAt, now)) {
      if (this.#lag.since(sentAt) > BUSY_MS) {
        this.#findings.count('calm refusals on a machine without time');
        return;
      }
      const what = `${call.op} on ${id} was refused in a calm: ${answer.code} ${answer.message}`;
      this.#findings.violation('calm', what, sentAt);
    }
  }
}
