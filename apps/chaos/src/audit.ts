/**
 * The audit of a cycle, when everything is up, nobody writes and every instance says that nothing
 * is pending: what Supabase has is held against what was acknowledged (G1, G12), and what every
 * instance answers against what Supabase has (G4).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import type { Exchange } from './exchange.ts';
import type { Findings } from './findings.ts';
import type { Attempt, Ledger, Subject } from './ledger.ts';
import {
  type Call,
  countSchema,
  type InstanceAddress,
  profileSchema,
  stateSchema,
  turnsSchema,
} from './protocol.ts';
import type { StoredEntry, Truth } from './truth.ts';

const AT_ONCE = 12;
/** An instance may be a moment behind; after this it may not. */
const MOMENT_MS = 1500;

const valueSchema = z.object({ n: z.int() });
const idsSchema = z.object({ ids: z.array(z.string()) });

export interface AuditParts {
  readonly ledger: Ledger;
  readonly truth: Truth;
  readonly findings: Findings;
  readonly exchange: Exchange;
}

/** What a subject is, in words that can be compared. */
type Told = readonly string[];

export class Audit {
  readonly #parts: AuditParts;

  constructor(parts: AuditParts) {
    this.#parts = parts;
  }

  /** `sample`: of how many subjects the instances are asked, where there are more. */
  async run(
    subjects: readonly Subject[],
    instances: readonly InstanceAddress[],
    sample: number,
  ): Promise<void> {
    const stored = await this.#stored(subjects);
    for (const subject of subjects) this.#judge(subject, stored);
    // What was refused with certainty is nowhere: Supabase said so, and one answer is enough.
    const written = subjects.filter(({ attempts }) =>
      [...attempts.values()].some(({ outcome }) => outcome !== 'none'),
    );
    const every = Math.max(1, Math.ceil(written.length / sample));
    const asked = written.filter((one, index) => index % every === 0 || isShared(one));
    for (const instance of instances) {
      await inParallel(asked, (one) => this.#compare(one, told(one, stored), instance));
      await inParallel([...this.#parts.ledger.profiles.values()], async (profile) => {
        const reply = await this.#parts.exchange.call(instance, {
          op: 'profile',
          key: profile.key,
        });
        const told = Math.max(0, ...profile.told.map(({ n }) => n));
        const n = reply.ok === true ? profileSchema.parse(reply.result).n : -1;
        this.#parts.findings.count('G3 profiles looked at in the end');
        if (n < told)
          this.#violation('G3', `${instance.id} has profile ${profile.key} at ${n}, not ${told}`);
      });
    }
  }

  async #stored(subjects: readonly Subject[]): Promise<Stored> {
    const { truth } = this.#parts;
    const keys = (space: Subject['space']) =>
      subjects.filter((one) => one.space === space).map(({ key }) => key);
    return {
      turns: await truth.logs(keys('turns')),
      states: await truth.entries('states', keys('states')),
      counters: await truth.entries('counters', keys('counters')),
    };
  }

  #judge(subject: Subject, stored: Stored): void {
    const { findings } = this.#parts;
    findings.count(`G1 ${subject.space} held against Supabase`);
    const ids = told(subject, stored);
    if (subject.end?.outcome === 'acknowledged') {
      findings.count('G8 deleted or erased, and looked for');
      if (ids.length > 0) this.#violation('G8', `${subject.key} was ended, and is back: ${ids}`);
      return;
    }
    if (subject.end !== undefined && ids.length === 0) return;
    if (subject.space === 'states') {
      this.#judgeState(subject, stored.states.get(subject.key));
      return;
    }
    const there = new Set(ids);
    for (const attempt of subject.attempts.values()) {
      const isThere = there.has(attempt.id);
      if (attempt.outcome === 'acknowledged') {
        findings.count(`G1 acknowledged ${attempt.kind}s looked for`);
        if (!isThere) this.#lost(subject, attempt);
      } else if (attempt.outcome === 'none' && isThere) {
        this.#violation(
          'G1',
          `${attempt.id} in ${subject.key} was refused with certainty, and is there`,
        );
      }
    }
    for (const id of there) {
      if (!subject.attempts.has(id))
        this.#violation('G12', `${id} in ${subject.key}: nobody said that`);
    }
    if (there.size < ids.length) this.#violation('G12', `something is twice in ${subject.key}`);
    if (subject.space === 'turns') this.#order(subject, ids);
  }

  #lost({ key, space }: Subject, { id, by, kind, ackAt }: Attempt): void {
    const { findings } = this.#parts;
    const what = `${kind} ${id} of ${space}/${key}, acknowledged by ${by}, is not in Supabase`;
    findings.violation('G1', what, ackAt);
  }

  /** Of two items that one process acknowledged one after the other, the first stands first. */
  #order({ key, attempts }: Subject, ids: readonly string[]): void {
    const { findings } = this.#parts;
    const said = [...attempts.values()]
      .filter(({ outcome, isRepeated }) => outcome === 'acknowledged' && !isRepeated)
      .sort((a, b) => a.ackAt - b.ackAt);
    const place = new Map(ids.map((id, index) => [id, index]));
    for (const [index, earlier] of said.entries()) {
      for (const later of said.slice(index + 1)) {
        if (later.by !== earlier.by || later.sentAt <= earlier.ackAt) continue;
        findings.count('G12 pairs held against their order');
        if ((place.get(earlier.id) ?? 0) <= (place.get(later.id) ?? Infinity)) continue;
        findings.violation(
          'G12',
          `${later.id} stands before ${earlier.id} in ${key}`,
          earlier.ackAt,
        );
      }
    }
  }

  #judgeState(subject: Subject, entry: StoredEntry | undefined): void {
    const { findings } = this.#parts;
    const sets = [...subject.attempts.values()];
    const acknowledged = sets.filter(({ outcome }) => outcome === 'acknowledged');
    findings.count('G1 acknowledged sets looked for', acknowledged.length);
    const newest = acknowledged.reduce<Attempt | undefined>(
      (best, one) => (best === undefined || one.version > best.version ? one : best),
      undefined,
    );
    if (newest === undefined) return;
    if (entry === undefined || entry.deleted || entry.version < newest.version) {
      this.#lost(subject, newest);
      return;
    }
    const id = String(valueSchema.parse(entry.value).n);
    const standing = subject.attempts.get(id);
    const isNewer = entry.version > newest.version;
    if (id === newest.id && !isNewer) return;
    if (isNewer && (standing?.outcome === 'unknown' || standing?.outcome === 'open')) return;
    this.#violation(
      'G4',
      `${subject.key} holds set ${id} (${standing?.outcome}, version ${standing?.version}) under version ${entry.version}, and set ${newest.id} was acknowledged under ${newest.version}`,
    );
  }

  async #compare(subject: Subject, expected: Told, instance: InstanceAddress): Promise<void> {
    const { findings } = this.#parts;
    findings.count('G4 answers held against Supabase');
    let answer = await this.#ask(subject, instance);
    if (same(answer, expected)) return;
    findings.count('G4 answers that needed a moment');
    await delay(MOMENT_MS);
    answer = await this.#ask(subject, instance);
    if (same(answer, expected)) return;
    const differ = `${JSON.stringify(answer).slice(0, 300)} and not ${JSON.stringify(expected).slice(0, 300)}`;
    this.#violation('G4', `${instance.id} says of ${subject.space}/${subject.key}: ${differ}`);
  }

  async #ask(subject: Subject, instance: InstanceAddress): Promise<Told> {
    const reply = await this.#parts.exchange.call(instance, question(subject));
    if (reply.ok !== true) return [`no answer: ${reply.ok === 'gone' ? 'gone' : reply.code}`];
    if (subject.space === 'turns') return turnsSchema.parse(reply.result).ids;
    if (subject.space === 'counters') return countSchema.parse(reply.result).ids;
    const { n } = stateSchema.parse(reply.result);
    return n === undefined ? [] : [String(n)];
  }

  #violation(guarantee: string, what: string): void {
    // Whatever went on in this cycle may have to do with it.
    this.#parts.findings.violation(guarantee, what, 0);
  }
}

