/**
 * Holds an answer against what was acknowledged before it was asked for.
 *
 *   by the same process   at once, always (G2)
 *   by another            in a calm, within a second (G3 says one message of the bus; the rest is
 *                         what busy processors need), or four where the write went around Redis
 *                         (G3: about two). Under faults: within the sync interval plus five
 *                         seconds, not counting the time in which something was broken or had
 *                         just been.
 */
import type { Findings } from './findings.ts';
import type { Attempt, Profile, Subject } from './ledger.ts';
import type { Weather } from './weather.ts';

const CALM_MS = 1000;
const CALM_AROUND_MS = 4000;
const SLACK_MS = 5000;

/** One answer: by whom, and when it was asked for. */
export interface Heard {
  readonly by: string;
  readonly sentAt: number;
}

export class Judge {
  readonly #findings: Findings;
  readonly #weather: Weather;
  readonly #intervalMs: number;

  constructor(findings: Findings, weather: Weather, intervalMs: number) {
    this.#findings = findings;
    this.#weather = weather;
    this.#intervalMs = intervalMs;
  }

  turns(log: Subject, ids: readonly string[], heard: Heard): void {
    const there = new Set(ids);
    if (there.size < ids.length) this.#doubled(log, ids, heard);
    const unheardOf = ids.filter((id) => !log.attempts.has(id));
    if (unheardOf.length > 0) {
      const what = `${heard.by} read ${unheardOf} in ${log.key}, which nobody said`;
      this.#findings.violation('G12', what, heard.sentAt);
    }
    if (log.end !== undefined) {
      this.#ended(log, there.size > 0, heard);
      return;
    }
    for (const item of log.attempts.values()) {
      if (item.outcome !== 'acknowledged' || item.ackAt > heard.sentAt) continue;
      this.#seen(there.has(item.id), item, `${item.id} in ${log.key}`, heard);
    }
  }

  #doubled(log: Subject, ids: readonly string[], heard: Heard): void {
    const twice = ids.filter((id, index) => ids.indexOf(id) !== index);
    this.#findings.violation('G12', `${heard.by} read ${twice} twice in ${log.key}`, heard.sentAt);
  }

  /** `version`: of what was read; `undefined`: there is nothing. */
  state(record: Subject, version: number | undefined, heard: Heard): void {
    if (record.end !== undefined) {
      this.#ended(record, version !== undefined, heard);
      return;
    }
    for (const set of record.attempts.values()) {
      if (set.outcome !== 'acknowledged' || set.ackAt > heard.sentAt) continue;
      this.#seen((version ?? 0) >= set.version, set, `set ${set.id} of ${record.key}`, heard);
    }
  }

  count(counter: Subject, ids: readonly string[], heard: Heard): void {
    const there = new Set(ids);
    if (there.size < ids.length) this.#doubled(counter, ids, heard);
    for (const addition of counter.attempts.values()) {
      if (addition.outcome !== 'acknowledged' || addition.ackAt > heard.sentAt) continue;
      this.#seen(there.has(addition.id), addition, `${addition.id} in ${counter.key}`, heard);
    }
  }

  profile(profile: Profile, n: number, heard: Heard): void {
    for (const told of profile.told) {
      if (told.ackAt > heard.sentAt) continue;
      const what = `change ${told.n} of profile ${profile.key} (read: ${n})`;
      this.#seen(n >= told.n, told, what, heard);
    }
  }

  /** Deleted or erased: what is gone does not come back. */
  #ended({ key, end }: Subject, isThere: boolean, heard: Heard): void {
    if (end?.outcome !== 'acknowledged' || end.ackAt > heard.sentAt) return;
    this.#seen(!isThere, end, `the end of ${key}`, heard);
  }

  #seen(
    isSeen: boolean,
    write: Pick<Attempt, 'by' | 'ackAt'> & { readonly isAround?: boolean },
    what: string,
    { by, sentAt }: Heard,
  ): void {
    const age = sentAt - write.ackAt;
    const isOwn = write.by === by;
    // What began before the answer came may have kept the instance from knowing better.
    const answeredAt = Math.max(sentAt, performance.now());
    const isCalm = this.#weather.isCalm(write.ackAt, answeredAt);
    if (isOwn) this.#findings.count('G2 own writes looked for');
    else this.#findings.count(`G3 others' writes looked for${isCalm ? ', in a calm' : ''}`);
    if (isSeen) return;
    const seconds = (age / 1000).toFixed(2);
    if (isOwn) {
      this.#findings.violation(
        'G2',
        `${by} did not see its own ${what} after ${seconds} s`,
        write.ackAt,
      );
      return;
    }
    const rough = this.#weather.roughMs(write.ackAt, answeredAt);
    const calm = write.isAround === true ? CALM_AROUND_MS : CALM_MS;
    const bound = isCalm ? calm : this.#intervalMs + SLACK_MS + rough;
    this.#findings.most(
      `G3 oldest write not seen, ${isCalm ? 'in a calm' : 'under faults'}, ms`,
      age,
    );
    if (age <= bound) return;
    const asked = `${by} did not see ${what}, acknowledged by ${write.by}, after ${seconds} s`;
    this.#findings.violation('G3', asked, write.ackAt);
  }
}