interface Stored {
  readonly turns: ReadonlyMap<string, readonly string[]>;
  readonly states: ReadonlyMap<string, StoredEntry>;
  readonly counters: ReadonlyMap<string, StoredEntry>;
}

function told({ space, key }: Subject, stored: Stored): Told {
  if (space === 'turns') return stored.turns.get(key) ?? [];
  const entry = stored[space].get(key);
  if (entry === undefined || entry.deleted) return [];
  if (space === 'counters') return idsSchema.parse(entry.value).ids;
  return [String(valueSchema.parse(entry.value).n)];
}

/** Where instances disagree, if anywhere: what all of them wrote to. */
const MANY = 3;
function isShared({ attempts }: Subject): boolean {
  return new Set([...attempts.values()].map(({ by }) => by)).size >= MANY;
}

function question({ space, key }: Subject): Call {
  if (space === 'turns') return { op: 'turns', log: key };
  return space === 'states' ? { op: 'state', key } : { op: 'count', key };
}

function same(a: Told, b: Told): boolean {
  return a.length === b.length && a.every((one, index) => one === b[index]);
}

async function inParallel<T>(
  values: readonly T[],
  work: (value: T) => Promise<void>,
): Promise<void> {
  const queue = values.values();
  const worker = async () => {
    for (const value of queue) await work(value);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
